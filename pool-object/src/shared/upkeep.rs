//! What can be asked of a shared heap besides blocks: figures, checks, to give memory back.
#![forbid(unsafe_code)]

use super::alloc::SharedAlloc;
use super::central::Central;
use super::ledger::Desk;
use super::registry::{self, Slot, with_cache};
use crate::size_class::SizeClass;
use crate::stats::{Corruption, HeapStats};
use core::fmt;
use pool_core::PageSource;

/// Of a heap in this slot.
fn stats_of(central: &Central, slot: Slot) -> HeapStats {
    with_cache(slot, |cache| {
        if let Some(desk) = Desk::of(cache, central) {
            desk.tell();
        }
    });
    let mut stats = HeapStats::none();
    for (stats, class) in stats.classes.iter_mut().zip(SizeClass::all()) {
        *stats = central.class_stats(class);
    }
    (stats.spare, stats.spare_bytes) = central.spare();
    central.large.with(|large| {
        stats.large = large.len();
        stats.large_bytes = large.bytes();
        stats.table_bytes = large.own_bytes();
    });
    stats
}

/// All heaps for all threads that this process has at the moment.
///
/// ```
/// use core::alloc::Layout;
/// use pool_object::{ProcessStats, SharedAlloc};
/// let heaps = [(); 20].map(|()| SharedAlloc::new());
/// let blocks = heaps.each_ref().map(|heap| heap.allocate(Layout::new::<[u64; 5]>()));
/// let process = ProcessStats::now();
/// assert!(process.heaps >= 20 && process.without_caches >= 6); // fourteen have some
/// assert!(process.sum.live() >= blocks.len() && process.sum.held_bytes() >= 20 << 16);
/// println!("{process}");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessStats {
    /// Heaps that were used at least once and not dropped yet, the process-wide one included.
    pub heaps: usize,
    /// Those of them that no thread has a cache for: see [`SharedAlloc::has_thread_caches`].
    pub without_caches: usize,
    /// Threads that may have caches.
    pub threads: usize,
    /// What these heaps have, each as by [`SharedAlloc::stats`].
    pub sum: HeapStats,
}

impl ProcessStats {
    /// Adds up all heaps. While it does, no heap begins or ends, and no thread does that uses one.
    /// O(heaps × classes + threads).
    #[must_use]
    pub fn now() -> Self {
        let mut this = Self { heaps: 0, without_caches: 0, threads: 0, sum: HeapStats::none() };
        this.threads = registry::survey(|central, slot| {
            this.heaps += 1;
            this.without_caches += usize::from(slot == Slot::NONE);
            this.sum.add(&stats_of(central, slot));
        });
        this
    }
}

impl fmt::Display for ProcessStats {
    /// A line, and the table of [`HeapStats`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { heaps, without_caches, threads, sum } = self;
        writeln!(f, "{heaps} heaps, {without_caches} of them without caches, {threads} threads")?;
        sum.fmt(f)
    }
}

impl<S: PageSource> SharedAlloc<S> {
    /// Gives all idle memory back: this thread's cache and the depot go to their spans, empty spans
    /// to the source, and the source is told to [trim](PageSource::trim). Other threads give theirs
    /// when they next ask the shared half for something. Returns the bytes of spans that went. Loki's
    /// `TrimExcessMemory`. O(idle blocks + spans).
    #[allow(clippy::must_use_candidate, reason = "called for its effect")]
    pub fn trim(&self) -> usize {
        let bytes = match self.existing() {
            Some(entry) => self.release_idle(self.slot(), &entry.central),
            None => 0,
        };
        self.source.trim();
        bytes
    }

    /// Gives this thread's cache to the shared half, where other threads find it. For a thread
    /// that goes to sleep for long. O(classes).
    pub fn flush_thread(&self) {
        let Some(entry) = self.existing() else { return };
        with_cache(self.slot(), |cache| {
            if let Some(desk) = Desk::of(cache, &entry.central) {
                desk.close_all();
            }
        });
        self.release_excess(&entry.central);
    }

    /// Checks the free lists and counts of all spans, as far as they are shared: Loki's `IsCorrupt`.
    /// O(free blocks in spans).
    ///
    /// # Errors
    /// What is wrong: mostly a block that was freed twice, or written to after.
    pub fn check(&self) -> Result<(), Corruption> {
        let Some(entry) = self.existing() else { return Ok(()) };
        SizeClass::all().try_for_each(|class| {
            let checked = entry.central.check(class);
            checked.map_err(|what| Corruption { class, what })
        })
    }

    /// Where the heap's memory is: exact about the shared half and this thread; of other threads'
    /// caches, what each had when it last asked the shared half for something. O(classes).
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use pool_object::SharedAlloc;
    /// let heap = SharedAlloc::new();
    /// let _blocks = [(); 100].map(|_| heap.allocate(Layout::new::<[u64; 5]>()));
    /// let stats = heap.stats();
    /// assert_eq!((stats.live(), stats.live_bytes()), (100, 4000));
    /// println!("{stats}");
    /// ```
    #[must_use]
    pub fn stats(&self) -> HeapStats {
        match self.existing() {
            Some(entry) => stats_of(&entry.central, self.slot()),
            None => HeapStats::none(),
        }
    }

    /// Whether threads have caches for this heap: not before its first use, nor if fourteen others had
    /// them then. It is several times slower without.
    #[must_use]
    pub fn has_thread_caches(&self) -> bool {
        self.slot() != Slot::NONE
    }
}
