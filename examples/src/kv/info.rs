//! `INFO`: what the server tells of itself.
#![forbid(unsafe_code)]

use super::command::{Context, observe};
use super::memory::Memory;
use super::reply::{Human, OutOfMemory, Reply};
use super::resp::Command;
use std::fmt::Write;

type Section<M> = fn(&Context<'_, M>, &mut String) -> std::fmt::Result;

/// The sections in the order they are shown.
fn sections<M: Memory>() -> [(&'static str, Section<M>); 5] {
    [
        ("Server", server),
        ("Clients", clients),
        ("Memory", memory),
        ("Stats", stats),
        ("Keyspace", keyspace),
    ]
}

/// `INFO [section ...]`.
pub(super) fn info<M: Memory>(
    cx: &Context<'_, M>,
    request: Command<'_>,
    reply: &mut impl Reply,
) -> Result<(), OutOfMemory> {
    let mut text = String::with_capacity(2048);
    for (name, section) in sections() {
        if is_asked(name, request) {
            let gap = if text.is_empty() { "" } else { "\r\n" };
            // Writing to a string fails only if a `Display` does, and none of ours does.
            let _ = write!(text, "{gap}# {name}\r\n");
            let _ = section(cx, &mut text);
        }
    }
    reply.bulk(text.as_bytes())
}

fn is_asked(section: &str, request: Command<'_>) -> bool {
    let names = ["all", "default", "everything", section];
    request.len() == 1
        || request
            .iter_from(1)
            .any(|word| names.iter().any(|name| word.eq_ignore_ascii_case(name.as_bytes())))
}

/// The first line says Redis' version because clients parse it to learn what they may send.
fn server<M: Memory>(cx: &Context<'_, M>, out: &mut String) -> std::fmt::Result {
    write!(
        out,
        "redis_version:7.0.0\r\nserver_name:kv\r\nkv_version:{}\r\nmultiplexing_api:mio\r\n\
         process_id:{}\r\ntcp_port:{}\r\nuptime_in_seconds:{}\r\n",
        env!("CARGO_PKG_VERSION"),
        std::process::id(),
        cx.settings.port,
        cx.stats.started.elapsed().as_secs(),
    )
}

fn clients<M: Memory>(cx: &Context<'_, M>, out: &mut String) -> std::fmt::Result {
    write!(
        out,
        "connected_clients:{}\r\nmaxclients:{}\r\n",
        cx.stats.clients, cx.settings.max_connections
    )
}

fn memory<M: Memory>(cx: &Context<'_, M>, out: &mut String) -> std::fmt::Result {
    let budget = cx.store.budget();
    for (name, bytes) in [
        ("used_memory", budget.used),
        ("used_memory_peak", budget.peak),
        ("maxmemory", budget.limit),
    ] {
        write!(out, "{name}:{bytes}\r\n{name}_human:{}\r\n", Human(bytes))?;
    }
    write!(out, "maxmemory_policy:noeviction\r\nmem_allocator:{}\r\n", M::NAME)?;
    let mut written = Ok(());
    observe(cx, &mut |name, value| {
        written = written.and(write!(out, "pool_{name}:{value}\r\n"));
    });
    written
}

fn stats<M: Memory>(cx: &Context<'_, M>, out: &mut String) -> std::fmt::Result {
    let stats = &cx.stats;
    for (name, value) in [
        ("total_connections_received", stats.accepted),
        ("total_commands_processed", stats.commands),
        ("total_net_input_bytes", stats.received),
        ("total_net_output_bytes", stats.sent),
        ("rejected_connections", stats.rejected),
        ("keyspace_hits", stats.hits),
        ("keyspace_misses", stats.misses),
        ("total_error_replies", stats.errors),
        ("paused_connections", stats.pauses),
    ] {
        write!(out, "{name}:{value}\r\n")?;
    }
    Ok(())
}

fn keyspace<M: Memory>(cx: &Context<'_, M>, out: &mut String) -> std::fmt::Result {
    if cx.store.is_empty() {
        return Ok(());
    }
    write!(out, "db0:keys={},expires=0,avg_ttl=0\r\n", cx.store.len())
}
