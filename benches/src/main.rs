//! The scoreboard's program: `cargo run --release -p benches -- table`.

use benches::engines::heaps::absent;
use benches::record::Record;
use benches::table::{Table, Wanted};
use benches::case::Told;
use benches::{Case, callgrind, cases, find};
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Measures the pool crates against what their users would pick instead.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Counts instructions, takes interleaved times, judges the gates; fails if a binding one is missed
    Table {
        /// Only crates, workloads or engines whose name contains this
        #[arg(default_value = "")]
        filter: String,
        /// Rounds in which all engines of a workload take turns; 0 takes no times
        #[arg(long, default_value_t = 101)]
        rounds: usize,
        /// Count no instructions
        #[arg(long)]
        no_count: bool,
        /// Print a record as JSON instead of the table
        #[arg(long, conflicts_with = "csv")]
        json: bool,
        /// Print comma-separated values instead of the table
        #[arg(long)]
        csv: bool,
    },
    /// Every workload on every engine once, short, with its answers asserted
    Smoke {
        /// Also fail if ours takes over 5 % more instructions than this record says
        #[arg(long)]
        against: Option<PathBuf>,
    },
    /// Fails if instructions of ours grew by more than 5 % from one record to another
    Compare {
        /// The earlier record
        old: PathBuf,
        /// The later record
        new: PathBuf,
    },
    /// Prints a record's table
    Show {
        /// The record
        record: PathBuf,
    },
    /// Says what a case says besides counts and times of rounds, as JSON
    Held {
        /// The engine's name
        engine: String,
        /// The workload's name
        workload: String,
    },
    /// Says how a case's memory grows and shrinks, as JSON
    Memory {
        /// The engine's name
        engine: String,
        /// The workload's name
        workload: String,
    },
    /// Runs one case, as under callgrind
    Run {
        /// The engine's name
        engine: String,
        /// The workload's name
        workload: String,
        /// Operations
        n: u64,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<(), String> {
    match task {
        Task::Table { filter, rounds, no_count, json, csv } => {
            let table = measured(filter, rounds, !no_count)?;
            if json {
                println!("{}", Record::new(table.clone()).to_json()?);
            } else if csv {
                print!("{}", table.to_csv());
            } else {
                println!("{}", table.render());
            }
            judge(&table)
        }
        Task::Smoke { against } => smoke(against),
        Task::Compare { old, new } => {
            verdict(&Record::read(&old)?.regressions(&Record::read(&new)?))
        }
        Task::Show { record } => {
            let Record { date, machine, kernel, rustc, commit, table } = Record::read(&record)?;
            println!("{date}, {machine}, {kernel}, {rustc}, commit {commit}\n{}", table.render());
            Ok(())
        }
        Task::Run { engine, workload, n } => {
            callgrind::now_counting();
            named(&engine, &workload)?.prepare()(n);
            Ok(())
        }
        Task::Held { engine, workload } => tell(&named(&engine, &workload)?.told()),
        Task::Memory { engine, workload } => tell(&named(&engine, &workload)?.memory()),
    }
}

fn named(engine: &str, workload: &str) -> Result<Case, String> {
    find(workload, engine).ok_or_else(|| {
        let mut reasons = vec![format!("there is no {workload} on {engine}")];
        reasons.extend(absent(engine));
        reasons.join(": ")
    })
}

fn tell(told: &Told) -> Result<(), String> {
    println!("{}", serde_json::to_string(told).map_err(|error| error.to_string())?);
    Ok(())
}

/// Measures with the tools that there are, and names the others.
fn measured(filter: String, rounds: usize, mut count: bool) -> Result<Table, String> {
    if let (true, Err(missing)) = (count, callgrind::available()) {
        eprintln!("{missing}");
        count = false;
    }
    for missing in absent(&filter) {
        eprintln!("{missing}");
    }
    Table::measure(&Wanted { filter, rounds, count })
}

fn judge(table: &Table) -> Result<(), String> {
    match table.missed().count() {
        0 => Ok(()),
        missed => Err(format!("binding gates that are missed: {missed}")),
    }
}

/// Operations of a case in a smoke test.
const FEW: u64 = 100;

fn smoke(against: Option<PathBuf>) -> Result<(), String> {
    for case in cases() {
        case.prepare()(FEW);
    }
    println!("{} cases answer as they should", cases().len());
    let Some(record) = against else { return Ok(()) };
    match callgrind::available() {
        Ok(()) => verdict(&Record::read(&record)?.regressions_now()?),
        Err(missing) => {
            eprintln!("{missing}");
            Ok(())
        }
    }
}

fn verdict(regressions: &[String]) -> Result<(), String> {
    if regressions.is_empty() {
        println!("no engine of ours takes over 5 % more instructions");
        return Ok(());
    }
    Err(regressions.join("\n"))
}
