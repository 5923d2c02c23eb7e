//! Any bytes as a program of operations on a `Buddy` over a block of any length and place; then all
//! is free again, in one piece as long as at first.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pool_core::testing::{Contract, Op};
use pool_core::{Buddy, Heap, PageSource};
use std::mem::MaybeUninit;

const CONTRACT: Contract = Contract::new().most_bytes(8 << 20);

fn run(buddy: &Buddy<impl PageSource>, mut bytes: &[u8]) {
    let whole = buddy.largest_free();
    assert_eq!(buddy.free(), buddy.capacity());
    let ops: Vec<Op> = std::iter::from_fn(|| Op::decode(&mut bytes)).collect();
    CONTRACT.run_program(buddy, &ops);
    assert_eq!((buddy.free(), buddy.largest_free()), (buddy.capacity(), whole));
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&[low, high, shift], bytes)) = bytes.split_first_chunk() else { return };
    let pages = usize::from(u16::from_le_bytes([low, high]) % 600) + 2;
    if shift % 2 == 0 {
        let granule = 1 << (12 + shift / 2 % 3);
        let buddy = Buddy::new(Heap::with_granule(granule), pages * 4096).expect("enough memory");
        run(&buddy, bytes);
    } else {
        let skip = usize::from(shift) * 1000 % 9000;
        let mut memory = vec![MaybeUninit::uninit(); pages * 4096 + skip];
        if let Ok(buddy) = Buddy::over(&mut memory[skip..]) {
            run(&buddy, bytes);
        }
    }
});
