//! Tables of documents, which are written by the program, out of the last record, between two marks:
//! `<!-- record: what -->` and `<!-- record: end -->`. A test holds each document against the record, and looks for
//! measured numbers in tables that are not between marks.
//!
//! | what | is written |
//! |---|---|
//! | `facts` | when and on what it was measured |
//! | `ir WORKLOAD ENGINE` | instructions an operation, within a line |
//! | `missed` | which gates of all crates are not met, and why |
//! | `workloads FAMILY` | all tables of a crate, with their heads |
//! | `workload NAME` | one of them |
//! | `gates FAMILY` | a crate's gates |
//! | `scale` | how cost grows |
//! | `server NAME [TABLES]` | what another program has written last: all of it, or its facts and so many tables |
//! | `server-gates` | the server's gates |
//! | `versions NAME VERSION DAY ...` | of these packages; an error if `Cargo.lock` has others |

use crate::misses;
use crate::record::Record;
use crate::render::{base, gates_in_markdown, markdown, rows_in_markdown};
use crate::scale::Curve;
use crate::server::{Report, Server};
use crate::table::{Row, Table};
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// The documents, from the workspace's directory.
pub const DOCUMENTS: [&str; 6] = [
    "README.md",
    "docs/BENCHMARKS.md",
    "docs/COMPARE.md",
    "pool-core/src/lib.rs",
    "pool-object/README.md",
    "pool-object/src/lib.rs",
];

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
        let (mark, behind) = behind.split_once("-->").ok_or("a mark is not closed")?;
        let what = mark.trim();
        let (_, behind) = behind.split_once(END).ok_or_else(|| format!("{what} has no end"))?;
        let content = content(what, record, lock)?;
        let line = if what.starts_with("ir ") { "" } else { "\n" };
        let _ = write!(text, "{before}{BEGIN}{mark}-->{line}{}{line}{END}", content.trim());
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
    let (kind, names) = what.split_once(char::is_whitespace).unwrap_or((what, ""));
    let table = &record.table;
    let of = |wanted: &dyn Fn(&Row) -> bool| {
        let tables = table.workloads().filter(|rows| wanted(&rows[0]));
        tables.map(workload).collect::<Vec<_>>().join("\n\n")
    };
    // A name like `Vec<T>` would be taken for a tag.
    let escaped = |tables: String| Ok(tables.replace('<', "\\<"));
    match kind {
        "facts" => Ok(format!("{}.", record.facts())),
        "workloads" => escaped(of(&|row| row.family == names)),
        "workload" => escaped(of(&|row| row.workload == names)),
        "gates" => escaped(table.gates_in_markdown(names)),
        "missed" => escaped(misses::in_markdown(&table.gates)),
        "ir" => instructions(names, table),
        "scale" => escaped(markdown(&Curve::cells(&record.scale))),
        "server" => {
            let (name, tables) = names.split_once(' ').unwrap_or((names, ""));
            Ok(Report::latest(name)?.in_markdown(tables.parse().ok()))
        }
        "server-gates" => Ok(gates_in_markdown(&Server::latest()?.gates())),
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

/// Of a case, as the table has it.
fn instructions(names: &str, table: &Table) -> Result<String, String> {
    let (workload, engine) = names.split_once(' ').ok_or("whose instructions?")?;
    let row = table.rows.iter().find(|row| row.workload == workload && row.engine == engine);
    let instructions = row.and_then(|row| row.instructions);
    let counted = instructions.ok_or_else(|| format!("{workload} on {engine} was not counted"))?;
    Ok(format!("{counted:.1}"))
}

/// Packages that were looked at. Each must be locked in the version that is named: what a document says of another
/// one nobody has looked up.
fn versions(looked_at: &str, lock: &str) -> Result<String, String> {
    let words: Vec<_> = looked_at.split_whitespace().collect();
    let mut cells = vec![["package", "version", "of"].map(str::to_owned).to_vec()];
    for package in words.chunks(3) {
        let [name, version, day] = package else {
            return Err(format!("{package:?} is no version"));
        };
        if !lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"\n")) {
            return Err(format!("Cargo.lock has not {name} {version}: look at it again"));
        }
        let version = version.split('+').next().unwrap_or(version);
        cells.push([name, version, day].map(|cell| (*cell).to_owned()).to_vec());
    }
    Ok(markdown(&cells))
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn versions_are_those_of_the_lock_file() {
        let document = |of| format!("<!-- record: versions\n{of}\n-->\n<!-- record: end -->");
        let text = filled(&document("a 1.2.3 2026-01-31"), &record(), LOCK).unwrap();
        assert!(text.contains("| a | 1.2.3 | 2026-01-31 |"), "{text}");
        assert!(filled(&document("a 1.2.4 2026-01-31"), &record(), LOCK).is_err());
        assert!(filled(&document("b 1.2.3 2026-01-31"), &record(), LOCK).is_err());
        assert!(filled(&document("a 1.2.3"), &record(), LOCK).is_err());
    }

    #[test]
    fn a_number_stays_within_its_line() {
        let document = "takes <!-- record: ir w e -->9<!-- record: end --> of them";
        let text = filled(document, &record(), LOCK).unwrap();
        assert_eq!(text, "takes <!-- record: ir w e -->12.2<!-- record: end --> of them");
        assert!(filled(&document.replace("ir w e", "ir w x"), &record(), LOCK).is_err());
    }

    #[test]
    fn unknown_and_open_marks_are_errors() {
        assert!(filled("<!-- record: nonsense --><!-- record: end -->", &record(), LOCK).is_err());
        assert!(filled("<!-- record: facts -->", &record(), LOCK).is_err());
    }
}
