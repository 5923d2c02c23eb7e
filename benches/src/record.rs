//! Records: a table with the machine that it was measured on, as dated JSON.

use crate::callgrind;
use crate::case::Case;
use crate::engines::heaps::OPTIONAL;
use crate::progress::Progress;
use crate::scale::Curve;
use crate::table::{Row, Table};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One dated result.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Year, month, day.
    pub date: String,
    /// The processor, and how many of it.
    pub machine: String,
    /// The kernel's release.
    pub kernel: String,
    /// The compiler's version.
    pub rustc: String,
    /// What was checked out; `+` if it was changed.
    pub commit: String,
    /// Engines that need a feature and were there; nothing in records from before this was noted.
    #[serde(default)]
    pub optional: Vec<String>,
    /// What was measured.
    pub table: Table,
    /// How cost grows with work; empty if that was not measured.
    #[serde(default)]
    pub scale: Vec<Curve>,
}

/// Where records are.
pub const DIRECTORY: &str = "benches/record";

/// The most that instructions of ours may grow: 5 %, and one where that is less.
const GROWTH: f64 = 1.05;

fn first_line(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.lines().next().unwrap_or_default().to_owned())
}

/// How many there are, and of which kind: names alone are not enough, some cover several generations.
fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name| {
        let value = |line: &'_ str| Some(line.split_once(':')?.1.trim().to_owned());
        text.lines()
            .find(|line| line.split(':').next().map(str::trim) == Some(name))
            .and_then(value)
    };
    let count = std::thread::available_parallelism().map_or(0, usize::from);
    let name = field("model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    match (field("cpu family"), field("model")) {
        (Some(family), Some(model)) => format!("{count} × {name} (family {family}, model {model})"),
        _ => format!("{count} × {name}"),
    }
}

impl Record {
    /// The table, with this machine's facts.
    #[must_use]
    pub fn new(table: Table) -> Self {
        let line = |program, args: &[&str]| {
            first_line(program, args).unwrap_or_else(|| "unknown".to_owned())
        };
        let there = OPTIONAL.iter().filter(|(.., built)| *built);
        Self {
            date: line("date", &["-u", "+%Y-%m-%d"]),
            machine: processor(),
            kernel: line("uname", &["-sr"]),
            rustc: line("rustc", &["--version"]),
            commit: line("git", &["describe", "--always", "--dirty=+", "--exclude=*"]),
            optional: there.map(|(engine, ..)| (*engine).to_owned()).collect(),
            table,
            scale: Vec::new(),
        }
    }

    /// What it was measured on.
    #[must_use]
    pub fn facts(&self) -> String {
        let Self { date, machine, kernel, rustc, commit, optional, .. } = self;
        let facts = format!("{date}, {machine}, {kernel}, {rustc}, commit {commit}");
        if optional.is_empty() { facts } else { format!("{facts}, with {}", optional.join(", ")) }
    }

    /// Where it belongs, from the workspace's directory.
    #[must_use]
    pub fn place(&self) -> PathBuf {
        PathBuf::from(format!("{DIRECTORY}/{}.json", self.date))
    }

    /// The last record by its name, which begins with its date.
    ///
    /// # Errors
    /// If there is none, seen from the workspace's directory.
    pub fn latest() -> Result<PathBuf, String> {
        let error = |error: &dyn std::fmt::Display| {
            format!("{DIRECTORY}: {error}; records are looked for from the workspace's directory")
        };
        let entries = fs::read_dir(DIRECTORY).map_err(|e| error(&e))?;
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let records = paths.filter(|path| path.extension().is_some_and(|end| end == "json"));
        records.max().ok_or_else(|| error(&"there is no record"))
    }

    /// Reads a record.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn read(path: &Path) -> Result<Self, String> {
        let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let text = fs::read_to_string(path).map_err(|error| named(&error))?;
        serde_json::from_str(&text).map_err(|error| named(&error))
    }

    /// As JSON.
    ///
    /// # Errors
    /// If it cannot be written as JSON, as when a number is not one.
    pub fn to_json(&self) -> Result<String, String> {
        serde_json::to_string_pretty(self).map_err(|error| error.to_string())
    }

    fn counted(&self) -> impl Iterator<Item = (&Row, f64)> {
        let ours = self.table.rows.iter().filter(|row| row.ours);
        ours.filter_map(|row| Some((row, row.instructions?)))
    }

    /// Engines of ours that take more instructions in `new` than here, one line each.
    #[must_use]
    pub fn regressions(&self, new: &Self) -> Vec<String> {
        let now = |old: &Row| {
            let mut rows = new.counted();
            rows.find(|(row, _)| row.workload == old.workload && row.engine == old.engine)
        };
        let worse = self.counted().filter_map(|(row, before)| {
            let (_, after) = now(row)?;
            grown(before, after).then(|| line(row, before, after))
        });
        worse.collect()
    }

    /// As [`regressions`](Self::regressions), counted now. Cases that are gone are passed over.
    ///
    /// # Errors
    /// If callgrind fails.
    pub fn regressions_now(&self) -> Result<Vec<String>, String> {
        let cases = crate::cases();
        let case = |row: &Row| {
            let same = |case: &&Case| case.workload == row.workload && case.engine == row.engine;
            cases.iter().find(same)
        };
        let known: Vec<_> =
            self.counted().filter_map(|(row, before)| Some((case(row)?, row, before))).collect();
        let of: Vec<_> = known.iter().map(|(case, ..)| callgrind::Job::of(case)).collect();
        let after = callgrind::instructions(&of, &Progress::new(of.len()))?;
        let both = known.iter().zip(after);
        let worse = both.filter(|((_, _, before), after)| grown(*before, *after));
        Ok(worse.map(|((_, row, before), after)| line(row, *before, after)).collect())
    }
}

fn grown(before: f64, after: f64) -> bool {
    after > (before * GROWTH).max(before + 1.0)
}

fn line(row: &Row, before: f64, after: f64) -> String {
    format!("{} on {}: {before:.1} instructions, now {after:.1}", row.workload, row.engine)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(instructions: f64) -> Record {
        let text = |text: &str| text.to_owned();
        let row = Row {
            workload: text("w"),
            engine: text("e"),
            ours: true,
            instructions: Some(instructions),
            ..Row::default()
        };
        Record::new(Table { rows: vec![row], gates: Vec::new() })
    }

    #[test]
    fn five_percent_more_is_a_regression_and_one_instruction_is_not() {
        assert!(record(100.0).regressions(&record(105.0)).is_empty());
        assert_eq!(record(100.0).regressions(&record(105.2)).len(), 1);
        assert!(record(10.0).regressions(&record(11.0)).is_empty());
        assert_eq!(record(10.0).regressions(&record(11.1)).len(), 1);
    }

    #[test]
    fn a_record_survives_json() {
        let json = record(1.5).to_json().unwrap();
        let read: Record = serde_json::from_str(&json).unwrap();
        assert_eq!(read.table.rows[0].instructions, Some(1.5));
    }
}
