//! Cleanups that several threads register at once. A storage file.

use super::{Cleanups, Node};
use crate::sync::atomic::{
    AtomicPtr,
    Ordering::{Relaxed, Release},
};
use crate::sync::const_unless_loom;
use core::cell::Cell;
use core::ptr::{self, NonNull};

/// The cleanups of an arena that threads share, newest first. Nodes come in by a compare-exchange
/// and leave only by `&mut`, all at once, so none can be met twice.
pub(crate) struct SharedCleanups {
    /// As [`Cleanups::head`], null for none: every node behind it is live, its payload initialised
    /// and nobody else's to drop.
    head: AtomicPtr<Node>,
}

impl SharedCleanups {
    const_unless_loom! {
        pub(crate) fn new() -> Self {
            Self { head: AtomicPtr::new(ptr::null_mut()) }
        }
    }

    /// Registers the node of `one`, a list of its own. The node must stay live until it has run, as
    /// it was promised when it was pushed there.
    #[inline]
    pub(crate) fn add(&self, one: &Cleanups) {
        let Some(node) = one.head.take() else { return };
        // SAFETY: nodes in a list are live, and this one is in no other.
        let next = unsafe { &node.as_ref().next };
        debug_assert!(next.get().is_none(), "one node");
        let mut head = self.head.load(Relaxed);
        loop {
            next.set(NonNull::new(head));
            // `Release`: the node and its payload come before it in the list. Whoever empties the
            // list has `&mut`, and so comes after all who called this.
            match self.head.compare_exchange_weak(head, node.as_ptr(), Release, Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Takes them all out, to be run.
    pub(crate) fn take(&mut self) -> Cleanups {
        let head = self.head.load(Relaxed);
        self.head.store(ptr::null_mut(), Relaxed);
        Cleanups { head: Cell::new(NonNull::new(head)) }
    }
}
