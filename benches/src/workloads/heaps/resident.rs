//! `resident`: blocks of 40 bytes are allocated and written, up to a million of them, then all are
//! freed. An operation is a block.
//!
//! The table's column *bytes* is by how much the resident memory of a new process has grown when the
//! million is there: 40,000,000 are the blocks' own. *Answers*: each block's number is in it when it
//! is freed.

use crate::case::Case;
use crate::engines::heaps::of_heaps;
use crate::heap::{Heap, Heaps, room};
use crate::opaque::{escape, hide};
use crate::workloads::{POOL_OBJECT, rounds};
use std::alloc::Layout;
use std::ptr::NonNull;
use std::time::Instant;

/// Blocks that are live at once.
pub const BLOCKS: usize = if cfg!(miri) { 1000 } else { 1_000_000 };
const LAYOUT: Layout = Layout::new::<[u64; 5]>();

pub(super) fn cases() -> Vec<Case> {
    of_heaps!(case())
}

fn case<E: Heaps>() -> Case {
    Case::new::<E>(POOL_OBJECT, "resident", || {
        let heap = E::build(room(BLOCKS * LAYOUT.size()));
        let mut blocks = vec![NonNull::dangling(); BLOCKS];
        Box::new(move |n| {
            let mut own = 0;
            let start = Instant::now();
            rounds(n, BLOCKS, |count| {
                fill(&heap, &mut blocks[..count]);
                own += free(&heap, &blocks[..count]);
            });
            let elapsed = start.elapsed();
            assert_eq!(own, n, "a block had two owners");
            elapsed
        })
    })
    .uncounted()
    .at_least(BLOCKS as u64)
    .holding(held::<E>)
}

/// Bytes by which the resident memory grows, blocks written throughout.
fn held<E: Heaps>() -> u64 {
    // All of its pages are there before.
    let mut blocks = hide(vec![NonNull::dangling(); BLOCKS]);
    let resident = || pool_core::process::resident_bytes().expect("the system tells") as u64;
    resident();
    let before = resident();
    let heap = E::build(room(BLOCKS * LAYOUT.size()));
    fill(&heap, &mut blocks);
    let after = resident();
    assert_eq!(free(&heap, &blocks), BLOCKS as u64, "a block had two owners");
    after - before
}

/// What is measured.
#[inline(never)]
fn fill<H: Heap>(heap: &H, blocks: &mut [NonNull<u8>]) {
    for (number, place) in blocks.iter_mut().enumerate() {
        let block = heap.allocate(LAYOUT);
        // SAFETY: the block has 40 bytes, is aligned to 8, and ours.
        unsafe { block.cast::<[u64; 5]>().write([number as u64; 5]) };
        escape(block.as_ptr());
        *place = block;
    }
}

/// What is measured as well; returns how many blocks had their numbers.
#[inline(never)]
fn free<H: Heap>(heap: &H, blocks: &[NonNull<u8>]) -> u64 {
    let mut own = 0;
    for (number, block) in blocks.iter().enumerate() {
        // SAFETY: a live block, written before.
        own += u64::from(unsafe { block.cast::<u64>().read() } == number as u64);
        // SAFETY: allocated by `fill` from this heap, and freed once.
        unsafe { heap.deallocate(*block, LAYOUT) };
    }
    own
}
