//! What keys hold, moved and copied to other keys and other stores.
#![forbid(unsafe_code)]

use super::{Entry, Meta, Store};
use crate::kv::memory::Data;
use crate::kv::reply::OutOfMemory;
use crate::kv::values::{Portable, Value};
use std::mem;

/// What a key held, on its way to another thread's store.
#[derive(Debug)]
pub struct Parcel {
    value: Portable,
    meta: Meta,
    /// Bytes that the value was charged with.
    cost: usize,
    /// Bytes that it takes on its way.
    bytes: usize,
}

impl Parcel {
    /// Bytes that it takes on its way.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }
}

impl<D: Data> Store<D> {
    /// Sets `to` to a copy of what `from` holds, with its form and its end; whether there is such a
    /// key. Other keys make room if they must, and `to` may be among them.
    ///
    /// # Errors
    /// [`OutOfMemory`] over budget; of these two nothing has changed.
    pub fn copy(&mut self, from: &[u8], to: &[u8]) -> Result<bool, OutOfMemory> {
        match self.copy_at_once(from, to) {
            Err(OutOfMemory) if self.evict_for_copy(from, to) => self.copy_at_once(from, to),
            done => done,
        }
    }

    #[cold]
    fn evict_for_copy(&mut self, from: &[u8], to: &[u8]) -> bool {
        let cost = self.cost(from).unwrap_or(0);
        self.evict(cost.saturating_add(D::block(to.len())), Some(from))
    }

    fn copy_at_once(&mut self, from: &[u8], to: &[u8]) -> Result<bool, OutOfMemory> {
        let Some(place) = self.find(from) else { return Ok(false) };
        let Entry { value, meta, .. } = &self.entries[place];
        let (copy, meta) = (value.duplicate(&self.room)?, *meta);
        self.put_value(to, copy, meta.form(), Some(meta.end()))?;
        Ok(true)
    }

    /// Moves what `from` holds to `to`, another key, with its form and its end; whether there is such
    /// a key.
    ///
    /// # Errors
    /// [`OutOfMemory`] if there is no room for the new name; nothing has changed.
    pub fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<bool, OutOfMemory> {
        let mut is_entered = false;
        // Looked for again and again: either may end meanwhile, and others are moved then.
        let (old, new) = loop {
            if self.find(from).is_none() {
                if is_entered {
                    self.remove(to);
                }
                return Ok(false);
            }
            if self.find(to).is_none() {
                self.enter_beside(from, to)?;
                is_entered = true;
            }
            if let (Some(old), Some(new)) = (self.find(from), self.find(to)) {
                break (old, new);
            }
        };
        let (front, back) = self.entries.split_at_mut(old.max(new));
        if let (Some(one), Some(other)) = (front.get_mut(old.min(new)), back.first_mut()) {
            mem::swap(&mut one.value, &mut other.value);
            mem::swap(&mut one.meta, &mut other.meta);
        }
        self.remove_at(old);
        Ok(true)
    }

    /// Adds the key `to` without a value. `from` stays, whatever has to make room.
    fn enter_beside(&mut self, from: &[u8], to: &[u8]) -> Result<(), OutOfMemory> {
        let need = Self::need(std::iter::once(to.len()));
        match self.set(to, b"") {
            Err(OutOfMemory) if self.evict(need, Some(from)) => self.set(to, b""),
            entered => entered,
        }
    }

    /// A copy of what `key` holds, for another thread's store, with its form and its end.
    ///
    /// # Errors
    /// [`OutOfMemory`] if it would take more than `most` bytes, or there is no memory.
    pub fn export(&mut self, key: &[u8], most: usize) -> Result<Option<Parcel>, OutOfMemory> {
        let Some(place) = self.find(key) else { return Ok(None) };
        let Entry { value, meta, .. } = &self.entries[place];
        let cost = value.cost();
        let (value, bytes) = value.export(most)?;
        Ok(Some(Parcel { value, meta: *meta, cost, bytes }))
    }

    /// Sets `key` to what another thread's store held. Keys of this one make room if they must.
    ///
    /// # Errors
    /// [`OutOfMemory`] over budget; `key` holds what it held.
    pub fn import(&mut self, key: &[u8], parcel: &Parcel) -> Result<(), OutOfMemory> {
        match self.import_at_once(key, parcel) {
            Err(OutOfMemory) if self.evict_for(key, parcel.cost) => {
                self.import_at_once(key, parcel)
            }
            done => done,
        }
    }

    fn import_at_once(&mut self, key: &[u8], parcel: &Parcel) -> Result<(), OutOfMemory> {
        let (value, meta) = (Value::import(&parcel.value, &self.room)?, parcel.meta);
        self.put_value(key, value, meta.form(), Some(meta.end()))
    }
}
