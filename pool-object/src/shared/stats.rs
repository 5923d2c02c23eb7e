//! Figures of a shared heap.
#![forbid(unsafe_code)]

use super::central::Central;
use crate::size_class::SizeClass;
use core::fmt;

/// What a [`SharedAlloc`](crate::SharedAlloc) has, by size class. `Display` writes a table.
#[derive(Clone, Debug)]
pub struct SharedStats {
    classes: [SharedClassStats; SizeClass::COUNT],
    /// Blocks above the largest class that are in use.
    pub large: usize,
    /// Bytes of their runs.
    pub large_bytes: usize,
    /// Bytes of empty spans that are kept.
    pub spare_bytes: usize,
    /// Bytes of all spans, the empty ones included, and of large blocks.
    pub held_bytes: usize,
}

/// The figures of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SharedClassStats {
    /// Blocks in use.
    pub live: usize,
    /// Free blocks in threads' caches and in the depot.
    pub cached: usize,
    /// Spans that have a block in use or cached, or are about to.
    pub spans: usize,
}

impl Default for SharedStats {
    fn default() -> Self {
        Self {
            classes: [SharedClassStats::default(); SizeClass::COUNT],
            large: 0,
            large_bytes: 0,
            spare_bytes: 0,
            held_bytes: 0,
        }
    }
}

impl SharedStats {
    pub(super) fn of(central: &Central) -> Self {
        let mut stats = Self::default();
        for class in SizeClass::all() {
            let figures = central.figures(class);
            stats.classes[class.index()] = SharedClassStats {
                live: figures.live,
                cached: figures.cached,
                spans: figures.spans,
            };
        }
        (stats.large, stats.large_bytes) = central.large.with(|large| (large.len(), large.bytes()));
        stats.spare_bytes = central.spare_bytes();
        stats.held_bytes = central.held() + stats.large_bytes;
        stats
    }

    /// The figures of a class.
    #[must_use]
    pub fn class(&self, class: SizeClass) -> SharedClassStats {
        self.classes[class.index()]
    }

    /// All classes that have a span, with their figures, the smallest first.
    pub fn classes(&self) -> impl Iterator<Item = (SizeClass, SharedClassStats)> + '_ {
        SizeClass::all()
            .map(|class| (class, self.class(class)))
            .filter(|(_, figures)| figures.spans > 0)
    }

    /// Bytes of blocks in use: their classes' sizes, and the runs of large ones.
    #[must_use]
    pub fn live_bytes(&self) -> usize {
        let small: usize = self.classes().map(|(class, figures)| figures.live * class.size()).sum();
        small + self.large_bytes
    }

    /// Bytes of free blocks in caches and depots.
    #[must_use]
    pub fn cached_bytes(&self) -> usize {
        self.classes().map(|(class, figures)| figures.cached * class.size()).sum()
    }
}

impl SharedClassStats {
    /// Bytes of its spans.
    #[must_use]
    pub fn held_bytes(&self, class: SizeClass) -> usize {
        self.spans * class.span_len()
    }

    /// Which part of its spans is in use, from 0 to 1; 1 if there are none.
    #[must_use]
    pub fn occupancy(&self, class: SizeClass) -> f64 {
        match self.held_bytes(class) {
            0 => 1.0,
            held => (self.live * class.size()) as f64 / held as f64,
        }
    }
}

impl fmt::Display for SharedStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>6} {:>10} {:>8} {:>7} {:>6}", "size", "live", "cached", "spans", "used")?;
        for (class, figures) in self.classes() {
            let SharedClassStats { live, cached, spans } = figures;
            let used = 100.0 * figures.occupancy(class);
            writeln!(f, "{:>6} {live:>10} {cached:>8} {spans:>7} {used:>5.1}%", class.size())?;
        }
        let Self { large, large_bytes, spare_bytes, held_bytes, .. } = self;
        writeln!(f, "{large} large blocks: {large_bytes} bytes")?;
        write!(
            f,
            "{} bytes live, {} cached, {spare_bytes} spare, {held_bytes} held",
            self.live_bytes(),
            self.cached_bytes(),
        )
    }
}
