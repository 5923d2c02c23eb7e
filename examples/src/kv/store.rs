//! Keys and values.
#![forbid(unsafe_code)]

use super::memory::{Budget, Data};
use super::reply::OutOfMemory;
use std::borrow::Borrow;
use std::collections::HashMap;

/// Bytes of the table that an entry is charged with: the two boxes, the tag, and the free slots
/// that a table of this kind has on average.
const fn entry_cost<D: Data>() -> usize {
    size_of::<(D::Bytes, D::Bytes)>() * 4 / 3 + 1
}

/// The one database. The hasher is the standard library's: keyed, so that clients cannot choose
/// keys that collide.
#[derive(Debug)]
pub struct Store<D: Data> {
    memory: D,
    map: HashMap<D::Bytes, D::Bytes>,
}

impl<D: Data> Store<D> {
    /// An empty database.
    #[must_use]
    pub fn new(memory: D) -> Self {
        Self { memory, map: HashMap::new() }
    }

    /// The value of `key`.
    #[inline]
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.map.get(key).map(Borrow::borrow)
    }

    /// Sets `key` to a copy of `value`.
    ///
    /// # Errors
    /// [`OutOfMemory`] over budget; the old value stays.
    pub fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), OutOfMemory> {
        let value = self.memory.store(value, 0)?;
        match self.map.get_mut(key) {
            Some(old) => {
                let old = std::mem::replace(old, value);
                self.memory.discard(old, 0);
                Ok(())
            }
            None => self.insert(key, value),
        }
    }

    /// Adds a key that is not there.
    fn insert(&mut self, key: &[u8], value: D::Bytes) -> Result<(), OutOfMemory> {
        let room = self.map.try_reserve(1).map_err(|_| OutOfMemory);
        match room.and_then(|()| self.memory.store(key, entry_cost::<D>())) {
            Ok(key) => {
                self.map.insert(key, value);
                Ok(())
            }
            Err(error) => {
                self.memory.discard(value, 0);
                Err(error)
            }
        }
    }

    /// Removes `key`; whether it was there.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        let Some((key, value)) = self.map.remove_entry(key) else {
            return false;
        };
        self.memory.discard(key, entry_cost::<D>());
        self.memory.discard(value, 0);
        true
    }

    /// Keys stored.
    #[must_use]
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Bytes of stored data, entries included.
    #[must_use]
    pub fn budget(&self) -> Budget {
        self.memory.budget()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::memory::Boxes;

    fn store(memory: usize) -> Store<Boxes> {
        Store::new(Boxes::new(memory))
    }

    #[test]
    fn set_get_remove_charge_and_refund() {
        let mut store = store(1 << 20);
        store.set(b"k", b"one").unwrap();
        let one = store.budget().used;
        store.set(b"k", b"three").unwrap();
        assert_eq!(store.budget().used, one + 2);
        assert_eq!(store.get(b"k"), Some(&b"three"[..]));
        assert!(store.remove(b"k") && !store.remove(b"k") && store.is_empty());
        assert_eq!(store.budget().used, 0);
    }

    #[test]
    fn a_refused_set_changes_nothing() {
        let mut store = store(200);
        store.set(b"k", &[1; 90]).unwrap();
        let used = store.budget().used;
        assert_eq!(store.set(b"k", &[2; 190]), Err(OutOfMemory));
        assert_eq!(store.set(b"other", &[2; 50]), Err(OutOfMemory));
        assert_eq!((store.budget().used, store.len()), (used, 1));
        assert_eq!(store.get(b"k"), Some(&[1; 90][..]));
    }
}
