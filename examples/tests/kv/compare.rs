//! `kv compare`: a small run, its table, and its report in a browser.

use crate::metrics::browse;
use crate::support::{PATIENCE, installed, run_within};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Runs it, and gives the table and the report's file.
fn compare(name: &str, arguments: &[&str]) -> (String, PathBuf) {
    let html = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let mut command = Command::new(env!("CARGO_BIN_EXE_kv"));
    command.args(["compare", "--connections", "40", "--seconds", "0.1", "--spike", "1m"]);
    // A second and a half of work, and much waiting for memory that goes back.
    let out = run_within(5 * PATIENCE, command.args(arguments).arg("--html").arg(&html));
    let error = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{error}");
    (String::from_utf8(out.stdout).unwrap(), html)
}

/// The columns behind a name, of the first table or of the second.
fn columns(table: &str, name: &str) -> Vec<Vec<String>> {
    let lines = table.lines().filter_map(|line| line.strip_prefix(name));
    lines.map(|rest| rest.split_whitespace().map(str::to_owned).collect()).collect()
}

/// Whether the system gives huge pages unasked.
fn gives_huge_pages() -> bool {
    let said = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
    said.is_ok_and(|said| said.contains("[always]"))
}

/// Facts and three tables, with what the terminal shows.
fn is_a_record(markdown: &str, table: &str) {
    let blocks: Vec<_> = markdown.split("\n\n").collect();
    let [facts, connections, values, speed] = blocks[..] else { panic!("{markdown}") };
    for part in [" × ", ", Linux ", ", rustc ", ", commit ", "40 connections; 1.00M of values"] {
        assert!(facts.contains(part), "{part}: {facts}");
    }
    let cells = |line: &str| {
        let cells = line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned());
        cells.collect::<Vec<_>>()
    };
    let line = |of: &str, begin: &str| {
        cells(of.lines().find(|line| line.starts_with(begin)).unwrap_or_else(|| panic!("{of}")))
    };
    // `benches/src/server.rs` looks for these heads.
    assert!(connections.starts_with(
        "| | each, idle | each, after a request | process before | after all have left |"
    ));
    assert!(values.starts_with("| | with all values | when most are deleted | kept | of kept |"));
    assert!(speed.starts_with("| | pipeline | requests/s | p50 us | p99 us |"), "{speed}");
    assert!(speed.lines().next().unwrap().contains("| server us |"), "{speed}");
    for name in ["kv pool", "kv std"] {
        let rows = columns(table, &format!("{name} "));
        let idle = line(connections, &format!("| {name} "));
        assert_eq!(idle[1], format!("{} B", rows[0][0]), "{markdown}");
        let kept = line(values, &format!("| {name} "));
        assert_eq!(kept[4].trim_end_matches(" ×"), rows[0].last().unwrap().trim_end_matches('x'));
        for row in &rows[1..] {
            let fast = line(speed, &format!("| {name} | {} |", row[0]));
            assert_eq!((&fast[2], &fast[7], &fast[8]), (&row[1], &row[6], &row[7]), "{markdown}");
        }
    }
}

#[test]
fn strategies_are_compared() {
    let markdown = concat!(env!("CARGO_TARGET_TMPDIR"), "/compare.md");
    let (table, html) = compare("compare.html", &["--alloc", "pool,std", "--markdown", markdown]);
    is_a_record(&fs::read_to_string(markdown).unwrap(), &table);
    for name in ["kv pool ", "kv std "] {
        let rows = columns(&table, name);
        assert_eq!(rows.len(), 3, "memory, and speed at two depths: {table}");
        let idle: u64 = rows[0][0].parse().unwrap();
        // Less than half of a buffer each. Of 40 connections a huge page, where the system gives those, is
        // 52 KB for each.
        let most = if gives_huge_pages() { 200_000 } else { 8_000 };
        assert!(idle < most, "{idle} bytes a connection: {table}");
        let kept: f64 = rows[0].last().unwrap().trim_end_matches('x').parse().unwrap();
        assert!(kept > 1.0, "less than what was kept: {table}");
        for (row, pipeline) in rows[1..].iter().zip(["1", "16"]) {
            assert_eq!(row[0], pipeline);
            let figures: Vec<f64> = row[1..6].iter().map(|cell| cell.parse().unwrap()).collect();
            assert!(figures.iter().all(|figure| *figure > 0.0), "{table}");
            // In the steady state the pools ask nobody; what is left is the look at the counter.
            let calls: f64 = row[6].parse().unwrap();
            assert!(if name == "kv pool " { calls < 0.1 } else { calls > 0.5 }, "{table}");
            assert!(figures[1] <= figures[2] && figures[2] <= figures[3], "percentiles: {table}");
        }
    }
    let page = fs::read_to_string(&html).unwrap();
    assert_eq!(page.matches("<section>").count(), page.matches("</section>").count());
    assert!(!page.contains("<script") && !page.contains("src=") && !page.contains("http:"));
    let Some(chromium) = installed("chromium") else { return };
    let (document, console) = browse(&chromium, &format!("file://{}", html.display()));
    assert_eq!(console, [""; 0], "the browser's console");
    assert!(document.contains("kv pool: ") && document.contains("All figures"));
}

#[test]
fn a_real_server_is_compared_too() {
    if installed("redis-server").is_none() {
        return;
    }
    let markdown = concat!(env!("CARGO_TARGET_TMPDIR"), "/compare-peers.md");
    let arguments = ["--alloc", "pool", "--peers", "--markdown", markdown];
    let (table, _) = compare("compare-peers.html", &arguments);
    let record = fs::read_to_string(markdown).unwrap();
    let beside = record.split_once(", redis ").expect("its version").1;
    assert!(beside.starts_with(|c: char| c.is_ascii_digit()), "{record}");
    assert_eq!(record.matches("\n| redis |").count(), 4, "{record}");
    assert_eq!(columns(&table, "redis ").len(), 3, "{table}");
    let shares = columns(&table, "kv pool ").pop().unwrap();
    for (column, pipeline) in [(0, "1"), (4, "16")] {
        assert_eq!(shares[column + 1..][..3], ["at", "pipeline", pipeline], "{table}");
        let share: f64 = shares[column].parse().unwrap();
        // Debug builds, and a busy machine: what it is is not asked here, but that it is that of the table.
        let row = if pipeline == "1" { 1 } else { 2 };
        let each = |name| columns(&table, name)[row][5].parse::<f64>().unwrap();
        let expected = each("kv pool ") / each("redis ").max(0.001);
        assert!((share - expected).abs() <= 0.02 + 0.02 * expected, "{table}");
    }
    let with_peers = if cfg!(feature = "peers") { 4 } else { 0 };
    assert_eq!(columns(&table, "tokio + BytesMut ").len(), with_peers, "{table}");
    if installed("nginx").is_some() {
        assert_eq!(columns(&table, "nginx ").len(), 1, "{table}");
    }
}
