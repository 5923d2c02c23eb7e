//! `BoundedPool`: no more objects out than may be; who comes then decides what to do. A storage
//! file.

use crate::pool::error::{AttachError, GetError, PoolError};
use crate::pool::guard::Guard;
use crate::pool::inside::Inside;
use crate::pool::recycle::{ByDefault, Recycle};
use crate::pool::returning::persist;
use crate::pool::rights::Right;
use crate::pool::stats::PoolStats;
use crate::pool::sync::Mutex;
use crate::pool::waiters::State;
use crate::pool::waiting::{Get, Ticket, Wish};
use crate::table::DefaultSource;
use core::fmt;
use pool_core::PageSource;
use std::sync::Arc;

/// An object of a [`BoundedPool`] that is borrowed; see [`Guard`].
pub type BoundedPooled<'p, T, R = ByDefault, S = DefaultSource> =
    Guard<T, &'p BoundedPool<T, R, S>>;

/// An object of a [`BoundedPool`] in an `Arc`, which it keeps alive; see [`Guard`].
pub type OwnedBoundedPooled<T, R = ByDefault, S = DefaultSource> =
    Guard<T, Arc<BoundedPool<T, R, S>>>;

/// A pool that gives out at most so many objects at once: connections to a database, buffers
/// within a budget. What happens when all are out is the caller's choice:
///
/// | call | when all are out |
/// |---|---|
/// | [`try_get`](Self::try_get) | says so |
/// | [`get_or_free`](Self::get_or_free) | has the caller free something, and tries again |
/// | [`get`](Self::get), [`get_timeout`](Self::get_timeout) | blocks the thread |
/// | [`get_async`](Self::get_async) | waits, in any runtime |
///
/// Waiting is fair: an object that comes back goes to who has waited longest, thread or task, and
/// nobody who comes later gets in between. A future that is dropped at any moment loses nothing: what
/// it was given goes on to the next.
///
/// ```
/// use pool_object::{BoundedPool, PoolError};
/// let pool: BoundedPool<Vec<u8>> = BoundedPool::new(2);
/// let (one, _other) = (pool.get()?, pool.get()?);
/// assert_eq!(pool.try_get().unwrap_err(), PoolError::Exhausted { limit: 2 });
///
/// std::thread::scope(|scope| {
///     scope.spawn(|| pool.get().map(drop).unwrap()); // waits for the next line
///     drop(one);
/// });
/// # Ok::<(), PoolError>(())
/// ```
///
/// A future that was polled and is then *forgotten* (`mem::forget`, a task that is leaked) keeps its
/// place, and the right that it is granted there is lost to the pool: one object less may be out from
/// then on. [`PoolStats::granted`] tells that.
///
/// A waker that panics does so for nobody else: whoever wakes it (puts an object back, detaches one, closes
/// the pool) goes on, and the panic hook alone tells of it.
///
/// The limit is on objects that are out, those that are being made among them. An object that the pool
/// is dropping, because it is too many or was cleared, no longer counts: while its destructor runs
/// another may be made.
///
/// The pool's lock is not held for a `fork`: see [`SharedPool`](crate::SharedPool#bounds).
///
/// What may not go to another thread cannot be in such a pool:
///
/// ```
/// fn numbers(_: &pool_object::BoundedPool<u32>) {}
/// ```
/// ```compile_fail,E0277
/// fn guards(_: &pool_object::BoundedPool<std::sync::MutexGuard<'static, u32>>) {}
/// ```
///
/// # Memory
/// As [`Pool`](crate::Pool). Waiting takes none.
pub struct BoundedPool<T: Send, R: Recycle<T> = ByDefault, S: PageSource = DefaultSource> {
    pub(super) state: Mutex<Inside<T>>,
    pub(super) limit: usize,
    pub(super) recycle: R,
    /// The one source of what is in `state`.
    pub(super) source: S,
}

#[cfg(not(loom))]
impl<T: Default + Send> BoundedPool<T> {
    /// A pool of at most `limit` objects, made by `T::default()`, on the process-wide source.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self::with(limit, ByDefault)
    }
}

#[cfg(not(loom))]
impl<T: Send, R: Recycle<T>> BoundedPool<T, R> {
    /// A pool of at most `limit` objects with these hooks, on the process-wide source.
    #[must_use]
    pub fn with(limit: usize, recycle: R) -> Self {
        Self::with_in(limit, recycle, pool_core::Global)
    }
}

impl<T: Send, R: Recycle<T>, S: PageSource> BoundedPool<T, R, S> {
    /// A pool of at most `limit` objects with these hooks that draws from `source`.
    #[must_use]
    pub fn with_in(limit: usize, recycle: R, source: S) -> Self {
        Self { state: Mutex::new(Inside::new()), limit, recycle, source }
    }

    /// An object, if one may go out now.
    ///
    /// # Errors
    /// [`PoolError::Exhausted`], [`PoolError::Closed`], or [`PoolError::Source`] if none is idle and
    /// memory for one more is refused.
    pub fn try_get(&self) -> Result<BoundedPooled<'_, T, R, S>, PoolError> {
        self.try_right()?;
        self.redeem()
    }

    /// As [`try_get`](Self::try_get) by a share of the pool, which the guard keeps alive.
    ///
    /// # Errors
    /// As [`try_get`](Self::try_get).
    pub fn try_get_owned(self: &Arc<Self>) -> Result<OwnedBoundedPooled<T, R, S>, PoolError> {
        Ok(Self::into_owned(self, self.try_get()?))
    }

    /// As [`try_get`](Self::try_get), but if none is idle `create` makes one in place of
    /// [`Recycle::create`], and may fail.
    ///
    /// ```
    /// use pool_object::{BoundedPool, GetError, PoolError};
    /// let pool: BoundedPool<u16> = BoundedPool::new(1);
    /// assert!(matches!(pool.try_get_with(|| "http".parse()), Err(GetError::Create(_))));
    /// let port = pool.try_get_with(|| "80".parse())?;
    /// let none = pool.try_get_with(|| "81".parse()).unwrap_err();
    /// assert_eq!((*port, none), (80, GetError::Pool(PoolError::Exhausted { limit: 1 })));
    /// # Ok::<(), GetError<core::num::ParseIntError>>(())
    /// ```
    ///
    /// # Errors
    /// [`GetError::Create`] with `create`'s own, or as [`try_get`](Self::try_get).
    pub fn try_get_with<E>(
        &self,
        create: impl FnOnce() -> Result<T, E>,
    ) -> Result<BoundedPooled<'_, T, R, S>, GetError<E>> {
        self.try_right()?;
        self.redeem_or(create)
    }

    /// As [`get`](Self::get), but if none is idle then `create` makes one in place of
    /// [`Recycle::create`], and may fail.
    ///
    /// # Errors
    /// [`GetError::Create`] with `create`'s own, or as [`get`](Self::get).
    pub fn get_with<E>(
        &self,
        create: impl FnOnce() -> Result<T, E>,
    ) -> Result<BoundedPooled<'_, T, R, S>, GetError<E>> {
        self.wait(Wish::Object, None)?;
        self.redeem_or(create)
    }

    /// As [`get_with`](Self::get_with), as a future; `create` is called when it is its turn.
    ///
    /// # Errors
    /// As [`get_with`](Self::get_with).
    pub async fn get_async_with<E>(
        &self,
        create: impl FnOnce() -> Result<T, E>,
    ) -> Result<BoundedPooled<'_, T, R, S>, GetError<E>> {
        Ticket::new(self, Wish::Object).await?;
        self.redeem_or(create)
    }

    /// Makes an object of the pool's out of a value that came from elsewhere, if one more may be out. An
    /// idle object is dropped for it if there would be more of both than the limit.
    ///
    /// ```
    /// use pool_object::{BoundedPool, PoolError};
    /// let pool: BoundedPool<String> = BoundedPool::new(1);
    /// let held = pool.attach("used before".to_string()).unwrap();
    /// let refusal = pool.attach("one too many".to_string()).unwrap_err();
    /// assert_eq!(refusal.error, PoolError::Exhausted { limit: 1 });
    /// assert_eq!((held.as_str(), refusal.value.as_str()), ("used before", "one too many"));
    /// ```
    ///
    /// # Errors
    /// The value, and why: as [`try_get`](Self::try_get).
    pub fn attach(&self, value: T) -> Result<BoundedPooled<'_, T, R, S>, AttachError<T>> {
        if let Err(error) = self.try_right() {
            return Err(AttachError { value, error });
        }
        let right = Right(self);
        self.make_way();
        match self.place() {
            Ok(object) => {
                // SAFETY: a slot that nobody else has, aligned for `T`.
                unsafe { object.write(value) };
                core::mem::forget(right);
                // SAFETY: written just now, ours alone; the right is the guard's.
                Ok(unsafe { Guard::new(object, self) })
            }
            Err(error) => Err(AttachError { value, error: error.into() }),
        }
    }

    /// An object; while all are out, `free` is called and may make somebody give one back (as nginx
    /// closes connections that wait for a next request). It returns whether that is worth another
    /// try.
    ///
    /// ```
    /// use pool_object::BoundedPool;
    /// let pool: BoundedPool<Vec<u8>> = BoundedPool::new(1);
    /// let mut keep_alive = vec![pool.get().unwrap()];
    /// let next = pool.get_or_free(|| keep_alive.pop().is_some());
    /// assert!(next.is_ok());
    /// ```
    ///
    /// # Errors
    /// As [`try_get`](Self::try_get); [`PoolError::Exhausted`] if `free` gave up.
    pub fn get_or_free(
        &self,
        mut free: impl FnMut() -> bool,
    ) -> Result<BoundedPooled<'_, T, R, S>, PoolError> {
        loop {
            match self.try_get() {
                Err(PoolError::Exhausted { .. }) if free() => {}
                result => return result,
            }
        }
    }

    /// An object; blocks the thread while all are out.
    ///
    /// # Errors
    /// As [`try_get`](Self::try_get), but never [`PoolError::Exhausted`].
    pub fn get(&self) -> Result<BoundedPooled<'_, T, R, S>, PoolError> {
        self.wait(Wish::Object, None)?;
        self.redeem()
    }

    /// As [`get`](Self::get) by a share of the pool, which the guard keeps alive.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_owned(self: &Arc<Self>) -> Result<OwnedBoundedPooled<T, R, S>, PoolError> {
        Ok(Self::into_owned(self, self.get()?))
    }

    /// As [`get`](Self::get), for at most so long.
    ///
    /// ```
    /// use core::time::Duration;
    /// use pool_object::{BoundedPool, PoolError};
    /// let pool: BoundedPool<u8> = BoundedPool::new(0);
    /// let refusal = pool.get_timeout(Duration::from_millis(1)).unwrap_err();
    /// assert_eq!(refusal, PoolError::Timeout { limit: 0 });
    /// ```
    ///
    /// # Errors
    /// As [`get`](Self::get), or [`PoolError::Timeout`].
    #[cfg(not(loom))]
    pub fn get_timeout(
        &self,
        time: core::time::Duration,
    ) -> Result<BoundedPooled<'_, T, R, S>, PoolError> {
        // Longer than a clock can say is for ever.
        self.wait(Wish::Object, std::time::Instant::now().checked_add(time))?;
        self.redeem()
    }

    /// As [`get`](Self::get), as a future. It needs no runtime, takes its place when it is first
    /// polled, and may be dropped at any moment.
    ///
    /// ```
    /// use pool_object::BoundedPool;
    /// # use std::task::{Context, Poll, Waker};
    /// async fn handle(pool: &BoundedPool<Vec<u8>>) -> usize {
    ///     let buffer = pool.get_async().await.unwrap();
    ///     buffer.len()
    /// }
    /// let pool = BoundedPool::new(1);
    /// let mut task = Box::pin(handle(&pool));
    /// # let mut context = Context::from_waker(Waker::noop());
    /// assert_eq!(task.as_mut().poll(&mut context), Poll::Ready(0));
    /// ```
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_async(&self) -> Get<'_, T, R, S> {
        Get::new(self)
    }

    /// As [`get_async`](Self::get_async) by a share of the pool, which the guard keeps alive.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn get_async_owned(
        self: Arc<Self>,
    ) -> Result<OwnedBoundedPooled<T, R, S>, PoolError> {
        Ok(Self::into_owned(&self, self.get_async().await?))
    }

    /// Refuses everybody from now on, those who are waiting, too, and drops what is idle. Objects
    /// that are out are dropped when they come back.
    ///
    /// ```
    /// use pool_object::{BoundedPool, PoolError};
    /// let pool: BoundedPool<u8> = BoundedPool::new(1);
    /// pool.close();
    /// assert_eq!(pool.get().unwrap_err(), PoolError::Closed);
    /// ```
    pub fn close(&self) {
        self.inside().closed = true;
        self.dismiss();
        self.clear();
    }

    /// Sends everybody away who is waiting for an object.
    fn dismiss(&self) {
        loop {
            // The lock is free again when somebody is woken.
            let party = self.inside().waiters.pop(State::Closed);
            match party {
                Some(party) => party.wake(),
                None => return,
            }
        }
    }

    /// Blocks the thread until no object is out: after [`close`](Self::close) that is the end, and
    /// otherwise a moment. A guard that was forgotten is never back.
    ///
    /// ```
    /// let pool = pool_object::BoundedPool::<Vec<u8>>::new(4);
    /// std::thread::scope(|scope| {
    ///     let held = pool.get().unwrap();
    ///     scope.spawn(move || drop(held));
    ///     pool.close();
    ///     pool.drain();
    ///     assert_eq!((pool.stats().live, pool.stats().idle), (0, 0));
    /// });
    /// ```
    pub fn drain(&self) {
        // There is no deadline, and who waits for the end is not sent away.
        let _ = self.wait(Wish::End, None);
    }

    /// As [`drain`](Self::drain), for at most so long; whether no object was out.
    ///
    /// ```
    /// use core::time::Duration;
    /// let pool: pool_object::BoundedPool<u8> = pool_object::BoundedPool::new(1);
    /// let held = pool.get().unwrap();
    /// assert!(!pool.drain_timeout(Duration::from_millis(1)));
    /// drop(held);
    /// assert!(pool.drain_timeout(Duration::ZERO));
    /// ```
    #[cfg(not(loom))]
    #[must_use]
    pub fn drain_timeout(&self, time: core::time::Duration) -> bool {
        self.wait(Wish::End, std::time::Instant::now().checked_add(time)).is_ok()
    }

    /// As [`drain`](Self::drain), as a future.
    pub async fn drain_async(&self) {
        // As in `drain`.
        let _ = Ticket::new(self, Wish::End).await;
    }

    /// Whether [`close`](Self::close) was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inside().closed
    }

    /// Makes objects until `objects` are idle, or as many as may be, or there are as many as may be out.
    /// One that is being made counts as out: others wait for it.
    ///
    /// # Errors
    /// [`PoolError::Closed`], or [`PoolError::Source`] if memory is refused; what was made until then
    /// stays.
    pub fn prefill(&self, objects: usize) -> Result<(), PoolError> {
        while let Some(right) = self.right_to_stock(objects)? {
            right.stock()?;
        }
        Ok(())
    }

    /// With at most `objects` idle; those beyond are dropped, and so is what comes back beyond that. No
    /// bound but the limit by default.
    #[must_use]
    pub fn max_idle(self, objects: usize) -> Self {
        self.inside().idle.set_limit(objects);
        persist(usize::MAX, || {
            let object = self.inside().idle.pop_excess();
            self.drop_idle(object)
        });
        self
    }

    /// Drops all idle objects. O(idle objects).
    pub fn clear(&self) {
        let idle = self.inside().idle.len();
        self.drop_some(idle);
    }

    /// Drops all idle objects and gives memory back that holds none; returns the bytes.
    #[allow(clippy::must_use_candidate, reason = "called for its effect")]
    pub fn trim(&self) -> usize {
        self.clear();
        self.give_back()
    }

    /// Drops the objects that were idle all the time since the last call, and gives memory back
    /// that holds none; returns the bytes.
    #[allow(clippy::must_use_candidate, reason = "called for its effect")]
    pub fn trim_to_working_set(&self) -> usize {
        let rested = self.inside().idle.surface_rested();
        self.drop_some(rested);
        self.inside().idle.rest();
        self.give_back()
    }

    /// The most objects that may be out.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// What the pool knows of itself.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        let inside = self.inside();
        let idle = inside.idle.len() as u64;
        let live = inside.created - inside.dropped - idle;
        PoolStats {
            live,
            idle,
            hits: inside.hits,
            misses: inside.misses,
            created: inside.created,
            dropped: inside.dropped,
            peak: inside.peak,
            waiters: inside.waiters.len() as u64,
            // An idle object that is being dropped is live without a right.
            granted: (inside.out as u64).saturating_sub(live),
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
}

impl<T: Send, R: Recycle<T>, S: PageSource> fmt::Debug for BoundedPool<T, R, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundedPool")
            .field("limit", &self.limit)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
