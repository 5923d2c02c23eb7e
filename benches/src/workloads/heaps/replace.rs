//! `replace-256`, `replace-4k`: 10,000 slots, each with a block of 8 to 256, or to 4,096 bytes. One at
//! random is freed, and replaced by one of another size, also at random.
//!
//! Slots and sizes are drawn in the loop. *Answers*: the sum of the numbers in all blocks is that of
//! what was written, less that of what was read when blocks were freed.

use crate::case::Case;
use crate::engines::Null;
use crate::engines::heaps::of_heaps;
use crate::heap::{Heap, Heaps, room};
use crate::workloads::{POOL_OBJECT, Random};
use std::alloc::Layout;
use std::ptr::NonNull;
use std::time::Instant;

const SLOTS: usize = 10_000;
const LEAST: usize = 8;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![case::<Null, 256>("replace-256")];
    cases.extend(of_heaps!(to_256()));
    cases.push(case::<Null, 4096>("replace-4k"));
    cases.extend(of_heaps!(to_4k()));
    cases
}

fn to_256<E: Heaps>() -> Case {
    case::<E, 256>("replace-256")
}

fn to_4k<E: Heaps>() -> Case {
    case::<E, 4096>("replace-4k")
}

fn case<E: Heaps, const MOST: usize>(name: &'static str) -> Case {
    Case::new::<E>(POOL_OBJECT, name, || {
        let mut slots = Slots::<_, MOST>::new(E::build(room(SLOTS * MOST)));
        slots.replace(4 * SLOTS as u64);
        // In the loop alone all blocks are one.
        let alone = E::NAME == "(loop)";
        assert!(alone || slots.are_whole(), "a block had two owners");
        Box::new(move |n| {
            let start = Instant::now();
            slots.replace(n);
            let elapsed = start.elapsed();
            assert!(alone || slots.are_whole(), "a block had two owners");
            elapsed
        })
    })
    .sample(SAMPLE)
}

/// Enough that what mimalloc does now and then has its share.
const SAMPLE: u64 = 20 * SLOTS as u64;

#[derive(Clone, Copy)]
struct Slot {
    block: NonNull<u8>,
    size: usize,
}

struct Slots<H: Heap, const MOST: usize> {
    heap: H,
    /// Each block is live, was allocated with its size, and has a number in it.
    slots: Box<[Slot; SLOTS]>,
    random: Random,
    /// The sum of all numbers that were ever written, less that of those in blocks since freed.
    sum: u64,
}

fn layout(size: usize) -> Layout {
    debug_assert!(size > 0 && size <= 4096);
    // SAFETY: 8 is a power of two, and sizes are at most 4,096.
    unsafe { Layout::from_size_align_unchecked(size, 8) }
}

impl<H: Heap, const MOST: usize> Slots<H, MOST> {
    fn new(heap: H) -> Self {
        let mut random = Random::new();
        let slots = [(); SLOTS].map(|()| {
            let size = LEAST + random.below(MOST - LEAST + 1);
            Slot { block: numbered(&heap, 0, size), size }
        });
        Self { heap, slots: Box::new(slots), random, sum: 0 }
    }

    /// What is measured.
    #[inline(never)]
    fn replace(&mut self, n: u64) {
        let mut freed = 0_u64;
        for number in 0..n {
            let (index, size) = self.random.pair(SLOTS, MOST - LEAST + 1);
            let slot = &mut self.slots[index];
            // SAFETY: a live block of at least 8 bytes, aligned to 8.
            freed = freed.wrapping_add(unsafe { slot.block.cast::<u64>().read() });
            // SAFETY: allocated with this size, and forgotten below.
            unsafe { self.heap.deallocate(slot.block, layout(slot.size)) };
            let size = LEAST + size;
            *slot = Slot { block: numbered(&self.heap, number, size), size };
        }
        let written = n.wrapping_mul(n.wrapping_sub(1)) / 2;
        self.sum = self.sum.wrapping_add(written).wrapping_sub(freed);
    }

    /// Whether the numbers in all blocks are what was written and not freed.
    fn are_whole(&self) -> bool {
        // SAFETY: live blocks of at least 8 bytes, aligned to 8.
        let number = |slot: &Slot| unsafe { slot.block.cast::<u64>().read() };
        self.slots.iter().map(number).fold(0, u64::wrapping_add) == self.sum
    }
}

#[inline(always)]
fn numbered<H: Heap>(heap: &H, number: u64, size: usize) -> NonNull<u8> {
    let block = heap.allocate(layout(size));
    // SAFETY: the block has at least 8 bytes, is aligned to 8, and ours.
    unsafe { block.cast::<u64>().write(number) };
    block
}
