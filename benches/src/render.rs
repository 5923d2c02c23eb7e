//! The table as text: Markdown for people, comma-separated values for programs.

use crate::gates::{Outcome, Verdict};
use crate::table::{Row, Table};
use std::fmt::Write;

const NONE: &str = "-";

impl Table {
    /// All of it, in Markdown.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        for rows in self.workloads() {
            let _ = writeln!(text, "\n{}\n\n{}", title(rows), rows_in_markdown(rows));
        }
        let _ = write!(text, "\n{}", self.gates_in_markdown(""));
        text
    }

    /// The gates of a crate, or of all.
    #[must_use]
    pub fn gates_in_markdown(&self, family: &str) -> String {
        let of = |gate: &&Outcome| {
            let row = self.rows.iter().find(|row| row.workload == gate.workload);
            row.is_none_or(|row| row.family.contains(family))
        };
        gates_in_markdown(self.gates.iter().filter(of))
    }

    /// One line for each row, with a head.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let head = "family,workload,engine,ours,floor,instructions,ns_q1,ns_median,ns_q3,\
                    ratio_q1,ratio_median,ratio_q3,over_floor,bytes,single_median_ns,single_p99_ns,single_p999_ns";
        let mut text = format!("{head}\n");
        for row in &self.rows {
            let number = |value: Option<f64>| value.map_or_else(String::new, |v| v.to_string());
            let spread = |spread: Option<crate::measure::Spread>| {
                let parts = [spread.map(|s| s.q1), spread.map(|s| s.median), spread.map(|s| s.q3)];
                parts.map(number).join(",")
            };
            let single = row.tail.map(|tail| [tail.median, tail.p99, tail.p999]);
            let fields = [
                quoted(&row.family),
                quoted(&row.workload),
                quoted(&row.engine),
                row.ours.to_string(),
                row.floor.to_string(),
                number(row.instructions),
                spread(row.nanoseconds),
                spread(row.ratio),
                number(row.over_floor.map(|ratio| ratio.median)),
                row.bytes.map_or_else(String::new, |bytes| bytes.to_string()),
                single.map_or_else(|| ",,".to_owned(), |s| s.map(|ns| ns.to_string()).join(",")),
            ];
            let _ = writeln!(text, "{}", fields.join(","));
        }
        text
    }
}

/// A table of gates.
#[must_use]
pub fn gates_in_markdown<'a>(gates: impl IntoIterator<Item = &'a Outcome>) -> String {
    let mut text = "| gate | limit | measured | |\n|---|--:|--:|---|\n".to_owned();
    for gate in gates {
        let Outcome { workload, engine, measure, .. } = gate;
        let value = gate.value.map_or_else(|| NONE.to_owned(), digits);
        let (verdict, limit) = (verdict(gate), digits(gate.limit));
        let _ =
            writeln!(text, "| {workload}, {engine}: {measure} | ≤ {limit} | {value} | {verdict} |");
    }
    text
}

/// In words.
#[must_use]
pub fn verdict(gate: &Outcome) -> &'static str {
    match gate.verdict {
        Verdict::Met => "met",
        Verdict::Near => "met within the noise, or missed by it",
        Verdict::Missed if gate.binding => "**MISSED**",
        Verdict::Missed => "**missed**, a time",
        Verdict::Unknown => "not measured here",
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// The workload's name and what its times are multiples of.
fn title(rows: &[Row]) -> String {
    let base = base(rows).unwrap_or(NONE);
    format!("{} (times as multiples of {base})", rows[0].workload)
}

/// The engine that times are multiples of.
#[must_use]
pub fn base(rows: &[Row]) -> Option<&str> {
    rows.iter().find(|row| !row.ours && row.engine != "(loop)").map(|row| row.engine.as_str())
}

/// A column: its head, whether any row has it, and its text.
type Column = (&'static str, fn(&Row) -> bool, fn(&Row, &[Row]) -> String);

const COLUMNS: [Column; 10] = [
    (
        "engine",
        |_| true,
        |row, _| {
            if row.ours { format!("**{}**", row.engine) } else { row.engine.clone() }
        },
    ),
    (
        "Ir",
        |_| true,
        |row, _| {
            let digits = if row.instructions.is_some_and(|ir| ir < 1.0) { 3 } else { 1 };
            row.instructions.map_or_else(dash, |ir| format!("{ir:.digits$}"))
        },
    ),
    ("time", |_| true, |row, _| row.ratio.map_or_else(dash, |ratio| digits(ratio.median))),
    (
        "quarters",
        |_| true,
        |row, _| row.ratio.map_or_else(dash, |r| format!("{}–{}", digits(r.q1), digits(r.q3))),
    ),
    ("~ns", |_| true, |row, _| row.nanoseconds.map_or_else(dash, |ns| digits(ns.median))),
    (
        "Ir × floor",
        |row| row.over_floor.is_some(),
        |row, rows| {
            let floor = rows.iter().find(|row| row.floor).and_then(|row| row.instructions);
            let ratio = row.instructions.zip(floor).map(|(own, floor)| own / floor);
            ratio.map_or_else(dash, digits)
        },
    ),
    (
        "time × floor",
        |row| row.over_floor.is_some(),
        |row, _| row.over_floor.map_or_else(dash, |ratio| digits(ratio.median)),
    ),
    (
        "bytes",
        |row| row.bytes.is_some(),
        |row, _| row.bytes.map_or_else(dash, |bytes| bytes.to_string()),
    ),
    (
        "held by",
        |row| row.held_by.is_some(),
        |row, _| row.held_by.map_or_else(dash, |by| by.to_string()),
    ),
    (
        "single: median, p99, p99.9 (ns)",
        |row| row.tail.is_some(),
        |row, _| row.tail.map_or_else(dash, |t| format!("{}, {}, {}", t.median, t.p99, t.p999)),
    ),
];

fn dash() -> String {
    NONE.to_owned()
}

/// The rows of a workload as a table: its head, then a line for each row.
#[must_use]
pub fn cells(rows: &[Row]) -> Vec<Vec<String>> {
    let columns: Vec<_> = COLUMNS.iter().filter(|column| rows.iter().any(column.1)).collect();
    let head = columns.iter().map(|column| column.0.to_owned()).collect();
    let line = |row| columns.iter().map(|column| column.2(row, rows)).collect();
    std::iter::once(head).chain(rows.iter().map(line)).collect()
}

/// The same in Markdown.
#[must_use]
pub fn rows_in_markdown(rows: &[Row]) -> String {
    markdown(&cells(rows))
}

/// Lines of cells, of which the first is the head, as a table in Markdown: the first column to the left, others
/// to the right.
#[must_use]
pub fn markdown(cells: &[Vec<String>]) -> String {
    let lines = cells.iter().map(|line| format!("| {} |", line.join(" | ")));
    let mut lines: Vec<_> = lines.collect();
    let columns = cells.first().map_or(1, Vec::len);
    lines.insert(1.min(lines.len()), format!("|---|{}", "--:|".repeat(columns - 1)));
    lines.join("\n")
}

/// Three significant digits or so.
#[must_use]
pub fn digits(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        value if value >= 1000.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value if value >= 0.1 => format!("{value:.2}"),
        value => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_with_a_comma_stays_one_field() {
        let row = Row { engine: "Arena, \"Vec\"".to_owned(), ..Row::default() };
        let csv = Table { rows: vec![row], gates: Vec::new() }.to_csv();
        let lines: Vec<_> = csv.lines().collect();
        assert!(lines[1].contains("\"Arena, \"\"Vec\"\"\""), "{csv}");
        let commas = |line: &str| line.matches(',').count();
        assert_eq!(commas(lines[1]) - 1, commas(lines[0]), "{csv}");
    }

    #[test]
    fn a_column_that_no_row_has_is_left_out() {
        let row = Row { engine: "x".to_owned(), ..Row::default() };
        assert!(!rows_in_markdown(std::slice::from_ref(&row)).contains("bytes"));
        let row = Row { bytes: Some(12_345), ..row };
        assert!(rows_in_markdown(&[row]).contains("| 12345 |"));
    }
}
