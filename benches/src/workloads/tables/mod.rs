//! The workloads of tables: values of 128 bytes by keys.

mod churn;
mod iterate;
mod lookup;

use crate::case::Case;
use crate::engine::Engine;
use crate::slots::{Slots, Tables, Value, usual};

/// Values that are in a table at once.
const LIVE: usize = 10_000;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = churn::cases();
    cases.extend(lookup::cases());
    cases.extend(iterate::cases());
    cases
}

/// The keys of [`LIVE`] values. An array, so that a place needs no check.
type Keys<K> = Box<[K; LIVE]>;

/// A table of [`LIVE`] values.
fn live<E: Tables>() -> (E::Store, Keys<KeyOf<E>>) {
    let (table, keys) = filled::<E>(LIVE);
    (table, keys.try_into().unwrap_or_else(|_| unreachable!("as many as asked")))
}

/// A value that tells its number.
#[inline(always)]
fn value(number: u64) -> Value {
    [number; 16]
}

type KeyOf<E> = <<E as Engine>::Store as Slots>::Key;

/// A table of `count` values with the numbers from 0, and their keys.
fn filled<E: Tables>(count: usize) -> (E::Store, Vec<KeyOf<E>>) {
    let mut table = E::build(usual());
    let keys = (0..count as u64).map(|number| table.insert(value(number))).collect();
    (table, keys)
}
