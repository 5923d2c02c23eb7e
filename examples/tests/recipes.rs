//! Each recipe of the README runs to its end, in time.
#![forbid(unsafe_code)]

use std::error::Error;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

#[path = "../examples/axum_arena.rs"]
mod axum_arena;
#[path = "../examples/hashbrown_arena.rs"]
mod hashbrown_arena;
#[path = "../examples/mio_slots.rs"]
mod mio_slots;
#[path = "../examples/tenant_budget.rs"]
mod tenant_budget;
#[path = "../examples/udp_fragments.rs"]
mod udp_fragments;

/// More than any of them takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a recipe on a thread of its own. A panic closes the channel.
fn in_time(recipe: fn() -> Result<(), Box<dyn Error>>) {
    let (done, wait) = mpsc::channel();
    thread::spawn(move || done.send(recipe().map_err(|error| error.to_string())));
    let outcome = wait.recv_timeout(PATIENCE);
    assert_eq!(outcome, Ok(Ok(())), "the recipe has failed, panicked or not ended");
}

#[test]
fn an_axum_handler_with_an_arena() {
    in_time(axum_arena::main);
}

#[test]
fn a_table_of_connections_for_mio() {
    in_time(mio_slots::main);
}

#[test]
fn a_map_of_hashbrown_in_an_arena() {
    in_time(hashbrown_arena::main);
}

#[test]
fn a_budget_for_each_tenant() {
    in_time(tenant_budget::main);
}

#[test]
fn fragments_over_udp() {
    in_time(udp_fragments::main);
}
