//! Any bytes as segments of a stream or fragments of a datagram, honest and lying, against a map of bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pool_core::{Failing, Heap, PageSource, Stats};
use pool_ring::OverlapPolicy;

#[path = "../../pool-ring/tests/model/segments.rs"]
mod segments;
use segments::{Op, Setup};

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
    let Some((&[choice, refused, most], bytes)) = bytes.split_first_chunk() else { return };
    let source = match refused {
        0..240 => Failing::never(Heap::new().counted()),
        nth => Failing::nth(Heap::new().counted(), u64::from(nth - 240)),
    };
    let ops: Vec<Op> = bytes.as_chunks().0.iter().map(op).collect();
    let policy = OverlapPolicy::ALL[usize::from(choice % 8)];
    let (start, max_bytes) = match choice / 8 % 5 {
        0 => return segments::run_fragments(&source, policy, &ops),
        1 => (0, Some(usize::from(most) * 128)),
        n => ([0, 1000, u64::MAX - 400][usize::from(n - 2)], None),
    };
    segments::run(source, Setup { policy, start, max_bytes }, &ops);
});
