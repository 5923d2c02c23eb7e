//! Random programs on a slot table, against the crate's own model: with slots that retire soon, and
//! with memory refused at a call that the input chooses.
#![no_main]

#[path = "../../pool-object/tests/model/table.rs"]
mod model;

use libfuzzer_sys::fuzz_target;
use model::Op;

fn op(bytes: [u8; 3]) -> Op {
    let [kind, low, high] = bytes;
    let pick = u16::from_le_bytes([low, high]);
    match kind % 21 {
        0..5 => Op::Insert,
        5 => Op::Entry(low % 2 == 0),
        6 => Op::Fill(low),
        7 => Op::Get(pick),
        8..10 => Op::Stale(pick),
        10 => Op::Foreign(u64::from(pick) << 32 | u64::from(high)),
        11 => Op::Change(low.into(), high.into()),
        12..15 => Op::Remove(pick),
        15 => Op::Retain(low),
        16 => Op::Drain(low, high % 2 == 0),
        17 => Op::Clear,
        18 => Op::Shrink,
        19 => Op::Limit(low),
        _ => Op::Reserve(low),
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&[left, refuse], program)) = input.split_first_chunk::<2>() else { return };
    let program: Vec<Op> =
        program.chunks_exact(3).map(|bytes| op([bytes[0], bytes[1], bytes[2]])).collect();
    let first = if left < 32 { (u32::MAX >> 1) - u32::from(left) } else { 0 };
    let source = model::source((refuse < 128).then_some(refuse.into()));
    model::run::<6000>(&source, &program, first);
    model::run::<0>(&model::source(None), &program, first);
});
