//! A thread's free blocks: magazines, and what is known of them besides. A storage file.
//!
//! A cache of zeros is one that is closed: its magazines have no block and no room, so the fast path
//! finds that by itself. A thread's caches are zeros before the first use and after the last, and
//! nobody needs to ask.

use super::ledger::Ledger;
use crate::magazine::Magazines;
use core::cell::Cell;
use core::ptr::NonNull;

/// A thread's free blocks of one heap.
pub(crate) struct Cache {
    pub(crate) magazines: Magazines,
    /// In a block of the heap; none while the cache is closed.
    ledger: Cell<Option<NonNull<Ledger>>>,
}

impl Cache {
    /// Closed, all zeros.
    pub(crate) const fn new() -> Self {
        Self { magazines: Magazines::new(), ledger: Cell::new(None) }
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

    /// Closes the cache, whose magazines have neither blocks nor arrays, and returns the ledger's block.
    pub(crate) fn close(&self) -> Option<NonNull<u8>> {
        self.ledger.take().map(NonNull::cast)
    }

    /// Makes it closed, whatever it held: when its heap is gone.
    pub(crate) fn forget(&self) {
        self.magazines.forget();
        self.ledger.set(None);
    }
}
