//! Room for writes: how much they need, and the keys that make it.
#![forbid(unsafe_code)]

use super::{Eviction, Store, entry_cost};
use crate::kv::memory::{Bytes, Data};
use crate::kv::reply::OutOfMemory;
use crate::kv::values::{Dict, List, Score, Sorted, many_cost};
use allocator_api2::vec::Vec;

/// Entries that are looked at to find one that was not used for long.
const SAMPLES: usize = 5;

/// Bytes that a stored word is charged with at most, besides its block: its shares of tables.
pub(in crate::kv) const WORD: usize = 64;

impl<D: Data> Store<D> {
    /// Bytes that are enough to store words of these lengths under a key, whatever they become there: so a request
    /// that finds them does not stop halfway.
    pub fn need(words: impl Iterator<Item = usize>) -> usize {
        const {
            // A key and its value are two words, and so are a field and its value.
            assert!(entry_cost::<D>() <= 2 * WORD);
            assert!(Dict::<Bytes<D>, D>::share() <= 2 * WORD);
            assert!(Dict::<Score, D>::share() + Sorted::<D>::share() <= WORD);
            assert!(List::<D>::share() <= WORD);
        }
        let first = entry_cost::<D>() + many_cost::<D>();
        words.fold(first, |sum, len| sum.saturating_add(D::block(len)).saturating_add(WORD))
    }

    /// Makes room for so many bytes more, if that is allowed and can be: by what has ended or was not
    /// used for long. Whether there is room.
    pub fn ensure(&mut self, bytes: usize) -> bool {
        self.room.settle();
        self.room.has(bytes) || self.evict(bytes, None)
    }

    /// Allows so many bytes from now on. If more are used, keys go at once, if they may.
    pub fn set_limit(&mut self, limit: usize) {
        self.room.set_limit(limit);
        self.evict(0, None);
    }

    /// Says what becomes of writes beyond the budget from now on.
    ///
    /// # Errors
    /// [`OutOfMemory`]: there is no memory to note when keys were used. Nothing has changed.
    pub fn set_eviction(&mut self, eviction: Eviction) -> Result<(), OutOfMemory> {
        let mut used = Vec::new_in(self.room.alloc());
        if eviction == Eviction::Lru {
            // As if all were used now, those that are already noted apart.
            used.try_reserve(self.entries.len()).map_err(|_| OutOfMemory)?;
            used.extend_from_slice(&self.used);
            used.resize(self.entries.len(), self.clock);
        }
        (self.used, self.eviction) = (used, eviction);
        Ok(())
    }

    /// Makes room for a key and a value of so many bytes.
    #[cold]
    #[inline(never)]
    pub(super) fn evict_for(&mut self, key: &[u8], value: usize) -> bool {
        self.evict(Self::need([key.len(), value].into_iter()), Some(key))
    }

    /// As [`ensure`](Self::ensure), but the key `kept` stays: it is being worked on.
    #[cold]
    #[inline(never)]
    pub(super) fn evict(&mut self, bytes: usize, kept: Option<&[u8]>) -> bool {
        if self.eviction == Eviction::None {
            return false;
        }
        // Nothing goes for what has no room in the end.
        let stays = kept.and_then(|key| self.cost(key)).unwrap_or(0);
        if bytes > self.room.budget().limit.saturating_sub(stays) {
            return false;
        }
        while self.room.is_over() || !self.room.has(bytes) {
            let Some(oldest) = self.oldest(kept) else { return false };
            self.remove_at(oldest);
            self.evicted += 1;
        }
        true
    }

    /// The place of an entry that was not used for long, other than `kept`.
    fn oldest(&self, kept: Option<&[u8]>) -> Option<usize> {
        let len = self.entries.len();
        let may_go = |place: &usize| kept.is_none_or(|key| *self.entries[*place].key != *key);
        let age = |place: &usize| self.used.get(*place).map(|used| self.clock.wrapping_sub(*used));
        let drawn = (0..SAMPLES.min(len)).map(|_| self.room.random(len)).filter(may_go);
        // All that were drawn may have been the one that stays.
        drawn.max_by_key(age).or_else(|| (0..len.min(2)).find(may_go))
    }
}
