//! What a heap knows of itself: figures by class, spans and their use, whether it is sound.
#![forbid(unsafe_code)]

use crate::size_class::SizeClass;
use crate::small::SmallAlloc;
use crate::span::Span;
use core::fmt;
use pool_core::PageSource;
use thiserror::Error;

/// Where the blocks of one class are; see [`SmallAlloc::stats`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClassStats {
    /// The class.
    pub class: SizeClass,
    /// Blocks in use.
    pub live: usize,
    /// Free blocks in magazines, ready to be handed out; of a shared heap also those in caches and depots, and
    /// the blocks that it has for itself.
    pub cached: usize,
    /// Free blocks in spans, used before or not.
    pub free: usize,
    /// Spans.
    pub spans: usize,
    /// Bytes of these, headers included.
    pub held_bytes: usize,
    /// Bytes of these that were ever handed out: what may be resident.
    pub touched_bytes: usize,
}

impl ClassStats {
    pub(crate) const fn new(class: SizeClass) -> Self {
        Self { class, live: 0, cached: 0, free: 0, spans: 0, held_bytes: 0, touched_bytes: 0 }
    }

    /// Bytes of the blocks in use.
    #[must_use]
    pub const fn live_bytes(&self) -> usize {
        self.live * self.class.size()
    }

    /// Waste outside of blocks: bytes held that are not in use: free blocks, headers, and what spans
    /// have beyond their last block.
    #[must_use]
    pub const fn outside_bytes(&self) -> usize {
        self.held_bytes - self.live_bytes()
    }

    /// Waste inside of blocks, at most: how much longer the blocks in use may be than what was asked
    /// for. The heap does not remember what that was; so this is the bound, for the case that all are
    /// a byte longer than the next smaller class.
    #[must_use]
    pub fn inside_bytes_at_most(&self) -> usize {
        let smaller = self.class.index().checked_sub(1).and_then(SizeClass::from_index);
        let least = smaller.map_or(1, |class| class.size() + 1);
        self.live * (self.class.size() - least)
    }
}

/// Where a heap's memory is; see [`SmallAlloc::stats`], `SharedAlloc::stats`, and `ProcessStats` for
/// all heaps of the latter kind. Lengths are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeapStats {
    /// By class, the smallest first; see [`used_classes`](Self::used_classes).
    pub classes: [ClassStats; SizeClass::COUNT],
    /// Empty spans that are kept for any class.
    pub spare: usize,
    /// Bytes of these.
    pub spare_bytes: usize,
    /// Blocks above the largest class.
    pub large: usize,
    /// Bytes of their runs.
    pub large_bytes: usize,
    /// Bytes of the tables that find these and [sparse](SmallAlloc::mark_sparse) spans, and of the arrays of
    /// magazines.
    pub table_bytes: usize,
}

impl HeapStats {
    /// Of a heap that has nothing.
    pub(crate) fn none() -> Self {
        let mut classes = [const { ClassStats::new(SizeClass::SMALLEST) }; SizeClass::COUNT];
        for (stats, class) in classes.iter_mut().zip(SizeClass::all()) {
            stats.class = class;
        }
        Self { classes, spare: 0, spare_bytes: 0, large: 0, large_bytes: 0, table_bytes: 0 }
    }

    /// Adds the figures of another heap.
    #[cfg(all(feature = "std", not(loom)))]
    pub(crate) fn add(&mut self, other: &Self) {
        for (sum, class) in self.classes.iter_mut().zip(&other.classes) {
            sum.live += class.live;
            sum.cached += class.cached;
            sum.free += class.free;
            sum.spans += class.spans;
            sum.held_bytes += class.held_bytes;
            sum.touched_bytes += class.touched_bytes;
        }
        self.spare += other.spare;
        self.spare_bytes += other.spare_bytes;
        self.large += other.large;
        self.large_bytes += other.large_bytes;
        self.table_bytes += other.table_bytes;
    }

    /// The classes that have spans.
    pub fn used_classes(&self) -> impl Iterator<Item = &ClassStats> {
        self.classes.iter().filter(|stats| stats.spans > 0)
    }

    /// Blocks in use, large ones included.
    #[must_use]
    pub fn live(&self) -> usize {
        self.classes.iter().map(|stats| stats.live).sum::<usize>() + self.large
    }

    /// Bytes of the blocks in use.
    #[must_use]
    pub fn live_bytes(&self) -> usize {
        self.classes.iter().map(ClassStats::live_bytes).sum::<usize>() + self.large_bytes
    }

    /// Bytes held from the source.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        let classes: usize = self.classes.iter().map(|stats| stats.held_bytes).sum();
        classes + self.spare_bytes + self.large_bytes + self.table_bytes
    }
}

impl fmt::Display for HeapStats {
    /// A table with a line for each class that has spans.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:>6} {:>10} {:>8} {:>10} {:>6} {:>12} {:>12} {:>11}",
            "block", "live", "cached", "free", "spans", "held", "outside", "inside <="
        )?;
        for stats in self.used_classes() {
            writeln!(
                f,
                "{:>6} {:>10} {:>8} {:>10} {:>6} {:>12} {:>12} {:>11}",
                stats.class.size(),
                stats.live,
                stats.cached,
                stats.free,
                stats.spans,
                stats.held_bytes,
                stats.outside_bytes(),
                stats.inside_bytes_at_most(),
            )?;
        }
        let Self { spare, spare_bytes, large, large_bytes, .. } = self;
        writeln!(f, "large {large} ({large_bytes} bytes), spare spans {spare} ({spare_bytes})")?;
        write!(f, "live {} bytes of {} held", self.live_bytes(), self.held_bytes())
    }
}

/// How full one span is; see [`SmallAlloc::spans`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpanUse {
    /// Its class.
    pub class: SizeClass,
    /// Blocks in use, or in a magazine: [`SmallAlloc::flush`] empties those.
    pub used: usize,
    /// Blocks that it has.
    pub blocks: usize,
    /// Its bytes.
    pub len: usize,
}

impl SpanUse {
    fn of(span: Span) -> Self {
        let class = span.class();
        Self { class, used: span.out(), blocks: class.blocks(), len: span.len() }
    }
}

/// Something that a heap remembers twice differs: somebody wrote where he should not, or freed what
/// was free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the heap is corrupt among blocks of {size} bytes: {what}", size = class.size())]
#[non_exhaustive]
pub struct Corruption {
    /// The class in which it was seen.
    pub class: SizeClass,
    /// What was seen.
    pub what: &'static str,
}

impl<S: PageSource> SmallAlloc<S> {
    /// Counts blocks and bytes by class. O(spans).
    ///
    /// ```
    /// use pool_object::{PoolBox, SizeClass, SmallAlloc};
    /// let heap = SmallAlloc::new();
    /// let boxes = [1, 2, 3].map(|value: u64| PoolBox::new_in(value, &heap));
    /// let stats = heap.stats();
    /// assert_eq!((stats.live(), stats.live_bytes()), (3, 24));
    /// assert_eq!(stats.held_bytes() - stats.table_bytes, 64 << 10);
    /// println!("{stats}");
    /// ```
    #[must_use]
    pub fn stats(&self) -> HeapStats {
        let HeapStats { mut classes, .. } = HeapStats::none();
        for class in self.store().used() {
            classes[class.index()] = self.class_stats(class);
        }
        let spare = self.store().spare();
        HeapStats {
            classes,
            spare: spare.count(),
            spare_bytes: self.store().spare().map(Span::len).sum(),
            large: self.large().len(),
            large_bytes: self.large().bytes(),
            table_bytes: self.large().own_bytes() + self.store().own_bytes(),
        }
    }

    fn class_stats(&self, class: SizeClass) -> ClassStats {
        let store = self.store();
        let mut stats = ClassStats {
            live: store.live(class),
            cached: store.cached(class),
            ..ClassStats::new(class)
        };
        for span in store.class(class).spans.iter() {
            stats.spans += 1;
            stats.free += class.blocks() - span.out();
            stats.held_bytes += span.len();
            stats.touched_bytes += span.carved() * class.size();
        }
        stats
    }

    /// How full each span is: what a defragmenter decides by. Blocks in magazines count as used;
    /// [`flush`](Self::flush) first for exact figures. Who uses the heap between two steps may miss
    /// spans, or see them twice.
    ///
    /// ```
    /// # use pool_object::{PoolBox, SmallAlloc};
    /// let heap = SmallAlloc::new();
    /// let _boxed = PoolBox::new_in([0u8; 100], &heap);
    /// heap.flush();
    /// let spans: Vec<_> = heap.spans().collect();
    /// assert_eq!((spans.len(), spans[0].used), (1, 1));
    /// ```
    pub fn spans(&self) -> impl Iterator<Item = SpanUse> + '_ {
        let of = |class| &self.store().class(class).spans;
        let spans = move |class| of(class).partial.steady().chain(of(class).full.steady());
        self.store().used().flat_map(spans).map(SpanUse::of)
    }

    /// Checks everything that the heap remembers twice: Loki's `IsCorrupt`. It finds free blocks
    /// that were written to and most blocks that were freed twice, if nobody was handed them since.
    /// O(free blocks × spans of their class).
    ///
    /// # Errors
    /// What was found first.
    ///
    /// ```
    /// # use pool_object::SmallAlloc;
    /// assert_eq!(SmallAlloc::new().check(), Ok(()));
    /// ```
    pub fn check(&self) -> Result<(), Corruption> {
        self.store().check().map_err(|(class, what)| Corruption { class, what })
    }
}
