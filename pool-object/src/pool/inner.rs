//! `Inner`: what the handles on a shared pool share, and the ways to it. A storage file.

use crate::pool::depot::{BATCH, Depot};
use crate::pool::error::{AttachError, GetError, PoolError};
use crate::pool::magazine::{Magazine, Places, ROOM};
use crate::pool::recycle::Recycle;
use crate::pool::returning::{Shelf, discard, persist};
use crate::pool::shared::SharedPool;
use crate::pool::sync::{Mutex, MutexGuard};
use crate::pool::thread::Ends;
#[cfg(not(loom))]
use crate::pool::thread::{self, Id};
use core::convert::Infallible;
use core::ptr::NonNull;
use pool_core::PageSource;
#[cfg(not(loom))]
use std::sync::{Arc, Weak};

/// No foreign code but the page source's runs while the lock of the depot is held.
pub(crate) struct Inner<T: Send + 'static, R: Recycle<T> + 'static, S: PageSource + 'static> {
    depot: Mutex<Depot<T>>,
    recycle: R,
    /// The one source that `depot` is given.
    source: S,
}

impl<T: Send + 'static, R: Recycle<T> + 'static, S: PageSource + 'static> Inner<T, R, S> {
    pub(crate) fn new(recycle: R, source: S) -> Self {
        Self { depot: Mutex::new(Depot::new()), recycle, source }
    }

    pub(crate) fn depot(&self) -> MutexGuard<'_, Depot<T>> {
        self.depot.lock()
    }

    pub(crate) fn source(&self) -> &S {
        &self.source
    }

    /// This thread's magazine. `None` if memory for one is refused, or the thread is about to end.
    /// It stays this thread's until foreign code runs, which may flush it.
    #[inline(always)]
    fn magazine(pool: &SharedPool<T, R, S>) -> Option<&Magazine<T>> {
        #[cfg(not(loom))]
        let magazine = match thread::last(Id::of(Arc::as_ptr(&pool.0))) {
            Some(magazine) => magazine,
            None => Self::find_magazine(pool)?,
        };
        // A model's threads all run on one.
        #[cfg(loom)]
        let magazine = Self::find_magazine(pool)?;
        // SAFETY: leased from the pool of this name, which is this one: `thread` keeps the memory of
        // every pool that it has a name of. It stays where it is while the pool lives, which is
        // borrowed.
        Some(unsafe { magazine.cast::<Magazine<T>>().as_ref() })
    }

    #[cfg(not(loom))]
    fn find_magazine(pool: &SharedPool<T, R, S>) -> Option<NonNull<()>> {
        let weak = || {
            let weak: Weak<dyn Ends> = Arc::downgrade(&pool.0) as _;
            weak
        };
        let lease = || Some(pool.0.lease().ok()?.cast());
        thread::find(Id::of(Arc::as_ptr(&pool.0)), weak, lease)
    }

    #[cfg(loom)]
    fn find_magazine(_: &SharedPool<T, R, S>) -> Option<NonNull<()>> {
        None
    }

    /// Gives the calling thread's magazine up.
    pub(crate) fn flush_here(&self) {
        #[cfg(not(loom))]
        thread::leave(Id::of(self));
    }

    /// A magazine that is the caller's, until `give_up`.
    pub(crate) fn lease(&self) -> Result<NonNull<Magazine<T>>, PoolError> {
        Ok(self.depot().lease(&self.source)?)
    }

    /// An idle object, by the calling thread's magazine.
    #[inline(always)]
    pub(crate) fn idle_here(pool: &SharedPool<T, R, S>) -> Option<NonNull<T>> {
        match Self::magazine(pool) {
            // SAFETY: this thread's.
            Some(magazine) => unsafe { pool.0.idle_by(magazine) },
            None => pool.0.idle_directly(),
        }
    }

    /// An idle object by way of a magazine.
    ///
    /// # Safety
    /// The caller owns the magazine.
    #[inline(always)]
    pub(crate) unsafe fn idle_by(&self, magazine: &Magazine<T>) -> Option<NonNull<T>> {
        // SAFETY: the caller's promise.
        match unsafe { magazine.pop() } {
            Some(object) => Some(object),
            // SAFETY: the caller's promise.
            None => unsafe { self.restock(magazine) },
        }
    }

    /// An object from the depot, and a batch of others into the empty magazine.
    ///
    /// # Safety
    /// The caller owns the magazine.
    #[cold]
    #[inline(never)]
    unsafe fn restock(&self, magazine: &Magazine<T>) -> Option<NonNull<T>> {
        // SAFETY: the caller's promise.
        unsafe { self.depot().load(magazine) };
        // SAFETY: the caller's promise.
        unsafe { magazine.pop() }
    }

    /// An object from the depot.
    #[cold]
    #[inline(never)]
    fn idle_directly(&self) -> Option<NonNull<T>> {
        self.depot().pop()
    }

    /// As `create_by`, counted as a miss.
    pub(crate) fn make<E>(
        &self,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<NonNull<T>, GetError<E>> {
        let object = self.create_by(make)?;
        self.depot().misses += 1;
        Ok(object)
    }

    /// A new object, out, initialised, the caller's alone.
    pub(crate) fn create(&self) -> Result<NonNull<T>, PoolError> {
        Ok(self.create_by(|| Ok::<T, Infallible>(self.recycle.create()))?)
    }

    fn create_by<E>(
        &self,
        create: impl FnOnce() -> Result<T, E>,
    ) -> Result<NonNull<T>, GetError<E>> {
        // Memory first, lest the constructor run for nothing; but nothing is taken before it has run.
        // SAFETY: the depot has one source.
        unsafe { self.depot().reserve(&self.source) }?;
        let value = create().map_err(GetError::Create)?;
        self.adopt(value).map_err(|refusal| GetError::Pool(refusal.error))
    }

    /// Moves a value into a slot; the object is out, and the caller's alone.
    pub(crate) fn adopt(&self, value: T) -> Result<NonNull<T>, AttachError<T>> {
        // SAFETY: the depot has one source.
        let place = unsafe { self.depot().place(&self.source) };
        match place {
            Ok(place) => {
                // SAFETY: a slot that nobody else has, aligned for `T`.
                unsafe { place.write(value) };
                Ok(place)
            }
            Err(error) => Err(AttachError { value, error: error.into() }),
        }
    }

    /// Makes an object idle, by the calling thread's magazine.
    #[inline(always)]
    pub(crate) fn shelve_here(pool: &SharedPool<T, R, S>, object: NonNull<T>) -> bool {
        match Self::magazine(pool) {
            // SAFETY: this thread's.
            Some(magazine) if unsafe { magazine.push(object) } => true,
            _ => Self::shelve_slowly(pool, object),
        }
    }

    #[cold]
    #[inline(never)]
    fn shelve_slowly(pool: &SharedPool<T, R, S>, object: NonNull<T>) -> bool {
        if let Some(magazine) = Self::magazine(pool) {
            // SAFETY: this thread's.
            unsafe { pool.0.unload(magazine) };
        }
        // Anew: destructors may have run, and used the pool.
        match Self::magazine(pool) {
            // SAFETY: this thread's.
            Some(magazine) if unsafe { magazine.push(object) } => true,
            _ => pool.0.depot().push(object),
        }
    }

    /// Up to `count` idle objects to `to`, all of the calling thread's magazine or all of the depot; how
    /// many.
    ///
    /// # Safety
    /// There is room for so many at `to`.
    pub(crate) unsafe fn idle_many(
        pool: &SharedPool<T, R, S>,
        to: NonNull<NonNull<T>>,
        count: usize,
    ) -> usize {
        let from_magazine = match Self::magazine(pool) {
            // SAFETY: this thread's, and the caller's promise.
            Some(magazine) => unsafe { magazine.pop_into(to, count) },
            None => 0,
        };
        if from_magazine > 0 {
            return from_magazine;
        }
        // SAFETY: the caller's promise.
        unsafe { pool.0.depot().pop_into(to, count) }
    }

    /// Makes objects idle, by the calling thread's magazine: the last of them will go out first. Returns
    /// those that are too many then, of these or of those that were there.
    ///
    /// # Safety
    /// `count` objects are at `from`, at most `ROOM`, out, and the caller gives them up.
    pub(crate) unsafe fn shelve_many(
        pool: &SharedPool<T, R, S>,
        from: NonNull<NonNull<T>>,
        count: usize,
    ) -> Option<Places<T>> {
        let Some(magazine) = Self::magazine(pool) else {
            // SAFETY: the caller's promise.
            return unsafe { pool.0.depot().push_from(from, count) };
        };
        // SAFETY: this thread's, and the caller's promise.
        let shelved = unsafe { magazine.push_from(from, count) };
        if shelved {
            return None;
        }
        // SAFETY: this thread's.
        let surplus = unsafe { pool.0.depot().unload(magazine, magazine.len() + count - ROOM) };
        // SAFETY: as above; now there is room.
        let shelved = unsafe { magazine.push_from(from, count) };
        debug_assert!(shelved);
        surplus
    }

    /// Makes room in a full magazine.
    ///
    /// # Safety
    /// The caller owns it.
    #[cold]
    #[inline(never)]
    pub(crate) unsafe fn unload(&self, magazine: &Magazine<T>) {
        // SAFETY: the caller's promise.
        let surplus = unsafe { self.depot().unload(magazine, BATCH) };
        self.discard_all(surplus);
    }

    /// Takes a magazine back, whose objects go to the depot.
    ///
    /// # Safety
    /// The caller owns it, and does no more.
    pub(crate) unsafe fn give_up(&self, magazine: &Magazine<T>) {
        let mut depot = self.depot();
        // SAFETY: the caller's promise.
        let surplus = unsafe { depot.unload(magazine, ROOM) };
        // SAFETY: the caller's promise; all that was in it is in the depot, or `surplus`.
        unsafe { depot.retire(magazine) };
        drop(depot);
        self.discard_all(surplus);
    }

    /// Drops objects that are out and nobody's.
    #[inline]
    pub(crate) fn discard_all(&self, places: Option<Places<T>>) {
        if let Some(places) = places {
            Surplus { inner: self, places, next: 0 }.go_on();
        }
    }

    /// Drops an object, if it is one, that is out and nobody's; whether it was one.
    pub(crate) fn discard(&self, object: Option<NonNull<T>>) -> bool {
        if let Some(object) = object {
            // SAFETY: initialised, out, and nobody else's, as callers in this file and `shared`
            // have just taken it from magazine or depot.
            unsafe { discard(self, object) };
        }
        object.is_some()
    }

    /// Drops so many objects that are idle in the depot.
    pub(crate) fn drop_some(&self, most: usize) {
        persist(most, || {
            let object = self.depot().discard_one();
            self.discard(object)
        });
    }

    /// Drops the objects that are idle in the depot beyond the limit.
    pub(crate) fn drop_excess(&self) {
        persist(usize::MAX, || {
            let object = self.depot().pop_excess();
            self.discard(object)
        });
    }

    pub(crate) fn give_back(&self) -> usize {
        // SAFETY: the depot has one source.
        unsafe { self.depot().trim(&self.source) }
    }
}

/// Objects to be dropped, all of them though a destructor panics.
struct Surplus<'a, T: Send + 'static, R: Recycle<T> + 'static, S: PageSource + 'static> {
    inner: &'a Inner<T, R, S>,
    places: Places<T>,
    next: usize,
}

impl<T: Send + 'static, R: Recycle<T> + 'static, S: PageSource + 'static> Surplus<'_, T, R, S> {
    fn go_on(&mut self) {
        while let Some(place) = self.places.get_mut(self.next) {
            self.next += 1;
            let object = place.take();
            self.inner.discard(object);
        }
    }
}

impl<T: Send + 'static, R: Recycle<T> + 'static, S: PageSource + 'static> Drop
    for Surplus<'_, T, R, S>
{
    fn drop(&mut self) {
        self.go_on();
    }
}

/// By the depot alone.
impl<T: Send + 'static, R: Recycle<T> + 'static, S: PageSource + 'static> Shelf<T>
    for Inner<T, R, S>
{
    type Recycle = R;

    #[inline(always)]
    fn recycle(&self) -> &R {
        &self.recycle
    }

    unsafe fn shelve(&self, object: NonNull<T>) -> bool {
        self.depot().push(object)
    }

    #[cold]
    fn uncount(&self) {
        self.depot().uncount();
    }

    #[cold]
    unsafe fn vacate_dropped(&self, place: NonNull<T>) {
        // SAFETY: a slot of this pool's, without an object, that the caller gives up.
        unsafe { self.depot().vacate(place) };
    }
}

impl<T: Send + 'static, R: Recycle<T> + 'static, S: PageSource + 'static> Ends for Inner<T, R, S> {
    fn end(&self, magazine: NonNull<()>) {
        // SAFETY: `thread` passes on what `lease` gave it for this pool, and forgets it.
        let magazine = unsafe { magazine.cast::<Magazine<T>>().as_ref() };
        // SAFETY: as above.
        unsafe { self.give_up(magazine) };
    }
}

impl<T: Send + 'static, R: Recycle<T> + 'static, S: PageSource + 'static> Drop for Inner<T, R, S> {
    /// Drops all idle objects. Threads that have magazines still cannot come here any more: they
    /// would need a handle on the pool, or a `Weak` that can be upgraded.
    fn drop(&mut self) {
        /// Goes on if a destructor panics, and gives the memory back last.
        struct Rest<'a, T: Send + 'static, R: Recycle<T> + 'static, S: PageSource + 'static>(
            &'a Inner<T, R, S>,
        );
        impl<T: Send + 'static, R: Recycle<T> + 'static, S: PageSource + 'static> Rest<'_, T, R, S> {
            fn go_on(&self) {
                loop {
                    let mut depot = self.0.depot();
                    let object = match depot.discard_one() {
                        None => {
                            // SAFETY: no thread uses its magazine any more, as said above.
                            unsafe { depot.drain() }
                        }
                        object => object,
                    };
                    drop(depot);
                    if object.is_none() {
                        break;
                    }
                    self.0.discard(object);
                }
            }
        }
        impl<T: Send + 'static, R: Recycle<T> + 'static, S: PageSource + 'static> Drop
            for Rest<'_, T, R, S>
        {
            fn drop(&mut self) {
                self.go_on();
                // SAFETY: the depot has one source; nobody has an object or magazine any more,
                // since guards and handles keep the pool alive. Those that were forgotten nobody
                // can use.
                unsafe { self.0.depot().release(&self.0.source) };
            }
        }
        Rest(self).go_on();
    }
}
