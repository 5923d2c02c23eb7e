//! `MirrorOr`: pages that show twice if they can be had.

use core::sync::atomic::{AtomicU64, Ordering};
use pool_core::{Mirror, PageError, PageKind, PageSource, Request, Run, Snapshot};

/// A source of rings: pages that are mapped twice, or, where the system refuses (past
/// `vm.max_map_count`, on systems without them), ordinary ones of `S`.
///
/// Rings are recycled last in, first out, and do not fault in steady state. R mirrored rings of one length cost R + 2
/// mappings for each slab of them: see `pool_core::Mirror`, also for what a forked child may do.
///
/// ```
/// use pool_core::Heap;
/// use pool_ring::{MirrorOr, RingBuf};
/// let source = MirrorOr::new(Heap::new());
/// let mut ring = RingBuf::try_with_capacity_in(4096, &source)?;
/// ring.extend_from_slice(b"the same either way")?;
/// assert_eq!(source.fallbacks() == 0, ring.is_mirrored());
/// # Ok::<(), pool_ring::ReserveError>(())
/// ```
#[derive(Debug)]
pub struct MirrorOr<S> {
    mirror: Mirror,
    other: S,
    fallbacks: AtomicU64,
}

impl<S: PageSource> MirrorOr<S> {
    /// Mirrored pages, else those of `other`.
    #[must_use]
    pub fn new(other: S) -> Self {
        Self::with(Mirror::new(), other)
    }

    /// Pages of `mirror`, else those of `other`.
    #[must_use]
    pub const fn with(mirror: Mirror, other: S) -> Self {
        Self { mirror, other, fallbacks: AtomicU64::new(0) }
    }

    /// How often mirrored pages could not be had.
    #[must_use]
    pub fn fallbacks(&self) -> u64 {
        self.fallbacks.load(Ordering::Relaxed)
    }

    #[cold]
    fn fall_back(&self, request: Request) -> Result<Run, PageError> {
        let run = self.other.acquire(request)?;
        if run.kind() == PageKind::Mirrored {
            // It could not be told from those of `mirror` when it is released.
            // SAFETY: acquired from it just now, and nobody uses it.
            unsafe { self.other.release(run) };
            return Err(PageError::Unsupported { what: "a fallback that is mirrored itself" });
        }
        self.fallbacks.fetch_add(1, Ordering::Relaxed);
        Ok(run)
    }
}

// SAFETY: runs pass unchanged; those that show twice are the mirror's and all others are the other
// source's, so each goes back to where it came from. The granule is the larger of two powers of two,
// and requests are rounded to it first, so that either source's runs are multiples of it.
unsafe impl<S: PageSource> PageSource for MirrorOr<S> {
    fn granule(&self) -> usize {
        self.mirror.granule().max(self.other.granule())
    }

    fn acquire(&self, request: Request) -> Result<Run, PageError> {
        let request = request.round_to(self.granule())?;
        self.mirror.acquire(request).or_else(|_| self.fall_back(request))
    }

    unsafe fn release(&self, run: Run) {
        if run.kind() == PageKind::Mirrored {
            // SAFETY: the caller's promise; only the mirror's runs are of this kind.
            unsafe { self.mirror.release(run) }
        } else {
            // SAFETY: the caller's promise; all others are the other source's.
            unsafe { self.other.release(run) }
        }
    }

    unsafe fn decommit(&self, run: &mut Run) -> bool {
        if run.kind() == PageKind::Mirrored {
            // SAFETY: the caller's promise, about a run of the mirror.
            unsafe { self.mirror.decommit(run) }
        } else {
            // SAFETY: the caller's promise, about a run of the other source.
            unsafe { self.other.decommit(run) }
        }
    }

    fn trim(&self) -> usize {
        self.mirror.trim() + self.other.trim()
    }

    fn observe(&self, snapshot: &mut Snapshot) {
        self.mirror.observe(snapshot);
        self.other.observe(snapshot);
    }
}
