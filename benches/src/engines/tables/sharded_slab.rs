//! sharded-slab: keys with generations, for all threads.

use crate::engine::{Engine, Setup};
use crate::slots::{Slots, Value};
use sharded_slab::Slab as Table;

/// `sharded_slab::Slab`.
pub struct ShardedSlab;

impl Engine for ShardedSlab {
    const NAME: &'static str = "sharded-slab";
    type Store = Table<Value>;

    fn build(_: Setup) -> Self::Store {
        Table::new()
    }
}

impl Slots for Table<Value> {
    type Key = usize;

    #[inline(always)]
    fn insert(&mut self, value: Value) -> Self::Key {
        Table::insert(self, value).expect("there is room")
    }

    #[inline(always)]
    fn look(&self, key: Self::Key) -> Option<u64> {
        self.get(key).map(|value| value[0])
    }

    #[inline(always)]
    fn remove(&mut self, key: Self::Key) -> Option<u64> {
        self.take(key).map(|value| value[0])
    }

    #[inline(always)]
    fn sum(&mut self) -> u64 {
        self.unique_iter().map(|value| value[0]).sum()
    }
}
