//! Who waits for an object, in the order in which they came: a list through the waiters themselves.
//! A storage file.

use crate::pool::sync::{swallow, thread::Thread};
use core::ptr::NonNull;
use core::task::Waker;

/// Whom to tell.
#[derive(Debug)]
pub(crate) enum Party {
    Task(Waker),
    Thread(Thread),
}

impl Party {
    /// Runs foreign code: no lock may be held.
    ///
    /// A waker's panic ends here. In who wakes, it would be in the way of what that was about: a value
    /// that is detached, a refusal that says why, other waiters' turns; and the process would be aborted
    /// if a guard is dropped by a panic.
    pub(crate) fn wake(self) {
        match self {
            Self::Task(waker) => swallow(|| waker.wake()),
            Self::Thread(thread) => thread.unpark(),
        }
    }
}

/// Where a waiter is on its way.
#[derive(Debug)]
pub(crate) enum State {
    /// In no list.
    Idle,
    /// In the list, to be told by this.
    Waiting(Party),
    /// Out of the list again, and one of the objects that may be out is the waiter's.
    Granted,
    /// Out of the list: the pool was closed.
    Closed,
}

/// A waiter. Only looked at under the lock of its pool.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) state: State,
    next: Option<NonNull<Node>>,
    prev: Option<NonNull<Node>>,
}

impl Node {
    pub(crate) const fn new() -> Self {
        Self { state: State::Idle, next: None, prev: None }
    }
}

/// The waiters, first come first. Every node in it is in state `Waiting`, stays where it is, and
/// takes itself out before it goes.
#[derive(Debug)]
pub(crate) struct Waiters {
    first: Option<NonNull<Node>>,
    last: Option<NonNull<Node>>,
    len: usize,
}

// SAFETY: pointers to nodes, which are followed under the pool's lock alone, as are the nodes'
// owners'; what is in a node (`Waker`, `Thread`) may be used on any thread.
unsafe impl Send for Waiters {}

impl Waiters {
    pub(crate) const fn new() -> Self {
        Self { first: None, last: None, len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Puts a waiter at the end.
    ///
    /// # Safety
    /// The node is in no list. Until it is out again it stays where it is, and is used under the
    /// lock alone that guards this list.
    pub(crate) unsafe fn push(&mut self, mut node: NonNull<Node>, party: Party) {
        // SAFETY: the node is the caller's, under the lock.
        let entry = unsafe { node.as_mut() };
        entry.state = State::Waiting(party);
        (entry.prev, entry.next) = (self.last, None);
        match self.last {
            // SAFETY: nodes in the list are where they were, and used under the lock alone.
            Some(mut last) => unsafe { last.as_mut() }.next = Some(node),
            None => self.first = Some(node),
        }
        self.last = Some(node);
        self.len += 1;
    }

    /// Takes a waiter out of the list.
    ///
    /// # Safety
    /// It is in this list.
    pub(crate) unsafe fn unlink(&mut self, mut node: NonNull<Node>) -> Option<Party> {
        // SAFETY: nodes in the list are where they were, and used under the lock alone.
        let entry = unsafe { node.as_mut() };
        let (prev, next) = (entry.prev.take(), entry.next.take());
        let state = core::mem::replace(&mut entry.state, State::Idle);
        match prev {
            // SAFETY: as above, and another node.
            Some(mut prev) => unsafe { prev.as_mut() }.next = next,
            None => self.first = next,
        }
        match next {
            // SAFETY: as above, and another node.
            Some(mut next) => unsafe { next.as_mut() }.prev = prev,
            None => self.last = prev,
        }
        self.len -= 1;
        match state {
            State::Waiting(party) => Some(party),
            _ => None,
        }
    }

    /// Takes the first waiter out and tells it how it ended; whom to wake, after the lock.
    pub(crate) fn pop(&mut self, end: State) -> Option<Party> {
        let mut node = self.first?;
        // SAFETY: in this list.
        let party = unsafe { self.unlink(node) };
        // SAFETY: its owner does not touch it before the lock is free.
        unsafe { node.as_mut() }.state = end;
        party
    }
}
