//! Ever more threads that allocate and free blocks of one heap, or runs of one source. The time is from the first
//! start to the last end, for all operations of all threads; what the processors have in common is part of it.

use super::{Growth, Sample, median, resident, sizes};
use crate::engine::{Engine, Setup, Shared, Store};
use crate::engines::heaps::{GlibcHeap, MimallocCrate, SharedAlloc};
use crate::engines::{Global, MutexVec};
use crate::heap::{Heap, SharedHeaps, room};
use crate::opaque::escape;
use std::alloc::Layout;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

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
        let elapsed = at_once(threads as usize, || work(rounds));
        grown = resident().saturating_sub(before);
        (rounds as u64 * HELD as u64 * threads, elapsed)
    });
    let bytes = grown as f64 / threads as f64;
    let operations = (rounds * HELD) as u64 * threads;
    Sample { size: threads, ns, bytes, operations, instructions: None }
}

fn at_once(threads: usize, work: impl Fn() + Sync) -> Duration {
    let ready = Barrier::new(threads);
    let ends = thread::scope(|scope| {
        let run = || {
            ready.wait();
            let start = Instant::now();
            work();
            (start, Instant::now())
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| thread.join().expect("none fails");
        threads.into_iter().map(join).collect::<Vec<_>>()
    });
    let start = ends.iter().map(|end| end.0).min().expect("a thread");
    ends.iter().map(|end| end.1).max().expect("a thread") - start
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
