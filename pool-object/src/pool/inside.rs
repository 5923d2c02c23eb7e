//! `Inside`: what the lock of a bounded pool guards, and the pool's ways to it. A storage file.

use crate::pool::bounded::{BoundedPool, BoundedPooled, OwnedBoundedPooled};
use crate::pool::error::{GetError, PoolError};
use crate::pool::guard::Guard;
use crate::pool::recycle::Recycle;
use crate::pool::returning::{discard, persist, send_out};
use crate::pool::rights::{Bare, Right, Rights};
use crate::pool::slots::Slots;
use crate::pool::stack::Stack;
use crate::pool::sync::MutexGuard;
use crate::pool::waiters::{Party, State, Waiters};
use crate::pool::waiting::{Ticket, Wish};
use core::convert::Infallible;
use core::ptr::NonNull;
use pool_core::{PageError, PageSource};
use std::sync::Arc;

/// What the lock guards. No foreign code but the page source's runs while it is held.
pub(crate) struct Inside<T> {
    /// Objects out, and rights to one that waiters were granted: at most the limit. There is a
    /// waiter only while they are as many, since every right that is given up goes to the first.
    pub(crate) out: usize,
    pub(crate) idle: Stack<T>,
    pub(crate) slots: Slots<T>,
    pub(crate) waiters: Waiters,
    /// Who waits until `out` is 0.
    pub(crate) leaving: Waiters,
    pub(crate) closed: bool,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) created: u64,
    pub(crate) dropped: u64,
    pub(crate) peak: u64,
}

// SAFETY: it owns the idle objects, which may go where `T` may.
unsafe impl<T: Send> Send for Inside<T> {}

impl<T> Inside<T> {
    pub(super) const fn new() -> Self {
        Self {
            out: 0,
            idle: Stack::new(),
            slots: Slots::new(),
            waiters: Waiters::new(),
            leaving: Waiters::new(),
            closed: false,
            hits: 0,
            misses: 0,
            created: 0,
            dropped: 0,
            peak: 0,
        }
    }
}

impl<T: Send, R: Recycle<T>, S: PageSource> BoundedPool<T, R, S> {
    pub(super) fn inside(&self) -> MutexGuard<'_, Inside<T>> {
        self.state.lock()
    }

    /// The same object by a share of the pool.
    pub(super) fn into_owned(
        pool: &Arc<Self>,
        guard: BoundedPooled<'_, T, R, S>,
    ) -> OwnedBoundedPooled<T, R, S> {
        let (object, _) = Guard::into_parts(guard);
        // SAFETY: out of this pool, and no longer the other guard's.
        unsafe { Guard::new(object, pool.clone()) }
    }

    /// Takes the right to an object, if there is one.
    pub(super) fn try_right(&self) -> Result<(), PoolError> {
        let mut inside = self.inside();
        if inside.closed {
            return Err(PoolError::Closed);
        }
        if inside.out >= self.limit {
            return Err(PoolError::Exhausted { limit: self.limit });
        }
        inside.out += 1;
        Ok(())
    }

    /// Gives a right up, to the first waiter if there is one.
    pub(super) fn give_right(&self) {
        let mut inside = self.inside();
        let party = inside.waiters.pop(State::Granted);
        if party.is_none() {
            inside.out -= 1;
        }
        let ended = inside.out == 0 && inside.leaving.len() > 0;
        drop(inside);
        if let Some(party) = party {
            party.wake();
        }
        if ended {
            self.end();
        }
    }

    /// Tells those who wait for that that no object is out, as long as it is so.
    #[cold]
    pub(super) fn end(&self) {
        loop {
            let mut inside = self.inside();
            let party = if inside.out == 0 { inside.leaving.pop(State::Granted) } else { None };
            drop(inside);
            match party {
                Some(party) => party.wake(),
                None => return,
            }
        }
    }

    /// An object for a right; the right is given up if there is none.
    pub(super) fn redeem(&self) -> Result<BoundedPooled<'_, T, R, S>, PoolError> {
        Ok(self.redeem_or(|| Ok::<T, Infallible>(self.recycle.create()))?)
    }

    /// As `redeem`, but `make` makes it if none is idle.
    pub(super) fn redeem_or<E>(
        &self,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<BoundedPooled<'_, T, R, S>, GetError<E>> {
        let right = Right(self);
        while let Some(object) = self.idle()? {
            // SAFETY: idle until now, so initialised and ours alone. If it panics the object is gone,
            // and `right` gives the right up.
            if unsafe { send_out(&Bare(self), object) } {
                core::mem::forget(right);
                // SAFETY: as above; the right is the guard's.
                return Ok(unsafe { Guard::new(object, self) });
            }
        }
        right.redeem_new(make)
    }

    /// An object that was idle until now, counted as a hit.
    pub(super) fn idle(&self) -> Result<Option<NonNull<T>>, PoolError> {
        let inside = &mut *self.inside();
        if inside.closed {
            return Err(PoolError::Closed);
        }
        let object = inside.idle.pop();
        inside.hits += u64::from(object.is_some());
        Ok(object)
    }

    pub(super) fn place(&self) -> Result<NonNull<T>, PageError> {
        let mut inside = self.inside();
        self.reserve(&inside)?;
        let place = inside.slots.take(&self.source)?;
        inside.created += 1;
        inside.peak = inside.peak.max(inside.created - inside.dropped);
        Ok(place)
    }

    /// Makes sure that `place` needs no memory.
    pub(super) fn reserve(&self, inside: &Inside<T>) -> Result<(), PageError> {
        let objects = inside.created - inside.dropped + 1;
        // SAFETY: the pool has one source.
        unsafe { inside.idle.reserve(&self.source, objects as usize) }?;
        inside.slots.reserve(&self.source)
    }

    /// Drops an object, if it is one, that was idle until now; whether it was.
    pub(super) fn drop_idle(&self, object: Option<NonNull<T>>) -> bool {
        if let Some(object) = object {
            // SAFETY: idle until now, so initialised and ours alone.
            unsafe { discard(&Bare(self), object) };
        }
        object.is_some()
    }

    /// Drops an idle object if there are more than may be out, with those that are.
    pub(super) fn make_way(&self) {
        let inside = self.inside();
        let many = inside.idle.len() + inside.out > self.limit;
        let object = if many { inside.idle.pop() } else { None };
        drop(inside);
        self.drop_idle(object);
    }

    pub(super) fn drop_some(&self, most: usize) {
        persist(most, || {
            let object = self.inside().idle.pop();
            self.drop_idle(object)
        });
    }

    pub(super) fn give_back(&self) -> usize {
        let inside = self.inside();
        // SAFETY: the pool has one source.
        let spans = unsafe { inside.slots.trim(&self.source) };
        let objects = (inside.created - inside.dropped) as usize;
        // SAFETY: as above; of all objects some are idle.
        spans + unsafe { inside.idle.fit(&self.source, objects) }
    }

    /// What `state` says of a ticket's way, and does about it; see `Ticket`.
    pub(super) fn with_waiters<U>(&self, f: impl FnOnce(&mut Rights<'_>) -> U) -> U {
        let mut inside = self.inside();
        let Inside { out, waiters, leaving, closed, .. } = &mut *inside;
        f(&mut Rights { out, limit: self.limit, waiters, leaving, closed: *closed })
    }

    /// Waits for what is wished.
    #[cfg(not(loom))]
    pub(super) fn wait(
        &self,
        wish: Wish,
        deadline: Option<std::time::Instant>,
    ) -> Result<(), PoolError> {
        let ticket = core::pin::pin!(Ticket::new(self, wish));
        loop {
            if let Some(result) = ticket.as_ref().poll_as(|| Party::Thread(std::thread::current()))
            {
                return result;
            }
            let Some(deadline) = deadline else {
                std::thread::park();
                continue;
            };
            match deadline.checked_duration_since(std::time::Instant::now()) {
                Some(left) if !left.is_zero() => std::thread::park_timeout(left),
                _ => return Err(PoolError::Timeout { limit: self.limit }),
            }
        }
    }

    /// Waits for what is wished.
    #[cfg(loom)]
    pub(super) fn wait(&self, wish: Wish, _: Option<()>) -> Result<(), PoolError> {
        let ticket = core::pin::pin!(Ticket::new(self, wish));
        loop {
            if let Some(result) = ticket.as_ref().poll_as(|| Party::Thread(loom::thread::current()))
            {
                return result;
            }
            loom::thread::park();
        }
    }

    /// A right to make one more object, of `objects` that should be idle, if there may be one.
    pub(super) fn right_to_stock(
        &self,
        objects: usize,
    ) -> Result<Option<Right<'_, T, R, S>>, PoolError> {
        let mut inside = self.inside();
        if inside.closed {
            return Err(PoolError::Closed);
        }
        let idle = inside.idle.len();
        if idle >= objects.min(inside.idle.limit()) || idle + inside.out >= self.limit {
            return Ok(None);
        }
        inside.out += 1;
        Ok(Some(Right(self)))
    }
}

impl<T: Send, R: Recycle<T>, S: PageSource> Drop for BoundedPool<T, R, S> {
    fn drop(&mut self) {
        /// Goes on if a destructor panics, and gives the memory back last.
        struct Rest<'a, T: Send, R: Recycle<T>, S: PageSource>(&'a BoundedPool<T, R, S>);
        impl<T: Send, R: Recycle<T>, S: PageSource> Drop for Rest<'_, T, R, S> {
            fn drop(&mut self) {
                self.0.clear();
                let inside = self.0.inside();
                // SAFETY: the pool has one source.
                unsafe { inside.idle.release(&self.0.source) };
                // SAFETY: as above. No guard is left: they borrow the pool or keep it alive; those
                // that were forgotten nobody can use.
                unsafe { inside.slots.release(&self.0.source) };
            }
        }
        Rest(self).0.clear();
    }
}
