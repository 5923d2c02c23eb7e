//! Times, taken so that they can be compared: the engines of a workload take turns in many short
//! rounds, and only ratios within a round are believed.

use crate::case::{Case, Prepared};
use std::time::Duration;

/// One engine's times, nanoseconds an operation, one for each round.
#[derive(Clone, Debug, Default)]
pub struct Times(pub Vec<f64>);

/// The middle of some numbers, and the quarters on both sides.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Spread {
    /// A quarter is below.
    pub q1: f64,
    /// Half is below.
    pub median: f64,
    /// A quarter is above.
    pub q3: f64,
}

impl Spread {
    /// Of the numbers; `None` of none.
    #[must_use]
    pub fn of(numbers: impl Iterator<Item = f64>) -> Option<Self> {
        let mut numbers: Vec<_> = numbers.collect();
        numbers.sort_by(f64::total_cmp);
        let at = |share: usize| numbers.get((numbers.len().max(1) - 1) * share / 4).copied();
        Some(Self { q1: at(1)?, median: at(2)?, q3: at(3)? })
    }
}

impl Times {
    /// Nanoseconds.
    #[must_use]
    pub fn spread(&self) -> Option<Spread> {
        Spread::of(self.0.iter().copied())
    }

    /// How many times as long as another engine's, round by round.
    #[must_use]
    pub fn over(&self, other: &Self) -> Option<Spread> {
        Spread::of(self.0.iter().zip(&other.0).map(|(own, other)| own / other))
    }
}

/// How long one engine's turn in a round is.
const TURN: Duration = Duration::from_micros(1500);

/// Lets the cases take turns for `rounds` rounds.
#[must_use]
pub fn interleaved(cases: &[&Case], rounds: usize) -> Vec<Times> {
    let mut prepared: Vec<(Prepared, u64)> = cases
        .iter()
        .map(|case| {
            let mut run = case.prepare();
            let n = calibrate(&mut run, case.least);
            (run, n)
        })
        .collect();
    let mut times = vec![Times::default(); cases.len()];
    for round in 0..rounds {
        // Another order each round, so that no engine always follows the same one.
        for turn in 0..prepared.len() {
            let turn = if round % 2 == 0 { turn } else { cases.len() - 1 - turn };
            let index = (turn + round) % cases.len();
            let (run, n) = &mut prepared[index];
            times[index].0.push(run(*n).as_nanos() as f64 / *n as f64);
        }
    }
    times
}

/// Operations that fill a turn, a multiple of `least`.
fn calibrate(run: &mut Prepared, least: u64) -> u64 {
    let mut n = least;
    loop {
        // The shortest of three, lest a pause be taken for work.
        let elapsed = run(n).min(run(n)).min(run(n));
        if elapsed >= TURN / 4 || n >= 1 << 24 {
            let scale = TURN.as_secs_f64() / elapsed.as_secs_f64().max(1e-9);
            let n = (n as f64 * scale) as u64;
            return (n / least).max(1) * least;
        }
        n *= 2;
    }
}
