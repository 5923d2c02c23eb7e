//! `slot-look`: 10,000 values; a word of one at random is read.
//!
//! *Answers*: every key finds the value that was put in for it.

use super::{Keys, LIVE, live};
use crate::case::Case;
use crate::engines::tables::of_tables;
use crate::slots::{Slots, Tables};
use crate::workloads::{POOL_OBJECT, Random};
use std::time::Instant;

pub(super) fn cases() -> Vec<Case> {
    of_tables!(case)
}

fn case<E: Tables>() -> Case {
    Case::new::<E>(POOL_OBJECT, "slot-look", || {
        let (table, keys) = live::<E>();
        let mut random = Random::new();
        Box::new(move |n| {
            let start = Instant::now();
            let wrong = look(&table, &keys, &mut random, n);
            let elapsed = start.elapsed();
            assert_eq!(wrong, 0, "these are not the values");
            elapsed
        })
    })
    .sample(2 * LIVE as u64)
}

/// What is measured; returns by how much the numbers found differ from the keys' own.
#[inline(never)]
fn look<S: Slots>(table: &S, keys: &Keys<S::Key>, random: &mut Random, n: u64) -> u64 {
    let mut wrong = 0_u64;
    for _ in 0..n {
        let place = random.scaled(LIVE);
        let found = table.look(keys[place]).expect("it is there");
        wrong = wrong.wrapping_add(found).wrapping_sub(place as u64);
    }
    wrong
}
