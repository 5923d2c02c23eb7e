//! Rights to an object of a bounded pool, and how objects come back to one. A storage file.

use crate::pool::bounded::{BoundedPool, BoundedPooled};
use crate::pool::error::{GetError, PoolError};
use crate::pool::guard::{Guard, Home, sealed};
use crate::pool::recycle::Recycle;
use crate::pool::returning::{Shelf, discard, take_back};
use crate::pool::waiters::Waiters;
use crate::pool::waiting::Wish;
use core::ptr::NonNull;
use pool_core::PageSource;
use std::sync::Arc;

/// What a ticket needs of a pool, under its lock.
pub(crate) struct Rights<'a> {
    pub(crate) out: &'a mut usize,
    pub(crate) limit: usize,
    pub(crate) waiters: &'a mut Waiters,
    pub(crate) leaving: &'a mut Waiters,
    pub(crate) closed: bool,
}

impl Rights<'_> {
    /// Who waits for that.
    pub(crate) fn queue(&mut self, wish: Wish) -> &mut Waiters {
        match wish {
            Wish::Object => self.waiters,
            Wish::End => self.leaving,
        }
    }
}

/// A right to an object, given up when it is dropped.
pub(crate) struct Right<'p, T: Send, R: Recycle<T>, S: PageSource>(
    pub(crate) &'p BoundedPool<T, R, S>,
);

impl<T: Send, R: Recycle<T>, S: PageSource> Drop for Right<'_, T, R, S> {
    fn drop(&mut self) {
        self.0.give_right();
    }
}

impl<'p, T: Send, R: Recycle<T>, S: PageSource> Right<'p, T, R, S> {
    /// A new object for it.
    #[cold]
    pub(crate) fn redeem_new<E>(
        self,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<BoundedPooled<'p, T, R, S>, GetError<E>> {
        let pool = self.0;
        let guard = self.make(make)?;
        pool.inside().misses += 1;
        Ok(guard)
    }

    /// A new object for it, out.
    pub(crate) fn make<E>(
        self,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<BoundedPooled<'p, T, R, S>, GetError<E>> {
        let pool = self.0;
        // Memory first, lest the constructor run for nothing.
        pool.reserve(&pool.inside())?;
        let value = make().map_err(GetError::Create)?;
        let object = pool.place()?;
        // SAFETY: a slot that nobody else has, aligned for `T`.
        unsafe { object.write(value) };
        core::mem::forget(self);
        // SAFETY: written just now, ours alone; the right is the guard's.
        Ok(unsafe { Guard::new(object, pool) })
    }

    /// A new object for it, that is idle then, if it may be.
    pub(crate) fn stock(self) -> Result<(), PoolError> {
        let pool = self.0;
        let (object, _) = Guard::into_parts(self.make(|| Ok(pool.recycle().create()))?);
        // SAFETY: out by this right, initialised, and ours alone.
        if unsafe { pool.shelve(object) } {
            pool.shelved();
        } else {
            // SAFETY: as above; it was not shelved.
            unsafe { discard(pool, object) };
        }
        Ok(())
    }
}

/// The pool, to objects that are not out by a right: idle ones, and such as have a `Right` beside
/// them.
pub(crate) struct Bare<'p, T: Send, R: Recycle<T>, S: PageSource>(
    pub(crate) &'p BoundedPool<T, R, S>,
);

impl<T: Send, R: Recycle<T>, S: PageSource> Shelf<T> for Bare<'_, T, R, S> {
    type Recycle = R;

    fn recycle(&self) -> &R {
        self.0.recycle()
    }

    unsafe fn shelve(&self, object: NonNull<T>) -> bool {
        let inside = self.0.inside();
        !inside.closed && inside.idle.push(object)
    }

    fn uncount(&self) {
        self.0.inside().hits -= 1;
    }

    unsafe fn vacate_dropped(&self, place: NonNull<T>) {
        let mut inside = self.0.inside();
        inside.dropped += 1;
        // SAFETY: a slot of this pool's, without an object, that the caller gives up.
        unsafe { inside.slots.give(place) };
    }
}

/// The pool, to objects that guards have, each with a right.
impl<T: Send, R: Recycle<T>, S: PageSource> Shelf<T> for BoundedPool<T, R, S> {
    type Recycle = R;

    fn recycle(&self) -> &R {
        BoundedPool::recycle(self)
    }

    unsafe fn shelve(&self, object: NonNull<T>) -> bool {
        // SAFETY: the caller's promise.
        unsafe { Bare(self).shelve(object) }
    }

    fn uncount(&self) {
        Bare(self).uncount();
    }

    fn shelved(&self) {
        self.give_right();
    }

    unsafe fn vacate_dropped(&self, place: NonNull<T>) {
        // SAFETY: the caller's promise.
        unsafe { Bare(self).vacate_dropped(place) };
        self.give_right();
    }
}

impl<T: Send, R: Recycle<T>, S: PageSource> sealed::Home for &BoundedPool<T, R, S> {}
impl<T: Send, R: Recycle<T>, S: PageSource> sealed::Home for Arc<BoundedPool<T, R, S>> {}

// SAFETY: a pool that is borrowed is neither moved nor dropped, so its slots stay; objects that are
// out are in no list of its. Its lock lets objects come back on any thread.
unsafe impl<T: Send, R: Recycle<T>, S: PageSource> Home<T> for &BoundedPool<T, R, S> {
    unsafe fn put(&self, object: NonNull<T>) {
        // SAFETY: the caller's promise.
        unsafe { take_back(*self, object) };
    }

    unsafe fn vacate(&self, place: NonNull<T>) {
        // SAFETY: the caller's promise; moved out is as good as dropped.
        unsafe { self.vacate_dropped(place) };
    }
}

// SAFETY: as above, for as long as there is a share.
unsafe impl<T: Send, R: Recycle<T>, S: PageSource> Home<T> for Arc<BoundedPool<T, R, S>> {
    unsafe fn put(&self, object: NonNull<T>) {
        // SAFETY: the caller's promise.
        unsafe { take_back(&**self, object) };
    }

    unsafe fn vacate(&self, place: NonNull<T>) {
        // SAFETY: the caller's promise; moved out is as good as dropped.
        unsafe { self.vacate_dropped(place) };
    }
}
