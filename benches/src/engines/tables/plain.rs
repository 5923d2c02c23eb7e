//! A vector of values and one of free places: the floor of what a table can cost. A key is a place, nothing says whether
//! it is in use, and what is free is summed up as well, as 0.

use crate::engine::{Engine, Setup};
use crate::slots::{Slots, Value};

/// The vectors.
pub struct PlainVec;

/// Values, and where others can be put.
pub struct Places {
    values: Vec<Value>,
    free: Vec<u32>,
}

impl Engine for PlainVec {
    const NAME: &'static str = "(Vec)";
    const FLOOR: bool = true;
    type Store = Places;

    fn build(_: Setup) -> Places {
        Places { values: Vec::new(), free: Vec::new() }
    }
}

impl Slots for Places {
    type Key = u32;

    #[inline(always)]
    fn insert(&mut self, value: Value) -> u32 {
        let key = self.free.pop().unwrap_or_else(|| {
            self.values.push([0; 16]);
            self.values.len() as u32 - 1
        });
        self.values[key as usize] = value;
        key
    }

    #[inline(always)]
    fn look(&self, key: u32) -> Option<u64> {
        self.values.get(key as usize).map(|value| value[0])
    }

    #[inline(always)]
    fn remove(&mut self, key: u32) -> Option<u64> {
        let value = std::mem::take(&mut self.values.get_mut(key as usize)?[0]);
        self.free.push(key);
        Some(value)
    }

    #[inline(always)]
    fn sum(&mut self) -> u64 {
        self.values.iter().map(|value| value[0]).sum()
    }
}
