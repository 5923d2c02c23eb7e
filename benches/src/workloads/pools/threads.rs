//! `pool-hot-2t`: as `pool-hot`, by two threads at once, each `n` times, from one pool.
//!
//! The time is from the first thread's start to the last one's end, without starting threads.
//! *Answers*: every buffer was empty when its object was got.

use super::{USED, of_shared_pools, pairs};
use crate::case::Case;
use crate::objects::{Pools, stock};
use crate::together::at_once;
use crate::workloads::POOL_OBJECT;

const THREADS: usize = 2;
const OBJECTS: usize = 128;

pub(super) fn cases() -> Vec<Case> {
    of_shared_pools!(case)
}

fn case<E: Pools<Store: Sync>>() -> Case {
    let prepare = || -> crate::Prepared {
        let store = E::build(stock(OBJECTS));
        Box::new(move |n| {
            at_once(THREADS, |_, start| {
                let view = E::view(&store);
                pairs::<E>(&view, OBJECTS as u64);
                let (bytes, span) = start.together(|| pairs::<E>(&view, n));
                assert_eq!(bytes, n * USED, "a buffer was not empty");
                span
            })
        })
    };
    Case::new::<E>(POOL_OBJECT, "pool-hot-2t", prepare).uncounted()
}
