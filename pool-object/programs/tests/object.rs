//! This crate's own tests, with blocks of `GlobalHeap` beneath: heaps over `Heap` over a heap.

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
