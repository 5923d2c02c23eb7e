//! The table: every case measured, every gate judged.

use crate::callgrind;
use crate::case::{Case, Point, Tail};
use crate::gates::{Outcome, gates, missed};
use crate::measure::{Spread, Times, interleaved};
use crate::progress::Progress;
use serde::{Deserialize, Serialize};

/// What was measured of one case.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Row {
    /// The crate.
    pub family: String,
    /// The workload.
    pub workload: String,
    /// The engine.
    pub engine: String,
    /// Whether the engine is ours.
    pub ours: bool,
    /// Whether it is the least that the work can cost.
    #[serde(default)]
    pub floor: bool,
    /// Instructions an operation, the loop included.
    pub instructions: Option<f64>,
    /// Nanoseconds an operation: an indication, not comparable between runs.
    pub nanoseconds: Option<Spread>,
    /// Time over that of the workload's first peer.
    pub ratio: Option<Spread>,
    /// Time over that of the workload's floor, if it has one.
    #[serde(default)]
    pub over_floor: Option<Spread>,
    /// Bytes held at the end, where that is of interest.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// How many hold them, where not all do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_by: Option<u64>,
    /// Times of single operations, where those are of interest.
    #[serde(default)]
    pub tail: Option<Tail>,
    /// Bytes over time, where that is of interest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub memory: Vec<Point>,
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
    /// If callgrind fails, or there is nothing of that name.
    pub fn measure(wanted: &Wanted) -> Result<Self, String> {
        let cases: Vec<_> = crate::cases().into_iter().filter(|case| wanted.has(case)).collect();
        if cases.is_empty() {
            return Err(nothing(&wanted.filter));
        }
        let counted = cases.iter().filter(|case| wanted.count && case.counted).count();
        let mut progress = Progress::new(cases.len() + counted);
        let counts = counts(&cases, wanted, &mut progress)?;
        let mut rows = Vec::new();
        for cases in cases.chunk_by(|a, b| a.workload == b.workload) {
            let cases: Vec<_> = cases.iter().collect();
            progress.now(&format!("{} ({} engines)", cases[0].workload, cases.len()));
            let times = interleaved(&cases, wanted.rounds);
            let base = cases.iter().position(|case| !case.ours && case.engine != "(loop)");
            let floor = cases.iter().position(|case| case.floor);
            for (case, own) in cases.iter().zip(&times) {
                let told = case.told_apart()?;
                rows.push(Row {
                    family: case.family.to_owned(),
                    workload: case.workload.to_owned(),
                    engine: case.engine.to_owned(),
                    ours: case.ours,
                    floor: case.floor,
                    instructions: counts[rows.len()],
                    nanoseconds: own.spread(),
                    ratio: base.and_then(|base| own.over(&times[base])),
                    over_floor: floor.and_then(|floor| own.over(&times[floor])),
                    bytes: told.bytes,
                    held_by: told.held_by,
                    tail: told.tail,
                    memory: told.memory,
                    times: own.clone(),
                });
                progress.step();
            }
        }
        let gates = gates().iter().filter_map(|gate| gate.judge(&rows)).collect();
        Ok(Self { rows, gates })
    }

    /// Binding gates that were missed.
    pub fn missed(&self) -> impl Iterator<Item = &Outcome> {
        missed(&self.gates)
    }

    /// The rows of each workload.
    pub fn workloads(&self) -> impl Iterator<Item = &[Row]> {
        self.rows.chunk_by(|a, b| a.workload == b.workload)
    }
}

/// What there would have been.
fn nothing(filter: &str) -> String {
    let cases = crate::cases();
    let names = cases.chunk_by(|a, b| a.workload == b.workload).map(|cases| cases[0].workload);
    let names = names.collect::<Vec<_>>().join(", ");
    format!("no crate, workload or engine has {filter:?} in its name; the workloads are {names}")
}

/// Instructions of each case; `None` where that says nothing.
fn counts(
    cases: &[Case],
    wanted: &Wanted,
    progress: &mut Progress,
) -> Result<Vec<Option<f64>>, String> {
    let counted = |case: &Case| wanted.count && case.counted;
    let some: Vec<_> = cases.iter().filter(|case| counted(case)).map(callgrind::Job::of).collect();
    if some.is_empty() {
        return Ok(vec![None; cases.len()]);
    }
    progress.now(&format!("instructions of {} cases", some.len()));
    let mut counts = callgrind::instructions(&some, progress)?.into_iter();
    Ok(cases.iter().map(|case| counted(case).then(|| counts.next()).flatten()).collect())
}

impl Wanted {
    fn has(&self, case: &Case) -> bool {
        [case.family, case.workload, case.engine].iter().any(|name| name.contains(&self.filter))
    }
}
