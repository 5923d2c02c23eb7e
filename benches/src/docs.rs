//! Tables of documents, which are written by the program, out of the last record, between two marks:
//! `<!-- record: what -->` and `<!-- record: end -->`. A test holds each document against the record, and looks for
//! measured numbers in tables that are not between marks.
//!
//! | what | is written |
//! |---|---|
//! | `facts` | when and on what it was measured |
//! | `workloads FAMILY` | all tables of a crate, with their heads |
//! | `workload NAME` | one of them |
//! | `gates FAMILY` | a crate's gates |
//! | `scale` | how cost grows |
//! | `file NAME` | what another program has written to `benches/record` |
//! | `versions NAME NAME ...` | of these packages, out of `Cargo.lock` |

use crate::record::Record;
use crate::render::{base, markdown, rows_in_markdown};
use crate::scale::Curve;
use crate::table::Row;
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// The documents, from the workspace's directory.
pub const DOCUMENTS: [&str; 3] = ["README.md", "docs/BENCHMARKS.md", "docs/COMPARE.md"];

const BEGIN: &str = "<!-- record: ";
const END: &str = "<!-- record: end -->";

/// Writes the record's tables into all documents; or, if only to `check`, changes nothing.
///
/// # Errors
/// A document cannot be read or written, or a mark says something unknown. To `check`: a document would
/// change.
pub fn write(record: &Record, check: bool) -> Result<(), String> {
    let lock = fs::read_to_string("Cargo.lock").map_err(|error| format!("Cargo.lock: {error}"))?;
    for name in DOCUMENTS {
        let error = |error: &dyn std::fmt::Display| format!("{name}: {error}");
        let old = fs::read_to_string(name).map_err(|e| error(&e))?;
        let new = filled(&old, record, &lock).map_err(|e| error(&e))?;
        if new == old {
            continue;
        }
        if check {
            return Err(error(&"it is not what the last record says; `-- docs` writes it"));
        }
        fs::write(Path::new(name), new).map_err(|e| error(&e))?;
        println!("{name}");
    }
    Ok(())
}

/// The document with what belongs between its marks.
///
/// # Errors
/// A mark has no end, or says something unknown.
pub fn filled(document: &str, record: &Record, lock: &str) -> Result<String, String> {
    let mut text = String::new();
    let mut rest = document;
    while let Some((before, behind)) = rest.split_once(BEGIN) {
        let (what, behind) = behind.split_once(" -->").ok_or("a mark is not closed")?;
        let (_, behind) = behind.split_once(END).ok_or_else(|| format!("{what} has no end"))?;
        let content = content(what, record, lock)?;
        let _ = write!(text, "{before}{BEGIN}{what} -->\n{}\n{END}", content.trim());
        rest = behind;
    }
    Ok(text + rest)
}

/// The document without what is between marks.
///
/// # Panics
/// If a mark has no end.
#[must_use]
pub fn unmarked(document: &str) -> String {
    let mut text = String::new();
    let mut rest = document;
    while let Some((before, behind)) = rest.split_once(BEGIN) {
        text += before;
        rest = behind.split_once(END).expect("each mark has an end").1;
    }
    text + rest
}

fn content(what: &str, record: &Record, lock: &str) -> Result<String, String> {
    let (kind, names) = what.split_once(' ').unwrap_or((what, ""));
    let table = &record.table;
    let of = |wanted: &dyn Fn(&Row) -> bool| {
        let tables = table.workloads().filter(|rows| wanted(&rows[0]));
        tables.map(workload).collect::<Vec<_>>().join("\n\n")
    };
    match kind {
        "facts" => Ok(format!("{}.", record.facts())),
        "workloads" => Ok(of(&|row| row.family == names)),
        "workload" => Ok(of(&|row| row.workload == names)),
        "gates" => Ok(table.gates_in_markdown(names)),
        "scale" => Ok(markdown(&Curve::cells(&record.scale))),
        "file" => {
            let path = Path::new("benches/record").join(names);
            fs::read_to_string(path).map_err(|error| format!("{names}: {error}"))
        }
        "versions" => versions(names, lock),
        _ => Err(format!("nobody knows what `{what}` means")),
    }
}

fn workload(rows: &[Row]) -> String {
    let name = &rows[0].workload;
    let base =
        base(rows).map_or_else(String::new, |base| format!("Times as multiples of {base}.\n\n"));
    format!("### `{name}`\n\n{base}{}", rows_in_markdown(rows))
}

/// Of each package the last version that is in the lock file.
fn versions(names: &str, lock: &str) -> Result<String, String> {
    let mut cells = vec![["package", "version"].map(str::to_owned).to_vec()];
    for name in names.split_whitespace() {
        let head = format!("name = \"{name}\"\nversion = \"");
        let behind = lock.rsplit(&head).next().filter(|behind| behind.len() < lock.len());
        let version = behind.and_then(|behind| behind.split('"').next());
        let version = version.ok_or_else(|| format!("{name} is not in Cargo.lock"))?;
        cells.push(vec![name.to_owned(), version.to_owned()]);
    }
    Ok(markdown(&cells))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Table;

    fn record() -> Record {
        let row = Row {
            family: "f".to_owned(),
            workload: "w".to_owned(),
            engine: "e".to_owned(),
            instructions: Some(12.25),
            ..Row::default()
        };
        Record::new(Table { rows: vec![row], gates: Vec::new() })
    }

    const LOCK: &str = "[[package]]\nname = \"a\"\nversion = \"1.2.3\"\n";

    #[test]
    fn what_is_between_marks_is_written_anew_and_all_else_stays() {
        let document = "x\n<!-- record: workload w -->\nold\n<!-- record: end -->\ny\n";
        let once = filled(document, &record(), LOCK).unwrap();
        assert!(once.starts_with("x\n") && once.ends_with("\ny\n"), "{once}");
        assert!(once.contains("| e | 12.2 |") && !once.contains("old"), "{once}");
        assert_eq!(filled(&once, &record(), LOCK).unwrap(), once);
        assert_eq!(unmarked(&once), "x\n\ny\n");
    }

    #[test]
    fn versions_come_out_of_the_lock_file() {
        let document = |name| format!("<!-- record: versions {name} -->\n<!-- record: end -->");
        let text = filled(&document("a"), &record(), LOCK).unwrap();
        assert!(text.contains("| a | 1.2.3 |"), "{text}");
        assert!(filled(&document("b"), &record(), LOCK).is_err());
    }

    #[test]
    fn unknown_and_open_marks_are_errors() {
        assert!(filled("<!-- record: nonsense --><!-- record: end -->", &record(), LOCK).is_err());
        assert!(filled("<!-- record: facts -->", &record(), LOCK).is_err());
    }
}
