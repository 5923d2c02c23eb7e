//! `slot-churn`: 10,000 values; one at random is read, another one at random is taken out, and a new
//! one put in its place.
//!
//! *Answers*: every key finds the value that was put in for it, and its removal returns the value.

use super::{Keys, LIVE, live, value};
use crate::case::Case;
use crate::engines::tables::of_tables;
use crate::opaque::escape;
use crate::slots::{Slots, Tables};
use crate::workloads::{POOL_OBJECT, Random};
use std::time::Instant;

pub(super) fn cases() -> Vec<Case> {
    of_tables!(case)
}

fn case<E: Tables>() -> Case {
    Case::new::<E>(POOL_OBJECT, "slot-churn", || {
        let (table, keys) = live::<E>();
        let mut churn = Churn { table, keys, random: Random::new() };
        assert_eq!(churn.run(4 * LIVE as u64), 0, "these are not the values");
        Box::new(move |n| {
            let start = Instant::now();
            let wrong = churn.run(n);
            let elapsed = start.elapsed();
            assert_eq!(wrong, 0, "these are not the values");
            elapsed
        })
    })
    .sample(4 * LIVE as u64)
}

struct Churn<S: Slots> {
    table: S,
    /// Each finds a value that has the key's place for a number.
    keys: Keys<S::Key>,
    random: Random,
}

impl<S: Slots> Churn<S> {
    /// What is measured; returns by how much the numbers found differ from the keys' own.
    #[inline(never)]
    fn run(&mut self, n: u64) -> u64 {
        let (mut wrong, mut rest) = (0_u64, value(0));
        for _ in 0..n {
            let (place, other) = self.random.pair(LIVE, LIVE);
            let found = self.table.look(self.keys[other]).expect("it is there");
            wrong = wrong.wrapping_add(found).wrapping_sub(other as u64);
            let key = &mut self.keys[place];
            let found = self.table.remove(*key).expect("it is there");
            wrong = wrong.wrapping_add(found).wrapping_sub(place as u64);
            // The rest of a new value is read from memory.
            escape(rest.as_mut_ptr().cast());
            rest[0] = place as u64;
            *key = self.table.insert(rest);
        }
        wrong
    }
}
