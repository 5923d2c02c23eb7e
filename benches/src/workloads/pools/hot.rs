//! `pool-hot`: an object is got, used and put back, over and over. 64 are there.
//!
//! *Answers*: every buffer was empty when its object was got.

use super::{USED, of_pools, pairs};
use crate::case::Case;
use crate::objects::{Pools, stock};
use crate::workloads::POOL_OBJECT;
use std::time::Instant;

const OBJECTS: usize = 64;

pub(super) fn cases() -> Vec<Case> {
    of_pools!(case)
}

fn case<E: Pools>() -> Case {
    Case::new::<E>(POOL_OBJECT, "pool-hot", || {
        let store = E::build(stock(OBJECTS));
        Box::new(move |n| {
            let view = E::view(&store);
            pairs::<E>(&view, 2 * OBJECTS as u64);
            let start = Instant::now();
            let bytes = pairs::<E>(&view, n);
            let elapsed = start.elapsed();
            assert_eq!(bytes, n * USED, "a buffer was not empty");
            elapsed
        })
    })
}
