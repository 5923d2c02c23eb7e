//! `block-hot`, `block-hot-any`: 32 bytes are allocated, written, read and freed, over and over.
//!
//! In the first the layout is a constant, as that of `Box<T>` is; in the second the optimiser does
//! not know it, as that of a string. *Answers*: the sum of what was written, read back.

use crate::case::Case;
use crate::engines::Null;
use crate::engines::heaps::of_heaps;
use crate::heap::{Heap, Heaps, room};
use crate::opaque::{escape, hide, unknown};
use crate::workloads::POOL_OBJECT;
use std::alloc::Layout;
use std::time::Instant;

const LAYOUT: Layout = Layout::new::<[u64; 4]>();

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![case::<Null, true>()];
    cases.extend(of_heaps!(constant()));
    cases.push(case::<Null, false>());
    cases.extend(of_heaps!(any()));
    cases
}

fn constant<E: Heaps>() -> Case {
    case::<E, true>()
}

fn any<E: Heaps>() -> Case {
    case::<E, false>()
}

fn case<E: Heaps, const CONSTANT: bool>() -> Case {
    let name = if CONSTANT { "block-hot" } else { "block-hot-any" };
    Case::new::<E>(POOL_OBJECT, name, || {
        let heap = E::build(room(LAYOUT.size()));
        pairs::<_, CONSTANT>(&heap, 0, 100);
        let first = hide(0_u64);
        Box::new(move |n| {
            let start = Instant::now();
            let sum = pairs::<_, CONSTANT>(&heap, first, n);
            let elapsed = start.elapsed();
            assert_eq!(sum, n * n.saturating_sub(1) / 2, "these are not the values");
            elapsed
        })
    })
}

/// What is measured.
#[inline(never)]
fn pairs<H: Heap, const CONSTANT: bool>(heap: &H, first: u64, n: u64) -> u64 {
    let mut sum = 0;
    for value in first..first + n {
        let layout = if CONSTANT { LAYOUT } else { unknown(LAYOUT) };
        let block = heap.allocate(layout);
        // SAFETY: the block has 32 bytes, is aligned to 8, and ours.
        unsafe { block.cast::<u64>().write(value) };
        escape(block.as_ptr());
        // SAFETY: as above; written just now.
        sum += unsafe { block.cast::<u64>().read() };
        // SAFETY: allocated above with this layout.
        unsafe { heap.deallocate(block, layout) };
    }
    sum
}
