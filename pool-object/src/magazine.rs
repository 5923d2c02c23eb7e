//! Magazines: free blocks of one class, ready to be handed out. The fast path. A storage file.
//!
//! A free block goes to its class' magazine, not to its span: the header, a cold line, is touched
//! when blocks return in batches, and emptiness is looked for then. To know when that is, a
//! magazine counts how many blocks it may still take: one instruction each way.

use crate::size_class::SizeClass;
use crate::span::{Block, Chain, Link};
use core::cell::Cell;
use core::ptr::NonNull;
use pool_core::poison;

/// A magazine for each class: a list of free blocks, and room for more.
///
/// Heads and rooms stand in arrays of their own, since a machine's address is a base plus an index
/// times eight at most: pairs of sixteen bytes took an instruction more.
pub(crate) struct Magazines {
    /// Free blocks, each the magazine's own, its first word the link to the next.
    heads: [Cell<Link>; SizeClass::COUNT],
    /// Frees until it is time to look. With the blocks in the list it makes up a sum that neither
    /// allocating nor freeing changes; who sets it knows that sum.
    rooms: [Cell<usize>; SizeClass::COUNT],
}

impl Magazines {
    /// Empty, without room.
    pub(crate) const fn new() -> Self {
        Self {
            heads: [const { Cell::new(Link::NONE) }; SizeClass::COUNT],
            rooms: [const { Cell::new(0) }; SizeClass::COUNT],
        }
    }

    #[inline(always)]
    fn head_of(&self, class: SizeClass) -> &Cell<Link> {
        // SAFETY: the number of a class is below `COUNT`.
        unsafe { self.heads.get_unchecked(class.index()) }
    }

    #[inline(always)]
    fn room_of(&self, class: SizeClass) -> &Cell<usize> {
        // SAFETY: the number of a class is below `COUNT`.
        unsafe { self.rooms.get_unchecked(class.index()) }
    }

    /// Takes the block that came last.
    #[inline(always)]
    pub(crate) fn pop(&self, class: SizeClass) -> Option<NonNull<u8>> {
        let head = self.head_of(class);
        let block = head.get().0?;
        // SAFETY: the block is in our list: free, ours, its first word a link.
        head.set(unsafe { block.read() });
        let room = self.room_of(class);
        room.set(room.get().wrapping_add(1));
        Some(block.cast())
    }

    /// Adds a block; `true` if that was the last there was room for.
    ///
    /// # Safety
    /// The block is of this class and heap, with provenance for its span; nobody uses it any more.
    #[inline(always)]
    pub(crate) unsafe fn push(&self, class: SizeClass, block: NonNull<u8>) -> bool {
        hide(block, class);
        let block: Block = block.cast();
        let head = self.head_of(class);
        // SAFETY: the block is ours now, aligned to 8, and at least 8 bytes long.
        unsafe { block.write(head.get()) };
        head.set(Link(Some(block)));
        let room = self.room_of(class);
        room.set(room.get().wrapping_sub(1));
        room.get() == 0
    }

    /// Frees until it is time to look.
    pub(crate) fn room(&self, class: SizeClass) -> usize {
        self.room_of(class).get()
    }

    /// Makes room for so many blocks.
    pub(crate) fn set_room(&self, class: SizeClass, room: usize) {
        self.room_of(class).set(room);
    }

    /// Takes all blocks, as a list.
    pub(crate) fn take(&self, class: SizeClass) -> Link {
        self.head_of(class).replace(Link::NONE)
    }

    /// The list of its blocks, to look at.
    pub(crate) fn peek(&self, class: SizeClass) -> Link {
        self.head_of(class).get()
    }

    /// Fills an empty magazine with blocks that nobody else keeps, but for the first, which is
    /// returned.
    pub(crate) fn fill(&self, class: SizeClass, chain: Chain) -> NonNull<u8> {
        debug_assert!(self.head_of(class).get().0.is_none());
        // SAFETY: a free block, its first word a link.
        self.head_of(class).set(unsafe { chain.first.read() });
        chain.first.cast()
    }
}

/// Tells a memory checker that a block is free: all but its link may not be used.
#[inline(always)]
pub(crate) fn hide(block: NonNull<u8>, class: SizeClass) {
    poison::allow(block.as_ptr(), size_of::<Link>());
    poison::forbid(
        block.as_ptr().wrapping_add(size_of::<Link>()),
        class.size() - size_of::<Link>(),
    );
}
