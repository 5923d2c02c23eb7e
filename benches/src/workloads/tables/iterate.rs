//! `slot-iterate`: one word of each of 100,000 values is read, in a table that had twice as many, of
//! which one half was taken out at random. An operation is a live value.
//!
//! *Answers*: the sum of the values' numbers.

use super::filled;
use crate::case::Case;
use crate::engines::tables::of_tables;
use crate::opaque::escape;
use crate::slots::{Slots, Tables};
use crate::workloads::{POOL_OBJECT, Random};
use std::ptr;
use std::time::Instant;

const LIVE: usize = if cfg!(miri) { 1000 } else { 100_000 };

pub(super) fn cases() -> Vec<Case> {
    of_tables!(case)
}

fn case<E: Tables>() -> Case {
    Case::new::<E>(POOL_OBJECT, "slot-iterate", || {
        let (mut table, keys) = filled::<E>(2 * LIVE);
        let mut numbers: Vec<_> = (0..2 * LIVE).collect();
        Random::new().shuffle(&mut numbers);
        let (live, gone) = numbers.split_at(LIVE);
        for &number in gone {
            assert_eq!(table.remove(keys[number]), Some(number as u64));
        }
        let sum: u64 = live.iter().map(|&number| number as u64).sum();
        Box::new(move |n| {
            let rounds = n.div_ceil(LIVE as u64);
            let start = Instant::now();
            let sums: u64 = (0..rounds).map(|_| all(&mut table)).sum();
            let elapsed = start.elapsed();
            assert_eq!(sums, rounds * sum, "values are missing");
            elapsed
        })
    })
    .sample(LIVE as u64)
    .at_least(LIVE as u64)
}

/// What is measured.
#[inline(never)]
fn all<S: Slots>(table: &mut S) -> u64 {
    let sum = table.sum();
    // So that no round's sum is another's.
    escape(ptr::from_mut(table).cast());
    sum
}
