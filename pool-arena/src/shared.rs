//! `SyncArena`: the region pool that threads share.

mod chunk;
mod storage;
mod text;

use crate::arena::DefaultSource;
use crate::cleanup::{Mark, SharedCleanups};
#[cfg(feature = "std")]
use crate::config::ArenaBuilder;
use crate::config::Config;
use crate::error::AllocError;
#[cfg(feature = "std")]
use crate::error::refuse;
use crate::stats::ArenaStats;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use crate::sync::const_unless_loom;
use chunk::{Chunk, Link};
use core::fmt;
use pool_core::PageSource;

/// A region of memory that several threads fill at once, and that is emptied at once: an
/// [`Arena`](crate::Arena) whose `&` is `Send`.
///
/// Every method takes `&self`, from any thread; references to objects are exclusive, as in an
/// `Arena`, and live as long as the arena is borrowed. So an `async fn` may take `&SyncArena`,
/// return `&mut T`, and hold both across `.await` in a future that moves between threads:
///
/// ```
/// use pool_arena::SyncArena;
///
/// async fn parse<'a>(arena: &'a SyncArena, line: &str) -> Vec<&'a mut str> {
///     let mut words = Vec::new();
///     for word in line.split(' ') {
///         words.push(arena.alloc_str(word));
///         std::future::ready(()).await; // the next word may come on another thread
///     }
///     words
/// }
///
/// fn spawn(future: impl Future<Output = ()> + Send) { /* on a multi-thread runtime */ }
///
/// let arena = std::sync::Arc::new(SyncArena::new());
/// spawn(async move {
///     let words = parse(&arena, "get key").await;
///     assert_eq!(words, ["get", "key"]);
/// });
/// ```
///
/// # When to use it
///
/// | you have | use |
/// |---|---|
/// | a task or thread with an arena of its own, however often it moves between threads | [`Arena`](crate::Arena): a future that *owns* one, and what borrows from it, is `Send` already |
/// | a helper `async fn` that is *lent* the arena across an `.await` | `SyncArena` |
/// | a request that fans out: several tasks or threads fill one arena | `SyncArena` |
/// | a `static` that lives for ever (interned names, a table that grows) | `SyncArena`, [`new`](Self::new) is `const` |
/// | scopes, tail builders, memory given back before the reset | [`Arena`](crate::Arena) |
///
/// An allocation costs one atomic compare-exchange where an `Arena` subtracts; a `Mutex` around a
/// `bumpalo::Bump` needs two atomic operations. Threads that allocate in the same moment wait for each
/// other's cache line, so many that allocate all the time do better with an `Arena` each.
///
/// ```
/// # use pool_arena::SyncArena;
/// let arena = SyncArena::new();
/// let (left, right) = (arena.alloc(1), arena.alloc(2));
/// std::thread::scope(|scope| {
///     scope.spawn(|| *left += 10);
///     scope.spawn(|| *right += *arena.alloc(20));
/// });
/// assert_eq!((*left, *right), (11, 22));
///
/// static NAMES: SyncArena = SyncArena::new();
/// let name: &'static str = NAMES.alloc_str("interned");
/// # assert_eq!(name, "interned");
/// ```
///
/// # How it works
///
/// ```text
///   tip ────────┐
///               ▼
///           ┌────────┬─────────────────────┬──────────────────┐
///   chunk   │ header │ free: room bytes    │ objects          │   newest object first
///           └────────┴─────────────────────┴──────────────────┘
///             room      one compare-exchange of `room` makes an object
/// ```
///
/// *Lock-free*: whoever does not get a place has lost against one who did; nobody waits for a thread
/// that is not running, wherever it was stopped. When a chunk is full one thread makes the next, twice
/// as long; others that come meanwhile do not wait for it, but make one that is just long enough for
/// what they need. What is free in a chunk that is left is not used before the reset, and the tip
/// moves only to where more is free. (The source may have locks of its own; it is asked once a
/// chunk.) Memory is reclaimed by `&mut` alone, so no epochs or hazard pointers are needed.
///
/// Objects of [`large_from`](crate::ArenaBuilder::large_from) bytes or more get runs of their own.
/// Objects of different threads may lie in one cache line; if they are written to all the time,
/// align their types to 64.
///
/// # Threads
/// `Send` if the source is `Send`, `Sync` if it is `Sync`. Values need be neither: the arena never
/// drops them and lends them only to the thread that made them. What it drops
/// ([`alloc_drop`](Self::alloc_drop), [`defer`](Self::defer)) is `Send + 'static`.
///
/// # Limits
/// [`limit`](crate::ArenaBuilder::limit) is never passed, not even for a moment. A refusal takes into
/// account what other threads are just asking the source for, though that may be refused, too.
///
/// # Complexity
/// Allocation: a few instructions, more only where threads meet; when a chunk is full, two calls of
/// the source at most. Reset: O(1) with one chunk, else O(chunks + large objects + cleanups).
///
/// The lock-free bump is an old idea (bumpalo's users have asked for it, `rarena-allocator` has one
/// in a memory of fixed length); growing without waiting, limits and cleanups are ours.
//
// `Send` and `Sync` come by themselves: raw pointers stand in `AtomicPtr`s only, which are both.
// They are right: the arena is the only owner of its runs and of the objects that it drops, which
// are `Send`; through `&` all changes are atomic and `source` is used by `&S`.
pub struct SyncArena<S: PageSource = DefaultSource> {
    /// The chunk that small objects are cut from. It is in `chunks`.
    tip: Link,
    /// All chunks, newest first; they leave the list by `&mut` only.
    chunks: Link,
    /// The first of those at the end of `chunks` that are empty since the last reset, longest
    /// first. It only moves on along the list, so there is no ABA problem.
    spare: Link,
    /// Large objects, each a chunk of its own, full.
    large: Link,
    pub(crate) cleanups: SharedCleanups,
    /// Bytes of runs, and what threads are just asking the source for; at most `limit` when it
    /// grows.
    held: AtomicUsize,
    limit: AtomicUsize,
    /// Bytes of the next long chunk's run, before rounding.
    next_len: AtomicUsize,
    /// Whether a thread is making a long chunk. It saves memory and guards nothing.
    growing: AtomicBool,
    config: Config,
    /// Every run was acquired from this.
    source: S,
}

#[cfg(feature = "std")]
impl SyncArena {
    const_unless_loom! {
        /// An arena over the process-wide source, with the defaults of
        /// [`ArenaBuilder`](crate::ArenaBuilder). Nothing is acquired before the first allocation.
        #[inline]
        #[must_use]
        pub fn new() -> Self {
            Self::new_in(pool_core::Global)
        }
    }

    /// An arena with room for `capacity` bytes (of small objects) before it asks its source again.
    ///
    /// # Panics
    /// If the source refuses; [`try_with_capacity`](Self::try_with_capacity) does not.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self::try_with_capacity(capacity).unwrap_or_else(|error| refuse(error))
    }

    /// As [`with_capacity`](Self::with_capacity).
    ///
    /// # Errors
    /// If the source refuses.
    ///
    /// ```
    /// let arena = pool_arena::SyncArena::try_with_capacity(100_000)?;
    /// assert!(arena.chunk_capacity() >= 100_000);
    /// # Ok::<(), pool_arena::AllocError>(())
    /// ```
    pub fn try_with_capacity(capacity: usize) -> Result<Self, AllocError> {
        Self::try_with_capacity_in(capacity, pool_core::Global)
    }

    /// Options, as for an [`Arena`](crate::Arena): finish with
    /// [`build_sync`](ArenaBuilder::build_sync).
    ///
    /// ```
    /// use pool_arena::SyncArena;
    /// let arena = SyncArena::builder().limit(8 << 20).build_sync();
    /// assert_eq!(arena.allocation_limit(), Some(8 << 20));
    /// ```
    pub const fn builder() -> ArenaBuilder {
        ArenaBuilder::new()
    }
}

impl<S: PageSource> SyncArena<S> {
    const_unless_loom! {
        /// An arena over `source`, with the defaults of [`ArenaBuilder`](crate::ArenaBuilder).
        ///
        /// ```
        /// use pool_arena::SyncArena;
        /// use pool_core::{Heap, PageSource};
        /// let arena = SyncArena::new_in(Heap::new().limited(1 << 20));
        /// std::thread::scope(|scope| {
        ///     for number in 0..3 {
        ///         let arena = &arena;
        ///         scope.spawn(move || assert_eq!(*arena.alloc(number), number));
        ///     }
        /// });
        /// ```
        #[inline]
        #[must_use]
        pub fn new_in(source: S) -> Self {
            Self::with_config(source, Config::DEFAULT)
        }
    }

    /// As [`try_with_capacity`](SyncArena::try_with_capacity), over `source`. A reset keeps that
    /// much.
    ///
    /// # Errors
    /// If the source refuses.
    pub fn try_with_capacity_in(capacity: usize, source: S) -> Result<Self, AllocError> {
        let mut arena = Self::new_in(source);
        if capacity > 0 {
            arena.reserve(capacity)?;
        }
        Ok(arena)
    }

    const_unless_loom! {
        #[inline]
        pub(crate) fn with_config(source: S, config: Config) -> Self {
            Self {
                tip: Link::empty(),
                chunks: Link::empty(),
                spare: Link::empty(),
                large: Link::empty(),
                cleanups: SharedCleanups::new(),
                held: AtomicUsize::new(0),
                limit: AtomicUsize::new(config.limit),
                next_len: AtomicUsize::new(config.first_chunk),
                growing: AtomicBool::new(false),
                config,
                source,
            }
        }
    }

    /// The source that the chunks come from.
    #[must_use]
    pub const fn source(&self) -> &S {
        &self.source
    }

    /// Empties the arena: runs its cleanups, newest first, gives the large objects back, and keeps
    /// at most [`retain`](crate::ArenaBuilder::retain) bytes of chunks for what comes next, the
    /// longest first.
    ///
    /// `&mut self` proves that no reference into the arena lives, on whatever thread. If cleanups
    /// panic, all run, the arena is empty, and the first panic goes on. To reset an arena behind an
    /// `Arc`, use [`Arc::get_mut`](std::sync::Arc::get_mut) when the tasks are through.
    ///
    /// ```
    /// # use pool_arena::SyncArena;
    /// let mut arena = SyncArena::new();
    /// let first: *const u64 = arena.alloc(1u64);
    /// arena.reset();
    /// assert_eq!(first, std::ptr::from_ref(arena.alloc(2u64)));
    /// ```
    ///
    /// References do not outlive it, nor the arena:
    ///
    /// ```compile_fail,E0502
    /// # use pool_arena::SyncArena;
    /// let mut arena = SyncArena::new();
    /// let value = arena.alloc(1);
    /// arena.reset();
    /// assert_eq!(*value, 1);
    /// ```
    /// ```compile_fail,E0597
    /// # use pool_arena::SyncArena;
    /// let value;
    /// {
    ///     let arena = SyncArena::new();
    ///     value = arena.alloc(1);
    /// }
    /// assert_eq!(*value, 1);
    /// ```
    pub fn reset(&mut self) {
        /// Recycles the memory even if a cleanup panics.
        struct Recycle<'a, S: PageSource>(&'a mut SyncArena<S>);
        impl<S: PageSource> Drop for Recycle<'_, S> {
            fn drop(&mut self) {
                self.0.recycle();
            }
        }
        let recycle = Recycle(self);
        recycle.0.cleanups.take().run(Mark::OLDEST);
    }

    /// Bytes that objects may use, in all its chunks and large objects, free or not; bumpalo's
    /// meaning. O(chunks + large objects).
    ///
    /// ```
    /// # use pool_arena::SyncArena;
    /// let arena = SyncArena::new();
    /// assert_eq!(arena.allocated_bytes(), 0);
    /// arena.alloc_slice_fill_default::<u32>(5);
    /// assert!(arena.allocated_bytes() >= 20);
    /// ```
    #[must_use]
    pub fn allocated_bytes(&self) -> usize {
        self.chunks.iter().chain(self.large.iter()).map(Chunk::capacity).sum()
    }

    /// Bytes that it holds from its source, metadata included, and those that threads are just
    /// asking it for. This is what the limit limits.
    #[must_use]
    pub fn allocated_bytes_including_metadata(&self) -> usize {
        self.held.load(Relaxed)
    }

    /// The most bytes that it may hold from its source; `None` for no limit.
    #[must_use]
    pub fn allocation_limit(&self) -> Option<usize> {
        Some(self.limit.load(Relaxed)).filter(|&limit| limit != usize::MAX)
    }

    /// Changes the limit on what is held from the source, in bytes. What is held already stays.
    ///
    /// ```
    /// # use pool_arena::SyncArena;
    /// let arena = SyncArena::new();
    /// arena.set_allocation_limit(Some(64 << 10));
    /// assert!(arena.try_alloc_slice_fill_copy(1 << 20, 0u8).is_err());
    /// assert!(arena.try_alloc_slice_fill_copy(1 << 10, 0u8).is_ok());
    /// ```
    pub fn set_allocation_limit(&self, limit: Option<usize>) {
        self.limit.store(limit.unwrap_or(usize::MAX), Relaxed);
    }

    /// Bytes that may still be had under the limit; `None` for no limit.
    #[must_use]
    pub fn allocation_limit_remaining(&self) -> Option<usize> {
        Some(self.allocation_limit()?.saturating_sub(self.held.load(Relaxed)))
    }

    /// Bytes free in the chunk that small objects are cut from.
    #[must_use]
    pub fn chunk_capacity(&self) -> usize {
        self.tip.get().map_or(0, Chunk::room)
    }

    /// Counts chunks, large objects and bytes. O(chunks + large objects).
    ///
    /// While other threads allocate, the figures are from slightly different moments.
    ///
    /// ```
    /// # use pool_arena::SyncArena;
    /// let arena = SyncArena::new();
    /// arena.alloc_slice_fill_copy(100_000, 0u8);
    /// arena.alloc_str("small");
    /// let stats = arena.stats();
    /// assert_eq!((stats.chunks, stats.large), (1, 1));
    /// assert_eq!(stats.held, stats.chunk_bytes + stats.large_bytes);
    /// ```
    #[must_use]
    pub fn stats(&self) -> ArenaStats {
        // From the spare ones on to the end of the list nothing is used.
        let spare = self.spare.get();
        let used = self.chunks.iter().take_while(|&chunk| Some(chunk) != spare);
        let (chunks, chunk_bytes) = count(used);
        let (spare, spare_bytes) = count(self.spare.iter());
        let (large, large_bytes) = count(self.large.iter());
        ArenaStats {
            held: self.held.load(Relaxed),
            limit: self.allocation_limit(),
            chunks,
            chunk_bytes,
            spare,
            spare_bytes,
            large,
            large_bytes,
            free: self.chunk_capacity(),
            ..ArenaStats::default()
        }
    }
}

/// How many, and the bytes of their runs.
fn count(chunks: impl Iterator<Item = Chunk>) -> (usize, usize) {
    chunks.fold((0, 0), |(number, bytes), chunk| (number + 1, bytes + chunk.len()))
}

impl<S: PageSource> Drop for SyncArena<S> {
    /// Runs the cleanups and gives everything back.
    fn drop(&mut self) {
        /// Releases the memory even if a cleanup panics.
        struct Release<'a, S: PageSource>(&'a mut SyncArena<S>);
        impl<S: PageSource> Drop for Release<'_, S> {
            fn drop(&mut self) {
                self.0.release_all();
            }
        }
        let release = Release(self);
        release.0.cleanups.take().run(Mark::OLDEST);
    }
}

#[cfg(feature = "std")]
impl Default for SyncArena {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: PageSource> fmt::Debug for SyncArena<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = self.stats();
        f.debug_struct("SyncArena")
            .field("held", &stats.held)
            .field("limit", &stats.limit)
            .field("chunks", &stats.chunks)
            .field("spare", &stats.spare)
            .field("large", &stats.large)
            .field("free", &stats.free)
            .finish_non_exhaustive()
    }
}
