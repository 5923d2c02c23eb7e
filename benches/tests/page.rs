//! The page of the committed record: whole, in need of nothing else, and readable on a phone.

use benches::plot;
use benches::record::Record;
use benches::server::Server;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Written once for all tests.
fn page() -> &'static (PathBuf, String, Record) {
    static PAGE: OnceLock<(PathBuf, String, Record)> = OnceLock::new();
    PAGE.get_or_init(|| {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("it lies in the workspace");
        std::env::set_current_dir(top).expect("it is there");
        let record = Record::read(&Record::latest().unwrap()).unwrap();
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("scoreboard.html");
        plot::page(&record, &Server::latest().unwrap().gates(), &path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        (path, text, record)
    })
}

/// What `begin` begins, up to `end`, each time.
fn between<'a>(text: &'a str, begin: &'a str, end: &str) -> Vec<&'a str> {
    text.split(begin).skip(1).map(|rest| rest.split(end).next().unwrap()).collect()
}

/// As the page has names.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[test]
fn it_needs_nothing_else() {
    let (_, page, _) = page();
    for elsewhere in ["<script", "<link", "<iframe", "<img", "<object", "@import", "url("] {
        assert!(!page.contains(elsewhere), "{elsewhere}");
    }
    for attribute in ["src=", "href="] {
        let places = between(page, attribute, " ");
        assert!(places.iter().all(|place| place.trim_matches('"').starts_with('#')), "{places:?}");
    }
    // A name of a vocabulary, which nobody fetches, is all that looks like a place.
    let http = between(&page.replace("http://www.w3.org/2000/svg", ""), "http", "\"").len();
    assert_eq!(http, 0);
}

#[test]
fn it_is_whole() {
    let (_, page, _) = page();
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    assert!(page.contains("<meta name=viewport content=\"width=device-width,initial-scale=1\">"));
    for tag in ["svg", "details", "summary", "table", "div", "style", "h2"] {
        let (begin, end) = (format!("<{tag}"), format!("</{tag}>"));
        let depth = page.match_indices(&begin).count();
        assert!(depth > 0 && depth == page.matches(&end).count(), "{tag}: {depth}");
    }
    for svg in between(page, "<svg", "</svg>") {
        assert!(svg.contains("viewBox") && !svg.contains("NaN") && !svg.contains("<svg"), "{svg}");
    }
}

#[test]
fn it_has_all_workloads_and_all_gates() {
    let (_, page, record) = page();
    for rows in record.table.workloads() {
        let summary = format!("<summary>{}</summary>", escaped(&rows[0].workload));
        assert_eq!(page.matches(&summary).count(), 1, "{summary}");
        for row in rows {
            assert!(page.contains(&escaped(&row.engine)), "{}", row.engine);
        }
    }
    let server = Server::latest().unwrap().gates();
    for gate in record.table.gates.iter().chain(&server) {
        let name = format!("<td>{}, {}: {}", gate.workload, gate.engine, gate.measure);
        assert!(page.contains(&escaped(&name).replacen("&lt;td&gt;", "<td>", 1)), "{name}");
    }
}

/// A browser, or a word that there is none.
fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).map(|directory| directory.join("chromium"));
    let found = places.find(|place| place.is_file());
    if found.is_none() {
        assert!(std::env::var_os("POOLS_REQUIRE_CLIENTS").is_none(), "chromium is not installed");
        // Not `eprintln!`, which the test harness keeps to itself when a test passes.
        let _ = writeln!(std::io::stderr(), "SKIPPED: chromium is not installed");
    }
    found
}

/// What measures the page in a frame as narrow as a phone: windows are never so narrow.
const FRAME: &str =
    "<!doctype html><title>?</title><iframe width=360 height=700 src=\"scoreboard.html\"></iframe>
<script>onload = () => {
  const page = document.querySelector('iframe').contentDocument.documentElement;
  const wide = page.querySelectorAll('svg, .wide, p, summary');
  const out = [...wide].filter(part => part.getBoundingClientRect().right > page.clientWidth);
  document.title = `${page.clientWidth} ${page.scrollWidth} ${wide.length} ${out.length}`;
}</script>";

#[test]
fn it_is_as_narrow_as_a_phone() {
    let Some(chromium) = chromium() else { return };
    let (path, page, _) = page();
    let frame = path.with_file_name("scoreboard-frame.html");
    fs::write(&frame, FRAME).unwrap();
    let profile = path.with_file_name(format!("chromium-{}", std::process::id()));
    let out = Command::new("timeout")
        .args(["--kill-after=5", "240"])
        .arg(chromium)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .args(["--no-first-run", "--disable-background-networking", "--virtual-time-budget=4000"])
        .args(["--enable-logging=stderr", "--log-level=0", "--allow-file-access-from-files"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(["--dump-dom", &format!("file://{}", frame.display())])
        .output()
        .unwrap();
    let _ = fs::remove_dir_all(profile);
    let said = String::from_utf8_lossy(&out.stderr);
    let console: Vec<_> = said.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert_eq!(console, [""; 0], "the browser's console");
    let dom = String::from_utf8(out.stdout).unwrap();
    let title = between(&dom, "<title>", "</title>");
    let sizes: Vec<usize> =
        title.concat().split(' ').map(|word| word.parse().expect(&dom)).collect();
    let [width, scroll, parts, out] = sizes[..] else { panic!("{title:?}") };
    assert!((300..=360).contains(&width) && scroll <= width, "{scroll} wide, and {width} seen");
    assert!(parts >= page.matches("<svg").count() && out == 0, "{out} of {parts} are too wide");
}
