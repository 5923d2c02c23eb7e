//! `SlotTable`: values that keep their place, named by keys that go stale.
#![forbid(unsafe_code)]

use crate::table::DefaultSource;
use crate::table::error::{InsertError, TableError, refuse};
use crate::table::iter::{Drain, Iter, IterMut};
use crate::table::key::Key;
use crate::table::stats::TableStats;
use crate::table::store::{Store, Vacant};
use core::fmt;
use core::iter::FusedIterator;
use core::ops::{Index, IndexMut};
use pool_core::PageSource;

/// Values of one type, each named by a [`Key`] that finds nothing once its value is gone.
///
/// A server's connections: the key goes to the poller as its token, and an event that comes
/// after the connection was closed does not reach the next one in the same slot.
///
/// ```
/// use pool_object::{Key, SlotTable};
///
/// struct Connection { received: usize }
///
/// let mut connections = SlotTable::new();
/// // Accept: the token is known before the connection is made.
/// let entry = connections.vacant_entry();
/// let token = entry.key().to_u64(); // poll.register(&mut socket, Token(token as usize), ..)
/// entry.insert(Connection { received: 0 });
///
/// // An event arrives with the token.
/// let key = Key::from_u64(token).unwrap();
/// if let Some(connection) = connections.get_mut(key) {
///     connection.received += 100;
/// }
/// // The peer hangs up; what the poller still says about it is stale.
/// let closed = connections.remove(key).unwrap();
/// assert_eq!(closed.received, 100);
/// assert!(connections.get_mut(key).is_none());
/// ```
///
/// # Memory
///
/// Pages of 16 to 64 KiB (or of seven values or more, if those are longer) from the page source; a value is at
/// one address for its whole life. Beyond `size_of::<T>()` (at least 4) a value costs 4 bytes, and its
/// share of what does not fill a page: 4.1 bytes in all at 256 B. An empty table has no
/// memory. [`shrink`](Self::shrink) gives pages back that have no values.
///
/// # Keys
///
/// Each slot counts its tenants; a key has the count. A slot that has had one to two billion of them
/// (2³⁰ to 2³¹: tables begin to count at different numbers) is not used any more, so that no count
/// comes again, and a page that is given back leaves the highest of its counts to the one that comes
/// in its place. Enough slots follow for 2⁴⁷ values, in whatever order they come and go and pages
/// are given back.
///
/// # Complexity
///
/// All of a value: O(1). A new page: O(1) a slot, and a look at each page that is not there, once after
/// a [`shrink`](Self::shrink). Iterating: O(values + slots / 64).
pub struct SlotTable<T, S: PageSource = DefaultSource> {
    store: Store<T, S>,
}

#[cfg(all(feature = "std", not(loom)))]
impl<T> SlotTable<T> {
    /// An empty table on the process-wide source; takes no memory yet.
    #[must_use]
    pub const fn new() -> Self {
        Self::new_in(pool_core::Global)
    }
}

#[cfg(all(feature = "std", not(loom)))]
impl<T> Default for SlotTable<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, S: PageSource> SlotTable<T, S> {
    /// An empty table that draws from `source`; takes no memory yet.
    ///
    /// ```
    /// use pool_core::{Heap, PageSource};
    /// use pool_object::SlotTable;
    /// let mut table = SlotTable::new_in(Heap::new().limited(16 << 10));
    /// assert!(table.try_insert([0u8; 100]).is_err()); // a page, but none for the directory
    /// ```
    #[must_use]
    pub const fn new_in(source: S) -> Self {
        Self { store: Store::new(source) }
    }

    /// With at most `values` values at once; no limit but memory by default.
    ///
    /// ```
    /// let mut table = pool_object::SlotTable::new().with_limit(1);
    /// table.insert(1);
    /// assert!(table.try_insert(2).is_err());
    /// ```
    #[must_use]
    pub fn with_limit(mut self, values: usize) -> Self {
        self.set_limit(values);
        self
    }

    /// From now on at most `values` values at once; what is beyond that stays.
    pub fn set_limit(&mut self, values: usize) {
        self.store.set_max(values);
    }

    /// With slots that begin at this generation, from 1 to 2³¹ - 1, instead of one that no other
    /// table of the process is near. For tests of what happens when slots are used up.
    ///
    /// ```
    /// let mut table = pool_object::SlotTable::new().with_first_generation(u32::MAX >> 1);
    /// let key = table.insert(1);
    /// assert_eq!(key.generation(), u32::MAX >> 1);
    /// table.remove(key);
    /// assert_ne!(table.insert(2).index(), key.index()); // the slot has retired
    /// ```
    #[must_use]
    pub fn with_first_generation(mut self, generation: u32) -> Self {
        self.store.set_first(generation);
        self
    }

    /// Values in the table.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.store.len()
    }

    /// Whether there is none.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The most values there were, or had a vacant entry, at once.
    #[must_use]
    pub fn peak(&self) -> usize {
        self.store.peak()
    }

    /// The most values there may be at once.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.store.max()
    }

    /// Figures. Nothing is counted for them while the table is used. O(pages).
    #[must_use]
    pub fn stats(&self) -> TableStats {
        self.store.stats()
    }

    /// Slots in the pages that the table has. O(pages).
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.store.capacity()
    }

    /// Takes memory for `values` more values at once, so that their inserts cannot be refused. To keep
    /// it, do not [`shrink`](Self::shrink).
    ///
    /// # Panics
    /// If there is no room; [`try_reserve`](Self::try_reserve) says why instead.
    #[track_caller]
    pub fn reserve(&mut self, values: usize) {
        if let Err(error) = self.try_reserve(values) {
            refuse(error)
        }
    }

    /// As [`reserve`](Self::reserve). O(values): slots that are kept ready are touched.
    ///
    /// ```
    /// use pool_core::{Heap, PageSource};
    /// let source = Heap::new().counted();
    /// let mut table = pool_object::SlotTable::new_in(&source);
    /// table.try_reserve(1000)?;
    /// let taken = source.traffic().live_bytes;
    /// (0..1000).for_each(|number| drop(table.insert(number)));
    /// assert_eq!(source.traffic().live_bytes, taken);
    /// # Ok::<(), pool_object::TableError>(())
    /// ```
    ///
    /// # Errors
    /// [`TableError`]; what was taken until then went back, and so did all that [`shrink`](Self::shrink)
    /// gives back.
    pub fn try_reserve(&mut self, values: usize) -> Result<(), TableError> {
        self.store.reserve(values)
    }

    /// Where pages come from.
    #[must_use]
    pub fn source(&self) -> &S {
        self.store.source()
    }

    /// The place of the next value, whose key is known before the value. Nothing is taken until
    /// [`VacantEntry::insert`].
    ///
    /// ```
    /// use pool_object::{Key, SlotTable};
    /// struct Timer { me: Key }
    /// let mut timers = SlotTable::new();
    /// let entry = timers.vacant_entry();
    /// let me = entry.key();
    /// entry.insert(Timer { me });
    /// assert_eq!(timers[me].me, me);
    /// ```
    ///
    /// # Panics
    /// If there is no room; [`try_vacant_entry`](Self::try_vacant_entry) says why instead.
    #[inline(always)]
    #[track_caller]
    pub fn vacant_entry(&mut self) -> VacantEntry<'_, T, S> {
        match self.try_vacant_entry() {
            Ok(entry) => entry,
            Err(error) => refuse(error),
        }
    }

    /// As [`vacant_entry`](Self::vacant_entry).
    ///
    /// # Errors
    /// [`TableError`], and nothing has changed.
    #[inline(always)]
    pub fn try_vacant_entry(&mut self) -> Result<VacantEntry<'_, T, S>, TableError> {
        Ok(VacantEntry { vacant: self.store.vacant()? })
    }

    /// Puts a value in; its key.
    ///
    /// ```
    /// let mut table = pool_object::SlotTable::new();
    /// let key = table.insert("value");
    /// assert_eq!(table.remove(key), Some("value"));
    /// ```
    ///
    /// # Panics
    /// If there is no room; [`try_insert`](Self::try_insert) gives the value back instead.
    #[inline(always)]
    #[track_caller]
    pub fn insert(&mut self, value: T) -> Key {
        self.store.insert(value)
    }

    /// As [`insert`](Self::insert).
    ///
    /// # Errors
    /// The value, and a [`TableError`]. Nothing has changed.
    #[inline(always)]
    pub fn try_insert(&mut self, value: T) -> Result<Key, InsertError<T>> {
        self.store.try_insert(value)
    }

    /// Whether the key's value is there.
    #[inline(always)]
    #[must_use]
    pub fn contains(&self, key: Key) -> bool {
        self.store.contains(key)
    }

    /// The key's value; `None` if it is gone.
    #[inline(always)]
    #[must_use]
    pub fn get(&self, key: Key) -> Option<&T> {
        self.store.get(key)
    }

    /// The key's value, to be changed; `None` if it is gone.
    ///
    /// ```compile_fail,E0499
    /// let mut table = pool_object::SlotTable::new();
    /// let key = table.insert(1);
    /// let one = table.get_mut(key);
    /// let other = table.get_mut(key);
    /// one;
    /// ```
    #[inline(always)]
    #[must_use]
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.store.get_mut(key)
    }

    /// Several values at once: say, both ends of a proxied connection. `None` if one is gone or two
    /// keys are the same. O(N²), with N as small as it is.
    ///
    /// ```
    /// let mut table = pool_object::SlotTable::new();
    /// let (a, b) = (table.insert(1), table.insert(2));
    /// if let Some([a, b]) = table.get_disjoint_mut([a, b]) {
    ///     std::mem::swap(a, b);
    /// }
    /// assert_eq!((table[a], table[b]), (2, 1));
    /// assert_eq!(table.get_disjoint_mut([a, a]), None);
    /// ```
    #[inline]
    #[must_use]
    pub fn get_disjoint_mut<const N: usize>(&mut self, keys: [Key; N]) -> Option<[&mut T; N]> {
        self.store.get_disjoint_mut(keys)
    }

    /// Takes the key's value out; `None` if it is gone already.
    #[inline(always)]
    pub fn remove(&mut self, key: Key) -> Option<T> {
        self.store.remove(key)
    }

    /// Drops every value for which `wanted` says `false`, in the order of their slots.
    ///
    /// ```
    /// let mut idle_for: pool_object::SlotTable<u32> = Default::default();
    /// let (fresh, stale) = (idle_for.insert(1), idle_for.insert(90));
    /// idle_for.retain(|_key, seconds| *seconds < 60);
    /// assert!(idle_for.contains(fresh) && !idle_for.contains(stale));
    /// ```
    pub fn retain(&mut self, wanted: impl FnMut(Key, &mut T) -> bool) {
        self.store.retain(wanted);
    }

    /// Takes all values out, in the order of their slots; pages stay.
    ///
    /// ```
    /// let mut table = pool_object::SlotTable::new();
    /// let key = table.insert(7);
    /// assert_eq!(table.drain().collect::<Vec<_>>(), [(key, 7)]);
    /// assert!(table.is_empty());
    /// ```
    pub fn drain(&mut self) -> Drain<'_, T, S> {
        Drain { draining: self.store.draining() }
    }

    /// Drops all values; pages stay. If a destructor panics, the others still run.
    pub fn clear(&mut self) {
        drop(self.drain());
    }

    /// Gives back every page that has no value, and returns the bytes. O(slots).
    ///
    /// Old keys stay stale: what comes into the same slots has higher generations. What remains of
    /// an empty table is nothing, unless a slot of it has had half a billion tenants: then 12 bytes for
    /// every page that there was at once.
    ///
    /// ```
    /// use pool_core::{Heap, PageSource};
    /// let source = Heap::new().counted();
    /// let mut table = pool_object::SlotTable::new_in(&source);
    /// let keys: Vec<_> = (0..10_000u64).map(|value| table.insert(value)).collect();
    /// table.clear();
    /// assert!(table.shrink() > 80_000);
    /// assert_eq!(source.traffic().live_bytes, 0);
    /// let key = table.insert(1);
    /// assert!(!keys.contains(&key) && keys.iter().all(|&key| table.get(key).is_none()));
    /// ```
    #[allow(clippy::must_use_candidate, reason = "called for its effect")]
    pub fn shrink(&mut self) -> usize {
        self.store.shrink()
    }

    /// Keys and values, in the order of their slots. `for_each`, `sum` and other methods that go
    /// through it at one go are faster than a `for` loop.
    ///
    /// ```
    /// let mut table = pool_object::SlotTable::new();
    /// let key = table.insert('a');
    /// assert!(table.iter().eq([(key, &'a')]));
    /// ```
    #[inline]
    pub fn iter(&self) -> Iter<'_, T> {
        Iter::new(&self.store)
    }

    /// Keys and values, to be changed, in the order of their slots.
    #[inline]
    pub fn iter_mut(&mut self) -> IterMut<'_, T> {
        IterMut::new(&mut self.store)
    }

    /// The keys, in the order of their slots.
    ///
    /// ```
    /// let mut table = pool_object::SlotTable::new();
    /// let (a, b) = (table.insert('a'), table.insert('b'));
    /// assert!(table.keys().eq([a, b]) && table.values().eq(&['a', 'b']));
    /// ```
    #[inline]
    pub fn keys(&self) -> impl ExactSizeIterator<Item = Key> + FusedIterator + Clone {
        self.iter().map(|(key, _)| key)
    }

    /// The values, in the order of their slots.
    #[inline]
    pub fn values(&self) -> impl ExactSizeIterator<Item = &T> + FusedIterator + Clone {
        self.iter().map(|(_, value)| value)
    }

    /// The values, to be changed, in the order of their slots.
    ///
    /// ```
    /// let mut idle_for = pool_object::SlotTable::new();
    /// let key = idle_for.insert(1);
    /// idle_for.values_mut().for_each(|seconds| *seconds += 1);
    /// assert_eq!(idle_for[key], 2);
    /// ```
    #[inline]
    pub fn values_mut(&mut self) -> impl ExactSizeIterator<Item = &mut T> + FusedIterator {
        self.iter_mut().map(|(_, value)| value)
    }

    /// Asserts every internal invariant, in O(slots): for tests and fuzzing.
    #[doc(hidden)]
    pub fn check(&self) {
        self.store.check();
    }
}

impl<T, S: PageSource> Drop for SlotTable<T, S> {
    fn drop(&mut self) {
        if core::mem::needs_drop::<T>() {
            self.clear();
        }
    }
}

impl<T, S: PageSource> Index<Key> for SlotTable<T, S> {
    type Output = T;

    /// # Panics
    /// If the key's value is gone.
    #[inline]
    fn index(&self, key: Key) -> &T {
        self.get(key).expect("the key's value is gone")
    }
}

impl<T, S: PageSource> IndexMut<Key> for SlotTable<T, S> {
    /// # Panics
    /// If the key's value is gone.
    #[inline]
    fn index_mut(&mut self, key: Key) -> &mut T {
        self.get_mut(key).expect("the key's value is gone")
    }
}

impl<'a, T, S: PageSource> IntoIterator for &'a SlotTable<T, S> {
    type Item = (Key, &'a T);
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<'a, T, S: PageSource> IntoIterator for &'a mut SlotTable<T, S> {
    type Item = (Key, &'a mut T);
    type IntoIter = IterMut<'a, T>;

    fn into_iter(self) -> IterMut<'a, T> {
        self.iter_mut()
    }
}

impl<T, S: PageSource> fmt::Debug for SlotTable<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlotTable")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

/// The place of a value that is still to come; see [`SlotTable::vacant_entry`]. To drop or forget it
/// changes nothing.
pub struct VacantEntry<'a, T, S: PageSource = DefaultSource> {
    vacant: Vacant<'a, T, S>,
}

impl<'a, T, S: PageSource> VacantEntry<'a, T, S> {
    /// The key that the value will have.
    #[inline]
    #[must_use]
    pub fn key(&self) -> Key {
        self.vacant.key()
    }

    /// Puts the value in.
    #[inline(always)]
    pub fn insert(self, value: T) -> &'a mut T {
        self.vacant.fill(value)
    }
}

impl<T, S: PageSource> fmt::Debug for VacantEntry<'_, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VacantEntry").field("key", &self.key()).finish_non_exhaustive()
    }
}
