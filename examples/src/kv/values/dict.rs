//! Elements by name: what hashes, sets and sorted sets are made of.
#![forbid(unsafe_code)]

use super::Items;
use crate::kv::memory::{Bytes, Data, Room};
use crate::kv::reply::OutOfMemory;
use allocator_api2::vec::Vec;
use hashbrown::HashTable;

/// Up to so many elements are looked through one by one: their lengths already tell most apart.
const FEW: usize = 16;

/// No place of an element.
const NOWHERE: usize = u32::MAX as usize;

/// Elements in a dense array, in the order they came as long as they are removed in order, and
/// above a few of them with a hash table over it. As in the store, the array gives random elements
/// and scans that survive changes.
pub struct Dict<V, D: Data> {
    items: Vec<(Bytes<D>, V), D>,
    /// Places in `items` by hash: all of them, or none while there were always few.
    places: HashTable<u32, D>,
}

impl<V, D: Data> Dict<V, D> {
    /// An empty one.
    pub fn new(room: &Room<D>) -> Self {
        Self { items: Vec::new_in(room.alloc()), places: HashTable::new_in(room.alloc()) }
    }

    /// Bytes of array and table that an element is charged with, free slots included.
    #[must_use]
    pub const fn share() -> usize {
        size_of::<(Bytes<D>, V)>() * 4 / 3 + 7
    }

    /// Elements.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The elements.
    pub fn items(&self) -> &Items<D, V> {
        &self.items
    }

    /// What belongs to the element at a place.
    pub fn value_mut(&mut self, place: usize) -> Option<&mut V> {
        self.items.get_mut(place).map(|(_, value)| value)
    }

    /// The place of an element.
    #[inline]
    pub fn find(&self, name: &[u8], room: &Room<D>) -> Option<usize> {
        if self.places.is_empty() {
            return self.items.iter().position(|(other, _)| **other == *name);
        }
        let same = |&place: &u32| *self.items[place as usize].0 == *name;
        Some(*self.places.find(room.hash(name), same)? as usize)
    }

    /// Adds an element that is not there.
    ///
    /// # Errors
    /// [`OutOfMemory`] and the value; nothing has changed.
    pub fn insert(
        &mut self,
        name: &[u8],
        value: V,
        room: &Room<D>,
    ) -> Result<(), (OutOfMemory, V)> {
        let stored = self.make_room(room).and_then(|()| room.store(name, Self::share()));
        let stored = match stored {
            Ok(stored) => stored,
            Err(error) => return Err((error, value)),
        };
        let place = self.items.len();
        self.items.push((stored, value));
        if place >= FEW || !self.places.is_empty() {
            self.enter(place, room);
        }
        Ok(())
    }

    /// Room for one more element, and for the table that it may need.
    fn make_room(&mut self, room: &Room<D>) -> Result<(), OutOfMemory> {
        let len = self.items.len();
        if len >= NOWHERE {
            return Err(OutOfMemory);
        }
        self.items.try_reserve(1).map_err(|_| OutOfMemory)?;
        if len < FEW && self.places.is_empty() {
            return Ok(());
        }
        let items = &self.items;
        let more = len + 1 - self.places.len();
        let rehash = |&place: &u32| room.hash(&items[place as usize].0);
        self.places.try_reserve(more, rehash).map_err(|_| OutOfMemory)?;
        if self.places.is_empty() {
            (0..len).for_each(|place| self.enter(place, room));
        }
        Ok(())
    }

    /// Enters an element into the table, which has room for it.
    fn enter(&mut self, place: usize, room: &Room<D>) {
        let items = &self.items;
        let rehash = |&place: &u32| room.hash(&items[place as usize].0);
        self.places.insert_unique(room.hash(&items[place].0), place as u32, rehash);
    }

    /// Removes the element at a place, and refunds its name. If `ordered`, those behind it move up,
    /// O(elements); else the last takes its place.
    pub fn remove_at(&mut self, place: usize, ordered: bool, room: &Room<D>) -> V {
        let last = self.items.len() - 1;
        if !self.places.is_empty() {
            let hash = room.hash(&self.items[place].0);
            if let Ok(found) = self.places.find_entry(hash, |&other| other as usize == place) {
                found.remove();
            }
            self.renumber(place, last, ordered, room);
        }
        let (name, value) =
            if ordered { self.items.remove(place) } else { self.items.swap_remove(place) };
        room.discard(name, Self::share());
        self.shrink(room);
        value
    }

    /// Swaps the elements at two places. It is for those who remove one of them next, or swap them again: a scan
    /// under way would miss what comes to be behind it.
    pub fn swap(&mut self, one: usize, other: usize, room: &Room<D>) {
        if one == other {
            return;
        }
        if !self.places.is_empty() {
            let hash = |place: usize| room.hash(&self.items[place].0);
            let (of_one, of_other) = (hash(one), hash(other));
            // In between, no place has two entries.
            let moves = [(of_one, one, NOWHERE), (of_other, other, one), (of_one, NOWHERE, other)];
            for (hash, from, to) in moves {
                if let Some(place) = self.places.find_mut(hash, |&place| place as usize == from) {
                    *place = to as u32;
                }
            }
        }
        self.items.swap(one, other);
    }

    /// Corrects the table for the elements that a removal will move.
    fn renumber(&mut self, place: usize, last: usize, ordered: bool, room: &Room<D>) {
        if ordered {
            for other in self.places.iter_mut().filter(|other| **other as usize > place) {
                *other -= 1;
            }
        } else if place < last {
            let hash = room.hash(&self.items[last].0);
            if let Some(moved) = self.places.find_mut(hash, |&other| other as usize == last) {
                *moved = place as u32;
            }
        }
    }

    /// Gives back what a rush has left: array and table are at least an eighth full.
    fn shrink(&mut self, room: &Room<D>) {
        let len = self.items.len();
        if self.items.capacity() > 4 * FEW && len < self.items.capacity() / 4 {
            self.items.shrink_to(len * 2);
            let items = &self.items;
            self.places.shrink_to(len * 2, |&place| room.hash(&items[place as usize].0));
        }
    }

    /// Up to `count` elements from `cursor` on (0 begins, and is what comes back at the end); the
    /// next cursor. From behind, as the store's scan: whoever stays is met.
    pub fn scan(&self, cursor: u64, count: usize) -> (&Items<D, V>, u64) {
        let len = self.items.len();
        let from = match usize::try_from(cursor) {
            Ok(from @ 1..) if from <= len => from,
            _ => len,
        };
        let to = from.saturating_sub(count);
        (&self.items[to..from], to as u64)
    }

    /// Bytes that the names are charged with. O(elements).
    pub fn cost(&self) -> usize {
        self.items.iter().map(|(name, _)| D::block(name.len()) + Self::share()).sum()
    }

    /// Moves the names, and has `each` do so with what belongs to them; how many blocks.
    pub fn relocate(&mut self, mut each: impl FnMut(&mut V) -> bool) -> u64 {
        let moved = self
            .items
            .iter_mut()
            .map(|(name, value)| u64::from(D::relocate(name)) + u64::from(each(value)));
        moved.sum()
    }

    /// Ends it, and hands each value out.
    pub fn discard(self, room: &Room<D>, mut each: impl FnMut(V)) {
        for (name, value) in self.items {
            room.discard(name, Self::share());
            each(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use allocator_api2::alloc::Global;
    use proptest::prelude::*;
    use std::vec::Vec;

    proptest! {
        #![proptest_config(crate::kv::same_each_time(256))]
        #[test]
        fn as_a_vector(steps in prop::collection::vec((0..6u8, 0..60u8), 0..600)) {
            let room = Room::new(Global, usize::MAX);
            let mut dict = Dict::<u8, Global>::new(&room);
            let mut model: Vec<(Vec<u8>, u8)> = Vec::new();
            for (step, byte) in steps {
                let name = [byte, 1];
                let place = dict.find(&name, &room);
                prop_assert_eq!(place, model.iter().position(|(other, _)| *other == name));
                match place {
                    None => {
                        dict.insert(&name, byte, &room).unwrap();
                        model.push((name.to_vec(), byte));
                    }
                    Some(place) if step == 0 => {
                        prop_assert_eq!(dict.remove_at(place, true, &room), byte);
                        model.remove(place);
                    }
                    Some(place) if step == 1 => {
                        prop_assert_eq!(dict.remove_at(place, false, &room), byte);
                        model.swap_remove(place);
                    }
                    Some(place) if step == 2 => {
                        let other = usize::from(byte) % model.len();
                        dict.swap(place, other, &room);
                        model.swap(place, other);
                    }
                    Some(_) => {}
                }
                prop_assert_eq!(dict.len(), model.len());
                prop_assert_eq!(dict.cost(), room.budget().used);
            }
            let mut left = 0;
            dict.discard(&room, |_| left += 1);
            prop_assert_eq!((left, room.budget().used), (model.len(), 0));
        }
    }

    #[test]
    fn a_refusal_loses_nothing() {
        let room = Room::new(Global, 2000);
        let mut dict = Dict::<u32, Global>::new(&room);
        let refused = (0..100_u32).find(|number| {
            let inserted = dict.insert(&number.to_ne_bytes(), *number, &room);
            inserted.is_err_and(|(OutOfMemory, value)| value == *number)
        });
        let refused = refused.unwrap();
        assert_eq!(dict.len(), refused as usize);
        for number in 0..refused {
            assert_eq!(dict.find(&number.to_ne_bytes(), &room), Some(number as usize));
        }
        dict.discard(&room, drop);
    }
}
