//! Instructions an operation: this program runs itself under callgrind with N and with 2N
//! operations, and the difference is theirs alone.

use crate::case::Case;
use crate::progress::Progress;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

static COUNTING: AtomicBool = AtomicBool::new(false);

/// Says that this process runs under callgrind, which does not care for pages that were never touched.
pub fn now_counting() {
    COUNTING.store(true, Ordering::Relaxed);
}

/// Whether that was said: setting up may be shorter then.
#[must_use]
pub fn counting() -> bool {
    COUNTING.load(Ordering::Relaxed)
}

/// Whether valgrind is there; else why not.
///
/// # Errors
/// What stands in the way, in words.
pub fn available() -> Result<(), String> {
    match Command::new("valgrind").arg("--version").output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("valgrind does not work: {}", output.status)),
        Err(error) => Err(format!("valgrind is missing ({error}): no instructions are counted")),
    }
}

/// What callgrind has to know of a case.
#[derive(Clone, Copy, Debug)]
struct Counted {
    engine: &'static str,
    workload: &'static str,
    sample: u64,
    within: Option<&'static str>,
}

/// Instructions an operation of each case, the loop included. What others do at the same time does not
/// change them, so all processors count.
///
/// # Errors
/// If valgrind cannot be run or says something unexpected.
pub fn instructions(cases: &[&Case], progress: &Progress) -> Result<Vec<f64>, String> {
    let cases: Vec<_> = cases.iter().map(|case| Counted::of(case)).collect();
    let next = AtomicUsize::new(0);
    let counts = Mutex::new(vec![Ok(0.0); cases.len()]);
    let count = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(case) = cases.get(at) else { return };
            let result = case.instructions();
            counts.lock().unwrap_or_else(PoisonError::into_inner)[at] = result;
            progress.step();
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(count);
        }
    });
    counts.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().collect()
}

impl Counted {
    fn of(case: &Case) -> Self {
        let Case { engine, workload, sample, within, .. } = *case;
        Self { engine, workload, sample, within }
    }

    fn instructions(&self) -> Result<f64, String> {
        let (once, twice) = (self.total(self.sample)?, self.total(self.sample * 2)?);
        Ok((twice as f64 - once as f64) / self.sample as f64)
    }

    fn total(&self, n: u64) -> Result<u64, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let within = self.within.map(|function| format!("--toggle-collect=*{function}*"));
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .args(within)
            .arg(program)
            .args(["run", self.engine, self.workload, &n.to_string()])
            .output()
            .map_err(|error| format!("valgrind: {error}"))?;
        let text = String::from_utf8_lossy(&output.stderr);
        let collected =
            text.lines().find_map(|line| line.split("Collected :").nth(1)?.trim().parse().ok());
        match collected {
            Some(collected) if output.status.success() => Ok(collected),
            _ => Err(format!("{} on {}: {}\n{text}", self.workload, self.engine, output.status)),
        }
    }
}
