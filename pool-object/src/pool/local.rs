//! `Pool`: objects of one type, used again and again by one thread. A storage file.

use crate::pool::error::{AttachError, GetError, PoolError, refuse};
use crate::pool::guard::{Guard, Home, sealed};
use crate::pool::recycle::{ByDefault, Recycle};
use crate::pool::returning::{Shelf, Stock, discard, persist, take_back, take_out, take_out_or};
use crate::pool::slots::Slots;
use crate::pool::stack::Stack;
use crate::pool::stats::PoolStats;
use crate::table::DefaultSource;
#[cfg(feature = "alloc")]
use alloc::rc::Rc;
use core::cell::Cell;
use core::convert::Infallible;
use core::fmt;
use core::ptr::NonNull;
use pool_core::{PageError, PageSource};

/// An object of a [`Pool`] that is borrowed; see [`Guard`].
pub type Pooled<'p, T, R = ByDefault, S = DefaultSource> = Guard<T, &'p Pool<T, R, S>>;

/// An object of a [`Pool`] in an `Rc`, which it keeps alive; see [`Guard`].
#[cfg(feature = "alloc")]
pub type RcPooled<T, R = ByDefault, S = DefaultSource> = Guard<T, Rc<Pool<T, R, S>>>;

/// Objects of one type that are costly to make, used again and again by one thread.
///
/// The last object that came back goes out first, since its memory is likeliest to be in the
/// processor's caches. Objects never move. [`Recycle`] says how they are made, reset and kept.
///
/// ```
/// use pool_object::Pool;
///
/// #[derive(Default)]
/// struct Context { headers: Vec<(String, String)>, body: Vec<u8> }
///
/// let contexts = Pool::with((
///     Context::default,
///     |context: &mut Context| {
///         context.headers.clear();
///         context.body.clear(); // and keeps its capacity
///     },
///     |context: &Context| context.body.capacity() <= 1 << 20,
/// ));
/// for request in ["GET /", "GET /a"] {
///     let mut context = contexts.get();
///     assert!(context.body.is_empty());
///     context.body.extend_from_slice(request.as_bytes());
/// } // back here
/// assert_eq!((contexts.stats().hits, contexts.stats().created), (1, 1));
/// ```
///
/// A guard borrows the pool. One that shares it, for `'static` use, comes from
/// [`get_rc`](Self::get_rc).
///
/// ```compile_fail,E0277
/// use pool_object::Pool;
/// let pool: Pool<u32> = Pool::new();
/// std::thread::scope(|scope| {
///     scope.spawn(|| drop(pool.get())); // one thread: see SharedPool
/// });
/// ```
///
/// # Complexity
/// All but what says otherwise: O(1), and no call of the source while an object is idle.
///
/// # Memory
/// Spans of 64 KiB (or of seven objects or more, if those are longer) and a word an object, from the page
/// source. They go back by [`trim`](Self::trim) and when the pool is dropped.
pub struct Pool<T, R: Recycle<T> = ByDefault, S: PageSource = DefaultSource> {
    /// Objects in slots of `slots`, constructed, and out with nobody.
    idle: Stack<T>,
    /// With places for all objects in `idle`, so that none that comes back needs memory.
    slots: Slots<T>,
    hits: Cell<u64>,
    misses: Cell<u64>,
    created: Cell<u64>,
    dropped: Cell<u64>,
    peak: Cell<u64>,
    recycle: R,
    /// The source of `idle` and `slots` for their whole life.
    source: S,
}

// SAFETY: the pool owns its idle objects, hooks and source. Guards borrow it, so none is out that
// anybody could still use when it moves; a `RcPooled` keeps it in an `Rc`, which does not move.
unsafe impl<T: Send, R: Recycle<T> + Send, S: PageSource + Send> Send for Pool<T, R, S> {}

/// One more event.
#[inline(always)]
fn count(counter: &Cell<u64>) {
    counter.set(counter.get().wrapping_add(1));
}

#[cfg(all(feature = "std", not(loom)))]
impl<T: Default> Pool<T> {
    /// A pool that makes objects by `T::default()`, on the process-wide source. It takes no memory
    /// yet.
    #[must_use]
    pub fn new() -> Self {
        Self::with(ByDefault)
    }
}

#[cfg(all(feature = "std", not(loom)))]
impl<T: Default> Default for Pool<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(feature = "std", not(loom)))]
impl<T, R: Recycle<T>> Pool<T, R> {
    /// A pool with these hooks, on the process-wide source. It takes no memory yet.
    ///
    /// ```
    /// let pool = pool_object::Pool::with(|| String::with_capacity(100));
    /// assert!(pool.get().capacity() >= 100);
    /// ```
    #[must_use]
    pub fn with(recycle: R) -> Self {
        Self::with_in(recycle, pool_core::Global)
    }
}

impl<T, R: Recycle<T>, S: PageSource> Pool<T, R, S> {
    /// A pool with these hooks that draws from `source`. It takes no memory yet.
    #[must_use]
    pub const fn with_in(recycle: R, source: S) -> Self {
        Self {
            idle: Stack::new(),
            slots: Slots::new(),
            hits: Cell::new(0),
            misses: Cell::new(0),
            created: Cell::new(0),
            dropped: Cell::new(0),
            peak: Cell::new(0),
            recycle,
            source,
        }
    }

    /// With at most `objects` idle; what comes back beyond that is dropped. No bound by default.
    ///
    /// ```
    /// let pool = pool_object::Pool::<u8>::new().max_idle(1);
    /// let both = (pool.get(), pool.get());
    /// drop(both);
    /// assert_eq!((pool.stats().idle, pool.stats().dropped), (1, 1));
    /// ```
    #[must_use]
    pub fn max_idle(self, objects: usize) -> Self {
        self.set_max_idle(objects);
        self
    }

    /// From now on at most `objects` idle; those beyond are dropped.
    pub fn set_max_idle(&self, objects: usize) {
        self.idle.set_limit(objects);
        persist(usize::MAX, || self.drop_idle(self.idle.pop_excess()));
    }

    /// An idle object, or a new one.
    ///
    /// # Panics
    /// If memory is refused; [`try_get`](Self::try_get) says why instead.
    #[inline(always)]
    #[track_caller]
    #[must_use = "it goes back at once otherwise"]
    pub fn get(&self) -> Pooled<'_, T, R, S> {
        match self.try_get() {
            Ok(guard) => guard,
            Err(error) => refuse(error),
        }
    }

    /// As [`get`](Self::get).
    ///
    /// # Errors
    /// [`PoolError::Source`] if none is idle and memory for one more is refused.
    #[inline(always)]
    pub fn try_get(&self) -> Result<Pooled<'_, T, R, S>, PoolError> {
        let object = take_out(self)?;
        // SAFETY: `take_out` says so.
        Ok(unsafe { Guard::new(object, self) })
    }

    /// An idle object, or the one that `create` makes in place of [`Recycle::create`]: for objects whose
    /// making can fail, or needs something that the hooks do not have.
    ///
    /// ```
    /// use pool_object::{GetError, Pool};
    /// # #[derive(Debug)] struct Session;
    /// # fn connect(address: &str) -> Result<Session, &'static str> { Err("no route") }
    /// # fn never() -> Session { unreachable!() }
    /// let sessions = Pool::with(never);
    /// let refusal = sessions.get_with(|| connect("10.0.0.1:80")).unwrap_err();
    /// assert_eq!(refusal, GetError::Create("no route"));
    /// ```
    ///
    /// # Errors
    /// [`GetError::Create`] with `create`'s own, or as [`try_get`](Self::try_get).
    pub fn get_with<E>(
        &self,
        create: impl FnOnce() -> Result<T, E>,
    ) -> Result<Pooled<'_, T, R, S>, GetError<E>> {
        let object = take_out_or(self, create)?;
        // SAFETY: `take_out_or` says so.
        Ok(unsafe { Guard::new(object, self) })
    }

    /// As [`get`](Self::get), for as long as one likes: the guard shares the pool.
    ///
    /// ```
    /// use std::rc::Rc;
    /// let pool = Rc::new(pool_object::Pool::<Vec<u8>>::new());
    /// let buffer = pool.get_rc();
    /// drop(pool);
    /// assert!(buffer.is_empty());
    /// ```
    ///
    /// # Panics
    /// As [`get`](Self::get).
    #[cfg(feature = "alloc")]
    #[inline]
    #[track_caller]
    pub fn get_rc(self: &Rc<Self>) -> RcPooled<T, R, S> {
        match self.try_get_rc() {
            Ok(guard) => guard,
            Err(error) => refuse(error),
        }
    }

    /// As [`get_rc`](Self::get_rc).
    ///
    /// # Errors
    /// As [`try_get`](Self::try_get).
    #[cfg(feature = "alloc")]
    #[inline]
    pub fn try_get_rc(self: &Rc<Self>) -> Result<RcPooled<T, R, S>, PoolError> {
        let object = take_out(&**self)?;
        // SAFETY: `take_out` says so; the guard has a share of the pool.
        Ok(unsafe { Guard::new(object, self.clone()) })
    }

    /// Makes an object of the pool's out of a value that came from elsewhere.
    ///
    /// ```
    /// let pool: pool_object::Pool<String> = Default::default();
    /// drop(pool.attach("used before".to_string()).unwrap());
    /// assert_eq!(*pool.get(), "used before");
    /// ```
    ///
    /// # Errors
    /// The value, if memory for it is refused.
    pub fn attach(&self, value: T) -> Result<Pooled<'_, T, R, S>, AttachError<T>> {
        let object = self.adopt(value)?;
        // SAFETY: `adopt` says so.
        Ok(unsafe { Guard::new(object, self) })
    }

    /// Makes objects until `objects` are idle, or as many as may be.
    ///
    /// ```
    /// let pool: pool_object::Pool<String> = Default::default();
    /// pool.prefill(10)?;
    /// drop(pool.get());
    /// assert_eq!((pool.stats().idle, pool.stats().misses), (10, 0));
    /// # Ok::<(), pool_object::PoolError>(())
    /// ```
    ///
    /// # Errors
    /// As [`try_get`](Self::try_get); what was made until then stays.
    pub fn prefill(&self, objects: usize) -> Result<(), PoolError> {
        while self.idle.len() < objects.min(self.idle.limit()) {
            let object = self.create()?;
            // SAFETY: `create` says so, and nobody else has it.
            if !unsafe { self.shelve(object) } {
                // SAFETY: as above.
                unsafe { discard(self, object) };
                break;
            }
        }
        Ok(())
    }

    /// Drops all idle objects; their memory stays for the next ones. O(idle objects).
    pub fn clear(&self) {
        self.drop_some(usize::MAX);
    }

    /// Drops all idle objects and gives memory back that holds none; returns the bytes. O(idle
    /// objects + spans).
    #[allow(clippy::must_use_candidate, reason = "called for its effect")]
    pub fn trim(&self) -> usize {
        self.clear();
        self.give_back()
    }

    /// Drops the objects that were idle all the time since the last call, and gives memory back
    /// that holds none; returns the bytes. To be called now and then, say every ten seconds: what a
    /// rush needed goes when it is over, and what is in use stays.
    ///
    /// ```
    /// let pool: pool_object::Pool<String> = Default::default();
    /// let rush: Vec<_> = (0..1000).map(|_| pool.get()).collect();
    /// drop(rush);
    /// pool.trim_to_working_set(); // all of them were needed
    /// assert_eq!(pool.stats().idle, 1000);
    /// drop((pool.get(), pool.get()));
    /// pool.trim_to_working_set(); // two of them were
    /// assert_eq!(pool.stats().idle, 2);
    /// ```
    #[allow(clippy::must_use_candidate, reason = "called for its effect")]
    pub fn trim_to_working_set(&self) -> usize {
        let rested = self.idle.surface_rested();
        self.drop_some(rested);
        self.idle.rest();
        self.give_back()
    }

    /// What the pool knows of itself.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        let (idle, created, dropped) =
            (self.idle.len() as u64, self.created.get(), self.dropped.get());
        PoolStats {
            live: created - dropped - idle,
            idle,
            hits: self.hits.get(),
            misses: self.misses.get(),
            created,
            dropped,
            peak: self.peak.get(),
            waiters: 0,
            granted: 0,
        }
    }

    /// The hooks.
    #[must_use]
    pub fn recycle(&self) -> &R {
        &self.recycle
    }

    /// Where memory comes from.
    #[must_use]
    pub fn source(&self) -> &S {
        &self.source
    }

    /// Drops an object, if it is one, that was idle until now; whether it was.
    fn drop_idle(&self, object: Option<NonNull<T>>) -> bool {
        if let Some(object) = object {
            // SAFETY: idle until now, so initialised and out with nobody.
            unsafe { discard(self, object) };
        }
        object.is_some()
    }

    /// Drops so many idle objects, at most as many as there are now: a destructor may put others in.
    fn drop_some(&self, most: usize) {
        persist(most.min(self.idle.len()), || self.drop_idle(self.idle.pop()));
    }

    fn give_back(&self) -> usize {
        // SAFETY: the pool has one source.
        let spans = unsafe { self.slots.trim(&self.source) };
        // SAFETY: as above; of all objects some are idle.
        spans + unsafe { self.idle.fit(&self.source, self.objects()) }
    }

    /// Objects there are, idle or out.
    fn objects(&self) -> usize {
        (self.created.get() - self.dropped.get()) as usize
    }

    /// A new object, that is out: initialised, and the caller's alone.
    fn create(&self) -> Result<NonNull<T>, PoolError> {
        Ok(self.create_by(|| Ok::<T, Infallible>(self.recycle.create()))?)
    }

    fn create_by<E>(
        &self,
        create: impl FnOnce() -> Result<T, E>,
    ) -> Result<NonNull<T>, GetError<E>> {
        // Memory first, lest the constructor run for nothing. It may use the pool, and so the slot,
        // which is why none is taken yet.
        self.reserve()?;
        let value = create().map_err(GetError::Create)?;
        self.adopt(value).map_err(|refusal| GetError::Pool(refusal.error))
    }

    /// Moves a value into a slot; the object is out, and the caller's alone.
    fn adopt(&self, value: T) -> Result<NonNull<T>, AttachError<T>> {
        match self.place() {
            Ok(place) => {
                // SAFETY: a slot that nobody else has, aligned for `T`.
                unsafe { place.write(value) };
                count(&self.created);
                let objects = self.created.get() - self.dropped.get();
                self.peak.set(self.peak.get().max(objects));
                Ok(place)
            }
            Err(error) => Err(AttachError { value, error }),
        }
    }

    /// A slot, and room on the stack for one object more than there are.
    fn place(&self) -> Result<NonNull<T>, PoolError> {
        self.reserve()?;
        Ok(self.slots.take(&self.source)?)
    }

    /// Makes sure that `place` needs no memory.
    fn reserve(&self) -> Result<(), PageError> {
        // SAFETY: the pool has one source.
        unsafe { self.idle.reserve(&self.source, self.objects() + 1) }?;
        self.slots.reserve(&self.source)
    }
}

impl<T, R: Recycle<T>, S: PageSource> Shelf<T> for Pool<T, R, S> {
    type Recycle = R;

    #[inline(always)]
    fn recycle(&self) -> &R {
        &self.recycle
    }

    #[inline(always)]
    unsafe fn shelve(&self, object: NonNull<T>) -> bool {
        self.idle.push(object)
    }

    #[cold]
    fn uncount(&self) {
        self.hits.set(self.hits.get().wrapping_sub(1));
    }

    #[cold]
    unsafe fn vacate_dropped(&self, place: NonNull<T>) {
        count(&self.dropped);
        // SAFETY: a slot of this pool's, without an object, that the caller gives up.
        unsafe { self.slots.give(place) };
    }
}

impl<T, R: Recycle<T>, S: PageSource> Stock<T> for Pool<T, R, S> {
    #[inline(always)]
    fn idle(&self) -> Option<NonNull<T>> {
        let object = self.idle.pop()?;
        count(&self.hits);
        Some(object)
    }

    fn make<E>(&self, make: impl FnOnce() -> Result<T, E>) -> Result<NonNull<T>, GetError<E>> {
        let object = self.create_by(make)?;
        count(&self.misses);
        Ok(object)
    }
}

impl<T, R: Recycle<T>, S: PageSource> sealed::Home for &Pool<T, R, S> {}
#[cfg(feature = "alloc")]
impl<T, R: Recycle<T>, S: PageSource> sealed::Home for Rc<Pool<T, R, S>> {}

// SAFETY: a pool that is borrowed is neither moved nor dropped, so its slots stay; objects that are
// out are in no list of its. `&Pool` is not `Send`.
unsafe impl<T, R: Recycle<T>, S: PageSource> Home<T> for &Pool<T, R, S> {
    #[inline(always)]
    unsafe fn put(&self, object: NonNull<T>) {
        // SAFETY: the caller's promise.
        unsafe { take_back(*self, object) };
    }

    unsafe fn vacate(&self, place: NonNull<T>) {
        // SAFETY: the caller's promise; moved out is as good as dropped.
        unsafe { self.vacate_dropped(place) };
    }
}

// SAFETY: as above, for as long as there is a share; `Rc` is not `Send`.
#[cfg(feature = "alloc")]
unsafe impl<T, R: Recycle<T>, S: PageSource> Home<T> for Rc<Pool<T, R, S>> {
    #[inline(always)]
    unsafe fn put(&self, object: NonNull<T>) {
        // SAFETY: the caller's promise.
        unsafe { take_back(&**self, object) };
    }

    unsafe fn vacate(&self, place: NonNull<T>) {
        // SAFETY: the caller's promise; moved out is as good as dropped.
        unsafe { self.vacate_dropped(place) };
    }
}

impl<T, R: Recycle<T>, S: PageSource> Drop for Pool<T, R, S> {
    fn drop(&mut self) {
        /// Gives memory back though a destructor panics.
        struct Memory<'a, T, R: Recycle<T>, S: PageSource>(&'a Pool<T, R, S>);
        impl<T, R: Recycle<T>, S: PageSource> Drop for Memory<'_, T, R, S> {
            fn drop(&mut self) {
                // SAFETY: the pool has one source.
                unsafe { self.0.idle.release(&self.0.source) };
                // SAFETY: as above. No guard is left: they borrow the pool, or keep it alive; those
                // that were forgotten nobody can use.
                unsafe { self.0.slots.release(&self.0.source) };
            }
        }
        Memory(self).0.clear();
    }
}

impl<T, R: Recycle<T>, S: PageSource> fmt::Debug for Pool<T, R, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
