//! `pool-hot-2t`: as `pool-hot`, by two threads at once, each `n` times, from one pool.
//!
//! The time is from the first thread's start to the last one's end, without starting threads.
//! *Answers*: every buffer was empty when its object was got.

use super::{USED, of_shared_pools, pairs};
use crate::case::Case;
use crate::objects::{Pools, stock};
use crate::workloads::POOL_OBJECT;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

const THREADS: usize = 2;
const OBJECTS: usize = 128;

pub(super) fn cases() -> Vec<Case> {
    of_shared_pools!(case)
}

fn case<E: Pools<Store: Sync>>() -> Case {
    let prepare = || -> crate::Prepared {
        let store = E::build(stock(OBJECTS));
        Box::new(move |n| {
            let ready = Barrier::new(THREADS);
            let ends = thread::scope(|scope| {
                let threads = [(); THREADS].map(|()| {
                    scope.spawn(|| {
                        let view = E::view(&store);
                        pairs::<E>(&view, OBJECTS as u64);
                        ready.wait();
                        let start = Instant::now();
                        let bytes = pairs::<E>(&view, n);
                        let end = Instant::now();
                        assert_eq!(bytes, n * USED, "a buffer was not empty");
                        (start, end)
                    })
                });
                threads.map(|thread| thread.join().expect("no thread fails"))
            });
            let start = ends.iter().map(|end| end.0).min();
            let end = ends.iter().map(|end| end.1).max();
            end.expect("two threads") - start.expect("two threads")
        })
    };
    Case::new::<E>(POOL_OBJECT, "pool-hot-2t", prepare).uncounted()
}
