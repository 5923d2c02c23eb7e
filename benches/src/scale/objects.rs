//! Ever more live objects of 8 to 256 bytes, of which one after the other, at random, is freed and replaced.

use super::{Growth, Sample, median, resident, sizes};
use crate::engines::heaps::{GlibcHeap, MimallocCrate, SharedAlloc, SmallAlloc};
use crate::engines::tables::{Slab, SlotTable};
use crate::heap::{Heap, Heaps, room};
use crate::opaque::escape;
use crate::slots::{Slots, Tables, Value, usual};
use crate::workloads::Random;
use std::alloc::Layout;
use std::ptr::NonNull;
use std::time::Instant;

const MOST: usize = 256;
/// Bytes of an object, on average.
const MEAN: u64 = (8 + MOST as u64) / 2;
/// Objects that are replaced in a round.
const ROUND: usize = 200_000;

pub(super) fn growths() -> Vec<Growth> {
    vec![
        heap::<SmallAlloc>(),
        heap::<SharedAlloc>(),
        heap::<MimallocCrate>(),
        heap::<GlibcHeap>(),
        table::<SlotTable>(),
        table::<Slab>(),
    ]
}

fn heap<E: Heaps>() -> Growth {
    Growth {
        name: "live objects",
        engine: E::NAME,
        ours: E::OURS,
        across: "bytes of objects",
        each: "byte",
        sizes: sizes(1000, 100_000_000, 10),
        counted: if E::OURS { 20_000_000 } else { 0 },
        measure: Box::new(replaced::<E>),
    }
}

fn table<E: Tables>() -> Growth {
    Growth {
        name: "live values",
        engine: E::NAME,
        ours: E::OURS,
        across: "bytes of values",
        each: "byte",
        sizes: sizes(1280, 128_000_000, 10),
        counted: if E::OURS { 20_000_000 } else { 0 },
        measure: Box::new(churned::<E>),
    }
}

fn layout(size: usize) -> Layout {
    // SAFETY: at most 256 bytes, and 8 is a power of two.
    unsafe { Layout::from_size_align_unchecked(size, 8) }
}

fn replaced<E: Heaps>(size: u64) -> Sample {
    let count = (size / MEAN).max(1) as usize;
    let mut random = Random::new();
    let sizes: Vec<_> = (0..1 << 12).map(|_| 1 + random.below(MOST - 7) + 7).collect();
    let mut blocks = vec![(NonNull::<u8>::dangling(), 0_usize); count];
    resident();
    let before = resident();
    let heap = E::build(room(2 * size as usize));
    let new = |number: usize| {
        let size = sizes[number % sizes.len()];
        let block = heap.allocate(layout(size));
        // SAFETY: at least 8 bytes, aligned to 8, and ours.
        unsafe { block.cast::<usize>().write(number) };
        // SAFETY: within the block, which has `size` bytes.
        let last = unsafe { block.add(size - 1) };
        // SAFETY: the block is ours.
        unsafe { last.write(1) };
        escape(block.as_ptr());
        (block, size)
    };
    for (number, place) in blocks.iter_mut().enumerate() {
        *place = new(number);
    }
    let live: usize = blocks.iter().map(|block| block.1).sum();
    let bytes = resident().saturating_sub(before) as f64 / live as f64;
    let mut number = 0;
    let ns = median(|| {
        let start = Instant::now();
        for _ in 0..ROUND {
            let place = &mut blocks[random.scaled(count)];
            // SAFETY: a live block of this heap and layout, freed once: another one takes its place.
            unsafe { heap.deallocate(place.0, layout(place.1)) };
            *place = new(number);
            number += 1;
        }
        (ROUND as u64, start.elapsed())
    });
    for (block, size) in blocks {
        // SAFETY: as above; nobody looks at it again.
        unsafe { heap.deallocate(block, layout(size)) };
    }
    Sample { size, ns, bytes, operations: ROUND as u64, instructions: None }
}

fn churned<E: Tables>(size: u64) -> Sample {
    let count = (size as usize / size_of::<Value>()).max(1);
    let mut random = Random::new();
    resident();
    let before = resident();
    let mut table = E::build(usual());
    let mut keys: Vec<_> = (0..count).map(|number| table.insert([number as u64; 16])).collect();
    let bytes = resident().saturating_sub(before) as f64 / (count * size_of::<Value>()) as f64;
    let ns = median(|| {
        let start = Instant::now();
        for number in 0..ROUND {
            let key = &mut keys[random.scaled(count)];
            assert!(table.remove(*key).is_some(), "the value is not there");
            *key = table.insert([number as u64; 16]);
        }
        (ROUND as u64, start.elapsed())
    });
    Sample { size, ns, bytes, operations: ROUND as u64, instructions: None }
}
