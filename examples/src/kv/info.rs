//! `INFO`: what the server tells of itself.
#![forbid(unsafe_code)]

use super::calls;
use super::command::{Call, Handled};
use super::memory::Memory;
use super::reply::Human;
use super::resp::Command;
use std::fmt::{self, Write};

type Section<M> = fn(&Call<'_, '_, M>, &mut dyn Write) -> fmt::Result;

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
pub(super) fn info<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let mut text = call.text();
    for (name, section) in sections() {
        if is_asked(name, request) {
            let gap = if text.as_slice().is_empty() { "" } else { "\r\n" };
            write!(text, "{gap}# {name}\r\n")?;
            section(call, &mut text)?;
        }
    }
    Ok(call.reply.verbatim(text.as_slice())?)
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
         process_id:{}\r\ntcp_port:{}\r\nthreads:{}\r\nuptime_in_seconds:{}\r\n",
        env!("CARGO_PKG_VERSION"),
        std::process::id(),
        call.shared.settings.port,
        call.shared.settings.threads,
        call.shared.stats.started.elapsed().as_secs(),
    )
}

fn clients<M: Memory>(call: &Call<'_, '_, M>, out: &mut dyn Write) -> fmt::Result {
    write!(
        out,
        "connected_clients:{}\r\nmaxclients:{}\r\n",
        call.shared.stats.clients, call.shared.settings.max_connections
    )
}

fn memory<M: Memory>(call: &Call<'_, '_, M>, out: &mut dyn Write) -> fmt::Result {
    let budget = call.shared.store.budget();
    for (name, bytes) in [
        ("used_memory", budget.used),
        ("used_memory_peak", budget.peak),
        ("maxmemory", budget.limit),
    ] {
        write!(out, "{name}:{bytes}\r\n{name}_human:{}\r\n", Human(bytes))?;
    }
    let policy = call.shared.settings.eviction.policy();
    write!(out, "maxmemory_policy:{policy}\r\nmem_allocator:{}\r\n", M::NAME)?;
    if let Some(calls) = calls::counted() {
        write!(out, "system_allocator_calls:{calls}\r\n")?;
    }
    write!(out, "active_defrag_hits:{}\r\n", call.shared.store.moved())?;
    let mut written = Ok(());
    call.observe(&mut |name, value| {
        written = written.and(write!(out, "pool_{name}:{value}\r\n"));
    });
    written
}

fn stats<M: Memory>(call: &Call<'_, '_, M>, out: &mut dyn Write) -> fmt::Result {
    let stats = &call.shared.stats;
    let ledger = call.shared.terms.as_ref().map(|terms| &terms.ledger);
    for (name, value) in [
        ("total_connections_received", stats.accepted),
        ("total_commands_processed", stats.commands),
        ("total_net_input_bytes", stats.received),
        ("total_net_output_bytes", stats.sent),
        ("rejected_connections", stats.rejected),
        ("expired_keys", call.shared.store.expired()),
        ("evicted_keys", call.shared.store.evicted()),
        ("keyspace_hits", stats.hits),
        ("keyspace_misses", stats.misses),
        ("total_error_replies", stats.errors),
        ("paused_connections", stats.pauses),
        ("overdue_connections", stats.overdue),
        ("letters_between_threads", ledger.map_or(0, |ledger| ledger.letters())),
        ("bytes_between_threads", ledger.map_or(0, |ledger| ledger.under_way() as u64)),
    ] {
        write!(out, "{name}:{value}\r\n")?;
    }
    Ok(())
}

fn keyspace<M: Memory>(call: &Call<'_, '_, M>, out: &mut dyn Write) -> fmt::Result {
    if call.shared.store.is_empty() {
        return Ok(());
    }
    let (keys, mortal) = (call.shared.store.len(), call.shared.store.mortal());
    write!(out, "db0:keys={keys},expires={mortal},avg_ttl=0\r\n")
}
