//! `Global`: one stack for the whole process.

use crate::budget::{Budget, Node};
use crate::error::PageError;
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
use core::cell::Cell;
use core::time::Duration;
use std::io;
use std::sync::OnceLock;
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

static STACK: OnceLock<Stack> = OnceLock::new();
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
        let mut builder = Some(self);
        let stack = STACK.get_or_init(|| builder.take().map_or_else(default_stack, Self::build));
        let _: &Stack = stack;
        if builder.is_none() { Ok(()) } else { Err(AlreadyInUse) }
    }

    fn build(self) -> Stack {
        let budget = Budget::of_static(&HELD);
        budget.set_limit(self.limit);
        let cache = Cache::new(Limit::with_budget(self.mmap.build(), budget));
        let cache = cache.with_max_bytes(self.cache_bytes).with_decay(self.decay);
        fork::prepare();
        Stack { cache, thread_bytes: self.thread_bytes }
    }
}

fn default_stack() -> Stack {
    Global::builder().build()
}

#[inline]
fn stack() -> &'static Stack {
    STACK.get_or_init(default_stack)
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
        // The stack first: building it sets the limit.
        stack();
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
        stack().cache.tick()
    }

    /// Starts a thread that makes the shared cache decay while nobody calls; see
    /// [`Cache::decay_in_background`].
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn decay_in_background() -> io::Result<Background> {
        Background::spawn(stack().cache.decay() / 4, || {
            Self::tick();
            true
        })
    }

    /// Gives this thread's idle runs to the shared cache; returns their bytes.
    #[allow(clippy::must_use_candidate, reason = "called for its effect")]
    pub fn flush_thread() -> usize {
        let mut bytes = 0;
        SHELF.with(|shelf| {
            while let Some(run) = shelf.pop_any() {
                bytes += run.len();
                // SAFETY: the run left the shelf just now, and shelves hold only runs of the stack.
                unsafe { stack().cache.release(run) };
            }
        });
        bytes
    }

    #[cold]
    #[inline(never)]
    fn acquire_below(len: usize, align: usize, zeroed: bool) -> Result<Run, PageError> {
        let request = Request { len, align, zeroed };
        let cache = &stack().cache;
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
        // SAFETY: the caller of `release` gave up a run of the stack.
        unsafe { stack().cache.release(run) };
    }

    /// Begins to use this thread's shelf, once it is certain to be flushed at the thread's end.
    fn open_shelf() -> bool {
        // Whatever is released inside the next call goes to the shared cache.
        THREAD.set(Thread::Closed);
        let Stack { cache, thread_bytes } = stack();
        if !sys::thread::at_thread_exit(close_shelf) {
            return false;
        }
        SHELF.with(|shelf| shelf.open(cache.granule(), *thread_bytes));
        THREAD.set(Thread::Open);
        true
    }
}

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
        stack().cache.granule()
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
        // SAFETY: the caller's promise; our runs are the stack's.
        unsafe { stack().cache.decommit(run) }
    }

    /// Gives back what this thread and the shared cache have idle; other threads' caches stay.
    fn trim(&self) -> usize {
        Self::flush_thread();
        stack().cache.trim()
    }

    fn observe(&self, snapshot: &mut Snapshot) {
        SHELF.with(|shelf| snapshot.cache.get_or_insert_default().add(&shelf.usage()));
        stack().cache.observe(snapshot);
    }
}

/// While a process forks, the forking thread holds every lock of the stack, so the child finds
/// nothing half done and nothing locked by a thread that it does not have. glibc's malloc does the
/// same.
#[cfg(all(unix, not(miri)))]
mod fork {
    use super::STACK;
    use crate::source::mmap::Held;
    use core::cell::UnsafeCell;

    struct Locks(UnsafeCell<(u32, Option<Held<'static>>)>);

    // SAFETY: it is only reached between `lock` and `unlock` by the thread that forks, and `fork`
    // lets no two threads into its handlers at once: the C library runs them under a lock.
    unsafe impl Sync for Locks {}

    static LOCKS: Locks = Locks(UnsafeCell::new((0, None)));

    /// Makes every fork go through here; called once.
    pub(super) fn prepare() {
        crate::sys::thread::at_fork(lock, unlock);
    }

    extern "C" fn lock() {
        // Not there yet: then nobody holds anything of it either.
        let Some(stack) = STACK.get() else { return };
        let locks = (stack.cache.enter_all(), Some(stack.cache.inner().inner().hold()));
        // SAFETY: this thread is the only one here, as the `Sync` proof says.
        unsafe { *LOCKS.0.get() = locks };
    }

    extern "C" fn unlock() {
        let Some(stack) = STACK.get() else { return };
        // SAFETY: as in `lock`.
        let (entered, held) = core::mem::take(unsafe { &mut *LOCKS.0.get() });
        drop(held);
        stack.cache.leave_all(entered);
    }
}

#[cfg(not(all(unix, not(miri))))]
mod fork {
    /// Nothing forks here.
    pub(super) fn prepare() {}
}
