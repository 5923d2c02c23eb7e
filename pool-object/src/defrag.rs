//! Moving blocks out of spans that are nearly empty. A storage file.
//!
//! Redis and Dragonfly patch a hint into their allocators that says which blocks are worth moving,
//! and then allocate, copy and free. With a magazine in between, the block that was just freed would
//! be the next to be handed out; so here moving is one operation, and the old block goes straight
//! to its span.
//!
//! Their hint compares a block's span with the average of its class, so that a pass leaves half of what
//! could be had, and the next one a half of that. Here the spans are chosen once, before the pass: the
//! fullest stay that have room for all that is live; the others are to be emptied.

use crate::size_class::SizeClass;
use crate::small::SmallAlloc;
use crate::span::Span;
use core::alloc::Layout;
use core::ptr::NonNull;
use pool_core::PageSource;

/// Blocks of sparse spans that a move puts back before it gives up looking for a better one.
const TRIES: usize = 8;

impl<S: PageSource> SmallAlloc<S> {
    /// Puts all free blocks into their spans, so that [`spans`](Self::spans) is exact, and lets the
    /// fullest spans be filled first. Memory for later stays: see [`trim`](Self::trim).
    /// O(free blocks in magazines + spans).
    pub fn flush(&self) {
        self.store().flush_all(self.source());
    }

    /// Begins to defragment: chooses the spans that are to be emptied. Of each class the fullest spans
    /// stay that have room for all its live blocks; of the others those are *sparse* whose blocks are
    /// used to at most `percent`. Bytes of these: what can be had by moving their blocks.
    ///
    /// Then every owner is asked to move, all of them or a few at a time while the program goes on:
    /// [`Relocate`](crate::Relocate) does it for boxes and vectors. One pass over them is enough. The
    /// choice holds until the next one, or until [`trim`](Self::trim), which belongs at the end.
    ///
    /// ```
    /// use pool_object::{PoolBox, Relocate, SmallAlloc};
    /// let heap = SmallAlloc::new();
    /// let mut values: Vec<_> = (0..100_000u64).map(|n| PoolBox::new_in([n; 8], &heap)).collect();
    /// values.retain(|value| value[0] % 16 == 0); // one sixteenth of each span
    /// if heap.mark_sparse(75) > 1 << 20 {
    ///     for value in &mut values {
    ///         value.relocate();
    ///     }
    ///     heap.trim();
    /// }
    /// let stats = heap.stats();
    /// assert!(stats.held_bytes() <= stats.live_bytes() + (64 << 10));
    /// assert!(values.iter().all(|value| value[0] % 16 == 0 && value[7] == value[0]));
    /// ```
    ///
    /// It takes 16 bytes a sparse span from the source; if that refuses, no span is sparse.
    /// O(free blocks in magazines + spans).
    #[allow(clippy::must_use_candidate, reason = "called for its effect")]
    pub fn mark_sparse(&self, percent: usize) -> usize {
        self.flush();
        let sparse = &self.store().sparse;
        let all = || self.store().used().flat_map(|class| self.spare_spans(class, percent));
        // SAFETY: what it has came from here.
        if unsafe { sparse.reset(all().count(), self.source()) }.is_err() {
            return 0;
        }
        let mark = |span: Span| {
            sparse.insert(span.start());
            span.len()
        };
        all().map(mark).sum()
    }

    /// The spans of a class that it could do without, none of them full: the magazines are empty and the
    /// fullest come first.
    fn spare_spans(&self, class: SizeClass, percent: usize) -> impl Iterator<Item = Span> {
        let state = self.store().class(class);
        let full = state.spans.full.iter().count() * class.blocks();
        let mut missing = self.store().out(class) - full;
        state.spans.partial.iter().filter(move |span| {
            let stays = missing > 0;
            missing = missing.saturating_sub(class.blocks());
            !stays && span.out() * 100 <= percent.saturating_mul(class.blocks())
        })
    }

    /// Whether the block at this address is to move: its span was found [sparse](Self::mark_sparse).
    /// Never of large blocks. It is only a hint, and only an address is looked at: that of a value in
    /// any collection will do.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use pool_object::{PoolBox, SmallAlloc};
    /// let heap = SmallAlloc::new();
    /// let mut values: Vec<_> = (0..10_000u64).map(|n| PoolBox::new_in([n; 8], &heap)).collect();
    /// values.truncate(1500);
    /// values.drain(..1000);
    /// heap.mark_sparse(100);
    /// let sparse = |value: &&PoolBox<_, _>| heap.is_sparse(&raw const ***value, Layout::new::<[u64; 8]>());
    /// let moves = values.iter().filter(sparse).count();
    /// assert_eq!(moves, 23); // those of the first span; the other one, with 477, stays
    /// ```
    #[must_use]
    pub fn is_sparse<T: ?Sized>(&self, block: *const T, layout: Layout) -> bool {
        let Some(class) = SizeClass::of(layout) else { return false };
        let start = block.cast::<u8>().addr() & !(class.span_len() - 1);
        self.store().sparse.contains(start)
    }

    /// Moves a block, if it [is to](Self::is_sparse) and there is a better place; its new address.
    /// [`Relocate`](crate::Relocate) does that for owners.
    ///
    /// # Safety
    /// The block is live, of this heap and layout, and if it moves nobody uses the old pointer any
    /// more.
    #[must_use = "the block may have moved"]
    pub unsafe fn try_relocate(&self, block: NonNull<u8>, layout: Layout) -> Option<NonNull<u8>> {
        if !self.is_sparse(block.as_ptr(), layout) {
            return None;
        }
        let class = SizeClass::of(layout)?;
        let place = self.better_place(class, layout)?;
        // SAFETY: both blocks have so many bytes, and live blocks do not overlap.
        unsafe { place.copy_from_nonoverlapping(block, layout.size()) };
        // SAFETY: of this class and heap, and nobody uses it any more, says the caller.
        unsafe { self.store().put_back(class, block, self.source()) };
        Some(place)
    }

    /// A block that is not in a sparse span. What was freed meanwhile may be: that goes to its span,
    /// where it is not in the way again.
    fn better_place(&self, class: SizeClass, layout: Layout) -> Option<NonNull<u8>> {
        for _ in 0..TRIES {
            let place = self.try_allocate(layout).ok()?;
            if !self.is_sparse(place.as_ptr(), layout) {
                return Some(place);
            }
            // SAFETY: just allocated, and not used.
            unsafe { self.store().put_back(class, place, self.source()) };
        }
        None
    }

    /// Sees to it that the next block of this layout is not of a sparse span; whether that is so.
    #[cfg(any(feature = "allocator-api2", feature = "allocator-api2-04"))]
    pub(crate) fn prefer_better_place(&self, layout: Layout) -> bool {
        let class = SizeClass::of(layout);
        let Some(block) = class.and_then(|class| self.better_place(class, layout)) else {
            return false;
        };
        // SAFETY: just allocated with this layout, and not used.
        unsafe { self.deallocate(block, layout) };
        true
    }

    /// Puts the block that was freed last into its span, if it is the one that was at this address.
    #[cfg(any(feature = "allocator-api2", feature = "allocator-api2-04"))]
    pub(crate) fn expel(&self, block: usize, layout: Layout) {
        let Some(class) = SizeClass::of(layout) else { return };
        let magazines = &self.store().magazines;
        let last = magazines.places(class).last();
        if last.is_some_and(|last| last.get().addr().get() == block) {
            if let Some(block) = magazines.pop(class) {
                // SAFETY: out of the magazine, so free, of this class and heap, and nobody's.
                unsafe { self.store().put_back(class, block, self.source()) };
            }
        }
    }
}
