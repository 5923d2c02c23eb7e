//! `BoundedPool`: no more objects out than may be; who comes then decides what to do. A storage
//! file.

use crate::pool::error::PoolError;
use crate::pool::guard::Guard;
use crate::pool::recycle::{ByDefault, Recycle};
use crate::pool::returning::{discard, persist, send_out};
use crate::pool::rights::{Bare, Right, Rights};
use crate::pool::slots::Slots;
use crate::pool::stack::Stack;
use crate::pool::stats::PoolStats;
use crate::pool::sync::{Mutex, MutexGuard};
use crate::pool::waiters::{Party, State, Waiters};
use crate::pool::waiting::{Get, Ticket};
use crate::table::DefaultSource;
use core::fmt;
use core::ptr::NonNull;
use pool_core::{PageError, PageSource};
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
/// # Memory
/// As [`Pool`](crate::Pool). Waiting takes none.
pub struct BoundedPool<T: Send, R: Recycle<T> = ByDefault, S: PageSource = DefaultSource> {
    state: Mutex<Inside<T>>,
    limit: usize,
    recycle: R,
    /// The one source of what is in `state`.
    source: S,
}

/// What the lock guards. No foreign code but the page source's runs while it is held.
pub(crate) struct Inside<T> {
    /// Objects out, and rights to one that waiters were granted: at most the limit. There is a
    /// waiter only while they are as many, since every right that is given up goes to the first.
    pub(crate) out: usize,
    pub(crate) idle: Stack<T>,
    pub(crate) slots: Slots<T>,
    pub(crate) waiters: Waiters,
    pub(crate) closed: bool,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) created: u64,
    pub(crate) dropped: u64,
    pub(crate) peak: u64,
}

// SAFETY: it owns the idle objects, which may go where `T` may.
unsafe impl<T: Send> Send for Inside<T> {}

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
        let inside = Inside {
            out: 0,
            idle: Stack::new(),
            slots: Slots::new(),
            waiters: Waiters::new(),
            closed: false,
            hits: 0,
            misses: 0,
            created: 0,
            dropped: 0,
            peak: 0,
        };
        Self { state: Mutex::new(inside), limit, recycle, source }
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
        self.wait(None)?;
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
        self.wait(std::time::Instant::now().checked_add(time))?;
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
        /// Goes on if a waker panics, and drops what is idle last.
        struct Rest<'a, T: Send, R: Recycle<T>, S: PageSource>(&'a BoundedPool<T, R, S>);
        impl<T: Send, R: Recycle<T>, S: PageSource> Drop for Rest<'_, T, R, S> {
            fn drop(&mut self) {
                self.0.dismiss();
                self.0.clear();
            }
        }
        self.inside().closed = true;
        Rest(self).0.dismiss();
    }

    /// Sends everybody away who is waiting.
    fn dismiss(&self) {
        loop {
            let party = self.inside().waiters.pop(State::Closed);
            match party {
                Some(party) => party.wake(),
                None => break,
            }
        }
    }

    /// Whether [`close`](Self::close) was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inside().closed
    }

    /// Makes objects until `objects` are idle, or as many as may be, or there are as many as may be out.
    ///
    /// # Errors
    /// [`PoolError::Closed`], or [`PoolError::Source`] if memory is refused; what was made until then
    /// stays.
    pub fn prefill(&self, objects: usize) -> Result<(), PoolError> {
        while self.wants(objects)? {
            let value = self.recycle.create();
            let object = self.place()?;
            // SAFETY: a slot that nobody else has, aligned for `T`.
            unsafe { object.write(value) };
            if !self.stock(object) {
                // SAFETY: written just now, and ours alone.
                unsafe { discard(&Bare(self), object) };
            }
        }
        Ok(())
    }

    /// Whether there may be one more idle object, of `objects` that are wanted.
    fn wants(&self, objects: usize) -> Result<bool, PoolError> {
        let inside = self.inside();
        if inside.closed {
            return Err(PoolError::Closed);
        }
        let idle = inside.idle.len();
        Ok(idle < objects.min(inside.idle.limit()) && idle + inside.out < self.limit)
    }

    /// Makes a new object idle, if there still may be one more: its constructor may have used the pool,
    /// and others as well.
    fn stock(&self, object: NonNull<T>) -> bool {
        let inside = self.inside();
        !inside.closed && inside.idle.len() + inside.out < self.limit && inside.idle.push(object)
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
        PoolStats {
            live: inside.created - inside.dropped - idle,
            idle,
            hits: inside.hits,
            misses: inside.misses,
            created: inside.created,
            dropped: inside.dropped,
            peak: inside.peak,
            waiters: inside.waiters.len() as u64,
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

    pub(crate) fn inside(&self) -> MutexGuard<'_, Inside<T>> {
        self.state.lock()
    }

    /// The same object by a share of the pool.
    fn into_owned(
        pool: &Arc<Self>,
        guard: BoundedPooled<'_, T, R, S>,
    ) -> OwnedBoundedPooled<T, R, S> {
        let (object, _) = Guard::into_parts(guard);
        // SAFETY: out of this pool, and no longer the other guard's.
        unsafe { Guard::new(object, pool.clone()) }
    }

    /// Takes the right to an object, if there is one.
    fn try_right(&self) -> Result<(), PoolError> {
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
    pub(crate) fn give_right(&self) {
        let mut inside = self.inside();
        let party = inside.waiters.pop(State::Granted);
        if party.is_none() {
            inside.out -= 1;
        }
        drop(inside);
        if let Some(party) = party {
            party.wake();
        }
    }

    /// An object for a right; the right is given up if there is none.
    pub(crate) fn redeem(&self) -> Result<BoundedPooled<'_, T, R, S>, PoolError> {
        let right = Right(self);
        let mut inside = self.inside();
        if inside.closed {
            return Err(PoolError::Closed);
        }
        let idle = inside.idle.pop();
        let Some(object) = idle else {
            drop(inside);
            return right.redeem_new();
        };
        inside.hits += 1;
        drop(inside);
        // SAFETY: idle until now, so initialised and ours alone. If it panics the object is gone,
        // and `right` gives the right up.
        unsafe { send_out(&Bare(self), object) };
        core::mem::forget(right);
        // SAFETY: as above; the right is the guard's.
        Ok(unsafe { Guard::new(object, self) })
    }

    pub(crate) fn place(&self) -> Result<NonNull<T>, PageError> {
        let mut inside = self.inside();
        let objects = inside.created - inside.dropped + 1;
        // SAFETY: the pool has one source.
        unsafe { inside.idle.reserve(&self.source, objects as usize) }?;
        let place = inside.slots.take(&self.source)?;
        inside.created += 1;
        inside.peak = inside.peak.max(objects);
        Ok(place)
    }

    /// Drops an object, if it is one, that was idle until now; whether it was.
    fn drop_idle(&self, object: Option<NonNull<T>>) -> bool {
        if let Some(object) = object {
            // SAFETY: idle until now, so initialised and ours alone.
            unsafe { discard(&Bare(self), object) };
        }
        object.is_some()
    }

    fn drop_some(&self, most: usize) {
        persist(most, || {
            let object = self.inside().idle.pop();
            self.drop_idle(object)
        });
    }

    fn give_back(&self) -> usize {
        let inside = self.inside();
        // SAFETY: the pool has one source.
        let spans = unsafe { inside.slots.trim(&self.source) };
        let objects = (inside.created - inside.dropped) as usize;
        // SAFETY: as above; of all objects some are idle.
        spans + unsafe { inside.idle.fit(&self.source, objects) }
    }

    /// What `state` says of a ticket's way, and does about it; see `Ticket`.
    pub(crate) fn with_waiters<U>(&self, f: impl FnOnce(&mut Rights<'_>) -> U) -> U {
        let mut inside = self.inside();
        let Inside { out, waiters, closed, .. } = &mut *inside;
        f(&mut Rights { out, limit: self.limit, waiters, closed: *closed })
    }

    /// Waits for a right.
    #[cfg(not(loom))]
    fn wait(&self, deadline: Option<std::time::Instant>) -> Result<(), PoolError> {
        let ticket = core::pin::pin!(Ticket::new(self));
        loop {
            if let Some(result) = ticket.as_ref().poll(|| Party::Thread(std::thread::current())) {
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

    /// Waits for a right.
    #[cfg(loom)]
    fn wait(&self, _: Option<()>) -> Result<(), PoolError> {
        let ticket = core::pin::pin!(Ticket::new(self));
        loop {
            if let Some(result) = ticket.as_ref().poll(|| Party::Thread(loom::thread::current())) {
                return result;
            }
            loom::thread::park();
        }
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

impl<T: Send, R: Recycle<T>, S: PageSource> fmt::Debug for BoundedPool<T, R, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundedPool")
            .field("limit", &self.limit)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
