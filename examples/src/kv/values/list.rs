//! Lists: a ring of elements.
#![forbid(unsafe_code)]

use crate::kv::memory::{Bytes, Data, Room};
use crate::kv::reply::OutOfMemory;
use allocator_api2::vec::Vec;
use std::mem;

/// Elements of a ring when it gets its first.
const FIRST: usize = 4;

/// Elements in order, that come and go at both ends in O(1).
pub struct List<D: Data> {
    /// A ring: the elements begin at `head`, go on for `len`, and wrap around. All others are `None`.
    slots: Vec<Option<Bytes<D>>, D>,
    /// Below `slots.len()`, or 0.
    head: usize,
    len: usize,
}

impl<D: Data> List<D> {
    /// An empty one.
    pub fn new(room: &Room<D>) -> Self {
        Self { slots: Vec::new_in(room.alloc()), head: 0, len: 0 }
    }

    /// Bytes of the ring that an element is charged with, free slots included.
    #[must_use]
    pub const fn share() -> usize {
        size_of::<Option<Bytes<D>>>() * 4 / 3
    }

    /// Elements.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The slot of an element.
    fn slot(&self, index: usize) -> usize {
        let slot = self.head + index;
        if slot >= self.slots.len() { slot - self.slots.len() } else { slot }
    }

    /// Element `index` from the front.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        if index >= self.len {
            return None;
        }
        self.slots[self.slot(index)].as_deref()
    }

    /// The elements from `start` to before `end`.
    pub fn range(&self, start: usize, end: usize) -> impl Iterator<Item = &[u8]> {
        (start..end).filter_map(|index| self.get(index))
    }

    /// Adds an element, before all others or behind them.
    ///
    /// # Errors
    /// [`OutOfMemory`]; the list is as it was.
    pub fn push(&mut self, front: bool, bytes: &[u8], room: &Room<D>) -> Result<(), OutOfMemory> {
        if self.len == self.slots.len() {
            self.resize((self.len * 2).max(FIRST), room)?;
        }
        let element = room.store(bytes, Self::share())?;
        let slot = if front {
            self.head = if self.head == 0 { self.slots.len() } else { self.head } - 1;
            self.head
        } else {
            self.slot(self.len)
        };
        self.slots[slot] = Some(element);
        self.len += 1;
        Ok(())
    }

    /// Takes an element from an end. It is the caller's to [discard](Self::discard_one).
    pub fn pop(&mut self, front: bool, room: &Room<D>) -> Option<Bytes<D>> {
        let last = self.len.checked_sub(1)?;
        let slot = if front { self.head } else { self.slot(last) };
        let element = self.slots[slot].take();
        if front {
            self.head = self.slot(1);
        }
        self.len = last;
        self.shrink(room);
        element
    }

    /// Ends an element that was taken out.
    pub fn discard_one(element: Bytes<D>, room: &Room<D>) {
        room.discard(element, Self::share());
    }

    /// Replaces an element; whether there is one.
    ///
    /// # Errors
    /// [`OutOfMemory`]; the element is as it was.
    pub fn set(&mut self, index: usize, bytes: &[u8], room: &Room<D>) -> Result<bool, OutOfMemory> {
        if index >= self.len {
            return Ok(false);
        }
        let element = room.store(bytes, Self::share())?;
        let slot = self.slot(index);
        if let Some(old) = self.slots[slot].replace(element) {
            Self::discard_one(old, room);
        }
        Ok(true)
    }

    /// Removes up to `most` elements equal to `bytes`, from the front on or from behind; how many.
    /// O(elements).
    pub fn remove(&mut self, bytes: &[u8], most: usize, front: bool, room: &Room<D>) -> usize {
        let (mut removed, mut kept) = (0, 0);
        let place = |index: usize, len: usize| if front { index } else { len - 1 - index };
        for index in 0..self.len {
            let from = self.slot(place(index, self.len));
            if removed < most && self.slots[from].as_deref() == Some(bytes) {
                if let Some(old) = self.slots[from].take() {
                    Self::discard_one(old, room);
                }
                removed += 1;
            } else {
                let to = self.slot(place(kept, self.len));
                self.slots.swap(from, to);
                kept += 1;
            }
        }
        if !front && kept > 0 {
            // They were moved towards the end.
            self.head = self.slot(removed);
        }
        self.len = kept;
        self.shrink(room);
        removed
    }

    /// Keeps the elements from `start` to before `end`. O(removed).
    pub fn trim(&mut self, start: usize, end: usize, room: &Room<D>) {
        let (start, end) = (start.min(self.len), end.min(self.len));
        let behind = self.len - end.max(start);
        for (front, count) in [(false, behind), (true, start)] {
            for _ in 0..count {
                if let Some(element) = self.pop(front, room) {
                    Self::discard_one(element, room);
                }
            }
        }
    }

    /// Moves the elements to a ring of so many slots, which is enough for them.
    fn resize(&mut self, slots: usize, room: &Room<D>) -> Result<(), OutOfMemory> {
        let mut ring = Vec::new_in(room.alloc());
        ring.try_reserve_exact(slots).map_err(|_| OutOfMemory)?;
        for index in 0..self.len {
            let slot = self.slot(index);
            ring.push(self.slots[slot].take());
        }
        ring.resize_with(slots, || None);
        self.slots = ring;
        self.head = 0;
        Ok(())
    }

    /// Halves a ring of which three quarters are free. If there is no memory to do so in, it stays.
    fn shrink(&mut self, room: &Room<D>) {
        if self.slots.len() > 4 * FIRST && self.len < self.slots.len() / 4 {
            let _ = self.resize(self.slots.len() / 2, room);
        }
    }

    /// Bytes that the elements are charged with.
    pub fn cost(&self) -> usize {
        self.range(0, self.len).map(|bytes| D::block(bytes.len()) + Self::share()).sum()
    }

    /// Moves its elements; how many. See [`Data::relocate`].
    pub fn relocate(&mut self) -> u64 {
        self.slots.iter_mut().flatten().map(|element| u64::from(D::relocate(element))).sum()
    }

    /// A copy.
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing is charged then.
    pub fn duplicate(&self, room: &Room<D>) -> Result<Self, OutOfMemory> {
        let mut copy = Self::new(room);
        for bytes in self.range(0, self.len) {
            if let Err(error) = copy.push(false, bytes, room) {
                copy.discard(room);
                return Err(error);
            }
        }
        Ok(copy)
    }

    /// Ends it.
    pub fn discard(mut self, room: &Room<D>) {
        for element in
            mem::replace(&mut self.slots, Vec::new_in(room.alloc())).into_iter().flatten()
        {
            Self::discard_one(element, room);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use allocator_api2::alloc::Global;
    use proptest::prelude::*;
    use std::collections::VecDeque;
    use std::vec::Vec;

    proptest! {
        #![proptest_config(crate::kv::same_each_time(256))]
        #[test]
        fn as_a_deque(steps in prop::collection::vec((0..9u8, 0..6u8, 0..12usize), 0..400)) {
            let room = Room::new(Global, usize::MAX);
            let (mut list, mut model) = (List::new(&room), VecDeque::new());
            for (step, byte, number) in steps {
                let word = vec![byte; usize::from(byte)];
                match step {
                    0..=2 => { list.push(true, &word, &room).unwrap(); model.push_front(word); }
                    3..=4 => { list.push(false, &word, &room).unwrap(); model.push_back(word); }
                    5 => {
                        let popped = list.pop(number % 2 == 0, &room);
                        let expected =
                            if number % 2 == 0 { model.pop_front() } else { model.pop_back() };
                        prop_assert_eq!(popped.as_deref(), expected.as_deref());
                        if let Some(popped) = popped { List::discard_one(popped, &room); }
                    }
                    6 => {
                        prop_assert_eq!(list.set(number, &word, &room), Ok(number < model.len()));
                        if let Some(place) = model.get_mut(number) { *place = word; }
                    }
                    7 => {
                        let front = number % 2 == 0;
                        let removed = list.remove(&word, number / 2, front, &room);
                        let mut count = 0;
                        let mut keep = |other: &&Vec<u8>| {
                            let gone = **other == word && count < number / 2;
                            count += usize::from(gone);
                            !gone
                        };
                        if front {
                            model.retain(|other| keep(&other));
                        } else {
                            let kept: Vec<_> =
                                model.iter().rev().filter(|other| keep(other)).cloned().collect();
                            model = kept.iter().rev().cloned().collect();
                        }
                        prop_assert_eq!(removed, count);
                    }
                    _ => {
                        list.trim(number / 4, model.len().saturating_sub(number % 3), &room);
                        model.truncate(model.len().saturating_sub(number % 3));
                        model.drain(..(number / 4).min(model.len()));
                    }
                }
                prop_assert!(list.range(0, list.len()).eq(model.iter().map(|word| &word[..])));
                prop_assert_eq!(list.cost(), room.budget().used);
            }
            list.duplicate(&room).unwrap().discard(&room);
            list.discard(&room);
            prop_assert_eq!(room.budget().used, 0);
        }
    }
}
