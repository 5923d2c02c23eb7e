//! This crate's own tests, with blocks of `GlobalHeap` beneath: heaps over `Heap` over a heap.
#![allow(
    clippy::duplicate_mod,
    reason = "each test is a crate elsewhere, with what it shares in it"
)]

mod served;

#[path = "../../tests/bounded_pool.rs"]
mod bounded_pool;
#[path = "../../tests/boxes.rs"]
mod boxes;
#[path = "../../tests/pool.rs"]
mod pool;
#[path = "../../tests/random.rs"]
mod random;
#[path = "../../tests/shared.rs"]
mod shared;
#[path = "../../tests/shared_random.rs"]
mod shared_random;
#[path = "../../tests/table.rs"]
mod table;
