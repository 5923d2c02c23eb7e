//! `pool-core`'s own tests, with blocks of `GlobalHeap` beneath: its `Heap` source among them.
#![allow(
    clippy::duplicate_mod,
    reason = "each test is a crate elsewhere, with what it shares in it"
)]

mod served;

#[path = "../../../pool-core/tests/buddy.rs"]
mod buddy;
#[path = "../../../pool-core/tests/budget.rs"]
mod budget;
#[path = "../../../pool-core/tests/failing.rs"]
mod failing;
#[path = "../../../pool-core/tests/model.rs"]
mod model;
#[path = "../../../pool-core/tests/stats.rs"]
mod stats;
