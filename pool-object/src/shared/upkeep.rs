//! What can be asked of a shared heap besides blocks: figures, checks, to give memory back.
#![forbid(unsafe_code)]

use super::alloc::SharedAlloc;
use super::ledger::Desk;
use super::registry::with_cache;
use crate::size_class::SizeClass;
use crate::stats::{Corruption, SmallStats};
use pool_core::PageSource;

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
    pub fn stats(&self) -> SmallStats {
        let mut stats = SmallStats::none();
        let Some(entry) = self.existing() else { return stats };
        let central = &entry.central;
        with_cache(self.slot(), |cache| {
            if let Some(desk) = Desk::of(cache, central) {
                desk.tell();
            }
        });
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
}
