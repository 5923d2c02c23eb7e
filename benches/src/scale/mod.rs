//! How cost grows with work: the same operations on ever more of everything.
//!
//! Each point is measured in a process of its own, which has nobody's memory but its own: the
//! time of an operation, the median of some rounds, how many bytes of resident memory there are for each thing, and, of ours,
//! instructions. The exponent is the slope of a straight line through the points on logarithmic axes: 0 is O(1), 1 is O(n). Caches
//! that no longer suffice make one of some tenths, in the time, of what is O(1); instructions do not care.

mod chunks;
mod connections;
mod objects;
mod threads;

use crate::callgrind::{self, Job};
use crate::progress::Progress;
use crate::render::digits;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What one size costs.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// Of what is grown, so many.
    pub size: u64,
    /// Nanoseconds an operation.
    pub ns: f64,
    /// Bytes of resident memory for each thing.
    pub bytes: f64,
    /// Operations of a round.
    pub operations: u64,
    /// Instructions an operation, if they were counted.
    #[serde(default)]
    pub instructions: Option<f64>,
}

/// Costs of one engine over many sizes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Curve {
    /// What grows.
    pub name: String,
    /// The engine.
    pub engine: String,
    /// Whether the engine is ours.
    pub ours: bool,
    /// What sizes are counted in.
    pub across: String,
    /// What each of the bytes are for.
    pub each: String,
    /// From small to large.
    pub points: Vec<Sample>,
}

/// A curve that has not been measured.
pub struct Growth {
    name: &'static str,
    engine: &'static str,
    ours: bool,
    across: &'static str,
    each: &'static str,
    sizes: Vec<u64>,
    /// The largest size of which instructions are counted, if they are; else 0.
    counted: u64,
    measure: Box<dyn Fn(u64) -> Sample>,
}

/// Instructions of ours that grow faster than this are not O(1).
pub const LIMIT: f64 = 0.1;
/// Nor are times, whatever the caches do.
pub const LIMIT_OF_TIME: f64 = 0.7;

/// All of them, those of a name together.
#[must_use]
pub fn growths() -> Vec<Growth> {
    let mut all = chunks::growths();
    all.extend(objects::growths());
    all.extend(connections::growths());
    all.extend(threads::growths());
    all
}

/// Measures all whose name or engine contains `filter`, up to sizes that need about `most` bytes of memory, and counts
/// instructions if that is wanted.
///
/// # Errors
/// If this program cannot be run, or says something unexpected, or there is nothing of that name.
pub fn measure(filter: &str, most: u64, count: bool) -> Result<Vec<Curve>, String> {
    let wanted = |growth: &Growth| growth.name.contains(filter) || growth.engine.contains(filter);
    let all: Vec<_> = growths().into_iter().filter(wanted).collect();
    if all.is_empty() {
        let names: BTreeSet<_> = growths().iter().map(|growth| growth.name).collect();
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        return Err(format!("nothing that grows has {filter:?} in its name; there are {names}"));
    }
    let mut progress =
        Progress::new(2 * all.iter().map(|growth| growth.sizes.len()).sum::<usize>());
    let mut curves = Vec::new();
    let mut jobs = Vec::new();
    for growth in all {
        let mut points = Vec::new();
        for &size in &growth.sizes {
            progress.now(&format!("{}, {}", growth.name, growth.engine));
            if size.saturating_mul(growth.weight()) <= most {
                let point = growth.apart(size)?;
                if count && size <= growth.counted {
                    jobs.push(growth.job(&point));
                }
                points.push(point);
            }
            progress.step();
        }
        let Growth { name, engine, ours, across, each, .. } = growth;
        let (name, engine) = (name.to_owned(), engine.to_owned());
        let (across, each) = (across.to_owned(), each.to_owned());
        curves.push(Curve { name, engine, ours, across, each, points });
    }
    progress.now("instructions");
    let counts = callgrind::instructions(&jobs, &progress)?;
    for (job, count) in jobs.iter().zip(counts) {
        let [_, name, engine, size, ..] = &job.less[..] else { continue };
        let curve = curves.iter_mut().find(|c| (&c.name, &c.engine) == (name, engine));
        let points = curve.map(|curve| &mut curve.points).into_iter().flatten();
        for point in points.filter(|point| point.size.to_string() == *size) {
            point.instructions = Some(count);
        }
    }
    Ok(curves)
}

static ROUNDS: AtomicUsize = AtomicUsize::new(7);

/// Sets how many rounds a point has.
pub fn set_rounds(rounds: usize) {
    ROUNDS.store(rounds.max(1), Ordering::Relaxed);
}

/// The point of these names, measured in this process.
#[must_use]
pub fn point(name: &str, engine: &str, size: u64) -> Option<Sample> {
    let of = |growth: &Growth| growth.name == name && growth.engine == engine;
    Some((growths().into_iter().find(of)?.measure)(size))
}

impl Growth {
    /// Bytes of memory for each of a size, about.
    fn weight(&self) -> u64 {
        match self.name {
            "connections" => 10 << 10,
            "threads" | "threads and runs" => 2 << 20,
            _ => 1,
        }
    }

    /// Counting the instructions of a point.
    fn job(&self, point: &Sample) -> Job {
        let (size, more) = (point.size.to_string(), 1 + COUNTED);
        let run = |rounds: u64| {
            let rounds = format!("--rounds={rounds}");
            ["point", self.name, self.engine, &size, &rounds].map(str::to_owned).to_vec()
        };
        let operations = COUNTED * point.operations;
        Job { less: run(1), more: run(more), operations, within: None }
    }

    fn apart(&self, size: u64) -> Result<Sample, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let size = size.to_string();
        let output = Command::new(program).args(["point", self.name, self.engine, &size]).output();
        let output = output.map_err(|error| error.to_string())?;
        serde_json::from_slice(&output.stdout).map_err(|_| {
            let error = String::from_utf8_lossy(&output.stderr);
            format!("{} of {} at {size}: {}\n{error}", self.name, self.engine, output.status)
        })
    }
}

impl Curve {
    /// The exponent of the time, if there are two points.
    #[must_use]
    pub fn exponent(&self) -> Option<f64> {
        slope(self.points.iter().map(|point| (point.size as f64, point.ns)))
    }

    /// The exponent of instructions, if they were counted.
    #[must_use]
    pub fn exponent_of_instructions(&self) -> Option<f64> {
        let counted = |point: &Sample| Some((point.size as f64, point.instructions?));
        slope(self.points.iter().filter_map(counted))
    }

    /// Whether an engine of ours grows as it must not.
    #[must_use]
    pub fn grows(&self) -> bool {
        let beyond = |exponent: Option<f64>, limit| exponent.is_some_and(|e| e > limit);
        let instructions = beyond(self.exponent_of_instructions(), LIMIT);
        self.ours && (instructions || beyond(self.exponent(), LIMIT_OF_TIME))
    }

    /// All curves as lines of cells, with a head.
    #[must_use]
    pub fn cells(curves: &[Self]) -> Vec<Vec<String>> {
        let head = ["what grows", "engine", "from", "to", "Ir from", "Ir to", "exponent"];
        let head = head.into_iter().chain(["~ns from", "~ns to", "exponent"]);
        let head = head.chain(["bytes each from", "to"]);
        let mut cells = vec![head.map(str::to_owned).collect::<Vec<_>>()];
        for curve in curves {
            let (Some(first), Some(last)) = (curve.points.first(), curve.points.last()) else {
                continue;
            };
            let exponent = |exponent: Option<f64>| {
                exponent.map_or_else(|| "-".to_owned(), |e| format!("{e:.2}"))
            };
            let engine = &curve.engine;
            let counted: Vec<_> = curve.points.iter().filter_map(|p| p.instructions).collect();
            let ir = |ir: Option<&f64>| ir.map_or_else(|| "-".to_owned(), |ir| digits(*ir));
            cells.push(vec![
                format!("{} ({})", curve.name, curve.across),
                if curve.ours { format!("**{engine}**") } else { engine.clone() },
                scientific(first.size),
                scientific(last.size),
                ir(counted.first()),
                ir(counted.last()),
                exponent(curve.exponent_of_instructions()),
                digits(first.ns),
                digits(last.ns),
                exponent(curve.exponent()),
                format!("{} for each {}", digits(first.bytes), curve.each),
                digits(last.bytes),
            ]);
        }
        cells
    }
}

/// The slope of the line that is nearest to the points on logarithmic axes.
fn slope(points: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let points: Vec<_> =
        points.filter(|p| p.0 > 0.0 && p.1 > 0.0).map(|p| (p.0.ln(), p.1.ln())).collect();
    let n = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let up = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum::<f64>();
    let across = points.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>();
    (across > 0.0).then_some(up / across)
}

/// Rounds of which instructions are counted.
const COUNTED: u64 = 2;

/// Two digits and a power of ten.
fn scientific(size: u64) -> String {
    if size < 10_000 { size.to_string() } else { format!("{:.1e}", size as f64) }
}

/// Nanoseconds of an operation: the median of rounds, each of which says how many there were and how
/// long that took.
fn median(mut round: impl FnMut() -> (u64, Duration)) -> f64 {
    let rounds = ROUNDS.load(Ordering::Relaxed);
    let mut all: Vec<_> = (0..rounds)
        .map(|_| {
            let (operations, elapsed) = round();
            elapsed.as_nanos() as f64 / operations as f64
        })
        .collect();
    all.sort_by(f64::total_cmp);
    all[rounds / 2]
}

fn resident() -> u64 {
    pool_core::process::resident_bytes().expect("the system tells") as u64
}

/// Sizes from the first to the last, each `step` times as large as the one before.
fn sizes(first: u64, last: u64, step: u64) -> Vec<u64> {
    std::iter::successors(Some(first), |size| Some(size * step))
        .take_while(|s| *s <= last)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(power: f64) -> f64 {
        let points = (1..8).map(|x| (f64::from(x), 3.0 * f64::from(x).powf(power)));
        slope(points).unwrap()
    }

    #[test]
    fn exponents_are_found() {
        for power in [0.0, 0.5, 1.0, 2.0] {
            assert!((of(power) - power).abs() < 1e-9, "{power}");
        }
        assert_eq!(slope([(1.0, 1.0)].into_iter()), None);
    }

    #[test]
    fn names_are_those_of_one_curve_each() {
        let names: Vec<_> = growths().iter().map(|growth| (growth.name, growth.engine)).collect();
        let distinct: std::collections::HashSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len(), "{names:?}");
    }

    #[test]
    fn the_smallest_point_of_each_can_be_measured() {
        for growth in growths() {
            let sample = (growth.measure)(growth.sizes[0]);
            assert!(sample.ns > 0.0 && sample.bytes >= 0.0, "{sample:?}");
        }
    }
}
