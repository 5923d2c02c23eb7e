//! `Cache`: a bounded store of free runs that all threads share, which gives idle ones back.

use crate::bytes::{MIN_PAGE_LOG2, log2_ceil};
use crate::clock::{Clock, Monotonic};
use crate::error::PageError;
#[cfg(not(loom))]
use crate::layer::background::Background;
use crate::layer::local_cache::zero_if;
use crate::layer::shard::{BATCH, CLASSES, HITS_PER_LOOK, Shard, len_of};
use crate::layer::try_lock::TryLock;
use crate::run::{Request, Run};
use crate::snapshot::{CacheUse, Snapshot};
use crate::source::PageSource;
use crate::sync::Counter;
#[cfg(not(loom))]
use alloc::sync::Arc;
use core::cell::Cell;
use core::fmt;
use core::time::Duration;
use std::panic::AssertUnwindSafe;

/// Shards of a cache. Threads spread over them; nobody waits for one that is busy.
const SHARDS: usize = if cfg!(loom) { 2 } else { 4 };
/// The parts that a decay time has: idle runs are seen in the first window that they sleep
/// through, which ends less than four windows after they came.
const WINDOWS: u32 = 4;

/// Keeps released runs for any thread's next request of the same class, up to a bound, and gives
/// back to the tier below what was not needed for a while.
///
/// *Classes* are powers of two from 4 KiB (or the granule) to 8 MiB; a request is rounded up to its
/// class, longer ones pass through. *Bound*: at most `max_bytes` are idle; what does not fit goes
/// below at once. *Order*: LIFO, so the warmest memory comes back first. *Threads*: four shards,
/// each behind a lock that is only ever tried: one atomic read-modify-write an operation, and
/// nobody waits; if all shards are busy, the tier below is asked. A thread that is preempted, or
/// lost in a `fork`, holding a shard delays nobody.
///
/// *Decay*: time is cut into windows of a quarter of the decay time. Runs that a whole window did
/// not need go back to the tier below, which is asked to [`trim`](PageSource::trim) if nothing was
/// missing meanwhile. Windows end when somebody looks at the clock: every 64th hit does, if it is the
/// system's (and then gives back at most 32 runs, so that no request pays for all),
/// [`tick`](Self::tick) does, and [`decay_in_background`](Self::decay_in_background) starts a thread that does. With the
/// latter, or with a `tick` at least every quarter, what nobody needs is gone within the decay time.
///
/// The idea of counting what was *not* needed, rather than ageing each run, is that of TCMalloc's
/// low-water marks. Doris had a chunk cache without a cap and removed it; hence the bound.
///
/// ```
/// use core::time::Duration;
/// use pool_core::{Cache, Heap, PageSource};
/// let cache = Cache::new(Heap::new()).with_max_bytes(8 << 20).with_decay(Duration::from_secs(5));
/// drop((&cache).pages(64 << 10)?);
/// assert_eq!(cache.usage().idle_bytes, 64 << 10);
/// cache.trim();
/// assert_eq!(cache.usage().idle_bytes, 0);
/// # Ok::<(), pool_core::PageError>(())
/// ```
pub struct Cache<S: PageSource, C: Clock = Monotonic> {
    /// They hold only runs of `inner`, each in one place.
    shards: [Padded<TryLock<Shard>>; SHARDS],
    /// When the current window ends, and what was missing until it began.
    window: TryLock<Window>,
    misses: Counter,
    /// Runs that went below without being asked for again: only then is there something to trim.
    passed: Counter,
    max_bytes: usize,
    decay: Duration,
    clock: C,
    /// Whether `acquire` and `release` read the clock, too: not one that is the user's code, which could
    /// use what stands above and is in the midst of something.
    always: bool,
    inner: S,
}

#[derive(Clone, Copy, Debug, Default)]
struct Window {
    end: Duration,
    misses: u64,
    passed: u64,
}

/// Keeps neighbours off each other's cache lines (two, since lines are fetched in pairs).
#[derive(Debug)]
#[repr(align(128))]
struct Padded<T>(T);

impl<S: PageSource> Cache<S> {
    /// Idle bytes that [`new`](Self::new) allows: 64 MiB.
    pub const DEFAULT_MAX_BYTES: usize = 64 << 20;
    /// The decay time that [`new`](Self::new) sets: 2 seconds.
    pub const DEFAULT_DECAY: Duration = Duration::from_secs(2);

    /// A cache above `inner` with the default bound and decay.
    #[must_use]
    pub fn new(inner: S) -> Self {
        let mut cache = Cache::with_clock(inner, Monotonic);
        cache.always = true;
        cache
    }
}

impl<S: PageSource, C: Clock> Cache<S, C> {
    /// A cache above `inner` with the default bound and decay, which reads time from `clock`: in
    /// [`tick`](Self::tick) alone, so that windows end only there. A clock may be any code, and `acquire`
    /// and `release` run while whoever stands above is in the midst of something.
    ///
    /// ```
    /// use core::cell::Cell;
    /// use core::time::Duration;
    /// use pool_core::{Cache, Heap, PageSource};
    /// let now = Cell::new(Duration::ZERO);
    /// let cache = Cache::with_clock(Heap::new(), || now.get()).with_decay(Duration::from_secs(4));
    /// drop((&cache).pages(64 << 10)?);
    /// for second in 0..4 {
    ///     now.set(Duration::from_secs(second));
    ///     cache.tick();
    /// }
    /// assert_eq!(cache.usage().idle_bytes, 0);
    /// # Ok::<(), pool_core::PageError>(())
    /// ```
    #[must_use]
    pub fn with_clock(inner: S, clock: C) -> Self {
        let max_bytes = Cache::<S>::DEFAULT_MAX_BYTES;
        Self {
            shards: Self::shards(max_bytes),
            window: TryLock::new(Window::default()),
            misses: Counter::new(),
            passed: Counter::new(),
            max_bytes,
            decay: Cache::<S>::DEFAULT_DECAY,
            clock,
            // The clocks of models use nothing, and their operations are to look at them.
            always: cfg!(loom),
            inner,
        }
    }

    fn shards(max_bytes: usize) -> [Padded<TryLock<Shard>>; SHARDS] {
        core::array::from_fn(|_| Padded(TryLock::new(Shard::new(max_bytes / SHARDS))))
    }

    /// The same, with at most `max_bytes` idle (4 TiB if more is said); 0 keeps nothing. A run needs 16
    /// bytes of table, mapped when the first is kept: where the system refuses so much, the bound is
    /// halved until it does not. The bound is shared out evenly
    /// over four shards. What is idle already goes back.
    #[must_use]
    pub fn with_max_bytes(mut self, max_bytes: usize) -> Self {
        self.flush();
        self.shards = Self::shards(max_bytes);
        self.max_bytes = max_bytes;
        self
    }

    /// The same, with another decay time. [`Duration::MAX`] never gives back on its own.
    #[must_use]
    pub fn with_decay(mut self, decay: Duration) -> Self {
        self.decay = decay;
        self
    }

    /// The most bytes that may be idle here.
    #[must_use]
    pub fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// The time after which what nobody needed is gone.
    #[must_use]
    pub fn decay(&self) -> Duration {
        self.decay
    }

    /// The source beneath.
    #[must_use]
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// Hits, misses, idle and decayed bytes of this cache alone. A shard that is busy at the moment
    /// is waited for briefly.
    #[must_use]
    pub fn usage(&self) -> CacheUse {
        let mut usage = CacheUse { misses: self.misses.get(), ..CacheUse::default() };
        for shard in &self.shards {
            insist(&shard.0, |shard| {
                usage.add(&CacheUse {
                    hits: shard.hits,
                    misses: 0,
                    idle_bytes: shard.idle_bytes(),
                    decayed_bytes: shard.decayed_bytes,
                });
            });
        }
        usage
    }

    /// Looks at the clock: if a window has ended, everything that nobody needed in it goes back.
    /// Call it from an idle loop, at least every quarter of the decay time. Returns the bytes that
    /// went back.
    pub fn tick(&self) -> usize {
        if !self.window_ended() {
            return 0;
        }
        let mut bytes = 0;
        for shard in &self.shards {
            insist(&shard.0, Shard::age);
            bytes += self.give_back(shard, usize::MAX);
        }
        self.trim_below();
        bytes
    }

    /// Starts a thread that calls [`tick`](Self::tick) every quarter of the decay time, until the
    /// returned guard or the last handle on the cache is dropped: then what nobody needs goes back
    /// also while nobody calls.
    ///
    /// # Errors
    /// If no thread can be started.
    #[cfg(not(loom))]
    pub fn decay_in_background(self: &Arc<Self>) -> std::io::Result<Background>
    where
        Self: Send + Sync + 'static,
    {
        let cache = Arc::downgrade(self);
        Background::spawn(self.decay / WINDOWS, move || match cache.upgrade() {
            Some(cache) => {
                cache.tick();
                true
            }
            None => false,
        })
    }

    /// Gives every idle run back to the tier below; returns their bytes.
    pub fn flush(&self) -> usize {
        let expire = |shard: &Padded<TryLock<Shard>>| {
            insist(&shard.0, Shard::expire);
            self.give_back(shard, usize::MAX)
        };
        self.shards.iter().map(expire).sum()
    }

    /// The class of runs of at least `len` bytes; beyond all classes for what has none.
    #[inline]
    fn class_of(len: usize) -> usize {
        (log2_ceil(len) as usize).wrapping_sub(MIN_PAGE_LOG2 as usize)
    }

    /// The shard of this thread.
    #[inline]
    fn home(&self) -> usize {
        thread_number() % SHARDS
    }

    #[inline(always)]
    fn take(&self, shard: &Padded<TryLock<Shard>>, len: usize, align: usize) -> Option<Run> {
        let class = Self::class_of(len);
        let (run, look) = shard.0.try_with(|shard| {
            let run = shard.pop(class, align)?;
            shard.hits += 1;
            Some((run, shard.hits & shard.look_mask == 0))
        })??;
        if look {
            self.look();
        }
        Some(run)
    }

    #[cold]
    #[inline(never)]
    fn acquire_elsewhere(&self, len: usize, align: usize, zeroed: bool) -> Result<Run, PageError> {
        let request = Request { len, align, zeroed };
        let rounded = request.round_to(self.inner.granule())?;
        for turn in 0..SHARDS {
            let shard = &self.shards[(self.home() + turn) % SHARDS];
            if let Some(run) = self.take(shard, rounded.len, align) {
                return Ok(zero_if(run, zeroed));
            }
        }
        self.misses.add(1);
        let class = Self::class_of(rounded.len);
        let wide = match class < CLASSES {
            true => Request { len: len_of(class), ..rounded },
            false => rounded,
        };
        let refusal = match self.inner.acquire(wide) {
            Ok(run) => return Ok(run),
            Err(refusal) => refusal,
        };
        if self.flush() == 0 && wide.len == rounded.len {
            return Err(refusal);
        }
        self.inner.acquire(request)
    }

    #[cold]
    #[inline(never)]
    fn release_elsewhere(&self, run: Run) {
        for turn in 1..SHARDS {
            let shard = &self.shards[(self.home() + turn) % SHARDS];
            if push(shard, &run) {
                return;
            }
        }
        self.passed.add(1);
        // SAFETY: the caller of `release` gave up a run of ours, no shard took it, and all our runs
        // are `inner`'s.
        unsafe { self.inner.release(run) };
        self.look();
    }

    /// What every 64th hit of a shard does: ends the window if it is over, and gives back a
    /// batch of what is surplus.
    #[cold]
    #[inline(never)]
    fn look(&self) {
        if self.always && self.window_ended() {
            for shard in &self.shards {
                shard.0.try_with(Shard::age);
            }
            self.trim_below();
        }
        self.give_back(&self.shards[self.home()], BATCH);
    }

    /// The time, unless the clock panics: no method of a source unwinds.
    fn now(&self) -> Option<Duration> {
        match std::panic::catch_unwind(AssertUnwindSafe(|| self.clock.now())) {
            Ok(now) => Some(now),
            Err(payload) => {
                // Dropping what was thrown may throw again; that is leaked then.
                let dropped = std::panic::catch_unwind(AssertUnwindSafe(|| drop(payload)));
                dropped.map_err(core::mem::forget).ok();
                None
            }
        }
    }

    /// Whether the current window is over; if so, begins the next.
    fn window_ended(&self) -> bool {
        // The clock may be the user's code, and it is asked inside the window: if it calls `tick`, that
        // finds the window busy and asks no further.
        let ended = self.window.try_with(|window| {
            let Some(now) = self.now() else { return false };
            let ended = now >= window.end;
            if ended {
                window.end = now.saturating_add(self.decay / WINDOWS);
            }
            ended
        });
        ended == Some(true)
    }

    /// Releases surplus runs of a shard, about `most` of them at the most; returns their bytes.
    fn give_back(&self, shard: &Padded<TryLock<Shard>>, most: usize) -> usize {
        let (mut runs, mut bytes) = (0, 0);
        while runs < most {
            let mut batch = [const { None }; BATCH];
            let more = insist(&shard.0, |shard| {
                shard.surplus_into(&mut batch);
                let more = shard.has_surplus();
                // If so, the next hit comes back here already.
                shard.look_mask = if more { 0 } else { HITS_PER_LOOK - 1 };
                more
            });
            for run in batch.into_iter().flatten() {
                runs += 1;
                bytes += run.len();
                // SAFETY: the run left the shard just now, and all our runs are `inner`'s.
                unsafe { self.inner.release(run) };
            }
            if more != Some(true) {
                break;
            }
        }
        self.passed.add(runs as u64);
        bytes
    }

    /// Asks the tier below to trim, if runs went there since the last time and none was missing in
    /// the window that ended.
    fn trim_below(&self) {
        let (misses, passed) = (self.misses.get(), self.passed.get());
        let due = self.window.try_with(|window| {
            let calm = misses == window.misses;
            let due = calm && passed != window.passed;
            window.misses = misses;
            if due {
                window.passed = passed;
            }
            due
        });
        if due == Some(true) {
            self.inner.trim();
        }
    }
}

/// For `fork`: while this thread is in all shards, none of them is half changed.
#[cfg(all(unix, not(miri), not(loom)))]
impl<S: PageSource, C: Clock> Cache<S, C> {
    /// Goes into all shards; returns which of them (bit k) it got into in a reasonable time, with
    /// the window as the last bit.
    pub(crate) fn enter_all(&self) -> u32 {
        let patiently = |enter: &dyn Fn() -> bool| {
            (0..10_000).any(|_| {
                let entered = enter();
                if !entered {
                    crate::sync::yield_now();
                }
                entered
            })
        };
        let shards = self.shards.iter().enumerate();
        let entered: u32 =
            shards.map(|(k, shard)| u32::from(patiently(&|| shard.0.enter())) << k).sum();
        entered | (u32::from(patiently(&|| self.window.enter())) << SHARDS)
    }

    /// Leaves those that [`enter_all`](Self::enter_all) got into.
    pub(crate) fn leave_all(&self, entered: u32) {
        for (k, shard) in self.shards.iter().enumerate() {
            if entered & (1 << k) != 0 {
                shard.0.leave();
            }
        }
        if entered & (1 << SHARDS) != 0 {
            self.window.leave();
        }
    }
}

/// Whether the shard keeps the run now: it is neither busy nor full, and the run is of a class.
#[inline(always)]
fn push(shard: &Padded<TryLock<Shard>>, run: &Run) -> bool {
    // Class 0 is no power of two; the subtraction takes it beyond all classes.
    let class = (run.class() as usize).wrapping_sub(MIN_PAGE_LOG2 as usize);
    let (ptr, facts) = (run.ptr(), run.facts());
    shard.0.try_with(|shard| shard.push(class, ptr, facts)) == Some(true)
}

/// Tries for a while to get into a shard, for paths where waiting is no harm; `None` if whoever is
/// inside does not come out.
fn insist<T, R>(lock: &TryLock<T>, mut f: impl FnMut(&mut T) -> R) -> Option<R> {
    for _ in 0..200 {
        if let Some(result) = lock.try_with(&mut f) {
            return Some(result);
        }
        crate::sync::yield_now();
    }
    None
}

/// A small number that differs between threads that were started one after another.
#[inline]
fn thread_number() -> usize {
    thread_local! {
        static NUMBER: Cell<usize> = const { Cell::new(0) };
    }
    #[cold]
    fn next() -> usize {
        static THREADS: core::sync::atomic::AtomicUsize = core::sync::atomic::AtomicUsize::new(0);
        THREADS.fetch_add(1, core::sync::atomic::Ordering::Relaxed) + SHARDS
    }
    NUMBER.with(|number| {
        if number.get() == 0 {
            number.set(next());
        }
        number.get()
    })
}

// SAFETY: every run handed out is a run of `inner`, unchanged (8), and each is out, in one shard, or
// back below, never two of these, since shards are entered by one thread at a time (1, 3); runs do
// not depend on where this value lies; a hit is zeroed by hand if asked (4); dropping it with runs
// out leaves them to `inner` (5); no panics (6); the clock is not asked here unless it is the system's, and
// tables come from the system, so nothing re-enters an allocator above (10); lengths are whole classes or the inner source's own (11).
unsafe impl<S: PageSource, C: Clock> PageSource for Cache<S, C> {
    #[inline]
    fn granule(&self) -> usize {
        self.inner.granule()
    }

    #[inline(always)]
    fn acquire(&self, request: Request) -> Result<Run, PageError> {
        let Request { len, align, zeroed } = request;
        if align.is_power_of_two() {
            if let Some(run) = self.take(&self.shards[self.home()], len, align) {
                return Ok(zero_if(run, zeroed));
            }
        }
        self.acquire_elsewhere(len, align, zeroed)
    }

    #[inline]
    unsafe fn release(&self, run: Run) {
        if !push(&self.shards[self.home()], &run) {
            self.release_elsewhere(run);
        }
    }

    unsafe fn decommit(&self, run: &mut Run) -> bool {
        // SAFETY: the caller's promise; our runs are `inner`'s.
        unsafe { self.inner.decommit(run) }
    }

    fn trim(&self) -> usize {
        let flushed = self.flush();
        flushed.max(self.inner.trim())
    }

    fn observe(&self, snapshot: &mut Snapshot) {
        snapshot.cache.get_or_insert_default().add(&self.usage());
        self.inner.observe(snapshot);
    }
}

impl<S: PageSource, C: Clock> Drop for Cache<S, C> {
    fn drop(&mut self) {
        self.flush();
    }
}

impl<S: PageSource + fmt::Debug, C: Clock> fmt::Debug for Cache<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("max_bytes", &self.max_bytes)
            .field("decay", &self.decay)
            .field("usage", &self.usage())
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
