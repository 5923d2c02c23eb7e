//! `Arena`: the region pool itself.

use crate::chunk::{Chunk, Chunks, Spare};
use crate::cleanup::{Cleanups, Mark};
#[cfg(feature = "std")]
use crate::config::ArenaBuilder;
use crate::config::Config;
use crate::error::AllocError;
#[cfg(feature = "std")]
use crate::error::refuse;
use crate::large::LargeList;
use crate::tip::{Gap, Tip};
use core::cell::Cell;
use core::fmt;
use pool_core::PageSource;

/// Where arenas get their chunks from unless told otherwise.
#[cfg(feature = "std")]
pub type DefaultSource = pool_core::Global;
/// Where arenas get their chunks from unless told otherwise.
#[cfg(not(feature = "std"))]
pub type DefaultSource = pool_core::Fixed<'static>;

/// A region of memory that is filled object by object and emptied at once.
///
/// Allocating is a subtraction and a comparison. Objects live as long as the arena is borrowed, are
/// never moved and **never dropped**, unless made by [`alloc_drop`](Self::alloc_drop) or
/// [`alloc_box`](Self::alloc_box); [`reset`](Self::reset) makes all memory free again.
///
/// ```
/// use pool_arena::Arena;
/// let mut arena = Arena::new();
/// for request in ["GET /", "GET /a"] {
///     let path = arena.alloc_str(&request[4..]);
///     let codes = arena.alloc_slice_fill_iter(path.as_bytes().iter().map(|&byte| byte as u32));
///     assert_eq!(codes[0], 47);
///     arena.reset(); // nothing is dropped, no memory goes back
/// }
/// ```
///
/// Memory comes in *chunks*, runs of pages from a [`PageSource`], the first when it is needed.
/// Each chunk is filled from its end downwards:
///
/// ```text
///          ┌────────┬─────────────────────────┬──────────────┐
///   chunk  │ header │ free                    │ objects      │   newest object first
///          └────────┴─────────────────────────┴──────────────┘
///                    ◄ tail builders grow up   ◄ cursor goes down
/// ```
///
/// Objects of [`large_from`](crate::ArenaBuilder::large_from) bytes or more get runs of their own, which
/// neither end the chunk nor make chunks grow.
///
/// # Threads
/// An arena is `Send` if its source is, together with all that lies in it: what it drops later is
/// `Send + 'static`. It is not `Sync`.
///
/// # Complexity
/// Allocation: a few instructions; when a chunk is full, one call of the source at most. Reset: O(1)
/// with one chunk, else O(chunks + large objects + cleanups).
pub struct Arena<S: PageSource = DefaultSource> {
    /// Where objects are cut off. Its bytes lie in a chunk of this arena, or (in a scope) of one
    /// that lent them.
    pub(crate) tip: Tip,
    /// The chunk of `used` that the tip lies in; `None` if the tip is empty or lent by another
    /// arena.
    pub(crate) current: Cell<Option<Chunk>>,
    /// `Some` if all that is allocated lies in this one chunk, which may be kept, so that a reset
    /// needs only to go back to its end. Whatever else happens sets it to `None`.
    pub(crate) home: Cell<Option<Chunk>>,
    /// Chunks with objects, newest first.
    pub(crate) used: Chunks,
    /// Chunks without.
    pub(crate) spare: Spare,
    pub(crate) large: LargeList,
    pub(crate) cleanups: Cleanups,
    /// Bytes of runs: of this arena, its open scopes and the arenas it adopted.
    pub(crate) held: Cell<usize>,
    /// How much of `held` are arenas that it adopted, as large as they were then.
    pub(crate) adopted: Cell<usize>,
    /// `held` does not grow beyond this.
    pub(crate) limit: Cell<usize>,
    /// Bytes of the next chunk's run, before rounding.
    pub(crate) next_len: Cell<usize>,
    pub(crate) config: Config,
    /// Everything above that is a run was acquired from this.
    pub(crate) source: Source<S>,
}

/// Where runs come from. It is only looked at on cold paths.
pub(crate) enum Source<S: PageSource> {
    Owned(S),
    /// A scope draws from its parent's source and charges its parent. The pointer is good as long
    /// as the scope lives, because its guard borrows the parent.
    ///
    /// `*mut` makes `Arena` invariant in `S`. With a covariant pointer `&Arena<&'long S>` would
    /// also be an `&Arena<&'short S>`, which could adopt an arena whose source dies too early.
    Lent(*mut Arena<S>),
}

// SAFETY: an arena is the only owner of its runs, and of the objects in them that it drops, which
// are `Send` (`alloc_drop`, `defer` and `adopt` ask for it). `S: Send` may move together with its
// runs (clause 3 of `PageSource`). References to objects borrow the arena, so they do not live when
// it moves. `Lent` does not occur in an arena that can be moved: scopes hand out `&Arena` only.
unsafe impl<S: PageSource + Send> Send for Arena<S> {}

#[cfg(feature = "std")]
impl Arena {
    /// An arena over the process-wide source, with the defaults of [`ArenaBuilder`](crate::ArenaBuilder). Nothing is
    /// acquired before the first allocation.
    #[inline]
    #[must_use]
    pub const fn new() -> Self {
        Self::new_in(pool_core::Global)
    }

    /// As [`new`](Self::new), for those who come from bumpalo.
    ///
    /// # Errors
    /// None: nothing is acquired yet.
    pub const fn try_new() -> Result<Self, AllocError> {
        Ok(Self::new())
    }

    /// An arena with room for `capacity` bytes before it asks its source again. Large objects ask
    /// all the same; see [`ArenaBuilder::large_from`].
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
    /// let arena = pool_arena::Arena::try_with_capacity(100_000)?;
    /// assert!(arena.chunk_capacity() >= 100_000);
    /// # Ok::<(), pool_arena::AllocError>(())
    /// ```
    pub fn try_with_capacity(capacity: usize) -> Result<Self, AllocError> {
        Self::try_with_capacity_in(capacity, pool_core::Global)
    }

    /// Options: where chunks begin and end, what is large, what a reset keeps, the limit.
    pub const fn builder() -> ArenaBuilder {
        ArenaBuilder::new()
    }
}

impl<S: PageSource> Arena<S> {
    /// An arena over `source`, with the defaults of [`ArenaBuilder`](crate::ArenaBuilder).
    ///
    /// ```
    /// use pool_arena::Arena;
    /// use pool_core::{Heap, PageSource};
    /// let arena = Arena::new_in(Heap::new().limited(1 << 20));
    /// assert_eq!(*arena.alloc(7), 7);
    /// ```
    #[inline]
    #[must_use]
    pub const fn new_in(source: S) -> Self {
        Self::with_config(source, Config::DEFAULT)
    }

    /// As [`try_with_capacity`](Arena::try_with_capacity), over `source`. A reset keeps that much.
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

    #[inline]
    pub(crate) const fn with_config(source: S, config: Config) -> Self {
        Self::with_source(Source::Owned(source), config)
    }

    #[inline]
    pub(crate) const fn with_source(source: Source<S>, config: Config) -> Self {
        Self {
            tip: Tip::empty(),
            current: Cell::new(None),
            home: Cell::new(None),
            used: Chunks::new(),
            spare: Spare::new(),
            large: LargeList::new(),
            cleanups: Cleanups::new(),
            held: Cell::new(0),
            adopted: Cell::new(0),
            limit: Cell::new(config.limit),
            next_len: Cell::new(config.first_chunk),
            config,
            source,
        }
    }

    /// The source that the chunks come from.
    #[must_use]
    pub fn source(&self) -> &S {
        let mut arena = self;
        loop {
            match &arena.source {
                Source::Owned(source) => return source,
                // SAFETY: the parent lives and is borrowed as long as the scope, as the field says.
                Source::Lent(parent) => arena = unsafe { &**parent },
            }
        }
    }

    /// The arena that lent the tip, if this is a scope.
    pub(crate) fn parent(&self) -> Option<&Self> {
        match &self.source {
            Source::Owned(_) => None,
            // SAFETY: as in `source`.
            Source::Lent(parent) => Some(unsafe { &**parent }),
        }
    }

    /// Empties the arena: runs its cleanups, newest first, gives the large objects back, and keeps
    /// at most [`retain`](crate::ArenaBuilder::retain) bytes of chunks for what comes next.
    ///
    /// `&mut self` proves that no reference into the arena lives. If cleanups panic, all run, the
    /// arena is empty, and the first panic goes on.
    ///
    /// ```
    /// # use pool_arena::Arena;
    /// let mut arena = Arena::new();
    /// let first: *const u64 = arena.alloc(1u64);
    /// arena.reset();
    /// assert_eq!(first, std::ptr::from_ref(arena.alloc(2u64)));
    /// ```
    ///
    /// References do not outlive it:
    ///
    /// ```compile_fail,E0502
    /// # use pool_arena::Arena;
    /// let mut arena = Arena::new();
    /// let value = arena.alloc(1);
    /// arena.reset();
    /// assert_eq!(*value, 1);
    /// ```
    #[inline]
    pub fn reset(&mut self) {
        match self.home.get() {
            // SAFETY: all objects lie in this chunk, and `&mut self` says that none is used.
            Some(chunk) => unsafe { self.tip.set(chunk.whole(), self.config.window()) },
            None => self.reset_all(),
        }
    }

    #[cold]
    #[inline(never)]
    fn reset_all(&mut self) {
        /// Recycles the memory even if a cleanup panics.
        struct Recycle<'a, S: PageSource>(&'a Arena<S>);
        impl<S: PageSource> Drop for Recycle<'_, S> {
            fn drop(&mut self) {
                // SAFETY: made from `&mut`, so no object is used; the cleanups are through.
                unsafe { self.0.recycle() };
            }
        }
        let recycle = Recycle(self);
        recycle.0.cleanups.run(Mark::OLDEST);
    }

    /// Bytes that objects may use, in all its chunks and large objects, free or not; bumpalo's
    /// meaning. O(chunks + large objects).
    ///
    /// ```
    /// # use pool_arena::Arena;
    /// let arena = Arena::new();
    /// assert_eq!(arena.allocated_bytes(), 0);
    /// arena.alloc_slice_fill_default::<u32>(5);
    /// assert!(arena.allocated_bytes() >= 20);
    /// ```
    #[must_use]
    pub fn allocated_bytes(&self) -> usize {
        let chunks = self.used.iter().chain(self.spare.iter());
        let chunks: usize = chunks.map(Chunk::capacity).sum();
        chunks + self.large.iter().map(|large| large.bytes().len()).sum::<usize>()
    }

    /// Bytes that it holds from its source: chunks, large objects, metadata, open scopes and adopted
    /// arenas. This is what the limit limits.
    #[must_use]
    pub fn allocated_bytes_including_metadata(&self) -> usize {
        self.held.get()
    }

    /// The most bytes that it may hold from its source; `None` for no limit. A scope has what its
    /// parents leave it, too.
    #[must_use]
    pub fn allocation_limit(&self) -> Option<usize> {
        Some(self.held.get().saturating_add(self.allocation_limit_remaining()?))
    }

    /// Changes the limit on what is held from the source, in bytes. What is held already stays.
    /// Unlike bumpalo's, the limit means what
    /// [`allocated_bytes_including_metadata`](Self::allocated_bytes_including_metadata) counts.
    ///
    /// ```
    /// # use pool_arena::Arena;
    /// let arena = Arena::new();
    /// arena.set_allocation_limit(Some(64 << 10));
    /// assert!(arena.try_alloc_slice_fill_copy(1 << 20, 0u8).is_err());
    /// assert!(arena.try_alloc_slice_fill_copy(1 << 10, 0u8).is_ok());
    /// ```
    pub fn set_allocation_limit(&self, limit: Option<usize>) {
        self.limit.set(limit.unwrap_or(usize::MAX));
    }

    /// Bytes that may still be had under the limit; `None` for no limit.
    #[must_use]
    pub fn allocation_limit_remaining(&self) -> Option<usize> {
        let levels = core::iter::successors(Some(self), |arena| arena.parent());
        let limited = levels.filter(|arena| arena.limit.get() != usize::MAX);
        limited.map(|arena| arena.limit.get().saturating_sub(arena.held.get())).min()
    }

    /// Bytes free in the current chunk.
    #[inline]
    #[must_use]
    pub fn chunk_capacity(&self) -> usize {
        self.tip.free()
    }

    /// The invariants that can be seen, in debug builds.
    pub(crate) fn check(&self) {
        if cfg!(debug_assertions) {
            self.tip.check(self.config.window());
            let owned = |chunk| self.used.iter().any(|used| used == chunk);
            debug_assert!(self.current.get().is_none_or(owned));
            if let Some(chunk) = self.current.get() {
                let (Gap { low, len }, free) = (chunk.whole(), self.tip.gap());
                debug_assert!(free.low >= low && free.len <= len);
            }
            if let Some(home) = self.home.get() {
                debug_assert!(self.used.head() == Some(home) && home.next().is_none());
                debug_assert!(self.large.head().is_none() && self.cleanups.mark() == Mark::OLDEST);
                debug_assert!(self.held.get() <= self.config.retain);
            }
            let held: usize = self.used.iter().chain(self.spare.iter()).map(Chunk::len).sum();
            debug_assert!(self.held.get() >= held);
        }
    }
}

impl<S: PageSource> Drop for Arena<S> {
    /// Runs the cleanups and gives everything back.
    #[inline]
    fn drop(&mut self) {
        /// Releases the memory even if a cleanup panics.
        struct Release<'a, S: PageSource>(&'a Arena<S>);
        impl<S: PageSource> Drop for Release<'_, S> {
            #[inline]
            fn drop(&mut self) {
                // SAFETY: the arena is being dropped, so no object is used.
                unsafe { self.0.release_all() };
            }
        }
        let release = Release(self);
        if release.0.cleanups.mark() != Mark::OLDEST {
            release.0.cleanups.run(Mark::OLDEST);
        }
    }
}

#[cfg(feature = "std")]
impl Default for Arena {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: PageSource> fmt::Debug for Arena<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena")
            .field("held", &self.held.get())
            .field("limit", &self.allocation_limit())
            .field("chunks", &self.used.iter().count())
            .field("spare", &self.spare.iter().count())
            .field("large", &self.large.iter().count())
            .field("free", &self.tip.free())
            .finish_non_exhaustive()
    }
}
