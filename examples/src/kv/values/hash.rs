//! Hashes: fields with values.
#![forbid(unsafe_code)]

use super::{Dict, Items, PACKED, PACKED_LEN};
use crate::kv::memory::{Bytes, Data, Room};
use crate::kv::reply::OutOfMemory;

/// Fields with values.
pub struct Hash<D: Data> {
    fields: Dict<Bytes<D>, D>,
    /// Whether Redis would still pack it into one string; then fields stay in order.
    packed: bool,
}

impl<D: Data> Hash<D> {
    /// An empty one.
    pub fn new(room: &Room<D>) -> Self {
        Self { fields: Dict::new(room), packed: true }
    }

    /// Fields.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Whether it was always short, in fields and in bytes of each.
    pub const fn is_packed(&self) -> bool {
        self.packed
    }

    /// Says whether it is packed: of one that comes from elsewhere.
    pub(super) const fn set_packed(&mut self, packed: bool) {
        self.packed = packed;
    }

    /// All fields.
    pub fn items(&self) -> &Items<D, Bytes<D>> {
        self.fields.items()
    }

    /// See [`Dict::scan`]; a packed one is shown as a whole.
    pub fn scan(&self, cursor: u64, count: usize) -> (&Items<D, Bytes<D>>, u64) {
        if self.packed { (self.items(), 0) } else { self.fields.scan(cursor, count) }
    }

    /// The value of a field.
    pub fn get(&self, field: &[u8], room: &Room<D>) -> Option<&[u8]> {
        let place = self.fields.find(field, room)?;
        Some(&self.items()[place].1)
    }

    /// Takes note of a string that Redis would not pack.
    pub fn note(&mut self, bytes: &[u8]) {
        self.packed &= bytes.len() <= PACKED_LEN;
    }

    /// Sets a field; whether it is new.
    ///
    /// # Errors
    /// [`OutOfMemory`]; the field is as it was.
    pub fn set(&mut self, field: &[u8], value: &[u8], room: &Room<D>) -> Result<bool, OutOfMemory> {
        let value = room.store(value, 0)?;
        self.note(field);
        self.note(&value);
        let place = self.fields.find(field, room);
        if let Some(present) = place.and_then(|place| self.fields.value_mut(place)) {
            room.discard(std::mem::replace(present, value), 0);
            return Ok(false);
        }
        if let Err((error, value)) = self.fields.insert(field, value, room) {
            room.discard(value, 0);
            return Err(error);
        }
        self.packed &= self.len() <= PACKED;
        Ok(true)
    }

    /// Removes a field; whether it was there.
    pub fn remove(&mut self, field: &[u8], room: &Room<D>) -> bool {
        let Some(place) = self.fields.find(field, room) else { return false };
        let value = self.fields.remove_at(place, self.packed, room);
        room.discard(value, 0);
        true
    }

    /// Bytes that it is charged with.
    pub fn cost(&self) -> usize {
        let values: usize = self.items().iter().map(|(_, value)| D::block(value.len())).sum();
        self.fields.cost() + values
    }

    /// Moves its blocks; how many.
    pub fn relocate(&mut self) -> u64 {
        self.fields.relocate(D::relocate)
    }

    /// A copy.
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing is charged then.
    pub fn duplicate(&self, room: &Room<D>) -> Result<Self, OutOfMemory> {
        let mut copy = Self::new(room);
        for (field, value) in self.items() {
            if let Err(error) = copy.set(field, value, room) {
                copy.discard(room);
                return Err(error);
            }
        }
        copy.packed = self.packed;
        Ok(copy)
    }

    /// Ends it.
    pub fn discard(self, room: &Room<D>) {
        self.fields.discard(room, |value| room.discard(value, 0));
    }
}
