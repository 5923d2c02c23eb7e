//! slab: keys are indices, so that a stale one finds another value.

use crate::engine::{Engine, Setup};
use crate::slots::{Slots, Value};
use slab::Slab as Table;

/// `slab::Slab`.
pub struct Slab;

impl Engine for Slab {
    const NAME: &'static str = "slab";
    type Store = Table<Value>;

    fn build(_: Setup) -> Self::Store {
        Table::new()
    }
}

impl Slots for Table<Value> {
    type Key = usize;

    #[inline(always)]
    fn insert(&mut self, value: Value) -> Self::Key {
        self.insert(value)
    }

    #[inline(always)]
    fn look(&self, key: Self::Key) -> Option<u64> {
        self.get(key).map(|value| value[0])
    }

    #[inline(always)]
    fn remove(&mut self, key: Self::Key) -> Option<u64> {
        self.try_remove(key).map(|value| value[0])
    }

    #[inline(always)]
    fn sum(&mut self) -> u64 {
        self.iter().map(|(_, value)| value[0]).sum()
    }
}
