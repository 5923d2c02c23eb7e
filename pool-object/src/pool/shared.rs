//! `SharedPool`: objects of one type, used again and again by any thread. A storage file.

use crate::pool::error::{AttachError, GetError, PoolError, refuse};
use crate::pool::guard::{Guard, Home, sealed};
use crate::pool::handle::PoolHandle;
use crate::pool::inner::Inner;
use crate::pool::many::Hand;
use crate::pool::recycle::{ByDefault, Recycle};
use crate::pool::returning::{Shelf, Stock, discard, take_back, take_out, take_out_or};
use crate::pool::stats::PoolStats;
use crate::table::DefaultSource;
use core::fmt;
use core::ptr::NonNull;
use pool_core::PageSource;
use std::sync::Arc;

/// Objects that go one by one though many are asked for: to set up a [`Hand`] costs more than it saves.
const FEW: usize = 16;

/// An object of a [`SharedPool`] that is borrowed; see [`Guard`]. May be sent to another thread and
/// dropped there.
pub type SharedPooled<'p, T, R = ByDefault, S = DefaultSource> = Guard<T, &'p SharedPool<T, R, S>>;

/// An object of a [`SharedPool`], which it keeps alive; see [`Guard`].
pub type OwnedPooled<T, R = ByDefault, S = DefaultSource> = Guard<T, SharedPool<T, R, S>>;

/// Objects of one type that are costly to make, used again and again by any thread.
///
/// Each thread has a *magazine* of up to 64 idle objects that it takes from and puts into without a
/// lock or an atomic operation that others notice; 32 at a time go between magazines and the *depot*
/// that all share. The design is Bonwick's (*Magazines and Vmem*, 2001).
///
/// A clone is another handle on the same pool. Guards borrow it, or, by
/// [`get_owned`](Self::get_owned), keep it alive; either may be dropped on any thread.
///
/// ```
/// use pool_object::SharedPool;
/// let buffers = SharedPool::with((|| vec![0u8; 4096], |buffer: &mut Vec<u8>| buffer.fill(0)));
/// std::thread::scope(|scope| {
///     for _ in 0..4 {
///         scope.spawn(|| {
///             for _ in 0..100 {
///                 buffers.get()[0] = 1;
///             }
///         });
///     }
/// });
/// assert!(buffers.stats().created <= 4);
/// ```
///
/// A task that gets one and has another put it back:
///
/// ```
/// # use pool_object::SharedPool;
/// let pool: SharedPool<Vec<u8>> = SharedPool::new();
/// let (sender, receiver) = std::sync::mpsc::channel();
/// let writer = std::thread::spawn(move || drop(receiver.into_iter().count()));
/// sender.send(pool.get_owned()).unwrap();
/// drop(sender);
/// writer.join().unwrap();
/// assert_eq!(pool.stats().live, 0);
/// ```
///
/// What may not go to another thread cannot be in such a pool:
///
/// ```
/// fn numbers(_: &pool_object::SharedPool<u32>) {}
/// ```
/// ```compile_fail,E0277
/// fn guards(_: &pool_object::SharedPool<std::sync::MutexGuard<'static, u32>>) {}
/// ```
///
/// # Bounds
/// Idle are at most [`max_idle`](Self::max_idle) objects in the depot, and 64 for every thread and
/// [`PoolHandle`] that is using the pool; what comes back beyond that is dropped. There is no limit on
/// threads.
///
/// A thread's magazine goes to the depot when the thread has ended, with the destructors of its
/// thread-locals (for which `join` waits, but `std::thread::scope` does not), or by
/// [`flush_thread`](Self::flush_thread). In destructors that run after that the pool goes on without
/// magazines. The main thread's may not run at all when the program ends: what is in its magazine then
/// is dropped if the pool is.
///
/// A call that finds another pool than this thread's last one looks into a table of eight rows; pools
/// that share a row push each other out, and the thread then looks into the map of the pools that it
/// has used: O(log of their number). [`handle`](Self::handle) never looks.
///
/// The depot's lock is not held for a `fork`: in the child of a process with several threads it may be taken
/// for ever, so such a child should `exec`, or use other pools.
///
/// # Memory
/// Objects in spans of 64 KiB (or of seven objects or more, if those are longer), a word an object, and
/// 640 bytes for every thread at once, from the page source. The pool itself, and each thread's map
/// of the pools that it has used, are from the global allocator: once a pool and thread. Of a pool that
/// is gone a few hundred bytes stay until the threads that used it have ended, or used others.
pub struct SharedPool<T: Send + 'static, R = ByDefault, S = DefaultSource>(
    pub(crate) Arc<Inner<T, R, S>>,
)
where
    R: Recycle<T> + 'static,
    S: PageSource + 'static;

#[cfg(not(loom))]
impl<T: Default + Send + 'static> SharedPool<T> {
    /// A pool that makes objects by `T::default()`, on the process-wide source.
    #[must_use]
    pub fn new() -> Self {
        Self::with(ByDefault)
    }
}

#[cfg(not(loom))]
impl<T: Default + Send + 'static> Default for SharedPool<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(not(loom))]
impl<T: Send + 'static, R: Recycle<T> + 'static> SharedPool<T, R> {
    /// A pool with these hooks, on the process-wide source.
    #[must_use]
    pub fn with(recycle: R) -> Self {
        Self::with_in(recycle, pool_core::Global)
    }
}

impl<T: Send + 'static, R: Recycle<T> + 'static, S: PageSource + 'static> SharedPool<T, R, S> {
    /// A pool with these hooks that draws from `source`.
    #[must_use]
    pub fn with_in(recycle: R, source: S) -> Self {
        Self(Arc::new(Inner::new(recycle, source)))
    }

    /// With at most `objects` idle in the depot. No bound by default.
    #[must_use]
    pub fn max_idle(self, objects: usize) -> Self {
        self.set_max_idle(objects);
        self
    }

    /// From now on at most `objects` idle in the depot; those beyond are dropped.
    pub fn set_max_idle(&self, objects: usize) {
        self.0.depot().set_limit(objects);
        self.0.drop_excess();
    }

    /// A handle for one thread, with a magazine of its own: the fastest way to the pool.
    ///
    /// # Panics
    /// If memory for the magazine is refused; [`try_handle`](Self::try_handle) says why instead.
    #[must_use]
    #[track_caller]
    pub fn handle(&self) -> PoolHandle<T, R, S> {
        match self.try_handle() {
            Ok(handle) => handle,
            Err(error) => refuse(error),
        }
    }

    /// As [`handle`](Self::handle).
    ///
    /// # Errors
    /// [`PoolError::Source`] if memory for the magazine is refused.
    pub fn try_handle(&self) -> Result<PoolHandle<T, R, S>, PoolError> {
        let magazine = self.0.lease()?;
        // SAFETY: leased for this handle alone.
        Ok(unsafe { PoolHandle::new(self.clone(), magazine) })
    }

    /// An idle object, or a new one.
    ///
    /// # Panics
    /// If memory is refused; [`try_get`](Self::try_get) says why instead.
    #[inline(always)]
    #[track_caller]
    #[must_use = "it goes back at once otherwise"]
    pub fn get(&self) -> SharedPooled<'_, T, R, S> {
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
    pub fn try_get(&self) -> Result<SharedPooled<'_, T, R, S>, PoolError> {
        let object = take_out(self)?;
        // SAFETY: `take_out` says so.
        Ok(unsafe { Guard::new(object, self) })
    }

    /// An idle object, or the one that `create` makes in place of [`Recycle::create`]: for objects whose
    /// making can fail, or needs something that the hooks do not have.
    ///
    /// ```
    /// # use pool_object::{GetError, SharedPool};
    /// let pool: SharedPool<u16> = SharedPool::new();
    /// assert!(matches!(pool.get_with(|| "http".parse()), Err(GetError::Create(_))));
    /// assert_eq!(*pool.get_with(|| "80".parse())?, 80);
    /// # Ok::<(), GetError<core::num::ParseIntError>>(())
    /// ```
    ///
    /// # Errors
    /// [`GetError::Create`] with `create`'s own, or as [`try_get`](Self::try_get).
    pub fn get_with<E>(
        &self,
        create: impl FnOnce() -> Result<T, E>,
    ) -> Result<SharedPooled<'_, T, R, S>, GetError<E>> {
        let object = take_out_or(self, create)?;
        // SAFETY: `take_out_or` says so.
        Ok(unsafe { Guard::new(object, self) })
    }

    /// As [`get`](Self::get), for as long as one likes: the guard keeps the pool alive, for the
    /// price of a reference count.
    ///
    /// # Panics
    /// As [`get`](Self::get).
    #[inline]
    #[track_caller]
    #[must_use = "it goes back at once otherwise"]
    pub fn get_owned(&self) -> OwnedPooled<T, R, S> {
        match self.try_get_owned() {
            Ok(guard) => guard,
            Err(error) => refuse(error),
        }
    }

    /// As [`get_owned`](Self::get_owned).
    ///
    /// # Errors
    /// As [`try_get`](Self::try_get).
    #[inline]
    pub fn try_get_owned(&self) -> Result<OwnedPooled<T, R, S>, PoolError> {
        let object = take_out(self)?;
        // SAFETY: `take_out` says so.
        Ok(unsafe { Guard::new(object, self.clone()) })
    }

    /// Gets `count` objects at once into `out`. Of more than 16, up to 64 idle ones come in a step, which
    /// costs less than one by one; a few come one by one, which costs less then. Until they are in `out`
    /// they are live.
    ///
    /// ```
    /// # use pool_object::SharedPool;
    /// let pool: SharedPool<Vec<u8>> = SharedPool::new();
    /// let mut batch = Vec::new();
    /// pool.get_many(16, &mut batch)?;
    /// SharedPool::put_many(batch);
    /// assert_eq!(pool.stats().idle, 16);
    /// # Ok::<(), pool_object::PoolError>(())
    /// ```
    ///
    /// # Errors
    /// As [`try_get`](Self::try_get); what was got until then is in `out`.
    #[inline(always)]
    pub fn get_many<'p>(
        &'p self,
        count: usize,
        out: &mut impl Extend<SharedPooled<'p, T, R, S>>,
    ) -> Result<(), PoolError> {
        if count > FEW { self.get_by_hand(count, out) } else { self.get_each(count, out) }
    }

    /// As `get_many`, by way of a [`Hand`]: fewer ways to the depot, each object is copied once more.
    fn get_by_hand<'p>(
        &'p self,
        count: usize,
        out: &mut impl Extend<SharedPooled<'p, T, R, S>>,
    ) -> Result<(), PoolError> {
        let (hand, mut left) = (Hand::new(self, true), count);
        while left > 0 {
            if !hand.fill(left) {
                return self.get_each(left, out);
            }
            let most = hand.len();
            // SAFETY: the hand's iterator says so.
            out.extend((&hand).map(|object| unsafe { Guard::new(object, self) }));
            if hand.len() > 0 {
                // `out` wants no more.
                break;
            }
            left -= most - hand.refused();
        }
        Ok(())
    }

    /// As `get_many`, one by one.
    #[inline(always)]
    fn get_each<'p>(
        &'p self,
        count: usize,
        out: &mut impl Extend<SharedPooled<'p, T, R, S>>,
    ) -> Result<(), PoolError> {
        for _ in 0..count {
            // One call each: an iterator that may fail midway takes vectors a slower way.
            out.extend(Some(self.try_get()?));
        }
        Ok(())
    }

    /// Puts many objects back, which may be of several pools: what dropping them one by one does. If
    /// `guards` announces more than 16, by the lower bound of its `size_hint`, up to 64 go in a step, which
    /// costs less then; until such a step they are live.
    #[inline(always)]
    pub fn put_many<'p>(guards: impl IntoIterator<Item = SharedPooled<'p, T, R, S>>) {
        let guards = guards.into_iter();
        if guards.size_hint().0 > FEW {
            Self::put_by_hand(guards);
        } else {
            guards.for_each(drop);
        }
    }

    /// As `put_many`, by way of a [`Hand`].
    #[inline(never)]
    fn put_by_hand<'p>(guards: impl IntoIterator<Item = SharedPooled<'p, T, R, S>>) {
        // The function's own: a caller's would be written back at each step.
        let mut guards = guards.into_iter();
        let mut next = guards.next();
        let Some(first) = &next else { return };
        let hand = Hand::new(*Guard::home(first), false);
        while let Some(guard) = next {
            // Not within the next step: destructors may run, and panic, while the guard has its object.
            hand.turn_to(*Guard::home(&guard));
            let (object, _) = Guard::into_parts(guard);
            // SAFETY: out of the hand's pool, initialised, and no longer the guard's.
            unsafe { take_back(&hand, object) };
            next = guards.next();
        }
    }

    /// Makes an object of the pool's out of a value that came from elsewhere.
    ///
    /// # Errors
    /// The value, if memory for it is refused.
    pub fn attach(&self, value: T) -> Result<SharedPooled<'_, T, R, S>, AttachError<T>> {
        let object = self.0.adopt(value)?;
        // SAFETY: `adopt` says so.
        Ok(unsafe { Guard::new(object, self) })
    }

    /// Makes objects until `objects` are idle in the depot, or as many as may be.
    ///
    /// # Errors
    /// As [`try_get`](Self::try_get); what was made until then stays.
    pub fn prefill(&self, objects: usize) -> Result<(), PoolError> {
        loop {
            let depot = self.0.depot();
            if depot.idle() >= objects.min(depot.limit()) {
                return Ok(());
            }
            drop(depot);
            let object = self.0.create()?;
            if !self.0.depot().push(object) {
                // SAFETY: `create` says that it is ours alone, and the depot has not taken it.
                unsafe { discard(&*self.0, object) };
            }
        }
    }

    /// Drops all objects that are idle in the depot, and in the calling thread's magazine. O(idle).
    pub fn clear(&self) {
        self.flush_thread();
        let idle = self.0.depot().idle();
        self.0.drop_some(idle);
    }

    /// As [`clear`](Self::clear), and gives memory back that holds no object; returns the bytes.
    #[allow(clippy::must_use_candidate, reason = "called for its effect")]
    pub fn trim(&self) -> usize {
        self.clear();
        self.0.give_back()
    }

    /// Drops the objects that lay in the depot all the time since the last call, and gives memory
    /// back that holds none; returns the bytes. Magazines keep what they have.
    #[allow(clippy::must_use_candidate, reason = "called for its effect")]
    pub fn trim_to_working_set(&self) -> usize {
        let rested = self.0.depot().surface_rested();
        self.0.drop_some(rested);
        self.0.depot().rest();
        self.0.give_back()
    }

    /// Gives the calling thread's magazine to the depot, where others find its objects: for a
    /// thread that will not use the pool for a while.
    pub fn flush_thread(&self) {
        self.0.flush_here();
    }

    /// What the pool knows of itself. O(threads).
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.0.depot().stats()
    }

    /// The hooks.
    #[must_use]
    pub fn recycle(&self) -> &R {
        self.0.recycle()
    }

    /// Where memory comes from.
    #[must_use]
    pub fn source(&self) -> &S {
        self.0.source()
    }
}

impl<T: Send + 'static, R: Recycle<T> + 'static, S: PageSource + 'static> SharedPool<T, R, S> {
    #[inline(always)]
    pub(crate) fn inner(&self) -> &Inner<T, R, S> {
        &self.0
    }
}

impl<T: Send + 'static, R: Recycle<T> + 'static, S: PageSource + 'static> Clone
    for SharedPool<T, R, S>
{
    /// Another handle on the same pool.
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// By the calling thread's magazine.
impl<T: Send + 'static, R: Recycle<T> + 'static, S: PageSource + 'static> Shelf<T>
    for SharedPool<T, R, S>
{
    type Recycle = R;

    #[inline(always)]
    fn recycle(&self) -> &R {
        self.0.recycle()
    }

    #[inline(always)]
    unsafe fn shelve(&self, object: NonNull<T>) -> bool {
        Inner::shelve_here(self, object)
    }

    fn uncount(&self) {
        self.0.uncount();
    }

    #[cold]
    unsafe fn vacate_dropped(&self, place: NonNull<T>) {
        // SAFETY: the caller's promise.
        unsafe { self.0.vacate_dropped(place) };
    }
}

impl<T: Send + 'static, R: Recycle<T> + 'static, S: PageSource + 'static> Stock<T>
    for SharedPool<T, R, S>
{
    #[inline(always)]
    fn idle(&self) -> Option<NonNull<T>> {
        Inner::idle_here(self)
    }

    fn make<E>(&self, make: impl FnOnce() -> Result<T, E>) -> Result<NonNull<T>, GetError<E>> {
        self.0.make(make)
    }
}

impl<T: Send + 'static, R: Recycle<T> + 'static, S: PageSource + 'static> sealed::Home
    for &SharedPool<T, R, S>
{
}
impl<T: Send + 'static, R: Recycle<T> + 'static, S: PageSource + 'static> sealed::Home
    for SharedPool<T, R, S>
{
}

// SAFETY: the pool lives as long as a handle on it, so its memory stays; objects that are out are in
// no list of its. Its lock, and magazines that each belong to the thread that uses them, let
// objects come back on any thread.
unsafe impl<T: Send + 'static, R: Recycle<T> + 'static, S: PageSource + 'static> Home<T>
    for &SharedPool<T, R, S>
{
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

// SAFETY: as above.
unsafe impl<T: Send + 'static, R: Recycle<T> + 'static, S: PageSource + 'static> Home<T>
    for SharedPool<T, R, S>
{
    #[inline(always)]
    unsafe fn put(&self, object: NonNull<T>) {
        // SAFETY: the caller's promise.
        unsafe { take_back(self, object) };
    }

    unsafe fn vacate(&self, place: NonNull<T>) {
        // SAFETY: the caller's promise; moved out is as good as dropped.
        unsafe { self.vacate_dropped(place) };
    }
}

impl<T: Send + 'static, R: Recycle<T> + 'static, S: PageSource + 'static> fmt::Debug
    for SharedPool<T, R, S>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedPool").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
