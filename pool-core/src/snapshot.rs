//! What a stack of sources knows of itself at one moment.
#![forbid(unsafe_code)]

use core::fmt;

/// Figures of a whole stack, gathered tier by tier with
/// [`PageSource::observe`](crate::PageSource::observe). Byte counts are in bytes; a tier that is
/// not in the stack leaves its fields at 0 or `None`. Figures of concurrent layers are each exact
/// but not taken at the same instant.
///
/// ```
/// use pool_core::{Heap, PageSource};
/// let source = Heap::new().limited(1 << 20).counted();
/// let pages = (&source).pages(1)?;
/// let snapshot = source.snapshot();
/// assert_eq!(snapshot.budget.unwrap().used, pages.len());
/// assert_eq!(snapshot.traffic.unwrap().live_bytes, pages.len());
/// println!("{snapshot}");
/// # Ok::<(), pool_core::PageError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// What passed the outermost [`Stats`](crate::Stats) layer.
    pub traffic: Option<Traffic>,
    /// The outermost budget.
    pub budget: Option<BudgetUse>,
    /// Sum over all caches of the stack that this thread can see.
    pub cache: Option<CacheUse>,
    /// What the bottom tier has from the system; `None` where it does not count, such as
    /// [`Heap`](crate::Heap).
    pub held: Option<HeldUse>,
}

/// Counters of a [`Stats`](crate::Stats) layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Runs handed out since the layer was made.
    pub acquired: u64,
    /// Runs taken back.
    pub released: u64,
    /// Requests refused.
    pub refused: u64,
    /// Bytes of runs that are out now.
    pub live_bytes: usize,
    /// The most bytes that were ever out at once.
    pub peak_bytes: usize,
    /// Bytes given back to the system under live runs, in all.
    pub decommitted_bytes: u64,
}

impl Traffic {
    /// Runs that are out now.
    #[must_use]
    pub const fn live_runs(&self) -> u64 {
        self.acquired.saturating_sub(self.released)
    }
}

/// A budget level: bytes in use, the most there ever were, the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BudgetUse {
    /// Bytes charged now.
    pub used: usize,
    /// The most bytes ever charged at once.
    pub peak: usize,
    /// Bytes allowed.
    pub limit: usize,
}

/// What caches did and hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheUse {
    /// Requests served from a cache.
    pub hits: u64,
    /// Requests that went to the tier below.
    pub misses: u64,
    /// Bytes of free runs held now.
    pub idle_bytes: usize,
    /// Bytes given back to the tier below because they were idle, in all.
    pub decayed_bytes: u64,
}

/// What a bottom tier has from the system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeldUse {
    /// Bytes mapped: live, idle and unused parts of regions.
    pub bytes: usize,
    /// Mappings, or blocks of the caller's.
    pub mappings: usize,
}

impl CacheUse {
    /// Adds another cache's figures.
    pub fn add(&mut self, other: &Self) {
        self.hits += other.hits;
        self.misses += other.misses;
        self.idle_bytes += other.idle_bytes;
        self.decayed_bytes += other.decayed_bytes;
    }
}

impl Snapshot {
    /// Adds what a bottom tier holds; for [`observe`](crate::PageSource::observe).
    pub fn add_held(&mut self, bytes: usize, mappings: usize) {
        let held = self.held.get_or_insert_default();
        held.bytes += bytes;
        held.mappings += mappings;
    }

    /// The figures as `(name, value)`, in the order of [`Display`](fmt::Display); names are
    /// `snake_case` and never change meaning. Made for exporters.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let t = self.traffic.map(|t| {
            [
                ("acquired", t.acquired),
                ("released", t.released),
                ("refused", t.refused),
                ("live_runs", t.live_runs()),
                ("live_bytes", t.live_bytes as u64),
                ("peak_bytes", t.peak_bytes as u64),
                ("decommitted_bytes", t.decommitted_bytes),
            ]
        });
        let b = self.budget.map(|b| {
            [
                ("budget_used_bytes", b.used as u64),
                ("budget_peak_bytes", b.peak as u64),
                ("budget_limit_bytes", b.limit as u64),
            ]
        });
        let c = self.cache.map(|c| {
            [
                ("cache_hits", c.hits),
                ("cache_misses", c.misses),
                ("cache_idle_bytes", c.idle_bytes as u64),
                ("cache_decayed_bytes", c.decayed_bytes),
            ]
        });
        let bottom =
            self.held.map(|h| [("held_bytes", h.bytes as u64), ("mappings", h.mappings as u64)]);
        let t = t.into_iter().flatten();
        t.chain(b.into_iter().flatten())
            .chain(c.into_iter().flatten())
            .chain(bottom.into_iter().flatten())
    }
}

impl fmt::Display for Snapshot {
    /// A small table: one figure a line, names to the left, numbers to the right.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.fields().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{name:<20}{value:>20}")?;
        }
        Ok(())
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn the_table_is_aligned() {
        let snapshot = Snapshot {
            traffic: Some(Traffic { live_bytes: 4096, ..Traffic::default() }),
            held: Some(HeldUse { bytes: 1 << 30, mappings: 1 }),
            ..Snapshot::default()
        };
        let table = snapshot.to_string();
        assert_eq!(table.lines().count(), 9);
        assert!(table.lines().all(|line| line.len() == 40), "{table}");
    }
}
