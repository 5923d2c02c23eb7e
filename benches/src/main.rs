//! The scoreboard's program: `cargo run --release -p benches -- table`.

use benches::case::Told;
use benches::engines::heaps::absent;
use benches::facts::Facts;
use benches::gates::{Outcome, missed};
use benches::record::{DIRECTORY, Record};
use benches::render::{gates_in_markdown, markdown};
use benches::scale::Curve;
use benches::server::{PARTS, Part, Server};
use benches::table::{Table, Wanted};
use benches::{Case, callgrind, cases, docs, find, plot, scale};
use clap::{Parser, Subcommand};
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};
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
        /// Also fail if ours takes over 5 % more instructions than this record says, or is gone
        #[arg(long)]
        against: Option<PathBuf>,
    },
    /// Fails if instructions of ours grew by more than 5 % from one record to another, or are no longer counted
    Compare {
        /// The earlier record
        old: PathBuf,
        /// The later record
        new: PathBuf,
    },
    /// Measures how cost grows with work; fails if an engine of ours is not O(1)
    Scale {
        /// Only what grows, or engines, whose name contains this
        #[arg(default_value = "")]
        filter: String,
        /// No sizes that need more than about so many MiB of memory
        #[arg(long, default_value_t = 12 << 10)]
        most: u64,
        /// Print the points as JSON
        #[arg(long)]
        json: bool,
    },
    /// Everything, for good: table, growth and the server into benches/record, then documents and figures of it
    Record {
        /// Rounds in which all engines of a workload take turns
        #[arg(long, default_value_t = 61)]
        rounds: usize,
        /// No sizes that need more than about so many MiB of memory
        #[arg(long, default_value_t = 12 << 10)]
        most: u64,
        /// Where it is written, without the server; by default by its date
        #[arg(long)]
        to: Option<PathBuf>,
    },
    /// Writes a record as a page that needs nothing else, and figures as SVG
    Plot {
        /// The record; by default the latest
        record: Option<PathBuf>,
        /// The page
        #[arg(long, default_value = "target/scoreboard.html")]
        html: PathBuf,
        /// Where the figures go; by default there are none
        #[arg(long)]
        figures: Option<PathBuf>,
    },
    /// Writes the latest record's tables into the documents, between their marks
    Docs {
        /// Change nothing, fail if something would change
        #[arg(long)]
        check: bool,
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
    /// Measures one point of `scale`
    Point {
        /// What grows
        name: String,
        /// The engine's name
        engine: String,
        /// How large
        size: u64,
        /// In so many rounds
        #[arg(long)]
        rounds: Option<usize>,
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
                println!("{}\n{}", table.render(), of_the_server());
            }
            judge(table.missed())
        }
        Task::Smoke { against } => smoke(against),
        Task::Compare { old, new } => {
            verdict(&Record::read(&old)?.regressions(&Record::read(&new)?))
        }
        Task::Scale { filter, most, json } => grown(&filter, most, json),
        Task::Record { rounds, most, to } => record(rounds, most, to),
        Task::Plot { record, html, figures } => {
            let record = Record::read(&record.map_or_else(Record::latest, Ok)?)?;
            draw(&record, &html, figures.as_deref())
        }
        Task::Docs { check } => docs::write(&Record::read(&Record::latest()?)?, check),
        Task::Show { record } => {
            let record = Record::read(&record)?;
            println!("{}\n{}", record.facts(), record.table.render());
            println!("\n{}", markdown(&Curve::cells(&record.scale)));
            Ok(())
        }
        Task::Point { name, engine, size, rounds } => {
            if let Some(rounds) = rounds {
                scale::set_rounds(rounds);
            }
            let sample = scale::point(&name, &engine, size);
            let sample = sample.ok_or_else(|| format!("there is no {name} of {engine}"))?;
            println!("{}", json(&sample)?);
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
    println!("{}", json(told)?);
    Ok(())
}

fn json(value: &impl Serialize) -> Result<String, String> {
    serde_json::to_string(value).map_err(|error| error.to_string())
}

fn grown(filter: &str, most: u64, as_json: bool) -> Result<(), String> {
    let missing = callgrind::available().err();
    missing.iter().for_each(|missing| eprintln!("{missing}"));
    let curves = scale::measure(filter, most << 20, missing.is_none())?;
    if as_json {
        println!("{}", json(&curves)?);
    } else {
        println!("{}", markdown(&Curve::cells(&curves)));
    }
    let grow: Vec<_> = curves.iter().filter(|curve| curve.grows()).collect();
    let names = grow.iter().map(|curve| format!("{} of {}", curve.name, curve.engine));
    let names = names.collect::<Vec<_>>().join(", ");
    if grow.is_empty() { Ok(()) } else { Err(format!("these grow with their work: {names}")) }
}

fn draw(record: &Record, html: &Path, figures: Option<&Path>) -> Result<(), String> {
    plot::page(record, &Server::latest()?.gates(), html)?;
    println!("{}", html.display());
    for figure in figures.map_or_else(|| Ok(Vec::new()), |to| plot::figures(record, to))? {
        println!("{figure}.svg");
    }
    Ok(())
}

/// Where pictures for documents are.
const FIGURES: &str = "docs/figures";

fn record(rounds: usize, most: u64, to: Option<PathBuf>) -> Result<(), String> {
    callgrind::available().map_err(|missing| format!("{missing}; a record has them"))?;
    if to.is_none() && !Path::new(DIRECTORY).is_dir() {
        return Err(format!("there is no {DIRECTORY}: run this in the workspace's directory"));
    }
    // Where pages go; it is elsewhere that cargo builds if it was told to.
    fs::create_dir_all("target").map_err(|error| error.to_string())?;
    let table = measured(String::new(), rounds, true)?;
    let scale = scale::measure("", most << 20, true)?;
    let record = Record { scale, ..Record::new(table) };
    // Before anything is written: each says in its facts whether what is checked out was changed.
    let server = if to.is_none() { server_parts() } else { Vec::new() };
    let to = to.unwrap_or_else(|| record.place());
    fs::write(&to, record.to_json()? + "\n").map_err(|error| error.to_string())?;
    println!("{}", to.display());
    let mut failed = Vec::new();
    for (part, text) in server {
        match text {
            Ok(text) => {
                // Its own day: it may be past midnight by now.
                let to = part.place(text.split(',').next().unwrap_or(&record.made.date));
                fs::write(&to, text).map_err(|error| error.to_string())?;
                println!("{}", to.display());
            }
            Err(error) => failed.push(error),
        }
    }
    docs::write(&record, false)?;
    draw(&record, Path::new("target/scoreboard.html"), Some(Path::new(FIGURES)))?;
    let server = Server::latest()?.gates();
    println!("\nThe server:\n\n{}", gates_in_markdown(&server));
    if failed.is_empty() {
        return judge(record.table.missed().chain(missed(&server)));
    }
    Err(failed.join("\n"))
}

/// What the server's programs write; those that cannot run are named.
fn server_parts() -> Vec<(Part, Result<String, String>)> {
    let there = PARTS.into_iter().filter(|part| {
        let missing = part.missing();
        let date = Facts::now().date;
        if let Some(missing) = missing {
            let later = part.writing(&part.place(&date));
            eprintln!("{} of kv: there is no {missing}; later: {later}", part.name);
        }
        missing.is_none()
    });
    there.map(|part| (part, part.run())).collect()
}

/// How the server is measured.
fn of_the_server() -> String {
    let mut text = "The server's part is made by `record`, or one by one by".to_owned();
    let date = Facts::now().date;
    PARTS.iter().for_each(|part| text += &format!("\n  {}", part.writing(&part.place(&date))));
    text
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

fn judge<'a>(missed: impl Iterator<Item = &'a Outcome>) -> Result<(), String> {
    match missed.count() {
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
            let vanished = Record::read(&record)?.vanished(&cases());
            if vanished.is_empty() { Ok(()) } else { Err(vanished.join("\n")) }
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
