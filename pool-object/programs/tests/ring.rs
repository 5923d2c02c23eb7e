//! `pool-ring`'s own tests, with blocks of `GlobalHeap` beneath.
#![allow(clippy::duplicate_mod, reason = "each of them has the model as a module of its own")]

mod served;

#[path = "../../../pool-ring/tests/packet.rs"]
mod packet;
#[path = "../../../pool-ring/tests/packet_random.rs"]
mod packet_random;
#[path = "../../../pool-ring/tests/reassembly.rs"]
mod reassembly;
#[path = "../../../pool-ring/tests/ring_buf.rs"]
mod ring_buf;
