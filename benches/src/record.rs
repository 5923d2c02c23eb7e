//! Records: a table with the machine that it was measured on, as dated JSON.

use crate::callgrind;
use crate::case::Case;
use crate::engines::heaps::OPTIONAL;
use crate::facts::Facts;
use crate::progress::Progress;
use crate::scale::Curve;
use crate::table::{Row, Table};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// One dated result.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// When and on what.
    #[serde(flatten)]
    pub made: Facts,
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

impl Record {
    /// The table, with this machine's facts.
    #[must_use]
    pub fn new(table: Table) -> Self {
        let there = OPTIONAL.iter().filter(|(.., built)| *built);
        Self {
            made: Facts::now(),
            optional: there.map(|(engine, ..)| (*engine).to_owned()).collect(),
            table,
            scale: Vec::new(),
        }
    }

    /// What it was measured on.
    #[must_use]
    pub fn facts(&self) -> String {
        let facts = self.made.to_string();
        let optional = &self.optional;
        if optional.is_empty() { facts } else { format!("{facts}, with {}", optional.join(", ")) }
    }

    /// Where it belongs, from the workspace's directory.
    #[must_use]
    pub fn place(&self) -> PathBuf {
        PathBuf::from(format!("{DIRECTORY}/{}.json", self.made.date))
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

    /// Engines of ours that take more instructions in `new` than here, or have none there, one line each.
    #[must_use]
    pub fn regressions(&self, new: &Self) -> Vec<String> {
        let now = |old: &Row| {
            let mut rows = new.counted();
            rows.find(|(row, _)| row.workload == old.workload && row.engine == old.engine)
        };
        let worse = self.counted().filter_map(|(row, before)| match now(row) {
            None => Some(gone(row, before)),
            Some((_, after)) => grown(before, after).then(|| line(row, before, after)),
        });
        worse.collect()
    }

    /// Engines of ours that were counted here and are none of these cases, which are counted as well.
    #[must_use]
    pub fn vanished(&self, cases: &[Case]) -> Vec<String> {
        let is_there = |row: &Row| cases.iter().any(|case| case.counted && is_of(case, row));
        let counted = self.counted().filter(|(row, _)| !is_there(row));
        counted.map(|(row, before)| gone(row, before)).collect()
    }

    /// As [`regressions`](Self::regressions), counted now.
    ///
    /// # Errors
    /// If callgrind fails.
    pub fn regressions_now(&self) -> Result<Vec<String>, String> {
        let cases = crate::cases();
        let case = |row: &Row| cases.iter().find(|case| case.counted && is_of(case, row));
        let known: Vec<_> =
            self.counted().filter_map(|(row, before)| Some((case(row)?, row, before))).collect();
        let of: Vec<_> = known.iter().map(|(case, ..)| callgrind::Job::of(case)).collect();
        let after = callgrind::instructions(&of, &Progress::new(of.len()))?;
        let both = known.iter().zip(after);
        let worse = both.filter(|((_, _, before), after)| grown(*before, *after));
        let worse = worse.map(|((_, row, before), after)| line(row, *before, after));
        Ok(self.vanished(&cases).into_iter().chain(worse).collect())
    }
}

fn is_of(case: &Case, row: &Row) -> bool {
    case.workload == row.workload && case.engine == row.engine
}

fn grown(before: f64, after: f64) -> bool {
    after > (before * GROWTH).max(before + 1.0)
}

fn gone(row: &Row, before: f64) -> String {
    format!("{} on {}: {before:.1} instructions, and now there is none", row.workload, row.engine)
}

fn line(row: &Row, before: f64, after: f64) -> String {
    format!("{} on {}: {before:.1} instructions, now {after:.1}", row.workload, row.engine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

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
    fn who_is_no_longer_counted_is_a_regression() {
        let nothing = Record::new(Table::default());
        assert_eq!(record(1.0).regressions(&nothing).len(), 1);
        let case =
            |engine, ours| Case::plain("f", "w", engine, ours, || Box::new(|_| Duration::ZERO));
        assert!(record(1.0).vanished(&[case("e", true)]).is_empty());
        assert_eq!(record(1.0).vanished(&[case("other", true)]).len(), 1);
        assert_eq!(record(1.0).vanished(&[case("e", true).uncounted()]).len(), 1);
        let mut of_others = record(1.0);
        of_others.table.rows[0].ours = false;
        assert!(of_others.vanished(&[]).is_empty() && of_others.regressions(&nothing).is_empty());
    }

    #[test]
    fn a_record_survives_json() {
        let json = record(1.5).to_json().unwrap();
        let read: Record = serde_json::from_str(&json).unwrap();
        assert_eq!(read.table.rows[0].instructions, Some(1.5));
    }
}
