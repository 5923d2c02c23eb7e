//! Sets: elements that are there or not.
#![forbid(unsafe_code)]

use super::{Dict, Items};
use crate::kv::memory::{Data, Room};
use crate::kv::numbers::integer;
use crate::kv::reply::OutOfMemory;

/// Most numbers that Redis keeps as such.
const NUMBERS: usize = 512;

/// Elements that are there or not.
pub struct Set<D: Data> {
    elements: Dict<(), D>,
    /// Whether all elements there ever were are numbers, and not many.
    numbers: bool,
}

impl<D: Data> Set<D> {
    /// An empty one.
    pub fn new(room: &Room<D>) -> Self {
        Self { elements: Dict::new(room), numbers: true }
    }

    /// Elements.
    pub fn len(&self) -> usize {
        self.elements.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// Whether all elements there ever were are numbers, and not many.
    pub const fn is_of_numbers(&self) -> bool {
        self.numbers
    }

    /// Says whether it is of numbers: of one that comes from elsewhere.
    pub(super) const fn set_of_numbers(&mut self, numbers: bool) {
        self.numbers = numbers;
    }

    /// All elements.
    pub fn items(&self) -> &Items<D, ()> {
        self.elements.items()
    }

    /// See [`Dict::scan`]; one of numbers is shown as a whole.
    pub fn scan(&self, cursor: u64, count: usize) -> (&Items<D, ()>, u64) {
        if self.numbers { (self.items(), 0) } else { self.elements.scan(cursor, count) }
    }

    /// Whether an element is in it.
    pub fn has(&self, element: &[u8], room: &Room<D>) -> bool {
        self.elements.find(element, room).is_some()
    }

    /// Adds an element; whether it is new.
    ///
    /// # Errors
    /// [`OutOfMemory`]; the set is as it was.
    pub fn add(&mut self, element: &[u8], room: &Room<D>) -> Result<bool, OutOfMemory> {
        if self.has(element, room) {
            return Ok(false);
        }
        self.elements.insert(element, (), room).map_err(|(error, ())| error)?;
        self.numbers &= integer(element).is_some() && self.len() <= NUMBERS;
        Ok(true)
    }

    /// Removes an element; whether it was there.
    pub fn remove(&mut self, element: &[u8], room: &Room<D>) -> bool {
        let place = self.elements.find(element, room);
        if let Some(place) = place {
            self.remove_at(place, room);
        }
        place.is_some()
    }

    /// Removes the element at a place of [`items`](Self::items).
    pub fn remove_at(&mut self, place: usize, room: &Room<D>) {
        self.elements.remove_at(place, false, room);
    }

    /// See [`Dict::swap`].
    pub fn swap(&mut self, one: usize, other: usize, room: &Room<D>) {
        self.elements.swap(one, other, room);
    }

    /// Bytes that it is charged with.
    pub fn cost(&self) -> usize {
        self.elements.cost()
    }

    /// Moves its blocks; how many.
    pub fn relocate(&mut self) -> u64 {
        self.elements.relocate(|()| false)
    }

    /// A copy.
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing is charged then.
    pub fn duplicate(&self, room: &Room<D>) -> Result<Self, OutOfMemory> {
        let mut copy = Self::new(room);
        for (element, ()) in self.items() {
            if let Err(error) = copy.add(element, room) {
                copy.discard(room);
                return Err(error);
            }
        }
        copy.numbers = self.numbers;
        Ok(copy)
    }

    /// Ends it.
    pub fn discard(self, room: &Room<D>) {
        self.elements.discard(room, drop);
    }
}
