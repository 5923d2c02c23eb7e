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
    /// Bytes of the value.
    bytes: usize,
}

impl Parcel {
    /// Bytes that it takes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }
}

impl<D: Data> Store<D> {
    /// Sets `to` to a copy of what `from` holds, with its form and its end; whether there is such a
    /// key.
    ///
    /// # Errors
    /// [`OutOfMemory`] over budget; nothing has changed.
    pub fn copy(&mut self, from: &[u8], to: &[u8]) -> Result<bool, OutOfMemory> {
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
        if self.find(from).is_none() {
            return Ok(false);
        }
        if self.find(to).is_none() {
            self.set(to, b"")?;
        }
        // Looked for again: keys that have ended may have been removed, and others moved.
        let (Some(old), Some(new)) = (self.find(from), self.find(to)) else { return Ok(false) };
        let (front, back) = self.entries.split_at_mut(old.max(new));
        if let (Some(one), Some(other)) = (front.get_mut(old.min(new)), back.first_mut()) {
            mem::swap(&mut one.value, &mut other.value);
            mem::swap(&mut one.meta, &mut other.meta);
        }
        self.remove_at(old);
        Ok(true)
    }

    /// A copy of what `key` holds, for another thread's store, with its form and its end.
    ///
    /// # Errors
    /// [`OutOfMemory`] if it would take more than `most` bytes, or there is no memory.
    pub fn export(&mut self, key: &[u8], most: usize) -> Result<Option<Parcel>, OutOfMemory> {
        let Some(place) = self.find(key) else { return Ok(None) };
        let Entry { value, meta, .. } = &self.entries[place];
        let (value, bytes) = value.export(most)?;
        Ok(Some(Parcel { value, meta: *meta, bytes }))
    }

    /// Sets `key` to what another thread's store held.
    ///
    /// # Errors
    /// [`OutOfMemory`] over budget; nothing has changed.
    pub fn import(&mut self, key: &[u8], parcel: &Parcel) -> Result<(), OutOfMemory> {
        let (value, meta) = (Value::import(&parcel.value, &self.room)?, parcel.meta);
        self.put_value(key, value, meta.form(), Some(meta.end()))
    }
}
