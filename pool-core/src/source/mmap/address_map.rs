//! From an address to a number, in constant time and without the global allocator.
#![forbid(unsafe_code)]

use crate::error::OsError;
use crate::sys::table::Table;

/// A hash table with linear probing; at most half full, so that probes are short.
#[derive(Debug)]
pub(crate) struct AddressMap {
    /// A power of two of places, or none; an address of 0 is an empty place.
    places: Table<(usize, u32)>,
    len: usize,
}

impl AddressMap {
    pub(crate) const fn new() -> Self {
        Self { places: Table::new(), len: 0 }
    }

    /// Where the search for `address` begins: the golden ratio spreads what pages have in common.
    fn home(&self, address: usize) -> usize {
        let mixed = (address as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
        mixed as usize & (self.places.len() - 1)
    }

    /// The place that holds `address`, or the empty one where it would go. There must be places.
    fn find(&self, address: usize) -> usize {
        let mut at = self.home(address);
        while self.places[at].0 != address && self.places[at].0 != 0 {
            at = (at + 1) & (self.places.len() - 1);
        }
        at
    }

    pub(crate) fn get(&self, address: usize) -> Option<u32> {
        if self.places.is_empty() {
            return None;
        }
        let (found, number) = self.places[self.find(address)];
        (found == address).then_some(number)
    }

    /// Makes sure that one more [`insert`](Self::insert) needs no memory.
    pub(crate) fn reserve(&mut self) -> Result<(), OsError> {
        if (self.len + 1) * 2 <= self.places.len() {
            return Ok(());
        }
        let len = (self.places.len() * 2).max(64);
        let mut larger = Self::new();
        larger.places.reserve(len)?;
        for _ in 0..len {
            larger.places.push((0, 0))?;
        }
        for &(address, number) in self.places.iter().filter(|place| place.0 != 0) {
            larger.insert(address, number);
        }
        *self = larger;
        Ok(())
    }

    /// Adds an address that is not there yet, not 0; there is room, by [`reserve`](Self::reserve).
    pub(crate) fn insert(&mut self, address: usize, number: u32) {
        let at = self.find(address);
        self.places[at] = (address, number);
        self.len += 1;
    }

    /// Takes an address out. What was pushed on by it moves back, so no tombstones pile up.
    pub(crate) fn remove(&mut self, address: usize) -> Option<u32> {
        let number = self.get(address)?;
        let mask = self.places.len() - 1;
        let mut hole = self.find(address);
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let (next, _) = self.places[at];
            if next == 0 {
                break;
            }
            // It may fill the hole unless its home lies behind the hole, cyclically.
            let home = self.home(next);
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(hole) & mask {
                self.places[hole] = self.places[at];
                hole = at;
            }
        }
        self.places[hole] = (0, 0);
        self.len -= 1;
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mix::splitmix64;
    use std::collections::BTreeMap;

    #[test]
    fn it_agrees_with_a_map() {
        let (mut ours, mut model) = (AddressMap::new(), BTreeMap::new());
        for step in 0..if cfg!(miri) { 500 } else { 20_000 } {
            let address = (splitmix64(1, step) as usize % 300 + 1) << 21;
            if splitmix64(2, step) % 2 == 0 && !model.contains_key(&address) {
                ours.reserve().unwrap();
                ours.insert(address, step as u32);
                model.insert(address, step as u32);
            } else {
                assert_eq!(ours.remove(address), model.remove(&address));
            }
            let other = (splitmix64(3, step) as usize % 300 + 1) << 21;
            assert_eq!(ours.get(other), model.get(&other).copied());
            assert_eq!(ours.len, model.len());
        }
    }
}
