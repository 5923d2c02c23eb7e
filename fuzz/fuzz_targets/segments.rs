//! Any bytes as segments of a stream, honest and lying, against a map of bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pool_core::{Failing, Heap, PageSource, Stats};
use pool_ring::OverlapPolicy;

#[path = "../../pool-ring/tests/model/segments.rs"]
mod segments;
use segments::Op;

pub type Source = Failing<Stats<Heap>>;

fn op(bytes: &[u8; 4]) -> Op {
    let [kind, low, high, len] = *bytes;
    match kind % 8 {
        0 => Op::Consume(len),
        1 => Op::Shrink,
        kind => {
            let from = i16::from_le_bytes([low, high]) % 320;
            Op::Insert { from, len, honest: kind < 6 }
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&[choice, refused], bytes)) = bytes.split_first_chunk() else { return };
    let source = match refused {
        0..240 => Failing::never(Heap::new().counted()),
        nth => Failing::nth(Heap::new().counted(), u64::from(nth - 240)),
    };
    let ops: Vec<Op> = bytes.as_chunks().0.iter().map(op).collect();
    let start = [0, 1000, u64::MAX - 400][usize::from(choice / 8 % 3)];
    segments::run(source, OverlapPolicy::ALL[usize::from(choice % 8)], start, &ops);
});
