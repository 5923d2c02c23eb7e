//! Documents say what the last record says: tables between marks are the program's, and no other table has a
//! measured number.

use benches::docs::{DOCUMENTS, filled, unmarked};
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

/// A number with a decimal point, or a multiple.
fn measured(line: &str) -> bool {
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
}
