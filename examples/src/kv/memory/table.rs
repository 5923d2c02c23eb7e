//! Tables of connections: what the event loop's tokens name.
#![forbid(unsafe_code)]

use crate::kv::reply::OutOfMemory;
use crate::kv::seldom::warn_seldom;
use pool_core::PageSource;
use pool_object::{Key, SlotTable, TableError};
use slab::Slab;

/// Things under tokens that an event loop can hand to the system.
pub trait Table<T> {
    /// Adds what `make` makes of the token that it will have, unless that fails.
    ///
    /// # Errors
    /// `make`'s, or [`OutOfMemory`].
    fn insert_with<E: From<OutOfMemory>>(
        &mut self,
        make: impl FnOnce(usize) -> Result<T, E>,
    ) -> Result<usize, E>;

    /// The thing under `token`, if there is one.
    fn get(&self, token: usize) -> Option<&T>;

    /// The same, to be changed.
    fn get_mut(&mut self, token: usize) -> Option<&mut T>;

    /// Takes it out.
    fn remove(&mut self, token: usize) -> Option<T>;

    /// How many there are.
    fn count(&self) -> usize;

    /// Visits all.
    fn for_each(&mut self, visit: impl FnMut(usize, &mut T));

    /// Gives back memory that a rush has left.
    fn trim(&mut self);
}

/// A token is an index: whoever comes next may get it, so events of one who left must be done with.
impl<T> Table<T> for Slab<T> {
    fn insert_with<E: From<OutOfMemory>>(
        &mut self,
        make: impl FnOnce(usize) -> Result<T, E>,
    ) -> Result<usize, E> {
        let entry = self.vacant_entry();
        let token = entry.key();
        entry.insert(make(token)?);
        Ok(token)
    }

    fn get(&self, token: usize) -> Option<&T> {
        Self::get(self, token)
    }

    fn get_mut(&mut self, token: usize) -> Option<&mut T> {
        Self::get_mut(self, token)
    }

    fn remove(&mut self, token: usize) -> Option<T> {
        self.try_remove(token)
    }

    fn count(&self) -> usize {
        self.len()
    }

    fn for_each(&mut self, mut visit: impl FnMut(usize, &mut T)) {
        self.iter_mut().for_each(|(token, thing)| visit(token, thing));
    }

    fn trim(&mut self) {
        self.shrink_to_fit();
    }
}

impl From<TableError> for OutOfMemory {
    fn from(error: TableError) -> Self {
        warn_seldom!(%error, "no memory for a connection");
        Self
    }
}

/// A token is a key, generation and all: one of a thing that is gone finds nothing, ever.
impl<T, S: PageSource> Table<T> for SlotTable<T, S> {
    fn insert_with<E: From<OutOfMemory>>(
        &mut self,
        make: impl FnOnce(usize) -> Result<T, E>,
    ) -> Result<usize, E> {
        let entry = self.try_vacant_entry().map_err(OutOfMemory::from)?;
        let token = token(entry.key());
        entry.insert(make(token)?);
        Ok(token)
    }

    #[inline]
    fn get(&self, token: usize) -> Option<&T> {
        Self::get(self, Key::from_u64(token as u64)?)
    }

    #[inline]
    fn get_mut(&mut self, token: usize) -> Option<&mut T> {
        Self::get_mut(self, Key::from_u64(token as u64)?)
    }

    fn remove(&mut self, token: usize) -> Option<T> {
        Self::remove(self, Key::from_u64(token as u64)?)
    }

    fn count(&self) -> usize {
        self.len()
    }

    fn for_each(&mut self, mut visit: impl FnMut(usize, &mut T)) {
        self.iter_mut().for_each(|(key, thing)| visit(token(key), thing));
    }

    fn trim(&mut self) {
        self.shrink();
    }
}

/// A key as mio's tokens have it.
const fn token(key: Key) -> usize {
    const { assert!(usize::BITS >= 64, "the tokens of the poll are too narrow for keys") };
    key.to_u64() as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use pool_core::Heap;

    fn insert<T>(table: &mut impl Table<T>, thing: T) -> usize {
        table.insert_with(|_| Ok::<_, OutOfMemory>(thing)).unwrap()
    }

    fn program(mut table: impl Table<char>) {
        let a = insert(&mut table, 'a');
        let mut given = 0;
        let b = table.insert_with(|token| {
            given = token;
            Ok::<_, OutOfMemory>('b')
        });
        assert_eq!(b, Ok(given));
        assert_eq!(table.insert_with(|_| Err(OutOfMemory)), Err(OutOfMemory));
        assert_eq!((table.count(), table.get_mut(a)), (2, Some(&mut 'a')));
        assert_eq!((table.remove(a), table.remove(a)), (Some('a'), None));
        let mut seen = Vec::new();
        table.for_each(|token, thing| seen.push((token, *thing)));
        assert_eq!(seen, [(given, 'b')]);
        table.trim();
        assert_eq!((table.count(), table.get_mut(given)), (1, Some(&mut 'b')));
    }

    #[test]
    fn tables_do_the_same() {
        program(Slab::new());
        program(SlotTable::new_in(Heap::new()));
    }

    #[test]
    fn a_stale_token_finds_nobody() {
        let mut table = SlotTable::new_in(Heap::new());
        let stale = insert(&mut table, 'a');
        Table::remove(&mut table, stale);
        for _ in 0..1000 {
            let next = insert(&mut table, 'b');
            assert_eq!(Table::get_mut(&mut table, stale), None);
            assert_eq!(Table::remove(&mut table, stale), None);
            Table::remove(&mut table, next);
        }
    }

    #[test]
    fn a_refusal_is_no_panic() {
        let mut table = SlotTable::new_in(Heap::new().limited(64 << 10));
        let refused = table.insert_with(|_| Ok::<_, OutOfMemory>([0; 100]));
        assert_eq!((refused, table.len()), (Err(OutOfMemory), 0));
    }
}
