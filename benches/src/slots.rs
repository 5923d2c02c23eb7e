//! What a workload asks of a table: values by keys that it makes up.

use crate::engine::{Engine, Setup};

/// 128 bytes; the first word tells values apart.
pub type Value = [u64; 16];

/// Values by keys.
pub trait Slots {
    /// What a value is found by.
    type Key: Copy;
    /// Puts a value in.
    fn insert(&mut self, value: Value) -> Self::Key;
    /// The first word of the value that has the key.
    fn look(&self, key: Self::Key) -> Option<u64>;
    /// Takes the value that has the key out, and returns its first word.
    fn remove(&mut self, key: Self::Key) -> Option<u64>;
    /// The sum of all values' first words.
    fn sum(&mut self) -> u64;
}

/// An engine of tables.
pub trait Tables: Engine<Store: Slots> {}

impl<E: Engine<Store: Slots>> Tables for E {}

/// What a table is built for: no more than the usual.
#[must_use]
pub fn usual() -> Setup {
    Setup { chunk: 4 << 10, capacity: 4 << 10 }
}
