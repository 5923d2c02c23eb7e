//! The page source: the one trait that every tier of the house buys from and sells through.

pub(crate) mod buddy;
pub(crate) mod fixed;
#[cfg(feature = "alloc")]
pub(crate) mod heap;
#[cfg(feature = "mirror")]
pub(crate) mod mirror;
#[cfg(feature = "std")]
pub(crate) mod mmap;

use crate::error::PageError;
#[cfg(feature = "alloc")]
use crate::layer::limit::Limit;
#[cfg(feature = "std")]
use crate::layer::locked::Locked;
use crate::layer::stats::Stats;
use crate::pages::Pages;
use crate::run::{Request, Run};
use crate::snapshot::Snapshot;

#[cfg(feature = "alloc")]
use alloc::{boxed::Box, rc::Rc, sync::Arc};

/// Sells runs of pages wholesale and takes them back whole.
///
/// Sources stack: a *layer* is a source that draws from another and adds one thing (a budget, a
/// cache, counters). Layers are generics, so a stack costs nothing that it does not use. The
/// design follows snmalloc's ranges and the allocator trait of the standard library; what differs
/// is that lengths are rounded *and reported*, and that zeroed memory is a fact and not a wish.
///
/// ```
/// use pool_core::{Heap, PageSource, Request};
/// let source = Heap::new();
/// let run = source.acquire(Request::new(10_000).zeroed())?;
/// assert!(run.len() >= 10_000 && run.is_zeroed());
/// // SAFETY: the run came from this source, nobody uses it any more, and it is released once.
/// unsafe { source.release(run) };
/// # Ok::<(), pool_core::PageError>(())
/// ```
///
/// Owners that want no `unsafe` use [`PageSource::pages`]. A stack is one expression, read from the
/// bottom up:
///
/// ```
/// # #[cfg(feature = "alloc")] {
/// use pool_core::{Heap, PageSource};
/// let source = Heap::new().limited(1 << 20).counted();
/// let pages = (&source).pages(10_000).unwrap();
/// assert!((&source).pages(1 << 20).is_err());
/// assert_eq!(source.traffic().refused, 1);
/// # }
/// ```
///
/// # Safety
///
/// Consumers turn the memory into references and trust what is written here. An implementor
/// promises:
///
/// 1. **Validity.** A run's `len` bytes are readable, writable, aligned as asked, and disjoint from
///    every other live run. They stay so until the run is released, or until the source *and all
///    its clones, copies and owners' handles* are gone. **Moving** the source changes nothing: a
///    source keeps no memory for runs inside itself.
/// 2. **One source, many handles.** `&S`, `Rc<S>`, `Arc<S>`, `Box<S>` and clones of a source, if it
///    has any, are the same source: any of them may release what another acquired.
/// 3. **Threads.** `S: Sync` means that `acquire` and `release` may be called from any thread at
///    once, and that a run may be released on another thread than it was acquired on. `S: Send`
///    means that the source may move to another thread together with its runs.
/// 4. **Zeroed.** A run whose request said `zeroed`, or that says `is_zeroed()` itself, reads as
///    zeros at the moment `acquire` returns. `release` must **ignore** the flag: owners have
///    written since, and nobody cleared it. `MADV_FREE` never means zeroed.
/// 5. **Outstanding runs.** Dropping a source with runs outstanding is not undefined behaviour of
///    the source: it reclaims them (nobody may use them afterwards) or leaks them.
/// 6. **Nothing unwinds.** No method panics.
/// 7. **`decommit`** has exclusive access to the run, into which no reference lives. Afterwards the
///    bytes are indeterminate, or zeros if it returned `true`. It sets the run's flag to what it
///    returns. The run stays owned by the caller.
/// 8. **Wrappers** hand the inner run back unchanged (pointer, length, kind), and do not pretend to
///    an alignment or length that the inner run has not. A **refusal has no side effect**.
/// 9. **Lies** are the implementor's undefined behaviour, not the consumer's; consumers check cheaply
///    under `debug_assertions`.
/// 10. **No re-entry.** A source never calls back into its consumer. One that may stand beneath a
///     `#[global_allocator]` does not allocate from it either.
/// 11. **Lengths.** The run's length is at least the request's, and a multiple of
///     [`granule`](Self::granule); every run is aligned to the granule. The granule is a power of
///     two, never below the size of the system's page, and never changes. Requests of length 0, of
///     an alignment that is not a power of two, or that overflow are refused, as
///     [`Request::round_to`] does it.
///
/// [`testing::contract`](crate::testing) (feature `testing`) checks what of this a program can.
pub unsafe trait PageSource {
    /// The unit in bytes that lengths are rounded to: a power of two, the runtime page size or
    /// more.
    fn granule(&self) -> usize;

    /// Hands out a run of at least `request.len` bytes.
    ///
    /// # Errors
    /// A [`PageError`] that says what was asked, used and allowed. Nothing has changed then.
    fn acquire(&self, request: Request) -> Result<Run, PageError>;

    /// Takes a run back, whole.
    ///
    /// # Safety
    /// The run was acquired from this source (by any of its handles), is released once, with the
    /// pointer and length it came with, and nothing refers to its memory any more.
    unsafe fn release(&self, run: Run);

    /// Gives the run's *memory* back to the system, keeping its addresses. `true`: the memory is
    /// returned, and the run reads as zeros. `false`: nothing was returned, the contents are
    /// indeterminate. The default does nothing.
    ///
    /// # Safety
    /// The caller owns the run, and no reference into it lives.
    unsafe fn decommit(&self, run: &mut Run) -> bool {
        run.set_zeroed(false);
        false
    }

    /// Gives idle memory back to the tier below, and asks that tier to do the same: down to the
    /// system. Live runs are not touched. Returns the bytes that went back at the tier that gave
    /// back most (the same bytes pass several tiers on their way down).
    fn trim(&self) -> usize {
        0
    }

    /// Adds what this tier knows to `snapshot`, then asks the tier below. See [`Snapshot`].
    fn observe(&self, snapshot: &mut Snapshot) {
        let _ = snapshot;
    }

    /// A run owned by a guard that releases it: the way in without `unsafe`.
    ///
    /// The guard keeps `self`, so hand it a handle: `(&source).pages(len)` for as long as a borrow
    /// does, a clone of an `Rc`, an `Arc` or a `&'static` for longer; [`Global`](crate::Global) is a
    /// handle already. A struct that owns its source and gives out pages keeps an `Rc` or `Arc`.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    ///
    /// ```
    /// use pool_core::{Heap, PageSource};
    /// let mut pages = Heap::new().pages(10_000)?.into_bytes();
    /// pages[9_999] = 7;
    /// assert_eq!(pages[0], 0);
    /// # Ok::<(), pool_core::PageError>(())
    /// ```
    fn pages(self, request: impl Into<Request>) -> Result<Pages<Self>, PageError>
    where
        Self: Sized,
    {
        Pages::new(self, request.into())
    }

    /// This source with at most `bytes` bytes of runs out at once: [`Limit::new`].
    ///
    /// ```
    /// use pool_core::{Heap, PageSource};
    /// let source = Heap::new().limited(64 << 10);
    /// assert!((&source).pages(64 << 10).is_ok());
    /// assert!((&source).pages(65 << 10).is_err());
    /// ```
    #[cfg(feature = "alloc")]
    fn limited(self, bytes: usize) -> Limit<Self>
    where
        Self: Sized,
    {
        Limit::new(self, bytes)
    }

    /// This source with its traffic counted: [`Stats::new`].
    ///
    /// ```
    /// use pool_core::{Heap, PageSource};
    /// let source = Heap::new().counted();
    /// drop((&source).pages(1)?);
    /// let traffic = source.traffic();
    /// assert_eq!((traffic.acquired, traffic.live_bytes), (1, 0));
    /// # Ok::<(), pool_core::PageError>(())
    /// ```
    fn counted(self) -> Stats<Self>
    where
        Self: Sized,
    {
        Stats::new(self)
    }

    /// This source, usable from several threads, one at a time: [`Locked::new`].
    #[cfg(feature = "std")]
    fn locked(self) -> Locked<Self>
    where
        Self: Sized,
    {
        Locked::new(self)
    }

    /// What this stack knows of itself, gathered from all its tiers.
    fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        self.observe(&mut snapshot);
        snapshot
    }

    /// This source under a bounded cache that all threads share; see [`Cache`](crate::Cache).
    #[cfg(feature = "std")]
    fn cached(self) -> crate::Cache<Self>
    where
        Self: Sized,
    {
        crate::Cache::new(self)
    }

    /// This source under a cache for one owner thread; see [`LocalCache`](crate::LocalCache).
    fn cached_locally(self) -> crate::LocalCache<Self>
    where
        Self: Sized,
    {
        crate::LocalCache::new(self)
    }
}

/// Passes every call on to `**self`: handles are the same source (clause 2).
macro_rules! forward {
    ($(#[$meta:meta])* $handle:ty) => {
        $(#[$meta])*
        // SAFETY: every call goes to one and the same source, which keeps the contract; the handle
        // adds nothing and holds no memory (clauses 1, 2). Thread rules follow from the handle's
        // own auto traits (clause 3).
        unsafe impl<S: PageSource + ?Sized> PageSource for $handle {
            #[inline]
            fn granule(&self) -> usize {
                (**self).granule()
            }
            #[inline]
            fn acquire(&self, request: Request) -> Result<Run, PageError> {
                (**self).acquire(request)
            }
            #[inline]
            unsafe fn release(&self, run: Run) {
                // SAFETY: the caller's promise, about the same source.
                unsafe { (**self).release(run) }
            }
            #[inline]
            unsafe fn decommit(&self, run: &mut Run) -> bool {
                // SAFETY: the caller's promise, about the same source.
                unsafe { (**self).decommit(run) }
            }
            fn trim(&self) -> usize {
                (**self).trim()
            }
            fn observe(&self, snapshot: &mut Snapshot) {
                (**self).observe(snapshot)
            }
        }
    };
}

forward!(&S);
forward!(#[cfg(feature = "alloc")] Box<S>);
forward!(#[cfg(feature = "alloc")] Rc<S>);
forward!(#[cfg(feature = "alloc")] Arc<S>);
