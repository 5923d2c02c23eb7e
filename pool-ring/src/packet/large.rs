//! `Large`: partials that are too long for chunks, each in contiguous memory of its own.
#![forbid(unsafe_code)]

use super::entries::{ENTRY, Form, MAX_PARTIAL, NO_ENTRY};
use super::store::{NoRoom, Store};
use crate::block::Block;
use crate::frame::Hint;
use crate::slots::NONE;
use pool_core::PageSource;

/// A partial with contiguous memory of its own.
pub(super) struct Large<S: PageSource> {
    pub(super) block: Block<S>,
    /// Bytes that have come.
    pub(super) filled: usize,
    /// It was full, and was lent again before it has to grow.
    pub(super) offered: bool,
    /// Where its frame ends, or the block's length if nobody knows.
    pub(super) want: usize,
}

/// How long a partial will get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Growth {
    /// Nobody has looked at it: it may be whole as it is.
    Unseen,
    /// It was looked at, and nobody knows.
    Unknown,
    /// As a decoder has announced: longer than it is.
    To(usize),
}

impl Growth {
    /// Of `len` bytes of which a decoder has said this.
    pub(super) const fn after(hint: Hint, len: usize) -> Self {
        match hint {
            Hint::Total(total) if total > len => Self::To(total),
            _ => Self::Unknown,
        }
    }

    /// The bytes to ask for, for `len` of them.
    const fn capacity(self, len: usize) -> usize {
        match self {
            Self::Unseen => len,
            Self::Unknown => len.saturating_mul(2),
            Self::To(total) => total,
        }
    }

    /// Where the frame ends, in a block of so many bytes.
    const fn end(self, block: usize) -> usize {
        match self {
            Self::To(total) => total,
            Self::Unseen | Self::Unknown => block,
        }
    }
}

impl<S: PageSource + Clone> Store<S> {
    /// Takes a block out, to be dropped when its bytes are somewhere else.
    pub(super) fn take_block(&mut self, block: u32) -> Option<Large<S>> {
        let large = self.large.remove(block)?;
        self.block_bytes -= large.block.len();
        Some(large)
    }

    /// Makes an entry for a connection and keeps `bytes` in a block of it. All of it is decided before anybody is evicted.
    #[cold]
    pub(super) fn add_large(
        &mut self,
        (token, generation): (u32, u32),
        since: u32,
        bytes: &[u8],
        growth: Growth,
    ) -> Result<u32, NoRoom> {
        let large = self.new_block_of(NO_ENTRY, 0, bytes, growth)?;
        let cost = ENTRY + large.block.len();
        let block = self.insert_large(large)?;
        let entry = self.entries.take(token, generation, since);
        self.entries.set_form(entry, Form::Block(block), 0);
        self.stats.bytes += bytes.len();
        self.charge(cost);
        self.entries.push(self.list_for(cost), entry);
        Ok(entry)
    }

    /// Keeps `bytes` in a block, for an entry that is empty. If it is refused the entry stays so.
    #[cold]
    pub(super) fn keep_large(
        &mut self,
        entry: u32,
        bytes: &[u8],
        growth: Growth,
    ) -> Result<(), NoRoom> {
        let old = self.cost_of(entry);
        let large = self.new_block_of(entry, old, bytes, growth)?;
        self.put_large(entry, old, large)
    }

    /// A block that holds `bytes`.
    fn new_block_of(
        &mut self,
        entry: u32,
        old: usize,
        bytes: &[u8],
        growth: Growth,
    ) -> Result<Large<S>, NoRoom> {
        let mut large = self.new_block(entry, old, bytes.len(), growth)?;
        large.block.write(0, bytes);
        large.filled = bytes.len();
        self.stats.copied += bytes.len() as u64;
        Ok(large)
    }

    /// Gives a block a number.
    fn insert_large(&mut self, large: Large<S>) -> Result<u32, NoRoom> {
        let bytes = large.block.len();
        // There are as many slots as blocks could be within the budget.
        let block = self.large.insert(large).map_err(|_| NoRoom { asked: bytes })?;
        self.block_bytes += bytes;
        Ok(block)
    }

    /// Makes a block the form of an entry that costs `old` and is empty.
    fn put_large(&mut self, entry: u32, old: usize, large: Large<S>) -> Result<(), NoRoom> {
        let len = large.filled;
        let block = self.insert_large(large)?;
        self.set(entry, old, Form::Block(block), len);
        Ok(())
    }

    /// A block for `len` bytes and what they may grow to, for which there is room once the entry, which costs `old`,
    /// is charged for it instead. `NO_ENTRY` and 0 if there is none yet.
    fn new_block(
        &mut self,
        entry: u32,
        old: usize,
        len: usize,
        growth: Growth,
    ) -> Result<Large<S>, NoRoom> {
        let asked = growth.capacity(len);
        let refused = NoRoom { asked };
        if asked.saturating_add(ENTRY) > self.stats.budget || asked >= MAX_PARTIAL {
            return Err(refused);
        }
        // Before anybody is evicted for it: the source may refuse.
        let block = Block::new(self.source.clone(), asked).map_err(|_| refused)?;
        let new = ENTRY + block.len();
        self.make_room(new.saturating_sub(old), new, entry)?;
        let want = growth.end(block.len());
        Ok(Large { block, filled: 0, offered: false, want })
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
        let (old, total) = (self.cost(len), len + bytes.len());
        let mut large = self.new_block(entry, old, total, Growth::after(hint, total))?;
        self.chunks.copy_to(last, large.block.zeroed_mut(0..len));
        large.block.write(len, bytes);
        large.filled = total;
        self.stats.copied += total as u64;
        // If it were refused here, which cannot be, the chain would stay.
        self.put_large(entry, old, large)?;
        self.chunks.release(last);
        self.stats.bytes -= len;
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

    /// Whether nothing more can be read into a block.
    pub(super) fn is_full(&self, block: u32) -> bool {
        self.large.get(block).is_some_and(|large| large.filled >= large.want)
    }

    /// Whether what is in a full block is to be lent before it grows: the first time.
    pub(super) fn offer(&mut self, block: u32) -> bool {
        let large = self.large.get_mut(block);
        large.is_some_and(|large| !core::mem::replace(&mut large.offered, true))
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

    /// `more` bytes have come into a block.
    pub(crate) fn block_filled(&mut self, block: u32, more: usize) {
        if let Some(large) = self.large.get_mut(block) {
            large.filled += more;
            self.stats.bytes += more;
        }
    }

    /// A frame in a block was not whole: makes room for more of it.
    pub(crate) fn block_more(&mut self, entry: u32, block: u32, hint: Hint) -> Result<(), NoRoom> {
        let Some(large) = self.large.get_mut(block) else { return Ok(()) };
        let (len, capacity) = (large.filled, large.block.len());
        let growth = Growth::after(hint, len);
        large.want = growth.end(capacity);
        if len < large.want && large.want <= capacity {
            return Ok(());
        }
        self.grow_block(entry, block, len, growth)
    }

    #[cold]
    fn grow_block(
        &mut self,
        entry: u32,
        block: u32,
        len: usize,
        growth: Growth,
    ) -> Result<(), NoRoom> {
        let old = self.cost_of(entry);
        let mut new = self.new_block(entry, old, len, growth)?;
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
        growth: Growth,
    ) -> Result<(), NoRoom> {
        let old = self.cost_of(entry);
        self.stats.bytes -= self.len(entry);
        let large = self.take_block(block);
        // The old block is charged for no longer, though it lives until its rest is elsewhere.
        self.set(entry, old, Form::Empty, 0);
        match large {
            Some(large) if !rest.is_empty() => self.keep(entry, large.block.bytes(rest), growth),
            _ => Ok(()),
        }
    }

    /// Frees the bytes of an entry, and keeps the entry.
    pub(crate) fn empty(&mut self, entry: u32, block: u32) {
        if block != NONE {
            // Nothing is kept, so nothing is refused.
            let _ = self.block_rest(entry, block, 0..0, Growth::Unknown);
        }
    }
}
