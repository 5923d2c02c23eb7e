//! Instructions an operation: this program runs itself under callgrind with N and with 2N
//! operations, and the difference is theirs alone.

use crate::case::Case;
use std::process::Command;

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

/// Instructions an operation of the case, the loop included.
///
/// # Errors
/// If valgrind cannot be run or says something unexpected.
pub fn instructions(case: &Case) -> Result<f64, String> {
    let count = |n| total(case, n);
    let (once, twice) = (count(case.sample)?, count(case.sample * 2)?);
    Ok((twice as f64 - once as f64) / case.sample as f64)
}

fn total(case: &Case, n: u64) -> Result<u64, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["run", case.engine, case.workload, &n.to_string()])
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let collected =
        text.lines().find_map(|line| line.split("Collected :").nth(1)?.trim().parse().ok());
    match collected {
        Some(collected) if output.status.success() => Ok(collected),
        _ => Err(format!("{} on {}: {}\n{text}", case.workload, case.engine, output.status)),
    }
}
