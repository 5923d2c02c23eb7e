//! Documents say what the last record says: tables between marks are the program's, and no other table has a
//! measured number.

use benches::docs::{DOCUMENTS, filled, unmarked};
use benches::misses::why;
use benches::record::Record;
use std::fs;
use std::path::Path;

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

#[test]
fn each_count_that_is_missed_has_a_reason() {
    at_the_top();
    let record = Record::read(&Record::latest().unwrap()).unwrap();
    for gate in record.table.missed() {
        assert!(why(gate).is_some(), "{} of {}: {}", gate.workload, gate.engine, gate.measure);
    }
}

/// Phrases that tell a measurement in prose, outside of marks.
fn told_in_prose(line: &str) -> bool {
    let words: Vec<_> = line.split_whitespace().collect();
    words.windows(2).any(|pair| {
        let number = pair[0].trim_start_matches(['(', '~']).replace(['.', ','], "");
        let number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let what = pair[1].trim_end_matches(|c: char| !c.is_alphanumeric());
        number && matches!(what, "instructions" | "ns" | "nanoseconds" | "cycles" | "times")
    })
}

#[test]
fn no_prose_tells_a_measurement_of_its_own() {
    at_the_top();
    let mut documents: Vec<_> = DOCUMENTS.map(str::to_owned).to_vec();
    documents.extend(["docs/DESIGN.md", "docs/MOVING.md", "CHANGELOG.md"].map(str::to_owned));
    for name in ["arena", "core", "object", "ring"] {
        documents.extend(["README.md", "src/lib.rs"].map(|file| format!("pool-{name}/{file}")));
    }
    for name in documents {
        let document = unmarked(&fs::read_to_string(&name).unwrap());
        for line in document.lines() {
            assert!(!told_in_prose(line), "{name}: {line}");
        }
    }
}

#[test]
fn what_is_taken_for_a_measurement_in_prose() {
    assert!(told_in_prose("a pair takes 11 instructions, or") && told_in_prose("(1,200 ns)"));
    assert!(!told_in_prose("four instructions of SSE2") && !told_in_prose("16 bytes, ten times"));
}
