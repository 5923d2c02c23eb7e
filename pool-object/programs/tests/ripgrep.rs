//! ripgrep's engine (its directory walker on several threads, its regular expressions, its
//! searcher) over this repository.

use grep_matcher::Matcher;
use grep_regex::RegexMatcher;
use grep_searcher::sinks::UTF8;
use grep_searcher::{BinaryDetection, SearcherBuilder};
use ignore::{WalkBuilder, WalkState};
use pool_object::GlobalHeap;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

#[global_allocator]
static ALLOCATOR: GlobalHeap = GlobalHeap;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn is_source(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

/// Matching lines of each Rust file, by ripgrep.
fn search(pattern: &str, threads: usize) -> BTreeMap<PathBuf, Vec<(u64, String)>> {
    let matcher = RegexMatcher::new_line_matcher(pattern).unwrap();
    let found = Mutex::new(BTreeMap::new());
    // What is ignored is ignored in an exported tree, too: others may be building there.
    WalkBuilder::new(root()).require_git(false).threads(threads).build_parallel().run(|| {
        let (matcher, found) = (matcher.clone(), &found);
        let mut searcher =
            SearcherBuilder::new().binary_detection(BinaryDetection::quit(0)).build();
        Box::new(move |entry| {
            let Ok(entry) = entry else { return WalkState::Continue };
            if !is_source(entry.path()) {
                return WalkState::Continue;
            }
            let mut lines = Vec::new();
            let sink = UTF8(|number, line| {
                assert!(matcher.is_match(line.as_bytes()).unwrap());
                lines.push((number, line.to_owned()));
                Ok(true)
            });
            searcher.search_path(&matcher, entry.path(), sink).unwrap();
            if !lines.is_empty() {
                found.lock().unwrap().insert(entry.into_path(), lines);
            }
            WalkState::Continue
        })
    });
    found.into_inner().unwrap()
}

#[test]
fn it_finds_what_is_there() {
    let found = search(r"\bunsafe (impl|fn)\b", 4);
    assert!(found.len() > 10);
    for (path, lines) in &found {
        let text = fs::read_to_string(path).unwrap();
        let plain = text.lines().filter(|line| {
            let word = |at: usize| {
                let before = line[..at].chars().next_back();
                !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
            };
            ["unsafe impl", "unsafe fn"].iter().any(|phrase| {
                line.match_indices(phrase).any(|(at, _)| {
                    let after = line[at + phrase.len()..].chars().next();
                    word(at) && !after.is_some_and(|c| c.is_alphanumeric() || c == '_')
                })
            })
        });
        assert_eq!(plain.count(), lines.len(), "{}", path.display());
    }
    for threads in [1, 2, 8] {
        assert_eq!(search(r"\bunsafe (impl|fn)\b", threads), found);
    }
    GlobalHeap::heap().check().unwrap();
}
