//! Ours: keys with generations, values that stay where they are.

use crate::engine::{Engine, Setup};
use crate::slots::{Slots, Value};
use pool_object::{Key, SlotTable as Table};

/// `SlotTable`.
pub struct SlotTable;

impl Engine for SlotTable {
    const NAME: &'static str = "SlotTable";
    const OURS: bool = true;
    type Store = Table<Value>;

    fn build(_: Setup) -> Self::Store {
        Table::new()
    }
}

impl Slots for Table<Value> {
    type Key = Key;

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
        self.remove(key).map(|value| value[0])
    }

    #[inline(always)]
    fn sum(&mut self) -> u64 {
        self.iter().map(|(_, value)| value[0]).sum()
    }
}
