//! Magazines: free blocks of one class, ready to be handed out. The fast path. A storage file.
//!
//! A free block goes to its class' magazine, not to its span: the header, a cold line, is touched
//! when blocks return in batches, and emptiness is looked for then. To know when that is, a
//! magazine counts how many blocks it may still take: one instruction each way.

use crate::span::{Block, Chain, Link};
use core::cell::Cell;
use core::ptr::NonNull;

/// A list of free blocks of one class, and room for more.
pub(crate) struct Magazine {
    /// Free blocks, each the magazine's own, its first word the link to the next.
    head: Cell<Link>,
    /// Frees until it is time to look. With the blocks in the list it makes up a sum that neither
    /// allocating nor freeing changes; who sets it knows that sum.
    room: Cell<usize>,
}

impl Magazine {
    /// Empty, without room.
    pub(crate) const fn new() -> Self {
        Self { head: Cell::new(Link::NONE), room: Cell::new(0) }
    }

    /// Takes the block that came last.
    #[inline(always)]
    pub(crate) fn pop(&self) -> Option<NonNull<u8>> {
        let block = self.head.get().0?;
        // SAFETY: the block is in our list: free, ours, its first word a link.
        self.head.set(unsafe { block.read() });
        self.room.set(self.room.get().wrapping_add(1));
        Some(block.cast())
    }

    /// Adds a block; `true` if that was the last there was room for.
    ///
    /// # Safety
    /// The block is of this class and heap, with provenance for its span; nobody uses it any more.
    #[inline(always)]
    pub(crate) unsafe fn push(&self, block: NonNull<u8>) -> bool {
        let block: Block = block.cast();
        // SAFETY: the block is ours now, aligned to 8, and at least 8 bytes long.
        unsafe { block.write(self.head.get()) };
        self.head.set(Link(Some(block)));
        let room = self.room.get().wrapping_sub(1);
        self.room.set(room);
        room == 0
    }

    /// Frees until it is time to look.
    pub(crate) fn room(&self) -> usize {
        self.room.get()
    }

    /// Makes room for so many blocks.
    pub(crate) fn set_room(&self, room: usize) {
        self.room.set(room);
    }

    /// Takes all blocks, as a list.
    pub(crate) fn take(&self) -> Link {
        self.head.replace(Link::NONE)
    }

    /// Fills an empty magazine with blocks that nobody else keeps, but for the first, which is
    /// returned.
    pub(crate) fn fill(&self, chain: Chain) -> NonNull<u8> {
        debug_assert!(self.head.get().0.is_none());
        // SAFETY: a free block, its first word a link.
        self.head.set(unsafe { chain.first.read() });
        chain.first.cast()
    }
}
