//! `kv compare`: one driver for the server with each memory strategy, and for other servers.
//!
//! Each server is a process of its own, on loopback, so that its memory, its processor time and its page
//! faults can be told from the driver's: the system counts them. (A server in the driver's
//! process would also share its table of descriptors, which 10,000 connections fill twice.) What
//! memory costs is measured on a fresh process; speed in rounds that alternate between all of them, so
//! that a busy machine is busy for each, and with a processor for the server alone if there are two.
#![forbid(unsafe_code)]

// The same of all records; see there.
#[path = "../../../benches/src/facts.rs"]
mod facts;
mod html;
mod load;
mod memory;
mod peers;
#[cfg(feature = "peers")]
pub mod plain_server;
mod process;
mod report;

use super::settings::{Alloc, size};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use load::Speed;
use memory::Footprint;
use process::{Apart, Server};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// What to compare, and for how long.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Connections whose memory is measured. As many descriptors are needed here and in the server;
    /// fewer are taken where the system does not grant them.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub connections: u32,

    /// Time of measuring speed, for each server and each depth of pipeline.
    #[arg(long, default_value_t = 1.5, value_name = "SECONDS")]
    pub seconds: f64,

    /// Bytes of values that are stored, and then all deleted but one in sixteen.
    #[arg(long, default_value = "64m", value_name = "BYTES", value_parser = size)]
    pub spike: usize,

    /// Strategies; all that this program was built with unless told otherwise.
    #[arg(long, value_delimiter = ',', value_enum)]
    pub alloc: Vec<Alloc>,

    /// Other servers too, as far as they are installed: redis-server, nginx, and one with tokio and
    /// BytesMut (built with `--features peers`).
    #[arg(long)]
    pub peers: bool,

    /// Where the report goes.
    #[arg(long, default_value = "kv-compare.html", value_name = "FILE")]
    pub html: PathBuf,

    /// Where a record goes, in Markdown: when and on what it was measured, and the tables.
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
}

/// What was measured of one server.
#[derive(Debug)]
pub(super) struct Measured {
    name: String,
    footprint: Option<Footprint>,
    /// At each of [`PIPELINES`]; none for those that speak another protocol.
    speeds: Vec<Speed>,
}

/// Requests sent before a reply is waited for.
const PIPELINES: [usize; 2] = [1, 16];

/// Rounds that alternate between the servers: as many as there are of this length, three at least.
const ROUND: Duration = Duration::from_millis(500);

/// How many rounds of which length make `seconds`.
fn rounds(seconds: f64) -> (u32, Duration) {
    let all = Duration::from_secs_f64(seconds.clamp(0.01, 600.0));
    let count = (all.as_millis() / ROUND.as_millis()).max(3) as u32;
    (count, all / count)
}

/// Measures, prints a table, and writes the report.
///
/// # Errors
/// If there is nothing to measure, or the report cannot be written. A server that does not start
/// or fails is left out, and named.
pub fn run(options: &Options) -> io::Result<()> {
    let connections = process::raise_descriptors(options.connections);
    if connections < options.connections {
        eprintln!("only {connections} connections: the system grants no more descriptors");
    }
    let servers = candidates(options);
    let bar = progress(
        servers.len() as u64 * (2 + u64::from(rounds(options.seconds).0) * PIPELINES.len() as u64),
    );
    let mut measured = Vec::new();
    for server in &servers {
        let name = server.name().to_owned();
        match footprint(server, connections, options.spike, &bar) {
            Ok(footprint) => {
                let footprint = Some(footprint);
                measured.push((server, Measured { name, footprint, speeds: Vec::new() }));
            }
            Err(error) => bar.suspend(|| eprintln!("{name} is left out: {error}")),
        }
    }
    if measured.is_empty() {
        return Err(io::Error::other("no server could be measured"));
    }
    speeds(&mut measured, options.seconds, &bar);
    bar.finish_and_clear();
    let measured: Vec<_> = measured.into_iter().map(|(_, measured)| measured).collect();
    println!("{}", report::table(&measured, connections, options.spike));
    fs::write(&options.html, html::page(&measured, connections, options.spike))?;
    println!("report: {}", options.html.display());
    if let Some(path) = &options.markdown {
        let beside = if options.peers { peers::versions() } else { Vec::new() };
        let facts = report::facts(&facts::Facts::now(), &beside, connections, options.spike);
        fs::write(path, report::markdown(&facts, &measured))?;
    }
    Ok(())
}

/// Our strategies, then the peers.
fn candidates(options: &Options) -> Vec<Server> {
    let asked = match options.alloc.as_slice() {
        [] => Alloc::value_variants(),
        some => some,
    };
    let names = asked.iter().filter_map(ValueEnum::to_possible_value);
    // The values with all that is beside them, or what is usual.
    let memory = options.spike.saturating_mul(2).max(1 << 30);
    let mut servers: Vec<_> = names.map(|value| Server::ours(value.get_name(), memory)).collect();
    if options.peers {
        servers.extend(peers::all());
    }
    servers
}

fn progress(steps: u64) -> ProgressBar {
    let bar = ProgressBar::new(steps);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    bar
}

/// Memory, on a fresh process.
fn footprint(
    server: &Server,
    connections: u32,
    spike: usize,
    bar: &ProgressBar,
) -> io::Result<Footprint> {
    bar.set_message(format!("{}: {connections} connections", server.name()));
    let running = server.start(connections)?;
    let connected = memory::connections(&running, connections)?;
    bar.inc(1);
    let mut spiked = None;
    if server.speaks_resp() {
        bar.set_message(format!("{}: a spike of values", server.name()));
        spiked = Some(memory::spike(&server.start(connections)?, spike)?);
    }
    bar.inc(1);
    Ok(Footprint { connected, spiked })
}

/// Speed, in rounds over all servers. One that fails has none.
fn speeds(measured: &mut [(&Server, Measured)], seconds: f64, bar: &ProgressBar) {
    let (rounds, round) = rounds(seconds);
    let speaking = measured.iter_mut().filter(|(server, _)| server.speaks_resp());
    let mut running: Vec<_> = speaking
        .filter_map(|(server, measured)| Some((server.start(100).ok()?, *server, measured)))
        .collect();
    let apart = Apart::new();
    for (running, _, _) in &running {
        apart.place(running);
    }
    for pipeline in PIPELINES {
        for _ in 0..rounds {
            for (running, _, measured) in &mut running {
                bar.set_message(format!("{}: pipeline {pipeline}", measured.name));
                match load::round(running, pipeline, round) {
                    Ok(speed) => merge(&mut measured.speeds, speed),
                    Err(error) => bar.suspend(|| eprintln!("{}: {error}", measured.name)),
                }
                bar.inc(1);
            }
        }
        for (_, server, measured) in &mut running {
            let speed = measured.speeds.iter_mut().find(|speed| speed.pipeline == pipeline);
            if let Some(speed) = speed {
                speed.calls = calls(server, pipeline);
            }
        }
    }
}

/// Calls of the system's allocator for each request, in a process that counts them and is not timed.
fn calls(server: &Server, pipeline: usize) -> Option<f64> {
    let counting = server.counting()?.start(100).ok()?;
    load::round(&counting, pipeline, Duration::from_millis(200)).ok()?.calls
}

fn merge(speeds: &mut Vec<Speed>, more: Speed) {
    match speeds.iter_mut().find(|speed| speed.pipeline == more.pipeline) {
        Some(speed) => speed.add(&more),
        None => speeds.push(more),
    }
}
