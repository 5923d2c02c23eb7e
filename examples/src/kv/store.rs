//! Keys and values, and when they end.
//!
//! Entries lie in one dense array; a hash table finds their places. The array gives what a hash map
//! cannot: a random key in O(1), and a scan that survives changes. [`Store::scan`] goes from the end
//! to the beginning. Removing moves the last entry into the hole: that one was visited already, or
//! it is still to come, so whoever stays during a whole scan is met.
#![forbid(unsafe_code)]

use super::memory::{Budget, Data};
use super::reply::OutOfMemory;
use hashbrown::HashTable;
use std::borrow::Borrow;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes of the array and the table that an entry is charged with, and the free slots that they
/// have on average.
const fn entry_cost<D: Data>() -> usize {
    size_of::<Entry<D::Bytes>>() * 4 / 3 + 7
}

/// Milliseconds since 1970.
#[must_use]
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// How Redis would keep a value, where that does not follow from its bytes; `OBJECT ENCODING` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A number if it reads as one.
    Any,
    /// A string though it may read as a number.
    Text,
    /// A string that was changed in place.
    Raw,
}

/// When an entry ends, and its form: 62 bits and 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Meta(u64);

impl Meta {
    /// Ends beyond this (in 146 million years) are cut to it.
    const LAST: i64 = (1 << 61) - 1;

    fn new(form: Form, end: Option<i64>) -> Self {
        let end = end.map_or(0, |end| end.clamp(1, Self::LAST).unsigned_abs());
        Self(end << 2 | form as u64)
    }

    const fn form(self) -> Form {
        match self.0 & 3 {
            0 => Form::Any,
            1 => Form::Text,
            _ => Form::Raw,
        }
    }

    fn end(self) -> Option<i64> {
        Some((self.0 >> 2) as i64).filter(|&end| end > 0)
    }
}

#[derive(Debug)]
struct Entry<B> {
    key: B,
    value: B,
    meta: Meta,
}

/// The one database. The hasher is the standard library's: keyed, so that clients cannot choose
/// keys that collide.
#[derive(Debug)]
pub struct Store<D: Data> {
    data: D,
    hasher: RandomState,
    /// Places of `entries`, by the hashes of their keys.
    places: HashTable<u32>,
    entries: Vec<Entry<D::Bytes>>,
    /// How many entries have an end.
    mortal: usize,
    /// Where [`expire_some`](Self::expire_some) goes on.
    sweep: usize,
    /// Entries that have ended by themselves.
    expired: u64,
    /// How often a random key was drawn.
    drawn: u64,
}

impl<D: Data> Store<D> {
    /// An empty database.
    #[must_use]
    pub fn new(data: D) -> Self {
        Self {
            data,
            hasher: RandomState::new(),
            places: HashTable::new(),
            entries: Vec::new(),
            mortal: 0,
            sweep: 0,
            expired: 0,
            drawn: 0,
        }
    }

    #[inline]
    fn hash(&self, key: &[u8]) -> u64 {
        // Without the length that `Hash` for slices adds: no other type is hashed here.
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key);
        hasher.finish()
    }

    /// The place of a key that has not ended.
    #[inline]
    fn find(&mut self, key: &[u8]) -> Option<usize> {
        let hash = self.hash(key);
        let same = |&place: &u32| self.entries[place as usize].key.borrow() == key;
        let place = *self.places.find(hash, same)? as usize;
        if self.entries[place].meta.end().is_some() && self.end_if_due(place) {
            return None;
        }
        Some(place)
    }

    #[cold]
    fn end_if_due(&mut self, place: usize) -> bool {
        let due = self.entries[place].meta.end().is_some_and(|end| end <= now());
        if due {
            self.remove_at(place);
            self.expired += 1;
        }
        due
    }

    /// The value of `key`.
    #[inline]
    #[must_use]
    pub fn get(&mut self, key: &[u8]) -> Option<&[u8]> {
        let place = self.find(key)?;
        Some(self.entries[place].value.borrow())
    }

    /// The form of `key`'s value.
    #[must_use]
    pub fn form(&mut self, key: &[u8]) -> Option<Form> {
        let place = self.find(key)?;
        Some(self.entries[place].meta.form())
    }

    /// When `key` ends, in milliseconds since 1970: outside `None` if there is no such key, inside
    /// if it does not end.
    #[must_use]
    pub fn end(&mut self, key: &[u8]) -> Option<Option<i64>> {
        let place = self.find(key)?;
        Some(self.entries[place].meta.end())
    }

    /// Sets when `key` ends; whether there is such a key. One that has ended already is removed when
    /// it is looked at.
    pub fn set_end(&mut self, key: &[u8], end: Option<i64>) -> bool {
        let Some(place) = self.find(key) else { return false };
        let form = self.entries[place].meta.form();
        self.set_meta(place, Meta::new(form, end));
        true
    }

    fn set_meta(&mut self, place: usize, meta: Meta) {
        let old = std::mem::replace(&mut self.entries[place].meta, meta);
        self.mortal -= usize::from(old.end().is_some());
        self.mortal += usize::from(meta.end().is_some());
    }

    /// Sets `key` to a copy of `value`, which does not end by itself.
    ///
    /// # Errors
    /// [`OutOfMemory`] over budget; the old value stays.
    #[inline]
    pub fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), OutOfMemory> {
        self.put(key, value, Form::Any, Some(None))
    }

    /// Sets `key` to a copy of `value`. `end` is `None` to keep that of the old value, else when the
    /// new one ends.
    ///
    /// # Errors
    /// [`OutOfMemory`] over budget; the old value stays.
    pub fn put(
        &mut self,
        key: &[u8],
        value: &[u8],
        form: Form,
        end: Option<Option<i64>>,
    ) -> Result<(), OutOfMemory> {
        let value = self.data.store(value, 0)?;
        match self.find(key) {
            Some(place) => {
                let entry = &mut self.entries[place];
                let end = end.unwrap_or(entry.meta.end());
                let old = std::mem::replace(&mut entry.value, value);
                self.set_meta(place, Meta::new(form, end));
                self.data.discard(old, 0);
                Ok(())
            }
            None => self.insert(key, value, Meta::new(form, end.flatten())),
        }
    }

    /// Adds a key that is not there.
    fn insert(&mut self, key: &[u8], value: D::Bytes, meta: Meta) -> Result<(), OutOfMemory> {
        match self.make_room().and_then(|()| self.data.store(key, entry_cost::<D>())) {
            Ok(stored) => {
                let place = self.entries.len() as u32;
                let hash = self.hash(key);
                self.entries.push(Entry { key: stored, value, meta });
                let (entries, hasher) = (&self.entries, &self.hasher);
                self.places.insert_unique(hash, place, |&place| {
                    let mut hasher = hasher.build_hasher();
                    hasher.write(entries[place as usize].key.borrow());
                    hasher.finish()
                });
                self.mortal += usize::from(meta.end().is_some());
                Ok(())
            }
            Err(error) => {
                self.data.discard(value, 0);
                Err(error)
            }
        }
    }

    /// Room for one more entry.
    fn make_room(&mut self) -> Result<(), OutOfMemory> {
        if u32::try_from(self.entries.len()).is_err() {
            return Err(OutOfMemory);
        }
        self.entries.try_reserve(1).map_err(|_| OutOfMemory)?;
        let (entries, hasher) = (&self.entries, &self.hasher);
        let rehash = |&place: &u32| {
            let mut hasher = hasher.build_hasher();
            hasher.write(entries[place as usize].key.borrow());
            hasher.finish()
        };
        self.places.try_reserve(1, rehash).map_err(|_| OutOfMemory)
    }

    /// Removes `key`; whether it was there.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        let place = self.find(key);
        if let Some(place) = place {
            self.remove_at(place);
        }
        place.is_some()
    }

    fn remove_at(&mut self, place: usize) {
        let hash = self.hash(self.entries[place].key.borrow());
        if let Ok(found) = self.places.find_entry(hash, |&other| other as usize == place) {
            found.remove();
        }
        let last = self.entries.len() - 1;
        if place < last {
            let hash = self.hash(self.entries[last].key.borrow());
            if let Some(moved) = self.places.find_mut(hash, |&other| other as usize == last) {
                *moved = place as u32;
            }
        }
        let Entry { key, value, meta } = self.entries.swap_remove(place);
        self.mortal -= usize::from(meta.end().is_some());
        self.data.discard(key, entry_cost::<D>());
        self.data.discard(value, 0);
    }

    /// Removes all keys.
    pub fn clear(&mut self) {
        self.places = HashTable::new();
        for Entry { key, value, .. } in std::mem::take(&mut self.entries) {
            self.data.discard(key, entry_cost::<D>());
            self.data.discard(value, 0);
        }
        self.mortal = 0;
    }

    /// Visits the keys that have not ended at `now`, of `count` from `cursor` on (0 begins, and is
    /// what comes back at the end); the next cursor. The same arguments visit the same keys, unless
    /// the store has changed.
    pub fn scan(&self, now: i64, cursor: u64, count: usize, mut visit: impl FnMut(&[u8])) -> u64 {
        let len = self.entries.len();
        let from = match usize::try_from(cursor) {
            Ok(1..) if cursor <= len as u64 => cursor as usize,
            _ => len,
        };
        let to = from.saturating_sub(count);
        for entry in self.entries[to..from].iter().rev() {
            if entry.meta.end().is_none_or(|end| end > now) {
                visit(entry.key.borrow());
            }
        }
        to as u64
    }

    /// Some key, each as likely as the others.
    pub fn any_key(&mut self) -> Option<&[u8]> {
        while !self.entries.is_empty() {
            self.drawn += 1;
            let random = self.hash(&self.drawn.to_ne_bytes());
            let place = (random % self.entries.len() as u64) as usize;
            if !self.end_if_due(place) {
                return Some(self.entries[place].key.borrow());
            }
        }
        None
    }

    /// Looks at up to `count` entries, in turn, and removes those that have ended; so what nobody
    /// asks for goes too. Whether there may be more to do soon.
    pub fn expire_some(&mut self, count: usize) -> bool {
        let (mut looked, mut ended) = (0, 0);
        while looked < count && self.mortal > 0 {
            if self.sweep == 0 || self.sweep > self.entries.len() {
                self.sweep = self.entries.len();
            }
            self.sweep -= 1;
            looked += 1;
            // Removing moves the last entry here, which the sweep has seen.
            ended += usize::from(self.end_if_due(self.sweep));
        }
        ended * 4 > count
    }

    /// Keys stored, those included that have ended and are not yet removed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Keys that end by themselves.
    #[must_use]
    pub fn mortal(&self) -> usize {
        self.mortal
    }

    /// Keys that have ended by themselves.
    #[must_use]
    pub fn expired(&self) -> u64 {
        self.expired
    }

    /// Bytes that a key and its value are charged with.
    #[must_use]
    pub fn cost(&mut self, key: &[u8]) -> Option<usize> {
        let place = self.find(key)?;
        let entry = &self.entries[place];
        let (key, value): (&[u8], &[u8]) = (entry.key.borrow(), entry.value.borrow());
        Some(key.len() + value.len() + entry_cost::<D>())
    }

    /// Bytes of stored data, entries included.
    #[must_use]
    pub fn budget(&self) -> Budget {
        self.data.budget()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::memory::Boxes;
    use std::collections::HashSet;

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

    #[test]
    fn entries_end() {
        let mut store = store(1 << 20);
        let (past, future) = (Some(Some(now() - 1)), Some(Some(now() + 100_000)));
        for index in 0..50u8 {
            let end = if index % 2 == 0 { past } else { future };
            store.put(&[index], b"v", Form::Any, end).unwrap();
        }
        assert_eq!(store.get(&[0]), None);
        assert_eq!((store.mortal(), store.len()), (49, 49));
        assert!(store.get(&[1]).is_some());
        let mut seen = 0;
        assert_eq!(store.scan(now(), 0, 100, |key| seen += usize::from(key[0] % 2)), 0);
        assert_eq!(seen, 25);
        while store.expire_some(10) {}
        store.expire_some(100);
        assert_eq!((store.len(), store.expired()), (25, 25));
        assert!(store.set_end(&[1], None) && !store.set_end(&[0], None));
        assert_eq!((store.mortal(), store.end(&[1]), store.end(&[0])), (24, Some(None), None));
        store.clear();
        assert_eq!((store.budget().used, store.mortal()), (0, 0));
    }

    #[test]
    fn a_scan_meets_all_that_stay() {
        let mut store = store(1 << 20);
        let name = |index: u32| index.to_le_bytes();
        for index in 0..1000 {
            store.set(&name(index), b"").unwrap();
        }
        let (mut seen, mut cursor, mut round) = (HashSet::new(), 0, 0);
        loop {
            cursor = store.scan(now(), cursor, 7, |key| {
                seen.insert(key.to_vec());
            });
            if cursor == 0 {
                break;
            }
            // The odd ones go meanwhile, others come.
            store.remove(&name((round * 2 + 1) % 1000));
            store.set(&name(1000 + round), b"").unwrap();
            round += 1;
        }
        assert!((0..1000).step_by(2).all(|index| seen.contains(&name(index)[..])));
    }
}
