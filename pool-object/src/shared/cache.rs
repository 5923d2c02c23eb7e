//! A thread's free blocks: the fast path. A storage file.
//!
//! A *bin* is the list of free blocks of one class. It counts how many blocks it may still take, and
//! looks at that *after* it took one. So a bin of zeros is one that is closed: it has no block, and
//! what it is given it reports at once. A thread's bins are zeros before the first use and after the
//! last, and nobody needs to ask.

use super::central::chain;
use super::ledger::Ledger;
use crate::magazine::hide;
use crate::size_class::SizeClass;
use crate::span::{Block, Chain, Link};
use core::cell::Cell;
use core::ptr::NonNull;
use pool_core::poison;

/// A thread's free blocks of one heap.
///
/// Two arrays, not one of pairs: so the number of a class needs no multiplication.
pub(crate) struct Cache {
    /// Each class' free blocks, the cache's own, the first word of each the link to the next.
    heads: [Cell<Link>; SizeClass::COUNT],
    /// How many more each class may take; below 0, for a moment, after one too many. With the
    /// blocks in the list it makes up a sum that neither allocating nor freeing changes; the ledger
    /// knows that sum.
    rooms: [Cell<u32>; SizeClass::COUNT],
    /// What is known of the bins besides, in a block of the heap; none while they are closed.
    ledger: Cell<Option<NonNull<Ledger>>>,
}

impl Cache {
    /// Closed, all zeros.
    pub(crate) const fn new() -> Self {
        Self {
            heads: [const { Cell::new(Link::NONE) }; SizeClass::COUNT],
            rooms: [const { Cell::new(0) }; SizeClass::COUNT],
            ledger: Cell::new(None),
        }
    }

    #[inline(always)]
    fn head_of(&self, class: SizeClass) -> &Cell<Link> {
        // SAFETY: the number of a class is below `COUNT`.
        unsafe { self.heads.get_unchecked(class.index()) }
    }

    #[inline(always)]
    fn room_of(&self, class: SizeClass) -> &Cell<u32> {
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

    /// Adds a block; `true` if that was one too many, which the caller has to see to.
    ///
    /// # Safety
    /// The block is of this class and heap, with provenance for its span; nobody uses it any more.
    #[inline(always)]
    pub(crate) unsafe fn push(&self, class: SizeClass, block: NonNull<u8>) -> bool {
        hide(block, class);
        poison::allow(block.as_ptr(), size_of::<Link>());
        let block: Block = block.cast();
        let head = self.head_of(class);
        // SAFETY: the block is ours now, aligned to 8, and at least 8 bytes long.
        unsafe { block.write(head.get()) };
        head.set(Link(Some(block)));
        let (room, too_many) = self.room_of(class).get().overflowing_sub(1);
        self.room_of(class).set(room);
        too_many
    }

    /// Whether a bin has no block.
    pub(crate) fn is_empty(&self, class: SizeClass) -> bool {
        self.head_of(class).get().0.is_none()
    }

    /// How many more blocks a bin may take; modulo 2^32, when it took one too many.
    pub(crate) fn room(&self, class: SizeClass) -> u32 {
        self.room_of(class).get()
    }

    pub(crate) fn set_room(&self, class: SizeClass, room: u32) {
        self.room_of(class).set(room);
    }

    /// Takes all blocks, `len` of them.
    pub(crate) fn take(&self, class: SizeClass, len: usize) -> Option<Chain> {
        chain(self.head_of(class).replace(Link::NONE), len)
    }

    /// Puts blocks that nobody else keeps into an empty bin.
    pub(crate) fn put(&self, class: SizeClass, chain: Chain) {
        debug_assert!(self.head_of(class).get().0.is_none());
        self.head_of(class).set(Link(Some(chain.first)));
    }

    /// Takes out of a closed bin what it was just given.
    pub(crate) fn take_from_closed(&self, class: SizeClass) -> Option<Chain> {
        self.set_room(class, 0);
        self.take(class, 1)
    }

    /// The ledger, while the cache is open.
    #[inline]
    pub(crate) fn ledger(&self) -> Option<&Ledger> {
        // SAFETY: by the contract of `open` it is initialised and stays until `close`, which only
        // the owner of the cache calls, or `forget`, which none of the thread's borrows outlives.
        self.ledger.get().map(|ledger| unsafe { ledger.as_ref() })
    }

    /// Opens the cache.
    ///
    /// # Safety
    /// The cache is closed. The ledger is initialised, and neither moved nor freed before `close` or
    /// `forget` is called.
    pub(crate) unsafe fn open(&self, ledger: NonNull<Ledger>) {
        self.ledger.set(Some(ledger));
    }

    /// Closes the cache, whose bins are empty and without room, and returns the ledger's block.
    pub(crate) fn close(&self) -> Option<NonNull<u8>> {
        self.ledger.take().map(NonNull::cast)
    }

    /// Makes it closed, whatever it held: when its heap is gone.
    pub(crate) fn forget(&self) {
        self.heads.iter().for_each(|head| head.set(Link::NONE));
        self.rooms.iter().for_each(|room| room.set(0));
        self.ledger.set(None);
    }
}
