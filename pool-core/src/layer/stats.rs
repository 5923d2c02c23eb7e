//! `Stats`: what passes between a source and its users, counted.

use crate::error::PageError;
use crate::run::{Request, Run};
use crate::snapshot::{Snapshot, Traffic};
use crate::source::PageSource;
use crate::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use crate::sync::{Counter, const_unless_loom};

/// Counts the runs and bytes that pass it.
///
/// ```
/// use pool_core::{Heap, PageSource, Stats};
/// let source = Stats::new(Heap::new());
/// let pages = (&source).pages(10_000)?;
/// let traffic = source.traffic();
/// assert_eq!((traffic.acquired, traffic.live_bytes), (1, pages.len()));
/// # Ok::<(), pool_core::PageError>(())
/// ```
///
/// Above a cache it counts what the users did; below it, what the cache could not serve. Cost: two
/// relaxed atomic additions each way. Each figure is exact, [`peak_bytes`](Traffic::peak_bytes)
/// too; figures read while other threads work are not of one instant.
#[derive(Debug)]
pub struct Stats<S> {
    inner: S,
    acquired: Counter,
    released: Counter,
    refused: Counter,
    decommitted: Counter,
    /// Bytes of the runs that are out. Raised after the inner source gave a run and lowered before
    /// it takes one back, so never more than is out, and never below 0: a release has been handed
    /// what an acquire counted.
    live: AtomicUsize,
    /// The largest value that `live` was raised to.
    peak: AtomicUsize,
}

impl<S> Stats<S> {
    const_unless_loom! {
        /// Counts what passes to and from `inner` from now on.
        #[must_use]
        pub fn new(inner: S) -> Self {
            Self {
                inner,
                acquired: Counter::new(),
                released: Counter::new(),
                refused: Counter::new(),
                decommitted: Counter::new(),
                live: AtomicUsize::new(0),
                peak: AtomicUsize::new(0),
            }
        }
    }

    /// The counters.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        // What ends before what begins: then no reader sees more released than acquired, but for
        // the machine's own reordering, which `live_runs` bears.
        let released = self.released.get();
        Traffic {
            acquired: self.acquired.get(),
            released,
            refused: self.refused.get(),
            live_bytes: self.live.load(Relaxed),
            peak_bytes: self.peak.load(Relaxed),
            decommitted_bytes: self.decommitted.get(),
        }
    }

    /// The source below. Runs acquired from it directly are not counted, and must go back to it
    /// directly.
    #[must_use]
    pub const fn inner(&self) -> &S {
        &self.inner
    }

    /// The source below, without the counters.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.inner
    }
}

// SAFETY: runs pass unchanged between the caller and `inner`, which keeps every clause for them;
// this layer adds atomics, which any thread may change (3), cannot panic (6) and has no clones (2).
unsafe impl<S: PageSource> PageSource for Stats<S> {
    #[inline]
    fn granule(&self) -> usize {
        self.inner.granule()
    }

    #[inline]
    fn acquire(&self, request: Request) -> Result<Run, PageError> {
        let result = self.inner.acquire(request);
        match &result {
            Ok(run) => {
                self.acquired.add(1);
                let live = self.live.fetch_add(run.len(), Relaxed).wrapping_add(run.len());
                if live > self.peak.load(Relaxed) {
                    self.peak.fetch_max(live, Relaxed);
                }
            }
            Err(_) => {
                self.refused.add(1);
            }
        }
        result
    }

    #[inline]
    unsafe fn release(&self, run: Run) {
        self.live.fetch_sub(run.len(), Relaxed);
        self.released.add(1);
        // SAFETY: the caller's promise; the run came from `inner` unchanged.
        unsafe { self.inner.release(run) };
    }

    #[inline]
    unsafe fn decommit(&self, run: &mut Run) -> bool {
        // SAFETY: the caller's promise; the run came from `inner` unchanged.
        let returned = unsafe { self.inner.decommit(run) };
        if returned {
            self.decommitted.add(run.len() as u64);
        }
        returned
    }

    fn trim(&self) -> usize {
        self.inner.trim()
    }

    fn observe(&self, snapshot: &mut Snapshot) {
        snapshot.traffic.get_or_insert_with(|| self.traffic());
        self.inner.observe(snapshot);
    }
}
