//! Strings that are changed in place.
#![forbid(unsafe_code)]

use super::{Entry, Form, Meta, Store};
use crate::kv::memory::Data;
use crate::kv::reply::OutOfMemory;
use crate::kv::values::Value;

impl<D: Data> Store<D> {
    /// Writes `piece` at `offset`, or behind all of it, into the string that `key` holds, of none at all if it holds
    /// nothing; its length then. Other keys make room if they must. See `Room::write_at` about its cost.
    ///
    /// # Errors
    /// [`OutOfMemory`] over budget, or if it is no string; it has not changed.
    pub fn write_at(
        &mut self,
        key: &[u8],
        offset: Option<usize>,
        piece: &[u8],
    ) -> Result<usize, OutOfMemory> {
        match self.write_at_once(key, offset, piece) {
            Err(OutOfMemory) if self.evict_for_piece(key, offset, piece.len()) => {
                self.write_at_once(key, offset, piece)
            }
            written => written,
        }
    }

    /// Makes room for the string with a piece of that length.
    #[cold]
    fn evict_for_piece(&mut self, key: &[u8], offset: Option<usize>, piece: usize) -> bool {
        let Ok(Some(text)) = self.get(key) else {
            return self.evict_for(key, offset.unwrap_or(0).saturating_add(piece));
        };
        let (len, end) = (text.len(), offset.unwrap_or(text.len()).saturating_add(piece));
        self.evict(D::block(end).saturating_sub(D::block(len)), Some(key))
    }

    /// The key is looked up once, and all is about what is found then: it may end at any time.
    fn write_at_once(
        &mut self,
        key: &[u8],
        offset: Option<usize>,
        piece: &[u8],
    ) -> Result<usize, OutOfMemory> {
        let Some(place) = self.find(key) else { return self.write_new(key, offset, piece) };
        self.write_into(place, offset, piece, Form::Raw)
    }

    fn write_new(
        &mut self,
        key: &[u8],
        offset: Option<usize>,
        piece: &[u8],
    ) -> Result<usize, OutOfMemory> {
        let form = if offset.is_none() { Form::Any } else { Form::Raw };
        self.put(key, b"", form, None)?;
        let place = self.find(key).ok_or(OutOfMemory)?;
        let written = self.write_into(place, offset, piece, form);
        if written.is_err() {
            self.remove_at(place);
        }
        written
    }

    fn write_into(
        &mut self,
        place: usize,
        offset: Option<usize>,
        piece: &[u8],
        form: Form,
    ) -> Result<usize, OutOfMemory> {
        let Entry { value, meta, .. } = &mut self.entries[place];
        let Value::Text(bytes) = value else { return Err(OutOfMemory) };
        let offset = offset.unwrap_or(bytes.len());
        self.room.write_at(bytes, offset, piece)?;
        *meta = Meta::new(form, meta.end());
        Ok(bytes.len())
    }
}
