//! generational-arena: keys with generations.

use crate::engine::{Engine, Setup};
use crate::slots::{Slots, Value};
use generational_arena::{Arena, Index};

/// `generational_arena::Arena`.
pub struct GenerationalArena;

impl Engine for GenerationalArena {
    const NAME: &'static str = "generational-arena";
    type Store = Arena<Value>;

    fn build(_: Setup) -> Self::Store {
        Arena::new()
    }
}

impl Slots for Arena<Value> {
    type Key = Index;

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
