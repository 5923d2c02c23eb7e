//! slotmap: keys with generations.

use crate::engine::{Engine, Setup};
use crate::slots::{Slots, Value};
use slotmap::{DefaultKey, SlotMap as Map};

/// `slotmap::SlotMap`.
pub struct SlotMap;

impl Engine for SlotMap {
    const NAME: &'static str = "slotmap";
    type Store = Map<DefaultKey, Value>;

    fn build(_: Setup) -> Self::Store {
        Map::new()
    }
}

impl Slots for Map<DefaultKey, Value> {
    type Key = DefaultKey;

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
