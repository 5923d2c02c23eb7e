//! Keys and values, and when they end.
//!
//! Entries lie in one dense array; a hash table finds their places. The array gives what a hash map
//! cannot: a random key in O(1), and a scan that survives changes. [`Store::scan`] goes from the end
//! to the beginning. Removing moves the last entry into the hole: that one was visited already, or
//! it is still to come, so whoever stays during a whole scan is met.
#![forbid(unsafe_code)]

mod evict;
mod meta;
mod tidy;
mod transfer;
mod write;

pub(in crate::kv) use evict::WORD;
pub use meta::Form;
pub use tidy::Tidy;
pub use transfer::Parcel;

use super::memory::{Budget, Bytes, Data, Room};
use super::reply::OutOfMemory;
use super::values::{Collection, Kind, Value, WrongType};
use allocator_api2::vec::Vec;
use hashbrown::HashTable;
use meta::Meta;
use std::mem;
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes of the array and the table that an entry is charged with, and the free slots that they
/// have on average.
const fn entry_cost<D: Data>() -> usize {
    size_of::<Entry<D>>() * 4 / 3 + 7
}

/// Array and table are not made smaller than for so many entries.
const FEWEST: usize = 1024;

/// What becomes of a write that the budget has no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Eviction {
    /// Keys that were not used for long make room (of five drawn, the one, as Redis does it).
    Lru,
    /// It is refused.
    None,
}

impl Eviction {
    /// Redis' name for it.
    #[must_use]
    pub const fn policy(self) -> &'static str {
        match self {
            Self::Lru => "allkeys-lru",
            Self::None => "noeviction",
        }
    }
}

/// Milliseconds since 1970.
#[must_use]
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Whether two keys are the same: those of 8 to 16 bytes, which most are, without a call.
#[inline(always)]
fn is_same(one: &[u8], other: &[u8]) -> bool {
    if let (8..=16, true) = (one.len(), one.len() == other.len()) {
        let ends = |key: &[u8]| (key.first_chunk::<8>().copied(), key.last_chunk::<8>().copied());
        return ends(one) == ends(other);
    }
    one == other
}

struct Entry<D: Data> {
    key: Bytes<D>,
    value: Value<D>,
    meta: Meta,
}

/// The one database.
pub struct Store<D: Data> {
    /// What everything below is stored in and charged to.
    room: Room<D>,
    /// Places of `entries`, by the hashes of their keys.
    places: HashTable<u32, D>,
    entries: Vec<Entry<D>, D>,
    /// When each entry was used last, by `clock`; empty if nobody asks.
    used: Vec<u32, D>,
    /// Uses of entries so far. It may wrap: ages are differences.
    clock: u32,
    eviction: Eviction,
    /// How many entries have an end.
    mortal: usize,
    /// Where [`expire_some`](Self::expire_some) goes on.
    sweep: usize,
    /// Entries that have ended by themselves.
    expired: u64,
    /// Entries that had to make room.
    evicted: u64,
    /// How far its memory is tidied up.
    tidy: Tidy,
}

impl<D: Data> Store<D> {
    /// An empty database in `data`, of at most `memory` bytes.
    pub fn new(data: D, memory: usize, eviction: Eviction) -> Self {
        Self {
            places: HashTable::new_in(data.clone()),
            entries: Vec::new_in(data.clone()),
            used: Vec::new_in(data.clone()),
            room: Room::new(data, memory),
            clock: 0,
            eviction,
            mortal: 0,
            sweep: 0,
            expired: 0,
            evicted: 0,
            tidy: Tidy::default(),
        }
    }

    /// The place of a key that has not ended.
    #[inline(never)]
    fn find(&mut self, key: &[u8]) -> Option<usize> {
        self.find_here(key)
    }

    /// [`find`](Self::find) without a call, for the most frequent commands.
    #[inline(always)]
    fn find_here(&mut self, key: &[u8]) -> Option<usize> {
        let hash = self.room.hash(key);
        let same = |&place: &u32| is_same(&self.entries[place as usize].key, key);
        let place = *self.places.find(hash, same)? as usize;
        if self.entries[place].meta.end().is_some() && self.end_if_due(place) {
            return None;
        }
        if let Some(used) = self.used.get_mut(place) {
            self.clock = self.clock.wrapping_add(1);
            *used = self.clock;
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

    /// The string that `key` holds.
    ///
    /// # Errors
    /// [`WrongType`] if it holds something else.
    #[inline(never)]
    pub fn get(&mut self, key: &[u8]) -> Result<Option<&[u8]>, WrongType> {
        self.get_here(key)
    }

    /// [`get`](Self::get) without a call, for the most frequent command.
    ///
    /// # Errors
    /// As there.
    #[inline(always)]
    pub fn get_here(&mut self, key: &[u8]) -> Result<Option<&[u8]>, WrongType> {
        let Some(place) = self.find_here(key) else { return Ok(None) };
        match &self.entries[place].value {
            Value::Text(bytes) => Ok(Some(bytes)),
            Value::Many(_) => Err(WrongType),
        }
    }

    /// What `key` holds.
    pub fn kind(&mut self, key: &[u8]) -> Option<Kind> {
        let place = self.find(key)?;
        Some(self.entries[place].value.kind())
    }

    /// What `key` holds, and in which form.
    pub fn value(&mut self, key: &[u8]) -> Option<(&Value<D>, Form)> {
        let place = self.find(key)?;
        let entry = &self.entries[place];
        Some((&entry.value, entry.meta.form()))
    }

    /// The collection that `key` holds, to be looked at, and what its methods ask for.
    ///
    /// # Errors
    /// [`WrongType`] if it holds something else.
    pub fn look<T: Collection<D>>(
        &mut self,
        key: &[u8],
    ) -> Result<Option<(&T, &Room<D>)>, WrongType> {
        let Some(place) = self.find(key) else { return Ok(None) };
        match &mut self.entries[place].value {
            Value::Many(many) => Ok(Some((T::of(many).ok_or(WrongType)?, &self.room))),
            Value::Text(_) => Err(WrongType),
        }
    }

    /// Changes the collection that `key` holds; `None` if it holds nothing. Without elements left,
    /// the key is removed.
    ///
    /// # Errors
    /// [`WrongType`] if it holds something else.
    pub fn change<T: Collection<D>, R>(
        &mut self,
        key: &[u8],
        change: impl FnOnce(&mut T, &Room<D>) -> R,
    ) -> Result<Option<R>, WrongType> {
        let Some(place) = self.find(key) else { return Ok(None) };
        self.change_at(place, change).map(Some)
    }

    /// As [`change`](Self::change), of an empty collection if `key` holds nothing.
    ///
    /// # Errors
    /// [`WrongType`] if it holds something else; that of `change`; [`OutOfMemory`] if there is no
    /// room for the key.
    pub fn change_or_create<T: Collection<D>, R, E: From<WrongType> + From<OutOfMemory>>(
        &mut self,
        key: &[u8],
        change: impl FnOnce(&mut T, &Room<D>) -> Result<R, E>,
    ) -> Result<R, E> {
        let place = match self.find(key) {
            Some(place) => place,
            None => {
                let value = Value::empty::<T>(&self.room)?;
                self.insert(key, value, Meta::new(Form::Any, None))?;
                self.entries.len() - 1
            }
        };
        self.change_at(place, change)?
    }

    fn change_at<T: Collection<D>, R>(
        &mut self,
        place: usize,
        change: impl FnOnce(&mut T, &Room<D>) -> R,
    ) -> Result<R, WrongType> {
        let Value::Many(many) = &mut self.entries[place].value else { return Err(WrongType) };
        let changed = change(T::of(many).ok_or(WrongType)?, &self.room);
        self.room.settle();
        if self.entries[place].value.is_empty_collection() {
            self.remove_at(place);
        }
        Ok(changed)
    }

    /// When `key` ends, in milliseconds since 1970: outside `None` if there is no such key, inside
    /// if it does not end.
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

    #[inline]
    fn set_meta(&mut self, place: usize, meta: Meta) {
        let old = mem::replace(&mut self.entries[place].meta, meta);
        self.mortal -= usize::from(old.end().is_some());
        self.mortal += usize::from(meta.end().is_some());
    }

    /// Sets `key` to a copy of `value`, which does not end by itself.
    ///
    /// # Errors
    /// [`OutOfMemory`] over budget; the old value stays.
    #[inline(never)]
    pub fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), OutOfMemory> {
        self.set_here(key, value)
    }

    /// [`set`](Self::set) without a call, for the most frequent command.
    ///
    /// # Errors
    /// As there.
    #[inline(always)]
    pub fn set_here(&mut self, key: &[u8], value: &[u8]) -> Result<(), OutOfMemory> {
        let Some(place) = self.find_here(key) else { return self.set_new(key, value) };
        let entry = &mut self.entries[place];
        match &mut entry.value {
            Value::Text(old) => self.room.replace_here(old, value)?,
            many => {
                let new = Value::Text(self.room.store(value, 0)?);
                mem::replace(many, new).discard(&self.room);
            }
        }
        if entry.meta != Meta::NONE {
            self.set_meta(place, Meta::NONE);
        }
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn set_new(&mut self, key: &[u8], value: &[u8]) -> Result<(), OutOfMemory> {
        let bytes = self.room.store(value, 0)?;
        self.insert(key, Value::Text(bytes), Meta::NONE)
    }

    /// Sets `key` to a copy of `value`. `end` is `None` to keep that of the old value, else when the
    /// new one ends. Other keys make room if they must.
    ///
    /// # Errors
    /// [`OutOfMemory`] over budget; the old value stays.
    #[inline]
    pub fn put(
        &mut self,
        key: &[u8],
        value: &[u8],
        form: Form,
        end: Option<Option<i64>>,
    ) -> Result<(), OutOfMemory> {
        match self.put_at_once(key, value, form, end) {
            Err(OutOfMemory) if self.evict_for(key, value.len()) => {
                self.put_at_once(key, value, form, end)
            }
            done => done,
        }
    }

    #[inline(always)]
    fn put_at_once(
        &mut self,
        key: &[u8],
        value: &[u8],
        form: Form,
        end: Option<Option<i64>>,
    ) -> Result<(), OutOfMemory> {
        let value = Value::Text(self.room.store(value, 0)?);
        self.put_value(key, value, form, end)
    }

    #[inline]
    fn put_value(
        &mut self,
        key: &[u8],
        value: Value<D>,
        form: Form,
        end: Option<Option<i64>>,
    ) -> Result<(), OutOfMemory> {
        match self.find(key) {
            Some(place) => {
                let entry = &mut self.entries[place];
                let end = end.unwrap_or(entry.meta.end());
                let old = mem::replace(&mut entry.value, value);
                self.set_meta(place, Meta::new(form, end));
                old.discard(&self.room);
                Ok(())
            }
            None => self.insert(key, value, Meta::new(form, end.flatten())),
        }
    }

    /// Adds a key that is not there.
    #[cold]
    #[inline(never)]
    fn insert(&mut self, key: &[u8], value: Value<D>, meta: Meta) -> Result<(), OutOfMemory> {
        match self.make_room().and_then(|()| self.room.store(key, entry_cost::<D>())) {
            Ok(stored) => {
                let place = self.entries.len() as u32;
                let hash = self.room.hash(key);
                self.entries.push(Entry { key: stored, value, meta });
                if self.eviction == Eviction::Lru {
                    self.clock = self.clock.wrapping_add(1);
                    self.used.push(self.clock);
                }
                let (entries, room) = (&self.entries, &self.room);
                let rehash = |&place: &u32| room.hash(&entries[place as usize].key);
                self.places.insert_unique(hash, place, rehash);
                self.mortal += usize::from(meta.end().is_some());
                Ok(())
            }
            Err(error) => {
                value.discard(&self.room);
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
        if self.eviction == Eviction::Lru {
            self.used.try_reserve(1).map_err(|_| OutOfMemory)?;
        }
        let (entries, room) = (&self.entries, &self.room);
        let rehash = |&place: &u32| room.hash(&entries[place as usize].key);
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
        let hash = self.room.hash(&self.entries[place].key);
        if let Ok(found) = self.places.find_entry(hash, |&other| other as usize == place) {
            found.remove();
        }
        let last = self.entries.len() - 1;
        if place < last {
            let hash = self.room.hash(&self.entries[last].key);
            if let Some(moved) = self.places.find_mut(hash, |&other| other as usize == last) {
                *moved = place as u32;
            }
        }
        if place < self.used.len() {
            self.used.swap_remove(place);
        }
        let Entry { key, value, meta } = self.entries.swap_remove(place);
        self.mortal -= usize::from(meta.end().is_some());
        self.room.discard(key, entry_cost::<D>());
        value.discard(&self.room);
        self.room.settle();
        if last < self.entries.capacity() / 4 {
            self.shrink();
        }
    }

    /// Gives back what a rush has left of the tables.
    #[cold]
    fn shrink(&mut self) {
        self.shrink_to(self.entries.len() * 2);
    }

    /// Makes the tables so small, if they are larger.
    fn shrink_to(&mut self, entries: usize) {
        let entries = entries.max(FEWEST);
        if self.entries.capacity() > entries {
            self.entries.shrink_to(entries);
            self.used.shrink_to(entries);
            let (entries, room) = (&self.entries, &self.room);
            let rehash = |&place: &u32| room.hash(&entries[place as usize].key);
            self.places.shrink_to(entries.len(), rehash);
        }
    }

    /// Removes all keys, and gives their memory back.
    pub fn clear(&mut self) {
        let data = self.room.alloc();
        self.places = HashTable::new_in(data.clone());
        self.used = Vec::new_in(data.clone());
        for Entry { key, value, .. } in mem::replace(&mut self.entries, Vec::new_in(data.clone())) {
            self.room.discard(key, entry_cost::<D>());
            value.discard(&self.room);
        }
        self.mortal = 0;
        self.room.settle();
        data.trim();
    }

    /// Visits the keys that have not ended at `now`, of `count` from `cursor` on (0 begins, and is
    /// what comes back at the end), with what they hold; the next cursor. The same arguments visit the
    /// same keys, unless the store has changed.
    pub fn scan(
        &self,
        now: i64,
        cursor: u64,
        count: usize,
        mut visit: impl FnMut(&[u8], Kind),
    ) -> u64 {
        let len = self.entries.len();
        let from = match usize::try_from(cursor) {
            Ok(1..) if cursor <= len as u64 => cursor as usize,
            _ => len,
        };
        let to = from.saturating_sub(count);
        for entry in self.entries[to..from].iter().rev() {
            if entry.meta.end().is_none_or(|end| end > now) {
                visit(&entry.key, entry.value.kind());
            }
        }
        to as u64
    }

    /// Some key, each as likely as the others.
    pub fn any_key(&mut self) -> Option<&[u8]> {
        while !self.entries.is_empty() {
            let place = self.room.random(self.entries.len());
            if !self.end_if_due(place) {
                return Some(&self.entries[place].key);
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

    /// Keys that had to make room.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Bytes that a key and its value are charged with. O(elements).
    pub fn cost(&mut self, key: &[u8]) -> Option<usize> {
        let place = self.find(key)?;
        let Entry { key, value, .. } = &self.entries[place];
        Some(D::block(key.len()) + value.cost() + entry_cost::<D>())
    }

    /// What collections are stored in.
    pub const fn room(&self) -> &Room<D> {
        &self.room
    }

    /// Bytes of stored data, tables included.
    #[must_use]
    pub fn budget(&self) -> Budget {
        self.room.budget()
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
