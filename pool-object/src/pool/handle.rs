//! `PoolHandle`: one thread's own way to a shared pool. A storage file.

use crate::pool::error::{GetError, PoolError, refuse};
use crate::pool::guard::{Guard, Home, sealed};
use crate::pool::magazine::Magazine;
use crate::pool::recycle::{ByDefault, Recycle};
use crate::pool::returning::{Shelf, Stock, take_back, take_out, take_out_or};
use crate::pool::shared::SharedPool;
use crate::table::DefaultSource;
use core::fmt;
use core::ptr::NonNull;
use pool_core::PageSource;

/// An object that was got by a [`PoolHandle`], to which it goes back; see [`Guard`].
pub type HandlePooled<'h, T, R = ByDefault, S = DefaultSource> = Guard<T, &'h PoolHandle<T, R, S>>;

/// One thread's way to a [`SharedPool`], with a magazine of its own: no lock, no atomic operation
/// that others notice, not even a thread-local on the way. For a worker that runs for long.
///
/// It keeps the pool alive; what its magazine has goes to the depot when it is dropped. Forgetting it
/// leaks a share of the pool, which never goes then, nor do those objects.
///
/// ```
/// use pool_object::SharedPool;
/// let pool: SharedPool<Vec<u8>> = SharedPool::new();
/// std::thread::scope(|scope| {
///     for _ in 0..2 {
///         scope.spawn(|| {
///             let handle = pool.handle();
///             for _ in 0..1000 {
///                 handle.get().clear();
///             }
///         });
///     }
/// });
/// assert!(pool.stats().created <= 2);
/// ```
///
/// Neither it nor its guards leave their thread; [`SharedPool::get`] is for those that do.
///
/// ```
/// let pool: pool_object::SharedPool<u8> = Default::default();
/// std::thread::spawn(move || drop(pool.get())).join().unwrap();
/// ```
/// ```compile_fail,E0277
/// let pool: pool_object::SharedPool<u8> = Default::default();
/// let handle = pool.handle();
/// std::thread::spawn(move || drop(handle.get())).join().unwrap();
/// ```
pub struct PoolHandle<T: Send + 'static, R = ByDefault, S = DefaultSource>
where
    R: Recycle<T> + 'static,
    S: PageSource + 'static,
{
    /// Leased from `pool` and not given up; this value owns it. (It also makes this `!Send`.)
    magazine: NonNull<Magazine<T>>,
    pool: SharedPool<T, R, S>,
}

impl<T: Send + 'static, R: Recycle<T> + 'static, S: PageSource + 'static> PoolHandle<T, R, S> {
    /// # Safety
    /// The magazine is leased from this pool, and nobody else's.
    pub(crate) unsafe fn new(pool: SharedPool<T, R, S>, magazine: NonNull<Magazine<T>>) -> Self {
        Self { magazine, pool }
    }

    #[inline(always)]
    fn magazine(&self) -> &Magazine<T> {
        // SAFETY: leased, so initialised; it stays while the pool does, of which this is a handle.
        unsafe { self.magazine.as_ref() }
    }

    /// An idle object, or a new one.
    ///
    /// # Panics
    /// If memory is refused; [`try_get`](Self::try_get) says why instead.
    #[inline(always)]
    #[track_caller]
    #[must_use = "it goes back at once otherwise"]
    pub fn get(&self) -> HandlePooled<'_, T, R, S> {
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
    pub fn try_get(&self) -> Result<HandlePooled<'_, T, R, S>, PoolError> {
        let object = take_out(self)?;
        // SAFETY: `take_out` says so.
        Ok(unsafe { Guard::new(object, self) })
    }

    /// As [`SharedPool::get_with`].
    ///
    /// # Errors
    /// [`GetError::Create`] with `create`'s own, or as [`try_get`](Self::try_get).
    pub fn get_with<E>(
        &self,
        create: impl FnOnce() -> Result<T, E>,
    ) -> Result<HandlePooled<'_, T, R, S>, GetError<E>> {
        let object = take_out_or(self, create)?;
        // SAFETY: `take_out_or` says so.
        Ok(unsafe { Guard::new(object, self) })
    }

    /// The pool.
    #[must_use]
    pub fn pool(&self) -> &SharedPool<T, R, S> {
        &self.pool
    }

    #[cold]
    #[inline(never)]
    fn shelve_slowly(&self, object: NonNull<T>) -> bool {
        // SAFETY: this handle's own.
        unsafe { self.pool.inner().unload(self.magazine()) };
        // Destructors may have run, and used this handle.
        // SAFETY: this handle's own.
        let shelved = unsafe { self.magazine().push(object) };
        shelved || self.pool.inner().depot().push(object)
    }
}

impl<T: Send + 'static, R: Recycle<T> + 'static, S: PageSource + 'static> Shelf<T>
    for PoolHandle<T, R, S>
{
    type Recycle = R;

    #[inline(always)]
    fn recycle(&self) -> &R {
        self.pool.recycle()
    }

    #[inline(always)]
    unsafe fn shelve(&self, object: NonNull<T>) -> bool {
        // SAFETY: this handle's own.
        let shelved = unsafe { self.magazine().push(object) };
        shelved || self.shelve_slowly(object)
    }

    fn uncount(&self) {
        self.pool.inner().uncount();
    }

    #[cold]
    unsafe fn vacate_dropped(&self, place: NonNull<T>) {
        // SAFETY: the caller's promise.
        unsafe { self.pool.inner().vacate_dropped(place) };
    }
}

impl<T: Send + 'static, R: Recycle<T> + 'static, S: PageSource + 'static> Stock<T>
    for PoolHandle<T, R, S>
{
    #[inline(always)]
    fn idle(&self) -> Option<NonNull<T>> {
        // SAFETY: this handle's own.
        unsafe { self.pool.inner().idle_by(self.magazine()) }
    }

    fn make<E>(&self, make: impl FnOnce() -> Result<T, E>) -> Result<NonNull<T>, GetError<E>> {
        self.pool.inner().make(make)
    }
}

impl<T: Send + 'static, R: Recycle<T> + 'static, S: PageSource + 'static> sealed::Home
    for &PoolHandle<T, R, S>
{
}

// SAFETY: a handle keeps the pool alive, so its memory stays. `&PoolHandle` is not `Send`, so that
// one thread uses the magazine.
unsafe impl<T: Send + 'static, R: Recycle<T> + 'static, S: PageSource + 'static> Home<T>
    for &PoolHandle<T, R, S>
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

impl<T: Send + 'static, R: Recycle<T> + 'static, S: PageSource + 'static> Drop
    for PoolHandle<T, R, S>
{
    fn drop(&mut self) {
        // SAFETY: this handle's own, and it ends here; guards borrow it, so none is left.
        unsafe { self.pool.inner().give_up(self.magazine()) };
    }
}

impl<T: Send + 'static, R: Recycle<T> + 'static, S: PageSource + 'static> fmt::Debug
    for PoolHandle<T, R, S>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolHandle").field("idle", &self.magazine().len()).finish_non_exhaustive()
    }
}
