//! `Global`: one stack for the whole process.

use crate::budget::{Budget, Node};
use crate::error::{OsError, PageError};
use crate::layer::background::Background;
use crate::layer::cache::Cache;
use crate::layer::limit::Limit;
use crate::layer::local_cache::zero_if;
use crate::layer::shelf::Shelf;
use crate::run::{Request, Run};
use crate::snapshot::Snapshot;
use crate::source::PageSource;
use crate::source::mmap::Mmap;
use crate::source::mmap::options::MmapBuilder;
use crate::sys;
use crate::sys::mapping::{Mapping, Spec};
use crate::sys::thread::ThreadEnd;
use core::cell::Cell;
use core::sync::atomic::{AtomicPtr, Ordering};
use core::time::Duration;
use core::{mem, ptr};
use std::io;
use thiserror::Error;

/// A zero-sized handle on the process-wide stack: a cache for each thread, a [`Cache`] for all,
/// a budget, and a [`Mmap`] at the bottom. It is the default source of every pool.
///
/// ```text
/// thread cache (2 MiB each, no atomics) ► Cache (64 MiB, decays) ► Limit ► Mmap
/// ```
///
/// A hit in the thread's cache costs about as much as a push and pop on a thread-local `Vec`.
/// Nothing here allocates from Rust's global allocator, so it may stand beneath one. Runs may be
/// released by any thread.
///
/// *When a thread ends*, its cache is flushed to the shared one, after the destructors of its
/// thread-locals; whatever comes later goes to the shared cache directly. *After a `fork`* the child
/// may go on: no lock is held by a thread that it does not have. What lay in other threads' caches
/// is lost to it (at most 2 MiB a thread).
///
/// ```
/// use pool_core::{Global, PageSource};
/// let pages = Global.pages(64 << 10)?;
/// println!("{}", Global.snapshot());
/// # Ok::<(), pool_core::PageError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Global;

struct Stack {
    cache: Cache<Limit<Mmap>>,
    thread_bytes: usize,
}

/// Null until the first use, then for ever the same. Published with `Release` by whoever is first,
/// read with `Acquire`. Not a `OnceLock`: nobody waits for a thread that builds it, for in a forked
/// child that thread may not be.
static STACK: AtomicPtr<Stack> = AtomicPtr::new(ptr::null_mut());
/// What the stack has from the system for runs, live and idle.
static HELD: Node = Node::new("global", usize::MAX);

std::thread_local! {
    /// No destructor: it can be used at any moment of the thread's life.
    static SHELF: Shelf = const { Shelf::new() };
    static THREAD: Cell<Thread> = const { Cell::new(Thread::New) };
}

/// What a thread's shelf is good for.
#[derive(Clone, Copy, PartialEq)]
enum Thread {
    /// Not opened yet.
    New,
    /// In use.
    Open,
    /// Being opened, or flushed for good: everything goes to the shared cache.
    Closed,
}

/// Idle bytes a thread keeps unless told otherwise.
const THREAD_BYTES: usize = 2 << 20;

/// The stack was in use before it was configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the global page source is in use already; configure it at the start of main")]
pub struct AlreadyInUse;

/// Options of the process-wide stack, to be installed before its first use.
///
/// ```standalone_crate
/// use core::time::Duration;
/// use pool_core::{Global, HugePages, Mmap, PageSource};
/// let mmap = Mmap::builder().huge_pages(HugePages::Transparent);
/// Global::builder()
///     .mmap(mmap)
///     .limit(1 << 30)
///     .cache_bytes(256 << 20)
///     .decay(Duration::from_secs(10))
///     .install()?;
/// let pages = Global.pages(1)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use]
pub struct GlobalBuilder {
    mmap: MmapBuilder,
    limit: usize,
    cache_bytes: usize,
    thread_bytes: usize,
    decay: Duration,
}

impl GlobalBuilder {
    /// Options of the mappings.
    pub fn mmap(mut self, options: MmapBuilder) -> Self {
        self.mmap = options;
        self
    }

    /// The most bytes of runs, live and idle together; no limit by default.
    /// [`Global::set_limit`] changes it later.
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// The most bytes that the shared cache keeps idle; 64 MiB by default.
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// The most bytes that each thread keeps idle; 2 MiB by default, 0 for none.
    pub fn thread_bytes(mut self, bytes: usize) -> Self {
        self.thread_bytes = bytes;
        self
    }

    /// The shared cache's decay time; see [`Cache`]. Threads' caches do not decay.
    pub fn decay(mut self, decay: Duration) -> Self {
        self.decay = decay;
        self
    }

    /// Makes these the options of the process.
    ///
    /// # Errors
    /// [`AlreadyInUse`] if runs were acquired before, or options installed. Nothing has changed.
    pub fn install(self) -> Result<(), AlreadyInUse> {
        let limit = self.limit;
        match publish(self.build()) {
            Ok((_, true)) => {
                Global::budget().set_limit(limit);
                Ok(())
            }
            // Without memory for it the stack cannot be in use; then the first use reports that.
            Ok((_, false)) | Err(_) => Err(AlreadyInUse),
        }
    }

    fn build(self) -> Stack {
        let limited = Limit::with_budget(self.mmap.build(), Budget::of_static(&HELD));
        let cache = Cache::new(limited).with_max_bytes(self.cache_bytes).with_decay(self.decay);
        Stack { cache, thread_bytes: self.thread_bytes }
    }
}

/// Makes `stack` the process's, unless there is one; returns that, and whether it is the new one.
fn publish(stack: Stack) -> Result<(&'static Stack, bool), OsError> {
    let memory = Mapping::anonymous(Spec { len: size_of::<Stack>(), align: 1, huge: None })?;
    let place = memory.ptr().cast::<Stack>();
    // SAFETY: the mapping is long enough, aligned to a page, and nobody else's.
    unsafe { place.write(stack) };
    let (null, new) = (ptr::null_mut(), place.as_ptr());
    match STACK.compare_exchange(null, new, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => {
            // It stays for ever.
            mem::forget(memory);
            fork::prepare();
            // SAFETY: written above, and never changed or freed from now on.
            Ok((unsafe { place.as_ref() }, true))
        }
        Err(first) => {
            // SAFETY: written above and seen by nobody else; the mapping is freed after this.
            unsafe { place.drop_in_place() };
            // SAFETY: published by another call of this function, so as above.
            Ok((unsafe { &*first }, false))
        }
    }
}

/// The stack, built if this is the first use.
///
/// # Errors
/// If the system has no memory for the stack itself.
#[inline]
fn stack() -> Result<&'static Stack, OsError> {
    match existing() {
        Some(stack) => Ok(stack),
        None => first_stack(),
    }
}

#[cold]
fn first_stack() -> Result<&'static Stack, OsError> {
    Ok(publish(Global::builder().build())?.0)
}

/// The stack, if it was ever used. There is one whenever there is a run of it.
#[inline]
fn existing() -> Option<&'static Stack> {
    // SAFETY: what was published is valid for ever and only shared.
    unsafe { STACK.load(Ordering::Acquire).as_ref() }
}

impl Global {
    /// Options, to be installed before the first use.
    pub fn builder() -> GlobalBuilder {
        GlobalBuilder {
            mmap: Mmap::builder(),
            limit: usize::MAX,
            cache_bytes: Cache::<Mmap>::DEFAULT_MAX_BYTES,
            thread_bytes: THREAD_BYTES,
            decay: Cache::<Mmap>::DEFAULT_DECAY,
        }
    }

    /// The most bytes of runs that may be held, live and idle together, from now on. What is beyond
    /// it already stays; new runs are refused until enough went back.
    pub fn set_limit(bytes: usize) {
        Self::budget().set_limit(bytes);
    }

    /// The budget that counts what is held: to look at, or as a parent of others.
    #[must_use]
    pub fn budget() -> Budget {
        Budget::of_static(&HELD)
    }

    /// Looks at the clock, as [`Cache::tick`]. Returns the bytes that went back.
    #[allow(clippy::must_use_candidate, reason = "called for its effect")]
    pub fn tick() -> usize {
        existing().map_or(0, |stack| stack.cache.tick())
    }

    /// Starts a thread that makes the shared cache decay while nobody calls; see
    /// [`Cache::decay_in_background`].
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn decay_in_background() -> io::Result<Background> {
        let decay = stack().map_err(PageError::from)?.cache.decay();
        Background::spawn(decay / 4, || {
            Self::tick();
            true
        })
    }

    /// Gives this thread's idle runs to the shared cache; returns their bytes.
    #[allow(clippy::must_use_candidate, reason = "called for its effect")]
    pub fn flush_thread() -> usize {
        let Some(stack) = existing() else { return 0 };
        let mut bytes = 0;
        SHELF.with(|shelf| {
            while let Some(run) = shelf.pop_any() {
                bytes += run.len();
                // SAFETY: the run left the shelf just now, and shelves hold only runs of the stack.
                unsafe { stack.cache.release(run) };
            }
        });
        bytes
    }

    #[cold]
    #[inline(never)]
    fn acquire_below(len: usize, align: usize, zeroed: bool) -> Result<Run, PageError> {
        let request = Request { len, align, zeroed };
        let cache = &stack()?.cache;
        let rounded = request.round_to(cache.granule())?;
        SHELF.with(|shelf| {
            if let Some(run) = shelf.take(rounded.len, align) {
                return Ok(zero_if(run, zeroed));
            }
            shelf.count_miss();
            cache.acquire(shelf.widen(rounded)).or_else(|refusal| match Self::flush_thread() {
                0 if shelf.widen(rounded) == rounded => Err(refusal),
                _ => cache.acquire(rounded),
            })
        })
    }

    #[cold]
    #[inline(never)]
    fn release_below(mut run: Run) {
        if THREAD.get() == Thread::New && Self::open_shelf() {
            match SHELF.with(|shelf| shelf.keep(run)) {
                Ok(()) => return,
                Err(back) => run = back,
            }
        }
        if let Some(stack) = existing() {
            // SAFETY: the caller of `release` gave up a run of the stack.
            unsafe { stack.cache.release(run) };
        }
    }

    /// Begins to use this thread's shelf, once it is certain to be flushed at the thread's end.
    fn open_shelf() -> bool {
        // Whatever is released inside the next call goes to the shared cache.
        THREAD.set(Thread::Closed);
        let Some(Stack { cache, thread_bytes }) = existing() else { return false };
        if !AT_END.ask() {
            return false;
        }
        SHELF.with(|shelf| shelf.open(cache.granule(), *thread_bytes));
        THREAD.set(Thread::Open);
        true
    }
}

static AT_END: ThreadEnd = ThreadEnd::new(close_shelf);

/// The last thing that a thread does with its shelf.
fn close_shelf() {
    THREAD.set(Thread::Closed);
    SHELF.with(Shelf::close);
    Global::flush_thread();
}

// SAFETY: runs are those of the stack beneath, which is never dropped, so they live until released
// (1, 5); all values of this type are the same source (2); a run is on a shelf that only its thread
// reaches, or in the stack, which is `Sync` (3); a hit is zeroed by hand if asked (4); nothing here
// panics: thread-locals have no destructor and can always be reached (6); the stack takes its
// memory and its tables from the system (10).
unsafe impl PageSource for Global {
    fn granule(&self) -> usize {
        // The bottom's, which is known before there is a stack.
        sys::page_size()
    }

    #[inline]
    fn acquire(&self, request: Request) -> Result<Run, PageError> {
        match SHELF.with(|shelf| shelf.take(request.len, request.align)) {
            Some(run) => Ok(zero_if(run, request.zeroed)),
            None => Self::acquire_below(request.len, request.align, request.zeroed),
        }
    }

    #[inline]
    unsafe fn release(&self, run: Run) {
        if let Err(run) = SHELF.with(|shelf| shelf.keep(run)) {
            Self::release_below(run);
        }
    }

    unsafe fn decommit(&self, run: &mut Run) -> bool {
        let Some(stack) = existing() else { return false };
        // SAFETY: the caller's promise; our runs are the stack's.
        unsafe { stack.cache.decommit(run) }
    }

    /// Gives back what this thread and the shared cache have idle; other threads' caches stay.
    fn trim(&self) -> usize {
        Self::flush_thread();
        existing().map_or(0, |stack| stack.cache.trim())
    }

    fn observe(&self, snapshot: &mut Snapshot) {
        SHELF.with(|shelf| snapshot.cache.get_or_insert_default().add(&shelf.usage()));
        if let Some(stack) = existing() {
            stack.cache.observe(snapshot);
        }
    }
}

/// While a process forks, the forking thread holds every lock of the stack, so the child finds
/// nothing half done and nothing locked by a thread that it does not have. glibc's malloc does the
/// same.
#[cfg(all(unix, not(miri)))]
mod fork {
    use super::existing;
    use crate::source::mmap::Held;
    use core::cell::Cell;
    use core::mem::MaybeUninit;

    std::thread_local! {
        /// What this thread locked in `lock` and has to unlock in `unlock`: the shards, and whether
        /// `HELD` is there. Per thread, because several threads may be in the handlers at once.
        static ENTERED: Cell<Option<u32>> = const { Cell::new(None) };
        /// No destructor, as the thread-locals above.
        static HELD: Cell<MaybeUninit<Held<'static>>> = const { Cell::new(MaybeUninit::uninit()) };
    }

    /// Makes every fork go through here; called once.
    pub(super) fn prepare() {
        // Where it is refused, as where nothing forks, a child is on its own.
        let _ = crate::sys::thread::at_fork(lock, unlock, unlock);
    }

    /// The mappings first: that lock waits, so of two threads that fork one is in the shards, and
    /// the other has all of them when its turn comes. Nobody in a shard waits for the mappings.
    extern "C" fn lock() {
        // Not there yet: then nobody holds anything of it either.
        let Some(stack) = existing() else { return };
        HELD.set(MaybeUninit::new(stack.cache.inner().inner().hold()));
        ENTERED.set(Some(stack.cache.enter_all()));
    }

    extern "C" fn unlock() {
        let (Some(stack), Some(entered)) = (existing(), ENTERED.take()) else { return };
        stack.cache.leave_all(entered);
        let held = HELD.replace(MaybeUninit::uninit());
        // SAFETY: `ENTERED` was set, so `lock` has set this on the same thread (in a child: on the
        // thread that it is a copy of), and it was not taken since.
        drop(unsafe { held.assume_init() });
    }
}

#[cfg(not(all(unix, not(miri))))]
mod fork {
    /// Nothing forks here.
    pub(super) fn prepare() {}
}
