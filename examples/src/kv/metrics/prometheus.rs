//! Prometheus' text format, version 0.0.4.
#![forbid(unsafe_code)]

use super::snapshot::{AGES, Snapshot};
use std::fmt::{self, Write};

/// Figures that only grow, with what they count. All others are gauges.
const COUNTERS: &[(&str, &str)] = &[
    ("acquired", "Runs of pages handed out"),
    ("released", "Runs of pages taken back"),
    ("refused", "Requests for pages refused"),
    ("decommitted_bytes", "Bytes given back to the system under live runs"),
    ("cache_hits", "Runs served from the cache"),
    ("cache_misses", "Runs that the cache had to ask the system for"),
    ("cache_decayed_bytes", "Bytes that the cache gave back after a while"),
    ("clients_accepted", "Connections accepted"),
    ("clients_overdue", "Connections closed at a limit of time"),
    ("clients_paused", "Times a connection was not read because of its unread replies"),
    ("clients_rejected", "Connections refused at the limit"),
    ("commands", "Requests executed"),
    ("error_replies", "Error replies"),
    ("hits", "GETs that found a value"),
    ("inbox_copied", "Bytes of partial requests copied"),
    ("inbox_evictions", "Partial requests that had to make room"),
    (
        "outbox_evictions",
        "Connections closed because others needed the memory of their unread replies",
    ),
    ("inbox_joins", "Partial requests that became whole"),
    ("inbox_rejected", "Partial requests that found no room"),
    ("keys_evicted", "Keys that had to make room"),
    ("keys_expired", "Keys that have ended"),
    ("misses", "GETs that found no value"),
    ("process_major_faults", "Page faults that needed a device"),
    ("process_minor_faults", "Page faults that did not"),
    ("received_bytes", "Bytes received"),
    ("sent_bytes", "Bytes sent"),
];

/// The whole text. `strategy` is what the server's memory is made of.
pub(super) fn text(snapshot: &Snapshot, strategy: &str) -> String {
    let mut out = String::new();
    // A string takes every write.
    let _ = write(&mut out, snapshot, strategy);
    out
}

fn write(out: &mut String, snapshot: &Snapshot, strategy: &str) -> fmt::Result {
    head(out, "kv_info", "gauge", "What this server is")?;
    let version = env!("CARGO_PKG_VERSION");
    writeln!(out, "kv_info{{version=\"{version}\",memory=\"{strategy}\"}} 1")?;
    for (name, value) in snapshot.figures() {
        match COUNTERS.iter().find(|(counter, _)| *counter == name) {
            Some((_, help)) => {
                head(out, &format!("kv_{name}_total"), "counter", help)?;
                writeln!(out, "kv_{name}_total {value}")?;
            }
            None => {
                head(out, &format!("kv_{name}"), "gauge", &name.replace('_', " "))?;
                writeln!(out, "kv_{name} {value}")?;
            }
        }
    }
    spans(out, snapshot)?;
    ages(out, snapshot)
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(out, "# HELP {name} {help}.\n# TYPE {name} {kind}")
}

/// Spans by the size of their blocks.
fn spans(out: &mut String, snapshot: &Snapshot) -> fmt::Result {
    type Of = fn(&super::ClassUse) -> u64;
    let columns: [(&str, &str, Of); 4] = [
        ("kv_spans", "Spans of the heap of data", |class| class.fills.len() as u64),
        ("kv_span_bytes", "Bytes of these spans", |class| class.bytes),
        ("kv_span_blocks", "Blocks that these spans have", |class| class.blocks),
        ("kv_span_blocks_used", "Blocks of these spans in use", |class| class.used),
    ];
    for (name, help, of) in columns {
        head(out, name, "gauge", help)?;
        for class in snapshot.classes() {
            writeln!(out, "{name}{{block=\"{}\"}} {}", class.block, of(class))?;
        }
    }
    Ok(())
}

/// Partial requests by age, each counted once.
fn ages(out: &mut String, snapshot: &Snapshot) -> fmt::Result {
    let name = "kv_partials_by_age";
    head(out, name, "gauge", "Requests that are not whole, by the age of their first byte")?;
    for (end, count) in AGES.iter().zip(snapshot.ages) {
        let end = match *end {
            u32::MAX => "+Inf".to_owned(),
            millis => (f64::from(millis) / 1000.0).to_string(),
        };
        writeln!(out, "{name}{{younger_than_seconds=\"{end}\"}} {count}")?;
    }
    Ok(())
}
