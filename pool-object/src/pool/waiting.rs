//! Waiting for an object of a bounded pool: the ticket that threads and tasks hold, and the future.
//! A storage file.

use crate::pool::bounded::{BoundedPool, BoundedPooled};
use crate::pool::error::PoolError;
use crate::pool::recycle::{ByDefault, Recycle};
use crate::pool::rights::{Right, Rights};
use crate::pool::waiters::{Node, Party, State};
use crate::table::DefaultSource;
use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomPinned;
use core::mem::replace;
use core::pin::Pin;
use core::ptr::NonNull;
use core::task::{Context, Poll};
use pool_core::PageSource;

/// What a ticket is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wish {
    /// The right to an object.
    Object,
    /// That no object is out.
    End,
}

/// A place in a queue. As a future it ends when its turn has come.
pub(crate) struct Ticket<'p, T: Send, R: Recycle<T>, S: PageSource> {
    pool: &'p BoundedPool<T, R, S>,
    wish: Wish,
    /// Used under the pool's lock alone. While it is in the list this value is pinned, and it leaves
    /// the list in `drop` at the latest.
    node: UnsafeCell<Node>,
    _pinned: PhantomPinned,
}

// SAFETY: the node is used under the lock of the pool, which may be used on any thread; what it holds
// (`Waker`, `Thread`) may, too.
unsafe impl<T: Send, R: Recycle<T> + Sync, S: PageSource + Sync + Send> Send
    for Ticket<'_, T, R, S>
{
}

impl<'p, T: Send, R: Recycle<T>, S: PageSource> Ticket<'p, T, R, S> {
    pub(crate) const fn new(pool: &'p BoundedPool<T, R, S>, wish: Wish) -> Self {
        Self { pool, wish, node: UnsafeCell::new(Node::new()), _pinned: PhantomPinned }
    }

    fn node(&self) -> NonNull<Node> {
        NonNull::from(&self.node).cast()
    }

    /// Under the pool's lock: what the node's state says, and a right at once for who has not waited.
    fn settle(&self, rights: &mut Rights<'_>) -> Option<Result<(), PoolError>> {
        // SAFETY: under the lock, so nobody else uses it.
        let state = unsafe { &mut (*self.node.get()).state };
        match state {
            State::Waiting(_) => None,
            State::Granted => {
                *state = State::Idle;
                Some(Ok(()))
            }
            State::Closed => {
                *state = State::Idle;
                Some(Err(PoolError::Closed))
            }
            State::Idle if self.wish == Wish::End => (*rights.out == 0).then_some(Ok(())),
            State::Idle if rights.closed => Some(Err(PoolError::Closed)),
            State::Idle if *rights.out < rights.limit => {
                *rights.out += 1;
                Some(Ok(()))
            }
            State::Idle => None,
        }
    }

    /// The result if there is one. Else it is in the queue, and `party` is woken when there is.
    pub(crate) fn poll_as(
        self: Pin<&Self>,
        party: impl FnOnce() -> Party,
    ) -> Option<Result<(), PoolError>> {
        if let Some(result) = self.pool.with_waiters(|rights| self.settle(rights)) {
            return Some(result);
        }
        // Foreign code, so not under the lock; nor is the drop of the former one.
        let mut party = Some(party());
        let result = self.pool.with_waiters(|rights| {
            let result = self.settle(rights);
            if result.is_none() {
                self.enqueue(rights, &mut party);
            }
            result
        });
        // A right that just came must not be lost if the drop panics.
        let granted = self.wish == Wish::Object && matches!(result, Some(Ok(())));
        let right = granted.then(|| Right(self.pool));
        drop(party);
        core::mem::forget(right);
        result
    }

    /// Takes a place in the queue, or tells it another party, in exchange for the former.
    fn enqueue(self: Pin<&Self>, rights: &mut Rights<'_>, party: &mut Option<Party>) {
        // SAFETY: under the lock, so nobody else uses it.
        let state = unsafe { &mut (*self.node.get()).state };
        if let State::Waiting(former) = state {
            if let Some(new) = party.take() {
                *party = Some(replace(former, new));
            }
        } else if let Some(new) = party.take() {
            // SAFETY: not waiting, so in no list. It is pinned, and `drop` takes it out.
            unsafe { rights.queue(self.wish).push(self.node(), new) };
        }
    }
}

impl<T: Send, R: Recycle<T>, S: PageSource> Drop for Ticket<'_, T, R, S> {
    /// Leaves the queue; a right that came and was not seen goes on to the next.
    fn drop(&mut self) {
        let node = self.node();
        // Its party is dropped last: that is foreign code.
        let (state, _party) = self.pool.with_waiters(|rights| {
            // SAFETY: under the lock, so nobody else uses it.
            let party = match unsafe { &(*node.as_ptr()).state } {
                // SAFETY: those that wait are in the list.
                State::Waiting(_) => unsafe { rights.queue(self.wish).unlink(node) },
                _ => None,
            };
            // SAFETY: under the lock, so nobody else uses it.
            let state = unsafe { &mut (*node.as_ptr()).state };
            (replace(state, State::Idle), party)
        });
        if let (State::Granted, Wish::Object) = (state, self.wish) {
            self.pool.give_right();
        }
    }
}

impl<T: Send, R: Recycle<T>, S: PageSource> Future for Ticket<'_, T, R, S> {
    type Output = Result<(), PoolError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.as_ref().poll_as(|| Party::Task(context.waker().clone())) {
            Some(result) => Poll::Ready(result),
            None => Poll::Pending,
        }
    }
}

/// The future of [`BoundedPool::get_async`].
///
/// It may move between threads, if pool and objects may:
///
/// ```
/// fn is_send(_: impl Send) {}
/// let pool = pool_object::BoundedPool::<Vec<u8>>::new(1);
/// is_send(pool.get_async());
/// ```
#[must_use = "futures do nothing until they are polled"]
pub struct Get<'p, T: Send, R: Recycle<T> = ByDefault, S: PageSource = DefaultSource> {
    /// Pinned as this is.
    ticket: Ticket<'p, T, R, S>,
}

impl<'p, T: Send, R: Recycle<T>, S: PageSource> Get<'p, T, R, S> {
    pub(crate) const fn new(pool: &'p BoundedPool<T, R, S>) -> Self {
        Self { ticket: Ticket::new(pool, Wish::Object) }
    }
}

impl<'p, T: Send, R: Recycle<T>, S: PageSource> Future for Get<'p, T, R, S> {
    type Output = Result<BoundedPooled<'p, T, R, S>, PoolError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: the field is pinned with the whole: nothing moves out of it.
        let ticket = unsafe { self.as_ref().map_unchecked(|get| &get.ticket) };
        let pool = ticket.pool;
        match ticket.poll_as(|| Party::Task(context.waker().clone())) {
            None => Poll::Pending,
            Some(Ok(())) => Poll::Ready(pool.redeem()),
            Some(Err(error)) => Poll::Ready(Err(error)),
        }
    }
}

impl<T: Send, R: Recycle<T>, S: PageSource> fmt::Debug for Get<'_, T, R, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Get").field("pool", self.ticket.pool).finish()
    }
}
