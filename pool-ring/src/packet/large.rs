//! `Large`: partials that are too long for chunks, each in contiguous memory of its own.
#![forbid(unsafe_code)]

use super::entries::{ENTRY, Form, MAX_PARTIAL};
use super::store::{NoRoom, Store};
use crate::block::Block;
use crate::frame::Hint;
use crate::slots::NONE;
use pool_core::PageSource;

/// A partial with contiguous memory of its own.
pub(super) struct Large<S: PageSource> {
    pub(super) block: Block<S>,
    /// Where its frame ends, or the block's length if nobody knows.
    pub(super) want: usize,
}

impl<S: PageSource + Clone> Store<S> {
    /// Takes a block out, to be dropped when its bytes are somewhere else.
    pub(super) fn take_block(&mut self, block: u32) -> Option<Large<S>> {
        let large = self.large.remove(block)?;
        self.block_bytes -= large.block.len();
        Some(large)
    }

    /// Keeps `parts` in a block, for an entry that is empty. If it is refused the entry stays so.
    #[cold]
    pub(super) fn keep_large(
        &mut self,
        entry: u32,
        parts: &[&[u8]],
        hint: Hint,
    ) -> Result<(), NoRoom> {
        let old = self.cost_of(entry);
        let (large, len) = self.new_block(entry, old, parts, hint)?;
        let bytes = large.block.len();
        // There are as many slots as blocks could be within the budget.
        let block = self.large.insert(large).map_err(|_| NoRoom { asked: bytes })?;
        self.block_bytes += bytes;
        self.set(entry, old, Form::Block(block), len);
        Ok(())
    }

    /// A block with the bytes of `parts`, for which there is room once the entry, which costs `old`,
    /// is charged for it instead.
    pub(super) fn new_block(
        &mut self,
        entry: u32,
        old: usize,
        parts: &[&[u8]],
        hint: Hint,
    ) -> Result<(Large<S>, usize), NoRoom> {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let hint = hint.beyond(len);
        let asked = match hint {
            Hint::Total(total) => total,
            Hint::Unknown => len.saturating_mul(2),
        };
        let refused = NoRoom { asked };
        if asked.saturating_add(ENTRY) > self.stats.budget || asked >= MAX_PARTIAL {
            return Err(refused);
        }
        // Before anybody is evicted for it: the source may refuse.
        let mut block = Block::new(self.source.clone(), asked).map_err(|_| refused)?;
        let new = ENTRY + block.len();
        self.make_room(new.saturating_sub(old), new, entry)?;
        let mut at = 0;
        for part in parts {
            block.write(at, part);
            at += part.len();
        }
        self.stats.copied += len as u64;
        let want = match hint {
            Hint::Total(_) => asked,
            Hint::Unknown => block.len(),
        };
        Ok((Large { block, want }, len))
    }

    /// Makes a block of a chain and the bytes behind it.
    #[cold]
    pub(super) fn append_large(
        &mut self,
        entry: u32,
        last: u32,
        len: usize,
        bytes: &[u8],
        hint: Hint,
    ) -> Result<(), NoRoom> {
        let old = self.cost(len);
        let hint = hint.beyond(len + bytes.len());
        let capacity = match hint {
            Hint::Unknown => 2 * (len + bytes.len()),
            Hint::Total(total) => total,
        };
        let (mut large, _) = self.new_block(entry, old, &[], Hint::Total(capacity))?;
        self.chunks.copy_to(last, large.block.zeroed_mut(0..len));
        large.block.write(len, bytes);
        self.stats.copied += (len + bytes.len()) as u64;
        if hint == Hint::Unknown {
            large.want = large.block.len();
        }
        let block_bytes = large.block.len();
        let block = self.large.insert(large).map_err(|_| NoRoom { asked: block_bytes })?;
        self.block_bytes += block_bytes;
        self.chunks.release(last);
        self.stats.bytes -= len;
        self.set(entry, old, Form::Block(block), len + bytes.len());
        Ok(())
    }

    /// The bytes in a block.
    #[inline]
    pub(crate) fn block_bytes(&self, block: u32) -> &[u8] {
        match self.large.get(block) {
            Some(large) => large.block.bytes(0..large.block.init()),
            None => &[],
        }
    }

    /// Room in a block behind its first `len` bytes, at most `most`, for what is yet to come.
    pub(crate) fn block_room(&mut self, block: u32, len: usize, most: usize) -> &mut [u8] {
        match self.large.get_mut(block) {
            Some(large) => {
                let end = large.want.min(len.saturating_add(most)).max(len);
                large.block.zeroed_mut(len..end)
            }
            None => &mut [],
        }
    }

    /// `more` bytes have come into the block of an entry.
    pub(crate) fn block_filled(&mut self, entry: u32, more: usize) {
        let len = self.entries.len(entry);
        self.entries.set_form(entry, self.entries.form(entry), len + more);
        self.stats.bytes += more;
    }

    /// A frame in a block was not whole: makes room for more of it.
    pub(crate) fn block_more(&mut self, entry: u32, block: u32, hint: Hint) -> Result<(), NoRoom> {
        let len = self.entries.len(entry);
        let Some(large) = self.large.get_mut(block) else { return Ok(()) };
        let hint = hint.beyond(len);
        large.want = match hint {
            Hint::Total(total) => total,
            Hint::Unknown => large.block.len(),
        };
        if len < large.want && large.want <= large.block.len() {
            return Ok(());
        }
        self.grow_block(entry, block, len, hint)
    }

    #[cold]
    pub(super) fn grow_block(
        &mut self,
        entry: u32,
        block: u32,
        len: usize,
        hint: Hint,
    ) -> Result<(), NoRoom> {
        let old = self.cost_of(entry);
        let capacity = match hint {
            Hint::Total(total) => total,
            Hint::Unknown => len.saturating_mul(2),
        };
        let (mut new, _) = self.new_block(entry, old, &[], Hint::Total(capacity))?;
        if hint == Hint::Unknown {
            new.want = new.block.len();
        }
        if let Some(large) = self.large.get_mut(block) {
            new.block.write(0, large.block.bytes(0..len));
            self.block_bytes += new.block.len();
            self.block_bytes -= large.block.len();
            *large = new;
        }
        self.stats.copied += len as u64;
        self.stats.bytes -= len;
        self.set(entry, old, Form::Block(block), len);
        Ok(())
    }

    /// Frames were taken from a block: keeps only what is left of it, or nothing.
    pub(crate) fn block_rest(
        &mut self,
        entry: u32,
        block: u32,
        rest: core::ops::Range<usize>,
        hint: Hint,
    ) -> Result<(), NoRoom> {
        let old = self.cost_of(entry);
        self.stats.bytes -= self.entries.len(entry);
        let large = self.take_block(block);
        // The old block is charged for no longer, though it lives until its rest is elsewhere.
        self.set(entry, old, Form::Empty, 0);
        match large {
            Some(large) if !rest.is_empty() => {
                self.keep(entry, large.block.bytes(rest), hint).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Frees the bytes of an entry, and keeps the entry.
    pub(crate) fn empty(&mut self, entry: u32, block: u32) {
        if block != NONE {
            // Nothing is kept, so nothing is refused.
            let _ = self.block_rest(entry, block, 0..0, Hint::Unknown);
        }
    }
}
