//! Bins: a thread's free blocks of one class, and the fast path. A storage file.
//!
//! A bin counts how many blocks it may still take, and looks at that *after* it took one. So a bin
//! of zeros is one that is closed: it has no block, and what it is given it reports at once. A
//! thread's bins are zeros before the first use and after the last, and nobody needs to ask.

use crate::size_class::SizeClass;
use crate::span::{Block, Chain, Link};
use core::cell::Cell;
use core::ptr::NonNull;

use super::central::chain;
use super::ledger::Ledger;

/// Free blocks of a class in a thread's cache.
pub(crate) struct Bin {
    /// Free blocks, each the bin's own, its first word the link to the next.
    head: Cell<Link>,
    /// Blocks that it may still take. With those in the list it makes up `sum`; below 0, for a
    /// moment, after one too many.
    room: Cell<u32>,
    sum: Cell<u32>,
}

impl Bin {
    const fn new() -> Self {
        Self { head: Cell::new(Link::NONE), room: Cell::new(0), sum: Cell::new(0) }
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

    /// Adds a block; `true` if that was one too many, which the caller has to see to.
    ///
    /// # Safety
    /// The block is of this class and heap, with provenance for its span; nobody uses it any more.
    #[inline(always)]
    pub(crate) unsafe fn push(&self, block: NonNull<u8>) -> bool {
        let block: Block = block.cast();
        // SAFETY: the block is ours now, aligned to 8, and at least 8 bytes long.
        unsafe { block.write(self.head.get()) };
        self.head.set(Link(Some(block)));
        let (room, too_many) = self.room.get().overflowing_sub(1);
        self.room.set(room);
        too_many
    }

    /// Blocks in it.
    pub(crate) fn len(&self) -> usize {
        self.sum.get().wrapping_sub(self.room.get()) as usize
    }

    /// Makes room for so many blocks more.
    pub(crate) fn set_room(&self, room: usize) {
        let len = self.len();
        self.room.set(room as u32);
        self.sum.set((room + len) as u32);
    }

    /// Takes all blocks. There is no room left then.
    pub(crate) fn take(&self) -> Option<Chain> {
        let all = chain(self.head.replace(Link::NONE), self.len());
        self.room.set(0);
        self.sum.set(0);
        all
    }

    /// Fills an empty bin with blocks that nobody else keeps, but for the first, which is returned.
    pub(crate) fn fill(&self, chain: Chain) -> NonNull<u8> {
        debug_assert!(self.head.get().0.is_none());
        // SAFETY: a free block, its first word a link.
        self.head.set(unsafe { chain.first.read() });
        self.sum.set(self.room.get() + chain.len as u32 - 1);
        chain.first.cast()
    }
}

/// A thread's free blocks of one heap.
#[repr(C)]
pub(crate) struct Cache {
    bins: [Bin; SizeClass::COUNT],
    /// What is known of the bins besides, in a block of the heap; none while they are closed.
    ledger: Cell<Option<NonNull<Ledger>>>,
}

impl Cache {
    /// Closed, all zeros.
    pub(crate) const fn new() -> Self {
        Self { bins: [const { Bin::new() }; SizeClass::COUNT], ledger: Cell::new(None) }
    }

    #[inline(always)]
    pub(crate) fn bin(&self, class: SizeClass) -> &Bin {
        // SAFETY: the number of a class is below `COUNT`.
        unsafe { self.bins.get_unchecked(class.index()) }
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
        for bin in &self.bins {
            let _ = bin.take();
        }
        self.ledger.set(None);
    }
}
