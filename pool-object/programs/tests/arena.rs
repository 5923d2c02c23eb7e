//! `pool-arena`'s own tests, with blocks of `GlobalHeap` beneath.
#![allow(
    clippy::duplicate_mod,
    reason = "each test is a crate elsewhere, with what it shares in it"
)]

mod served;

#[path = "../../../pool-arena/tests/cleanups.rs"]
mod cleanups;
#[path = "../../../pool-arena/tests/growing.rs"]
mod growing;
#[path = "../../../pool-arena/tests/random.rs"]
mod random;
#[path = "../../../pool-arena/tests/scopes.rs"]
mod scopes;
#[path = "../../../pool-arena/tests/sealed.rs"]
mod sealed;
#[path = "../../../pool-arena/tests/sync_arena.rs"]
mod sync_arena;
