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
        Err(error) => {
            Err(format!("valgrind cannot be run, so no instructions are counted: {error}"))
        }
    }
}

/// Two runs of this program, the second of which does more.
#[derive(Clone, Debug)]
pub struct Job {
    /// What the program is told at first.
    pub less: Vec<String>,
    /// And then.
    pub more: Vec<String>,
    /// By how many operations they differ.
    pub operations: u64,
    /// Of which function alone instructions are counted, by a part of its name.
    pub within: Option<&'static str>,
}

/// Instructions an operation of each. What others do at the same time does not change them, so all
/// processors count.
///
/// # Errors
/// If valgrind cannot be run or says something unexpected.
pub fn instructions(jobs: &[Job], progress: &Progress) -> Result<Vec<f64>, String> {
    let next = AtomicUsize::new(0);
    let counts = Mutex::new(vec![Ok(0.0); jobs.len()]);
    let count = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(at) else { return };
            let result = job.instructions();
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

impl Job {
    /// A case, the loop included.
    #[must_use]
    pub fn of(case: &Case) -> Self {
        let run = |n: u64| ["run", case.engine, case.workload, &n.to_string()].map(str::to_owned);
        Self {
            less: run(case.sample).to_vec(),
            more: run(2 * case.sample).to_vec(),
            operations: case.sample,
            within: case.within,
        }
    }

    fn instructions(&self) -> Result<f64, String> {
        let (less, more) = (self.total(&self.less)?, self.total(&self.more)?);
        Ok((more as f64 - less as f64) / self.operations as f64)
    }

    fn total(&self, arguments: &[String]) -> Result<u64, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let within = self.within.map(|function| format!("--toggle-collect=*{function}*"));
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .args(within)
            .arg(program)
            .args(arguments)
            .output()
            .map_err(|error| format!("valgrind: {error}"))?;
        let text = String::from_utf8_lossy(&output.stderr);
        let collected =
            text.lines().find_map(|line| line.split("Collected :").nth(1)?.trim().parse().ok());
        match collected {
            Some(collected) if output.status.success() => Ok(collected),
            _ => Err(format!("{}: {}\n{text}", arguments.join(" "), output.status)),
        }
    }
}
