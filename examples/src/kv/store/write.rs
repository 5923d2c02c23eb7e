//! Strings that are changed in place.
#![forbid(unsafe_code)]

use super::{Entry, Form, Meta, Store};
use crate::kv::memory::Data;
use crate::kv::reply::OutOfMemory;
use crate::kv::values::Value;

impl<D: Data> Store<D> {
    /// Writes `piece` at `offset` into the string that `key` holds, of none at all if it holds nothing; its length
    /// then. Other keys make room if they must. See [`Room::write_at`] about its cost.
    ///
    /// # Errors
    /// [`OutOfMemory`] over budget, or if it is no string; it has not changed.
    pub fn write_at(
        &mut self,
        key: &[u8],
        offset: usize,
        piece: &[u8],
        form: Form,
    ) -> Result<usize, OutOfMemory> {
        let is_new = self.find(key).is_none();
        if is_new {
            self.put(key, b"", form, None)?;
        }
        let mut written = self.write_at_once(key, offset, piece, form);
        if written.is_err() && self.evict_for_end(key, offset.saturating_add(piece.len())) {
            written = self.write_at_once(key, offset, piece, form);
        }
        if is_new && written.is_err() {
            self.remove(key);
        }
        written
    }

    /// Makes room for the string to be as long as that.
    #[cold]
    fn evict_for_end(&mut self, key: &[u8], end: usize) -> bool {
        let len = self.get(key).ok().flatten().map_or(0, <[u8]>::len);
        self.evict(D::block(end).saturating_sub(D::block(len)), Some(key))
    }

    fn write_at_once(
        &mut self,
        key: &[u8],
        offset: usize,
        piece: &[u8],
        form: Form,
    ) -> Result<usize, OutOfMemory> {
        let Some(place) = self.find(key) else { return Err(OutOfMemory) };
        let Entry { value, meta, .. } = &mut self.entries[place];
        let Value::Text(bytes) = value else { return Err(OutOfMemory) };
        self.room.write_at(bytes, offset, piece)?;
        *meta = Meta::new(form, meta.end());
        Ok(bytes.len())
    }
}
