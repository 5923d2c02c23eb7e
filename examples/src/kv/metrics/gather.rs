//! What the event loop puts into its snapshot.
#![forbid(unsafe_code)]

use super::snapshot::Snapshot;
use crate::kv::connection::{Connection, Worker};
use crate::kv::memory::{Data, Memory, Table};

/// Fills `into`. O(connections + spans).
pub(in crate::kv) fn gather<M: Memory>(
    worker: &mut Worker<M>,
    connections: &mut M::Table<Connection<M>>,
    into: &mut Snapshot,
) {
    counters(worker, into);
    worker.observe(&mut |name, value| into.figure(name, value));
    let heap = worker.shared.store.room().alloc();
    heap.spans(&mut |span| into.span(span.class.size(), span.used, span.blocks, span.len));
    let now = worker.now();
    connections.for_each(|_, connection| {
        if let Some(age) = connection.partial_age(now) {
            into.partial(age);
        }
    });
}

/// What is counted apart from pools.
fn counters<M: Memory>(worker: &Worker<M>, into: &mut Snapshot) {
    let (stats, store) = (&worker.shared.stats, &worker.shared.store);
    let budget = store.budget();
    for (name, value) in [
        ("clients", stats.clients),
        ("clients_accepted", stats.accepted),
        ("clients_rejected", stats.rejected),
        ("clients_overdue", stats.overdue),
        ("clients_paused", stats.pauses),
        ("commands", stats.commands),
        ("error_replies", stats.errors),
        ("received_bytes", stats.received),
        ("sent_bytes", stats.sent),
        ("hits", stats.hits),
        ("misses", stats.misses),
        ("keys", store.len() as u64),
        ("keys_mortal", store.mortal() as u64),
        ("keys_expired", store.expired()),
        ("keys_evicted", store.evicted()),
        ("memory_used_bytes", budget.used as u64),
        ("memory_peak_bytes", budget.peak as u64),
        ("memory_limit_bytes", budget.limit as u64),
    ] {
        into.figure(name, value);
    }
}
