//! The tables, on the terminal and in Markdown.
#![forbid(unsafe_code)]

use super::Measured;
use super::facts::Facts;
use super::load::{CLIENTS, Speed};
use super::memory::{KEPT, VALUE};
use crate::kv::reply::Human;
use std::fmt::{self, Write};

/// Both tables as text.
pub(super) fn table(measured: &[Measured], connections: u32, spike: usize) -> String {
    let mut out = String::new();
    // A string takes every write.
    let _ = memory(&mut out, measured, connections, spike);
    let _ = speed(&mut out, measured);
    out
}

/// Bytes for people.
pub(super) fn human(bytes: u64) -> String {
    Human(usize::try_from(bytes).unwrap_or(usize::MAX)).to_string()
}

/// What a record begins with.
pub(super) fn facts(made: &Facts, beside: &[String], connections: u32, spike: usize) -> String {
    let spike = human(spike as u64);
    let beside = beside.iter().map(|version| format!(", {version}")).collect::<String>();
    format!(
        "{made}{beside}. {connections} connections; {spike} of values of {VALUE} bytes, one in {KEPT} of which is kept; then \
         SET and GET in turn by {CLIENTS} clients, on a processor of the server's own if there are two."
    )
}

/// A record, whose heads the scoreboard knows: `benches/src/server.rs`.
pub(super) fn markdown(facts: &str, measured: &[Measured]) -> String {
    let mut out = format!("{facts}\n");
    // A string takes every write.
    let _ = connections_in_markdown(&mut out, measured);
    let _ = values_in_markdown(&mut out, measured);
    let _ = speed_in_markdown(&mut out, measured);
    out
}

fn connections_in_markdown(out: &mut String, measured: &[Measured]) -> fmt::Result {
    writeln!(
        out,
        "\n| | each, idle | each, after a request | process before | after all have left |\n\
         |---|---|---|---|---|"
    )?;
    for one in measured {
        let Some(footprint) = &one.footprint else { continue };
        let of = &footprint.connected;
        let (before, after) = (human(of.before), human(of.after));
        let (idle, served) = (of.each_idle(), of.each_served());
        writeln!(out, "| {} | {idle} B | {served} B | {before} | {after} |", one.name)?;
    }
    Ok(())
}

fn values_in_markdown(out: &mut String, measured: &[Measured]) -> fmt::Result {
    writeln!(
        out,
        "\n| | with all values | when most are deleted | kept | of kept |\n|---|--:|--:|--:|--:|"
    )?;
    for one in measured {
        let spiked = one.footprint.as_ref().and_then(|footprint| footprint.spiked.as_ref());
        let Some(spiked) = spiked else { continue };
        let ratio = spiked.after as f64 / spiked.kept as f64;
        let [peak, after, kept] = [spiked.peak, spiked.after, spiked.kept].map(human);
        writeln!(out, "| {} | {peak} | {after} | {kept} | {ratio:.2} × |", one.name)?;
    }
    Ok(())
}

fn speed_in_markdown(out: &mut String, measured: &[Measured]) -> fmt::Result {
    writeln!(
        out,
        "\n| | pipeline | requests/s | p50 us | p99 us | p99.9 us | server us | allocator calls | faults |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|"
    )?;
    for one in measured {
        for speed in &one.speeds {
            let [p50, p99, p999] = [50.0, 99.0, 99.9].map(|percent| speed.percentile(percent));
            writeln!(
                out,
                "| {} | {} | {:.0} | {p50:.1} | {p99:.1} | {p999:.1} | {:.3} | {} | {:.4} |",
                one.name,
                speed.pipeline,
                speed.a_second(),
                speed.each(speed.processor.as_nanos() as f64 / 1000.0),
                calls(speed),
                speed.each(speed.faults as f64),
            )?;
        }
    }
    Ok(())
}

fn memory(out: &mut String, measured: &[Measured], connections: u32, spike: usize) -> fmt::Result {
    let spike = human(spike as u64);
    writeln!(
        out,
        "\nMemory: {connections} connections, then {spike} of values of which 1/16 are kept\n"
    )?;
    writeln!(
        out,
        "{:<18} {:>11} {:>11} {:>9} {:>9} {:>9} {:>9} {:>8}",
        "", "each idle", "each served", "before", "after", "spike", "aftermath", "of kept"
    )?;
    for one in measured {
        let Some(footprint) = &one.footprint else { continue };
        let connected = &footprint.connected;
        write!(
            out,
            "{:<18} {:>9} B {:>9} B {:>9} {:>9}",
            one.name,
            connected.each_idle(),
            connected.each_served(),
            human(connected.before),
            human(connected.after),
        )?;
        match &footprint.spiked {
            Some(spiked) => {
                let ratio = spiked.after as f64 / spiked.kept as f64;
                let (peak, after) = (human(spiked.peak), human(spiked.after));
                writeln!(out, " {peak:>9} {after:>9} {ratio:>7.2}x")?;
            }
            None => writeln!(out, " {:>9} {:>9} {:>8}", "-", "-", "-")?,
        }
    }
    Ok(())
}

fn speed(out: &mut String, measured: &[Measured]) -> fmt::Result {
    writeln!(
        out,
        "\nSpeed: SET and GET in turn, 50 clients; processor, calls and faults a request\n"
    )?;
    writeln!(
        out,
        "{:<18} {:>8} {:>10} {:>9} {:>9} {:>9} {:>10} {:>7} {:>7}",
        "",
        "pipeline",
        "requests/s",
        "p50 us",
        "p99 us",
        "p99.9 us",
        "server us",
        "malloc",
        "faults"
    )?;
    for one in measured {
        for speed in &one.speeds {
            writeln!(
                out,
                "{:<18} {:>8} {:>10.0} {:>9.0} {:>9.0} {:>9.0} {:>10.2} {:>7} {:>7.4}",
                one.name,
                speed.pipeline,
                speed.a_second(),
                speed.percentile(50.0),
                speed.percentile(99.0),
                speed.percentile(99.9),
                speed.each(speed.processor.as_nanos() as f64 / 1000.0),
                calls(speed),
                speed.each(speed.faults as f64),
            )?;
        }
    }
    shares(out, measured)
}

/// Whose processor time the others' is compared with.
const YARDSTICK: &str = "redis";

/// Each server's processor time for a request as a share of the yardstick's, if that was measured.
fn shares(out: &mut String, measured: &[Measured]) -> fmt::Result {
    let Some(redis) = measured.iter().find(|one| one.name == YARDSTICK) else { return Ok(()) };
    let each = |speed: &Speed| speed.each(speed.processor.as_nanos() as f64);
    writeln!(out, "\nProcessor time a request, as a share of {YARDSTICK}'s\n")?;
    for one in measured.iter().filter(|one| one.name != YARDSTICK && !one.speeds.is_empty()) {
        write!(out, "{:<18}", one.name)?;
        for (own, other) in one.speeds.iter().zip(&redis.speeds) {
            let share = each(own) / each(other).max(1.0);
            write!(out, "  {share:.2} at pipeline {}", own.pipeline)?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Calls of the system's allocator for each request, of those who count them.
pub(super) fn calls(speed: &Speed) -> String {
    speed.calls.map_or_else(|| "-".into(), |calls| format!("{calls:.3}"))
}
