//! `pool-hand-over`: one thread gets objects and uses them; another puts them back.
//!
//! They are handed over 32 at a time, through a queue of four such batches, which costs every engine
//! the same. The time is from the first thread's start to the last object's return, without
//! starting threads. *Answers*: every buffer was empty when its object was got.

use super::{USED, used};
use crate::case::Case;
use crate::engines::pools::{
    ArrayQueueOfBoxes, BoundedPool, BoxOnGlibc, BoxOnMimalloc, MutexVecOfBoxes, ObjectPool, Opool,
    SegQueueOfBoxes, SharedPool,
};
use crate::objects::{Pools, stock};
use crate::together::Pinned;
use crate::workloads::POOL_OBJECT;
use crossbeam_queue::ArrayQueue;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

const BATCH: usize = 32;
const BATCHES: usize = 4;
/// All that can be out: in the queue, and in both threads' hands.
const OBJECTS: usize = BATCH * (BATCHES + 2);

pub(super) fn cases() -> Vec<Case> {
    vec![
        case::<SharedPool>(),
        case::<BoundedPool>(),
        case::<BoxOnGlibc>(),
        case::<BoxOnMimalloc>(),
        case::<MutexVecOfBoxes>(),
        case::<ArrayQueueOfBoxes>(),
        case::<SegQueueOfBoxes>(),
        case::<ObjectPool>(),
        case::<Opool>(),
    ]
}

fn case<E>() -> Case
where
    E: for<'a> Pools<Store: Sync, View<'a>: Sync, Guard<'a>: Send>,
{
    Case::new::<E>(POOL_OBJECT, "pool-hand-over", || {
        let store = E::build(stock(OBJECTS));
        Box::new(move |n| run::<E>(&store, n))
    })
    .uncounted()
    .at_least(1 << 14)
}

fn run<E>(store: &E::Store, n: u64) -> Duration
where
    E: for<'a> Pools<Store: Sync, View<'a>: Sync, Guard<'a>: Send>,
{
    let view = E::view(store);
    let (full, empty) = (ArrayQueue::new(BATCHES), ArrayQueue::new(BATCHES));
    for _ in 0..BATCHES {
        assert!(empty.push(Vec::with_capacity(BATCH)).is_ok());
    }
    let ready = Barrier::new(2);
    let _pinned = Pinned::to(0);
    thread::scope(|scope| {
        let putter = scope.spawn(|| {
            let _pinned = Pinned::to(1);
            ready.wait();
            let mut left = n;
            while left > 0 {
                let mut batch: Vec<E::Guard<'_>> = wait(|| full.pop());
                left -= batch.len() as u64;
                batch.clear();
                assert!(empty.push(batch).is_ok(), "there are no more batches than places");
            }
            Instant::now()
        });
        ready.wait();
        let start = Instant::now();
        let mut bytes = 0;
        for first in (0..n).step_by(BATCH) {
            let mut batch = wait(|| empty.pop());
            for number in first..n.min(first + BATCH as u64) {
                let mut guard = E::get(&view);
                bytes += used(&mut guard, number);
                batch.push(guard);
            }
            assert!(full.push(batch).is_ok(), "there are no more batches than places");
        }
        assert_eq!(bytes, n * USED, "a buffer was not empty");
        putter.join().expect("no thread fails") - start
    })
}

/// Waits for something to come.
fn wait<T>(mut next: impl FnMut() -> Option<T>) -> T {
    loop {
        for _ in 0..64 {
            if let Some(next) = next() {
                return next;
            }
            std::hint::spin_loop();
        }
        thread::yield_now();
    }
}
