//! `pool-256`: 256 objects are got and used, then all are put back, in the same order. An operation
//! is an object.
//!
//! *Answers*: every buffer was empty when its object was got.

use super::{USED, of_pools, used};
use crate::case::Case;
use crate::objects::{Pools, stock};
use crate::workloads::{POOL_OBJECT, rounds};
use std::time::Instant;

const OBJECTS: usize = 256;

pub(super) fn cases() -> Vec<Case> {
    of_pools!(case)
}

fn case<E: Pools>() -> Case {
    Case::new::<E>(POOL_OBJECT, "pool-256", || {
        let store = E::build(stock(OBJECTS));
        Box::new(move |n| {
            let view = E::view(&store);
            let mut guards = Vec::with_capacity(OBJECTS);
            for _ in 0..2 {
                round::<E>(&view, &mut guards, OBJECTS);
            }
            let mut bytes = 0;
            let start = Instant::now();
            rounds(n, OBJECTS, |count| bytes += round::<E>(&view, &mut guards, count));
            let elapsed = start.elapsed();
            // In the loop alone all objects are one, which is emptied at the end.
            assert!(bytes == n * USED || E::NAME == "(loop)", "a buffer was not empty");
            elapsed
        })
    })
    .sample(16 * OBJECTS as u64)
}

/// What is measured; returns how many bytes were in the buffers. `guards` is empty and has room.
#[inline(never)]
fn round<'a, E: Pools>(view: &'a E::View<'_>, guards: &mut Vec<E::Guard<'a>>, count: usize) -> u64 {
    let mut bytes = 0;
    guards.extend((0..count).map(|number| {
        let mut guard = E::get(view);
        bytes += used(&mut guard, number as u64);
        guard
    }));
    // The first one first.
    guards.clear();
    bytes
}
