//! `blocks-fifo`, `blocks-random`: 1,000 blocks of 64 bytes are allocated, then all are freed: in the
//! same order, or at random. An operation is a block.
//!
//! The order is drawn before. *Answers*: the sum of the blocks' numbers, read when they are freed.

use crate::case::Case;
use crate::engines::Null;
use crate::engines::heaps::of_heaps;
use crate::heap::{Heap, Heaps, room};
use crate::opaque::escape;
use crate::workloads::{POOL_OBJECT, Random, rounds};
use std::alloc::Layout;
use std::ptr::NonNull;
use std::time::Instant;

const BLOCKS: usize = 1000;
const LAYOUT: Layout = Layout::new::<[u64; 8]>();

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![case::<Null>(FIFO)];
    cases.extend(of_heaps!(case(FIFO)));
    cases.push(case::<Null>(RANDOM));
    cases.extend(of_heaps!(case(RANDOM)));
    cases
}

const FIFO: &str = "blocks-fifo";
const RANDOM: &str = "blocks-random";

/// In which order so many blocks are freed.
fn order(name: &str, count: usize) -> Vec<u32> {
    let mut order: Vec<_> = (0..count as u32).collect();
    if name == RANDOM {
        Random::new().shuffle(&mut order);
    }
    order
}

fn case<E: Heaps>(name: &'static str) -> Case {
    Case::new::<E>(POOL_OBJECT, name, move || {
        let heap = E::build(room(BLOCKS * LAYOUT.size()));
        let order = order(name, BLOCKS);
        let mut blocks = vec![NonNull::dangling(); BLOCKS];
        for _ in 0..4 {
            round(&heap, &order, &mut blocks);
        }
        let alone = E::NAME == "(loop)";
        // What is left of a round that is not whole.
        let mut rest: Vec<u32> = Vec::new();
        Box::new(move |n| {
            let count = (n % BLOCKS as u64) as usize;
            if rest.len() != count {
                rest = order.iter().copied().filter(|&index| (index as usize) < count).collect();
            }
            let mut sum = 0;
            let start = Instant::now();
            rounds(n, BLOCKS, |count| {
                let order = if count == BLOCKS { &order } else { &rest };
                sum += round(&heap, order, &mut blocks);
            });
            let elapsed = start.elapsed();
            let of = |count: u64| count * count.saturating_sub(1) / 2;
            let (whole, rest) = (n / BLOCKS as u64, n % BLOCKS as u64);
            let expected = whole * of(BLOCKS as u64) + of(rest);
            assert!(alone || sum == expected, "a block had two owners");
            elapsed
        })
    })
    .sample(8 * BLOCKS as u64)
}

/// What is measured; returns the sum of the blocks' numbers.
#[inline(never)]
fn round<H: Heap>(heap: &H, order: &[u32], blocks: &mut [NonNull<u8>]) -> u64 {
    let blocks = &mut blocks[..order.len()];
    for (number, place) in blocks.iter_mut().enumerate() {
        let block = heap.allocate(LAYOUT);
        // SAFETY: the block has 64 bytes, is aligned to 8, and ours.
        unsafe { block.cast::<u64>().write(number as u64) };
        escape(block.as_ptr());
        *place = block;
    }
    let mut sum = 0;
    for &number in order {
        // SAFETY: the numbers of an order are below its length, as it is one of them all.
        let block = *unsafe { blocks.get_unchecked(number as usize) };
        // SAFETY: as above; written before.
        sum += unsafe { block.cast::<u64>().read() };
        // SAFETY: allocated above with this layout, and freed once: each number is in the order once.
        unsafe { heap.deallocate(block, LAYOUT) };
    }
    sum
}
