//! The table: every case measured, every gate judged.

use crate::callgrind;
use crate::case::Case;
use crate::gates::{Outcome, Verdict, gates};
use crate::measure::{Spread, Times, interleaved};
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// What was measured of one case.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// The crate.
    pub family: String,
    /// The workload.
    pub workload: String,
    /// The engine.
    pub engine: String,
    /// Whether the engine is ours.
    pub ours: bool,
    /// Instructions an operation, the loop included.
    pub instructions: Option<f64>,
    /// Nanoseconds an operation: an indication, not comparable between runs.
    pub nanoseconds: Option<Spread>,
    /// Time over that of the workload's first peer.
    pub ratio: Option<Spread>,
    /// Bytes held at the end, where that is of interest.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// Every round.
    #[serde(skip)]
    pub times: Times,
}

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Cases whose crate, workload or engine contains this.
    pub filter: String,
    /// Rounds of times; 0 for none.
    pub rounds: usize,
    /// Whether instructions are counted.
    pub count: bool,
}

/// Rows and verdicts of one run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Table {
    /// One for each case.
    pub rows: Vec<Row>,
    /// One for each gate whose rows are there.
    pub gates: Vec<Outcome>,
}

impl Table {
    /// Measures; tells on standard error how far it is.
    ///
    /// # Errors
    /// If callgrind fails.
    pub fn measure(wanted: &Wanted) -> Result<Self, String> {
        let cases: Vec<_> = crate::cases().into_iter().filter(|case| wanted.has(case)).collect();
        let mut rows = Vec::new();
        for cases in cases.chunk_by(|a, b| a.workload == b.workload) {
            let cases: Vec<_> = cases.iter().collect();
            eprintln!("{} ({} engines)", cases[0].workload, cases.len());
            let times = interleaved(&cases, wanted.rounds);
            let base = cases.iter().position(|case| !case.ours && case.engine != "(loop)");
            for (case, own) in cases.iter().zip(&times) {
                let counted = wanted.count && case.counted;
                rows.push(Row {
                    family: case.family.to_owned(),
                    workload: case.workload.to_owned(),
                    engine: case.engine.to_owned(),
                    ours: case.ours,
                    instructions: if counted { Some(callgrind::instructions(case)?) } else { None },
                    nanoseconds: own.spread(),
                    ratio: base.and_then(|base| own.over(&times[base])),
                    bytes: case.held_apart()?,
                    times: own.clone(),
                });
            }
        }
        let gates = gates().iter().filter_map(|gate| gate.judge(&rows)).collect();
        Ok(Self { rows, gates })
    }

    /// Binding gates that were missed.
    pub fn missed(&self) -> impl Iterator<Item = &Outcome> {
        self.gates.iter().filter(|gate| gate.verdict == Verdict::Missed && gate.binding)
    }

    /// The table as text, in Markdown.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        let dash = || "-".to_owned();
        for rows in self.rows.chunk_by(|a, b| a.workload == b.workload) {
            let base = rows.iter().find(|row| !row.ours && row.engine != "(loop)");
            let base = base.map_or("-", |row| &row.engine);
            let title = format!("{} (times as multiples of {base})", rows[0].workload);
            let _ = writeln!(text, "\n{title}\n");
            let bytes = rows.iter().any(|row| row.bytes.is_some());
            let (head, rule) = if bytes { (" bytes |", "--:|") } else { ("", "") };
            let _ = writeln!(
                text,
                "| engine | Ir | time | quarters | ~ns |{head}\n|---|--:|--:|--:|--:|{rule}"
            );
            for row in rows {
                let name =
                    if row.ours { format!("**{}**", row.engine) } else { row.engine.clone() };
                let ir = row.instructions.map_or_else(dash, |ir| format!("{ir:.1}"));
                let median = row.ratio.map_or_else(dash, |ratio| digits(ratio.median));
                let quarters = row.ratio.map_or_else(dash, |ratio| {
                    format!("{}–{}", digits(ratio.q1), digits(ratio.q3))
                });
                let ns = row.nanoseconds.map_or_else(dash, |ns| digits(ns.median));
                let bytes = row.bytes.map_or_else(String::new, |bytes| format!(" {bytes} |"));
                let _ = writeln!(text, "| {name} | {ir} | {median} | {quarters} | {ns} |{bytes}");
            }
        }
        let _ = writeln!(text, "\n| gate | limit | measured | |\n|---|--:|--:|---|");
        for gate in &self.gates {
            let Outcome { workload, engine, measure, .. } = gate;
            let value = gate.value.map_or_else(dash, digits);
            let verdict = match gate.verdict {
                Verdict::Met => "met",
                Verdict::Near => "met within the noise, or missed by it",
                Verdict::Missed if gate.binding => "**MISSED**",
                Verdict::Missed => "**missed**, a time",
                Verdict::Unknown => "not measured here",
            };
            let limit = digits(gate.limit);
            let _ = writeln!(
                text,
                "| {workload}, {engine}: {measure} | ≤ {limit} | {value} | {verdict} |"
            );
        }
        text
    }
}

impl Wanted {
    fn has(&self, case: &Case) -> bool {
        [case.family, case.workload, case.engine].iter().any(|name| name.contains(&self.filter))
    }
}

/// Three significant digits or so.
fn digits(value: f64) -> String {
    match value.abs() {
        value if value >= 1000.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value if value >= 0.1 => format!("{value:.2}"),
        value => format!("{value:.4}"),
    }
}
