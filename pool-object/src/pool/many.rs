//! `Hand`: objects on their way between a shared pool and who moves many at once. A storage file.

use crate::pool::inner::Inner;
use crate::pool::magazine::ROOM;
use crate::pool::recycle::Recycle;
use crate::pool::returning::{Shelf, send_out};
use crate::pool::shared::SharedPool;
use core::cell::{Cell, UnsafeCell};
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use pool_core::PageSource;

/// Up to 64 objects that are out of the pool for their next user, or from their last: so many come and
/// go in one step. Those that are left become idle before it goes, so no hook's panic loses any.
pub(crate) struct Hand<'p, T: Send + 'static, R: Recycle<T> + 'static, S: PageSource + 'static> {
    pool: Cell<&'p SharedPool<T, R, S>>,
    /// Below `len` initialised: objects of `pool` that are out, and this value's alone.
    places: UnsafeCell<[MaybeUninit<NonNull<T>>; ROOM]>,
    len: Cell<usize>,
    /// Whether they were counted as hits.
    outward: bool,
    /// Of those that were, so many did not go out after all.
    refused: Cell<usize>,
}

impl<'p, T: Send + 'static, R: Recycle<T> + 'static, S: PageSource + 'static> Hand<'p, T, R, S> {
    /// For objects that go out, or come back.
    #[inline(always)]
    pub(crate) fn new(pool: &'p SharedPool<T, R, S>, outward: bool) -> Self {
        let places = UnsafeCell::new([const { MaybeUninit::uninit() }; ROOM]);
        Self { pool: Cell::new(pool), places, len: Cell::new(0), outward, refused: Cell::new(0) }
    }

    /// Fetches up to `wanted` idle objects, if it is empty; whether there are any.
    #[inline(never)]
    pub(crate) fn fill(&self, wanted: usize) -> bool {
        if self.len() == 0 {
            // SAFETY: room for `ROOM`, of which none is in use.
            let count =
                unsafe { Inner::idle_many(self.pool.get(), self.first(), wanted.min(ROOM)) };
            self.len.set(count);
        }
        self.len() > 0
    }

    /// Objects in it.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.len.get()
    }

    /// How many did not go out since this was asked.
    pub(crate) fn refused(&self) -> usize {
        self.refused.take()
    }

    #[inline(always)]
    fn first(&self) -> NonNull<NonNull<T>> {
        NonNull::from(&self.places).cast()
    }

    /// Is for the objects of this pool from now on. If it was for another's, those become idle, and
    /// destructors of some may run.
    #[inline(always)]
    pub(crate) fn turn_to(&self, pool: &'p SharedPool<T, R, S>) {
        if !core::ptr::eq(self.pool.get(), pool) {
            self.turn(pool);
        }
    }

    #[cold]
    #[inline(never)]
    fn turn(&self, pool: &'p SharedPool<T, R, S>) {
        if !core::ptr::eq(self.pool.get().inner(), pool.inner()) {
            self.unload();
        }
        self.pool.set(pool);
    }

    /// Makes all objects idle that may be, and drops the others.
    #[cold]
    #[inline(never)]
    fn unload(&self) {
        let (pool, len) = (self.pool.get(), self.len.get());
        if self.outward {
            (0..len).for_each(|_| self.uncount());
        }
        self.len.set(0);
        // SAFETY: so many that were initialised until now: objects that are out, and ours alone.
        let surplus = unsafe { Inner::shelve_many(pool, self.first(), len) };
        pool.inner().discard_all(surplus);
    }
}

/// Objects that are out from now on, each the caller's alone: those that are still good.
impl<T: Send + 'static, R: Recycle<T> + 'static, S: PageSource + 'static> Iterator
    for &Hand<'_, T, R, S>
{
    type Item = NonNull<T>;

    #[inline(always)]
    fn next(&mut self) -> Option<NonNull<T>> {
        loop {
            let len = self.len.get().checked_sub(1)?;
            self.len.set(len);
            // SAFETY: `len` was at most `ROOM`, and is below it now.
            let place = unsafe { self.first().add(len) };
            // SAFETY: below what `len` was, so initialised.
            let object = unsafe { place.read() };
            // SAFETY: idle until it came here, so initialised and ours alone.
            if unsafe { send_out(*self, object) } {
                return Some(object);
            }
        }
    }
}

impl<T: Send + 'static, R: Recycle<T> + 'static, S: PageSource + 'static> Drop
    for Hand<'_, T, R, S>
{
    fn drop(&mut self) {
        if self.len.get() > 0 {
            self.unload();
        }
    }
}

impl<T: Send + 'static, R: Recycle<T> + 'static, S: PageSource + 'static> Shelf<T>
    for Hand<'_, T, R, S>
{
    type Recycle = R;

    #[inline(always)]
    fn recycle(&self) -> &R {
        self.pool.get().recycle()
    }

    #[inline(always)]
    unsafe fn shelve(&self, object: NonNull<T>) -> bool {
        if self.len.get() == ROOM {
            // May run destructors, which do not see this hand.
            self.unload();
        }
        let len = self.len.get();
        // SAFETY: below `ROOM`: it was, or is 0 now.
        let place = unsafe { self.first().add(len) };
        // SAFETY: as above, and nobody else's.
        unsafe { place.write(object) };
        self.len.set(len + 1);
        true
    }

    fn uncount(&self) {
        self.refused.set(self.refused.get() + 1);
        self.pool.get().uncount();
    }

    #[cold]
    unsafe fn vacate_dropped(&self, place: NonNull<T>) {
        // SAFETY: the caller's promise.
        unsafe { self.pool.get().vacate_dropped(place) };
    }
}
