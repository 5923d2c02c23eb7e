//! `LocalCache`: free runs kept for one owner thread.

use crate::error::PageError;
use crate::layer::shelf::Shelf;
use crate::run::{Request, Run};
use crate::snapshot::{CacheUse, Snapshot};
use crate::source::PageSource;
use core::fmt;

/// Keeps released runs for the next request of the same class. For one thread at a time: no
/// atomics, no lock, about a dozen instructions each way on a hit.
///
/// Classes are powers of two from one granule to 8 MiB; a request is rounded up to its class, longer
/// ones pass through. Each class keeps 16 runs at the most, within an equal share of `max_bytes`,
/// so idle bytes never exceed `max_bytes`. Hits come back LIFO, which finds
/// the warmest memory. When the tier below refuses, everything idle is given back and the request
/// is tried once more, unrounded. Dropping the cache gives all idle runs back.
///
/// ```
/// use pool_core::{Heap, PageSource, Request};
/// let source = Heap::new().cached_locally();
/// drop((&source).pages(16 << 10)?);
/// drop((&source).pages(16 << 10)?); // the same pages again
/// assert_eq!(source.usage().hits, 1);
/// # Ok::<(), pool_core::PageError>(())
/// ```
pub struct LocalCache<S: PageSource> {
    /// Holds only runs of `inner`, none of which anybody else has.
    shelf: Shelf,
    max_bytes: usize,
    inner: S,
}

impl<S: PageSource> LocalCache<S> {
    /// Idle bytes that [`new`](Self::new) allows: 4 MiB.
    pub const DEFAULT_MAX_BYTES: usize = 4 << 20;

    /// A cache of at most [`DEFAULT_MAX_BYTES`](Self::DEFAULT_MAX_BYTES) above `inner`.
    #[must_use]
    pub fn new(inner: S) -> Self {
        Self::with_max_bytes(inner, Self::DEFAULT_MAX_BYTES)
    }

    /// A cache that keeps at most `max_bytes` idle; 0 keeps nothing.
    #[must_use]
    pub fn with_max_bytes(inner: S, max_bytes: usize) -> Self {
        let shelf = Shelf::new();
        shelf.open(inner.granule(), max_bytes);
        Self { shelf, max_bytes, inner }
    }

    /// The most bytes that may be idle here.
    #[must_use]
    pub fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// Hits, misses and idle bytes of this cache alone.
    #[must_use]
    pub fn usage(&self) -> CacheUse {
        self.shelf.usage()
    }

    /// The source beneath.
    #[must_use]
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// Gives every idle run back to the tier below; returns their bytes.
    pub fn flush(&self) -> usize {
        let mut bytes = 0;
        while let Some(run) = self.shelf.pop_any() {
            bytes += run.len();
            // SAFETY: the run was released to us and came from `inner`; it left the shelf just now,
            // so it is released once.
            unsafe { self.inner.release(run) };
        }
        bytes
    }

    /// The request in parts, so that a hit need not build it in memory.
    #[cold]
    #[inline(never)]
    fn acquire_below(&self, len: usize, align: usize, zeroed: bool) -> Result<Run, PageError> {
        let request = Request { len, align, zeroed };
        let rounded = request.round_to(self.inner.granule())?;
        if rounded.len > len {
            if let Some(run) = self.shelf.take(rounded.len, align) {
                return Ok(zero_if(run, zeroed));
            }
        }
        self.shelf.count_miss();
        let wide = self.shelf.widen(rounded);
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
    fn release_below(&self, run: Run) {
        // SAFETY: the caller of `release` gave up a run of ours, and all our runs are `inner`'s.
        unsafe { self.inner.release(run) };
    }
}

/// A run that left the shelf just now, zeroed if that was asked for.
#[inline(always)]
pub(crate) fn zero_if(mut run: Run, zeroed: bool) -> Run {
    if zeroed {
        // SAFETY: the run left the shelf, so it is the caller's alone, and a shelf marks no run as
        // zeroed.
        unsafe { run.zero() };
    }
    run
}

// SAFETY: every run handed out is a run of `inner`, unchanged (8), and each is either out, on the
// shelf, or back below, never two of these (1); runs do not depend on where this value lies; the
// shelf's cells make it `!Sync` (3); a hit is zeroed by hand if asked (4); dropping it with runs out
// leaves them to `inner` (5); no panics: all arithmetic is on classes that exist (6); lengths are
// whole classes or the inner source's own (11).
unsafe impl<S: PageSource> PageSource for LocalCache<S> {
    #[inline]
    fn granule(&self) -> usize {
        self.inner.granule()
    }

    #[inline]
    fn acquire(&self, request: Request) -> Result<Run, PageError> {
        match self.shelf.take(request.len, request.align) {
            Some(run) => Ok(zero_if(run, request.zeroed)),
            None => self.acquire_below(request.len, request.align, request.zeroed),
        }
    }

    #[inline]
    unsafe fn release(&self, run: Run) {
        if let Err(run) = self.shelf.keep(run) {
            self.release_below(run);
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

impl<S: PageSource> Drop for LocalCache<S> {
    fn drop(&mut self) {
        self.flush();
    }
}

impl<S: PageSource + fmt::Debug> fmt::Debug for LocalCache<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (usage, inner) = (self.usage(), &self.inner);
        f.debug_struct("LocalCache").field("usage", &usage).field("inner", inner).finish()
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use crate::Heap;

    #[test]
    fn the_same_run_comes_back_and_idle_bytes_stay_bounded() {
        let granule = Heap::new().granule();
        let cache = LocalCache::with_max_bytes(Heap::new(), 48 * granule);
        let first = cache.acquire(Request::new(1)).unwrap();
        let address = first.ptr();
        // SAFETY: acquired above, released once.
        unsafe { cache.release(first) };
        let pages: alloc::vec::Vec<_> = (0..100).map(|_| (&cache).pages(1).unwrap()).collect();
        assert_eq!(pages[0].as_ptr(), address);
        assert_eq!((cache.usage().hits, cache.usage().misses), (1, 100));
        drop(pages);
        assert_eq!(cache.usage().idle_bytes, 4 * granule);
        assert_eq!(cache.flush(), 4 * granule);
        assert_eq!(cache.usage().idle_bytes, 0);
    }

    #[test]
    fn disordered_requests_are_refused_even_when_a_run_is_at_hand() {
        let cache = LocalCache::new(Heap::new());
        drop((&cache).pages(1).unwrap());
        assert_eq!(cache.acquire(Request::new(0)), Err(PageError::ZeroLength));
        for align in [0, 3] {
            let error = cache.acquire(Request::new(1).align(align)).unwrap_err();
            assert_eq!(error, PageError::BadAlign { align });
        }
        for len in [usize::MAX, usize::MAX / 2 + 1] {
            let error = cache.acquire(Request::new(len)).unwrap_err();
            assert!(matches!(error, PageError::TooLarge { .. }));
        }
    }
}
