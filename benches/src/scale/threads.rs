//! Ever more threads that allocate and free blocks of one heap, or runs of one source. The time is from the first
//! start to the last end, for all operations of all threads; what the processors have in common is part of it.

use super::{Growth, Sample, median, resident, sizes};
use crate::engine::{Engine, Setup, Shared, Store};
use crate::engines::heaps::{GlibcHeap, MimallocCrate, SharedAlloc};
use crate::engines::{Global, MutexVec};
use crate::heap::{Heap, SharedHeaps, room};
use crate::opaque::escape;
use crate::together::at_once;
use std::alloc::Layout;

const LAYOUT: Layout = Layout::new::<[u64; 8]>();
/// Blocks, or runs, that a thread has at once.
const HELD: usize = 32;
const LEN: usize = 16 << 10;
/// Operations of all threads in a round.
const ROUND: usize = 1 << 20;

pub(super) fn growths() -> Vec<Growth> {
    vec![
        heap::<SharedAlloc>(),
        heap::<MimallocCrate>(),
        heap::<GlibcHeap>(),
        source::<Global>(),
        source::<MutexVec>(),
    ]
}

fn heap<E: SharedHeaps>() -> Growth {
    Growth {
        name: "threads",
        engine: E::NAME,
        ours: E::OURS,
        across: "threads",
        each: "thread",
        sizes: sizes(1, 64, 2),
        counted: 0,
        measure: Box::new(blocks::<E>),
    }
}

fn source<E: Engine<Store: Shared>>() -> Growth {
    Growth {
        name: "threads and runs",
        counted: 0,
        measure: Box::new(runs::<E>),
        engine: E::NAME,
        ours: E::OURS,
        across: "threads",
        each: "thread",
        sizes: sizes(1, 64, 2),
    }
}

/// Lets so many threads do `work` with the number of rounds that they have, and measures that.
fn together(threads: u64, work: impl Fn(usize) + Sync) -> Sample {
    let rounds = ROUND / HELD / threads as usize;
    resident();
    let before = resident();
    work(1);
    let mut grown = 0;
    let ns = median(|| {
        let elapsed = at_once(threads as usize, |_, start| start.together(|| work(rounds)).1);
        grown = resident().saturating_sub(before);
        (rounds as u64 * HELD as u64 * threads, elapsed)
    });
    let bytes = grown as f64 / threads as f64;
    let operations = (rounds * HELD) as u64 * threads;
    Sample { size: threads, ns, bytes, operations, instructions: None }
}

fn blocks<E: SharedHeaps>(threads: u64) -> Sample {
    let heap = E::build(room(threads as usize * HELD * LAYOUT.size()));
    together(threads, |rounds| {
        for _ in 0..rounds {
            let blocks = [(); HELD].map(|()| {
                let block = heap.allocate(LAYOUT);
                // SAFETY: 64 bytes, aligned to 8, and ours.
                unsafe { block.cast::<u64>().write(7) };
                escape(block.as_ptr());
                block
            });
            for block in blocks {
                // SAFETY: allocated above by this heap for this layout, and freed once.
                unsafe { heap.deallocate(block, LAYOUT) };
            }
        }
    })
}

fn runs<E: Engine<Store: Shared>>(threads: u64) -> Sample {
    // Nobody waits for a run: there are enough.
    let store = E::build(Setup { chunk: LEN, capacity: 2 * threads as usize * HELD * LEN });
    together(threads, |rounds| {
        let mut view = store.view();
        for _ in 0..rounds {
            let runs = [(); HELD].map(|()| view.take(LEN));
            for run in runs {
                view.put(run);
            }
        }
    })
}
