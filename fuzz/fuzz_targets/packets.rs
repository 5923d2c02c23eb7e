//! Any bytes as reads, forgotten batches, panics and time for six connections of a packet ring, against
//! the naive model that its property test uses.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pool_core::{Failing, Heap, PageSource, Stats};
use pool_ring::Policy;
use std::time::Duration;

#[path = "../../pool-ring/tests/model/packets.rs"]
mod packets;
use packets::{Op, Protocol, Then};

pub type Source = Failing<Stats<Heap>>;

fn op(bytes: &[u8; 5]) -> Op {
    let [kind, conn, low, high, how] = *bytes;
    let number = u16::from_le_bytes([low, high]);
    match kind % 16 {
        0 => Op::Again { conn },
        1 => Op::Close { conn },
        2 => Op::Wait { millis: number % 500 },
        3 => Op::Drain,
        kind => Op::Feed {
            conn,
            bytes: number % if kind < 12 { 200 } else { 1500 },
            take: if how & 0x80 == 0 { 99 } else { how >> 4 & 3 },
            then: match how & 7 {
                0..4 => Then::Drop,
                4 => Then::Finish,
                5 => Then::Forget,
                6 => Then::Panic,
                _ => Then::Skip,
            },
        },
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&[choice, chunks, refused], bytes)) = bytes.split_first_chunk() else { return };
    let protocols = [
        Protocol::Prefix,
        Protocol::Unhelpful,
        Protocol::Varint,
        Protocol::Lines,
        Protocol::Delimiter,
        Protocol::Fixed,
        Protocol::Garbage,
    ];
    let oldest = |millis| Policy::EvictOldest { min_age: Duration::from_millis(millis) };
    let policies = [oldest(0), oldest(200), Policy::EvictLargest, Policy::Reject];
    let source = match refused {
        0..200 => Failing::never(Heap::new().counted()),
        nth => Failing::nth(Heap::new().counted(), u64::from(nth - 200)),
    };
    let ops: Vec<Op> = bytes.as_chunks().0.iter().map(op).collect();
    let protocol = protocols[usize::from(choice % 7)];
    let policy = policies[usize::from(choice / 7 % 4)];
    packets::run(&source, protocol, policy, 4 + usize::from(chunks % 80), &ops);
});
