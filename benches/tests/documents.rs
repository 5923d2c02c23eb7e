//! Documents say what the last record says: tables between marks are the program's, and no other table has a
//! measured number.

use benches::docs::{DOCUMENTS, filled, unmarked};
use benches::gates::missed;
use benches::misses::why;
use benches::record::{DIRECTORY, Record};
use benches::server::{PARTS, Server};
use std::fs;
use std::path::{Path, PathBuf};

/// Paths are those of the workspace's directory.
fn at_the_top() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("it lies in the workspace");
    std::env::set_current_dir(top).expect("it is there");
}

#[test]
fn each_document_is_what_the_last_record_says() {
    at_the_top();
    let record = Record::read(&Record::latest().unwrap()).unwrap();
    let lock = fs::read_to_string("Cargo.lock").unwrap();
    for name in DOCUMENTS {
        let document = fs::read_to_string(name).unwrap();
        let expected = filled(&document, &record, &lock).unwrap();
        assert!(document == expected, "{name} is not up to date: write it by `-- docs`");
    }
}

/// A number with a decimal point, or a multiple; versions of crates stand in code.
fn measured(line: &str) -> bool {
    let line = &line.split('`').step_by(2).collect::<String>();
    let digit = |c: Option<&u8>| c.is_some_and(u8::is_ascii_digit);
    let bytes = line.as_bytes();
    let decimal = (1..bytes.len())
        .any(|at| bytes[at] == b'.' && digit(bytes.get(at - 1)) && digit(bytes.get(at + 1)));
    decimal || line.contains('×')
}

#[test]
fn no_table_outside_of_marks_has_a_measured_number() {
    at_the_top();
    for name in DOCUMENTS {
        let document = unmarked(&fs::read_to_string(name).unwrap());
        for line in document.lines().filter(|line| line.starts_with('|')) {
            assert!(!measured(line), "{name}: {line}");
        }
    }
}

#[test]
fn what_is_taken_for_a_measured_number() {
    assert!(measured("| x | 12.5 |") && measured("| 3 × |"));
    assert!(!measured("| version 2, 64 KiB |") && !measured("| docs.rs |"));
    assert!(!measured("| fixed in `1.11.1` |") && measured("| `x` | 1.5 | `y` |"));
}

/// Whether a line says when and on what something was measured, as `Facts` says it.
fn has_facts(line: &str, date: &str) -> bool {
    let parts: Vec<_> = line.split(", ").collect();
    let part = |begin| parts.iter().position(|part: &&str| part.starts_with(begin));
    let [machine, kernel] = [parts.iter().position(|part| part.contains(" × ")), part("Linux ")];
    let commit = part("commit ").and_then(|at| parts[at].split([' ', '.']).nth(1));
    let hexadecimal = |c: char| c.is_ascii_hexdigit();
    parts[0] == date
        && machine == Some(1)
        && kernel.is_some_and(|kernel| part("rustc ") == Some(kernel + 1))
        && commit.is_some_and(|commit| {
            commit.len() >= 7 && commit.trim_end_matches('+').chars().all(hexadecimal)
        })
}

#[test]
fn each_record_says_when_and_on_what_it_was_measured() {
    at_the_top();
    let mut of_parts = [0; PARTS.len()];
    for path in files(Path::new(DIRECTORY), "md") {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let part = PARTS.iter().position(|part| name[10..] == format!("-{}", part.name));
        of_parts[part.unwrap_or_else(|| panic!("nobody writes {name}"))] += 1;
        let text = fs::read_to_string(&path).unwrap();
        assert!(has_facts(text.lines().next().unwrap(), &name[..10]), "{name}: {text}");
    }
    assert!(!of_parts.contains(&0), "{of_parts:?}");
    for path in files(Path::new(DIRECTORY), "json") {
        let facts = Record::read(&path).unwrap().facts();
        assert!(has_facts(&facts, &path.file_stem().unwrap().to_str().unwrap()[..10]), "{facts}");
    }
}

/// Heads and lines are called as the programs call them that write them.
#[test]
fn counts_and_bytes_of_the_server_are_found_in_its_record() {
    at_the_top();
    for gate in Server::latest().unwrap().gates() {
        let found = ["instructions", "bytes"].iter().any(|what| gate.measure.starts_with(what));
        assert!(gate.value.is_some() || !found, "{}: {}", gate.workload, gate.measure);
    }
}

#[test]
fn what_is_taken_for_facts() {
    let facts =
        "2026-01-02, 2 × X (family 1, model 2), Linux 6.1, rustc 1.95.0 (a 2026), commit 0123abc";
    for end in ["", "+", "+. 10 connections", ", with nginx"] {
        assert!(has_facts(&format!("{facts}{end}"), "2026-01-02"), "{end}");
    }
    for without in ["2 × X ", "Linux 6.1, ", "rustc 1.95.0 ", ", commit 0123abc", "0123abc"] {
        assert!(!has_facts(&facts.replace(without, ""), "2026-01-02"), "{without}");
    }
    assert!(!has_facts(facts, "2026-01-03"));
}

#[test]
fn each_count_that_is_missed_has_a_reason() {
    at_the_top();
    let record = Record::read(&Record::latest().unwrap()).unwrap();
    let server = Server::latest().unwrap().gates();
    for gate in record.table.missed().chain(missed(&server)) {
        assert!(why(gate).is_some(), "{} of {}: {}", gate.workload, gate.engine, gate.measure);
    }
}

/// Numbers as prose spells them.
const SPELLED: [&str; 14] = [
    "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "twenty", "fifty", "hundred",
];
const SHARES: [&str; 9] =
    ["half", "third", "quarter", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"];
const UNITS: [&str; 6] =
    ["instructions", "ns", "nanoseconds", "microseconds", "milliseconds", "cycles"];
/// What comes after "ten times" where it compares two things.
const COMPARED: [&str; 8] =
    ["as", "faster", "slower", "longer", "shorter", "fewer", "cheaper", "dearer"];

fn is_number(word: &str) -> bool {
    let digits = word.replace(['.', ','], "");
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The first phrase that tells a measurement in prose, be it over the end of a line.
fn told_in_prose(text: &str) -> Option<String> {
    let words: Vec<_> = text.split_whitespace().collect();
    let bare = |at: usize| {
        let word = words.get(at).copied().unwrap_or_default();
        word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase()
    };
    // A word that ends a clause has nothing to do with the next one.
    let ends = |at: usize| words[at].ends_with([',', '.', ';', ':', ')']);
    (0..words.len()).find_map(|at| {
        let [first, second, third, fourth] = [0, 1, 2, 3].map(|more| bare(at + more));
        let (number, spelled) = (is_number(&first), SPELLED.contains(&first.as_str()));
        let unit = UNITS.contains(&second.as_str());
        let times = second == "times";
        let told = match third.as_str() {
            // Instructions of a kind are named, and not counted.
            "of" if spelled && second == "instructions" && !ends(at + 1) => false,
            _ if spelled && times => !ends(at + 1) && COMPARED.contains(&third.as_str()),
            _ => (number || spelled) && unit || number && times,
        };
        let share = SHARES.contains(&first.trim_end_matches('s'))
            && [second.as_str(), &third] == ["of", "the"]
            && (fourth == "time" || UNITS.contains(&fourth.as_str()));
        let phrase = || words[at..words.len().min(at + 4)].join(" ");
        (!ends(at) && (told || share)).then(phrase)
    })
}

/// All files below a directory with this ending.
fn files(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let below = entries.map(|entry| entry.unwrap().path()).flat_map(|path| match path.is_dir() {
        true => files(&path, ending),
        false => Vec::from_iter(path.extension().is_some_and(|end| end == ending).then_some(path)),
    });
    below.collect()
}

/// What is written for people: all of a document, of a source its documentation.
fn prose(path: &Path) -> String {
    let text = unmarked(&fs::read_to_string(path).unwrap());
    if path.extension().is_none_or(|end| end != "rs") {
        return text;
    }
    let documented = text.lines().filter_map(|line| {
        let line = line.trim_start();
        // What follows one item is not what precedes the next.
        let of_code = (!line.starts_with("//")).then_some(".");
        line.strip_prefix("///").or_else(|| line.strip_prefix("//!")).or(of_code)
    });
    documented.collect::<Vec<_>>().join("\n")
}

#[test]
fn no_prose_tells_a_measurement_of_its_own() {
    at_the_top();
    let mut documents = vec!["README.md".into(), "CHANGELOG.md".into()];
    documents.extend(files(Path::new("docs"), "md"));
    for name in ["arena", "core", "object", "ring"] {
        let pool = format!("pool-{name}");
        documents.push(Path::new(&pool).join("README.md"));
        documents.extend(files(&Path::new(&pool).join("docs"), "md"));
        documents.extend(files(&Path::new(&pool).join("src"), "rs"));
    }
    let named = |name: &str| documents.iter().any(|path| path == Path::new(name));
    assert!(named("pool-object/docs/SMALL.md") && named("pool-object/src/small.rs"));
    let told: Vec<_> = documents
        .iter()
        .filter_map(|path| Some(format!("{}: {}", path.display(), told_in_prose(&prose(path))?)))
        .collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
}

#[test]
fn what_is_taken_for_a_measurement_in_prose() {
    for told in [
        "a pair takes 11 instructions, or",
        "(1,200 ns)",
        "took 2.5\ntimes as long",
        "at a cost of three instructions.",
        "is four times slower than",
        "that was a seventh of the time)",
        "ten of the twelve nanoseconds of",
    ] {
        assert!(told_in_prose(told).is_some(), "{told}");
    }
    for plain in [
        "four instructions of SSE2",
        "16 bytes, ten times",
        "four times its longest text",
        "several times slower",
        "in 2019, times were",
        "half of the budget",
    ] {
        assert_eq!(told_in_prose(plain), None);
    }
}
