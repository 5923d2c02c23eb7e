//! `INFO`: what the server tells of itself.
#![forbid(unsafe_code)]

use super::command::{Call, Fault, Handled};
use super::memory::{List, Memory, Scratch};
use super::reply::Human;
use super::resp::Command;
use std::fmt::{self, Write};

type Section<M> = fn(&Call<'_, '_, M>, &mut dyn Write) -> fmt::Result;

/// A text that is written into a list.
pub(super) struct Text<L>(pub L);

impl<L: List<u8>> Write for Text<L> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend(text.as_bytes()).map_err(|_| fmt::Error)
    }
}

impl From<fmt::Error> for Fault {
    /// No `Display` of ours fails, so it was the list that did.
    fn from(_: fmt::Error) -> Self {
        Self::Reply
    }
}

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
pub(super) fn info<M: Memory>(call: &mut Call<'_, '_, M>) -> Handled {
    let mut text = Text(call.scratch.list(0));
    for (name, section) in sections() {
        if is_asked(name, call.request) {
            let gap = if text.0.as_slice().is_empty() { "" } else { "\r\n" };
            write!(text, "{gap}# {name}\r\n")?;
            section(call, &mut text)?;
        }
    }
    Ok(call.reply.verbatim(text.0.as_slice())?)
}

fn is_asked(section: &str, request: Command<'_>) -> bool {
    let names = ["all", "default", "everything", section];
    request.len() == 1
        || request
            .iter_from(1)
            .any(|word| names.iter().any(|name| word.eq_ignore_ascii_case(name.as_bytes())))
}

/// The first line says Redis' version because clients parse it to learn what they may send.
fn server<M: Memory>(call: &Call<'_, '_, M>, out: &mut dyn Write) -> fmt::Result {
    write!(
        out,
        "redis_version:7.0.0\r\nserver_name:kv\r\nkv_version:{}\r\nmultiplexing_api:mio\r\n\
         process_id:{}\r\ntcp_port:{}\r\nuptime_in_seconds:{}\r\n",
        env!("CARGO_PKG_VERSION"),
        std::process::id(),
        call.settings.port,
        call.stats.started.elapsed().as_secs(),
    )
}

fn clients<M: Memory>(call: &Call<'_, '_, M>, out: &mut dyn Write) -> fmt::Result {
    write!(
        out,
        "connected_clients:{}\r\nmaxclients:{}\r\n",
        call.stats.clients, call.settings.max_connections
    )
}

fn memory<M: Memory>(call: &Call<'_, '_, M>, out: &mut dyn Write) -> fmt::Result {
    let budget = call.store.budget();
    for (name, bytes) in [
        ("used_memory", budget.used),
        ("used_memory_peak", budget.peak),
        ("maxmemory", budget.limit),
    ] {
        write!(out, "{name}:{bytes}\r\n{name}_human:{}\r\n", Human(bytes))?;
    }
    write!(out, "maxmemory_policy:noeviction\r\nmem_allocator:{}\r\n", M::NAME)?;
    let mut written = Ok(());
    call.observe(&mut |name, value| {
        written = written.and(write!(out, "pool_{name}:{value}\r\n"));
    });
    written
}

fn stats<M: Memory>(call: &Call<'_, '_, M>, out: &mut dyn Write) -> fmt::Result {
    let stats = &call.stats;
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

fn keyspace<M: Memory>(call: &Call<'_, '_, M>, out: &mut dyn Write) -> fmt::Result {
    if call.store.is_empty() {
        return Ok(());
    }
    write!(out, "db0:keys={},expires=0,avg_ttl=0\r\n", call.store.len())
}
