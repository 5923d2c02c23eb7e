//! Moving blocks out of spans that are nearly empty. A storage file.
//!
//! Redis and Dragonfly patch a hint into their allocators that says which blocks are worth moving,
//! and then allocate, copy and free. With a magazine in between, the block that was just freed would
//! be the next to be handed out; so here moving is one operation, and the old block goes straight
//! to its span.

use crate::size_class::SizeClass;
use crate::small::SmallAlloc;
use crate::span::Span;
use core::alloc::Layout;
use core::ptr::NonNull;
use pool_core::PageSource;

impl<S: PageSource> SmallAlloc<S> {
    /// Puts all free blocks into their spans, so that [`spans`](Self::spans) and
    /// [`is_underused`](Self::is_underused) are exact, and lets the fullest spans be filled first.
    /// Memory for later stays: see [`trim`](Self::trim). O(free blocks in magazines + spans).
    pub fn flush(&self) {
        self.store().flush_all(self.source());
    }

    /// Whether the span of a block is emptier than the average of its class: then moving the block
    /// elsewhere brings a whole span closer to being given back. Never of large blocks.
    ///
    /// # Safety
    /// The block is live, and of this heap and layout.
    #[must_use]
    pub unsafe fn is_underused(&self, block: NonNull<u8>, layout: Layout) -> bool {
        let Some(class) = SizeClass::of(layout) else { return false };
        // SAFETY: the caller's promise: it lies in a live span of its class.
        let span = unsafe { Span::of(block, class) };
        let state = self.store().class(class);
        span.out() * state.held.get() < self.store().out(class) * span.len()
    }

    /// Moves a block into a fuller span, if its own [is underused](Self::is_underused); its new
    /// address. `None` if it stays: a fuller span has no room, or its own is full enough.
    ///
    /// Begin with [`flush`](Self::flush), then go over the objects, all of them or a few at a time.
    /// Each time round the average is higher: a second and a third round move more.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use pool_object::SmallAlloc;
    /// let heap = SmallAlloc::new();
    /// let layout = Layout::new::<[u64; 8]>();
    /// let mut blocks: Vec<_> = (0..100_000).map(|_| heap.allocate(layout)).collect();
    /// let mut number = 0;
    /// blocks.retain(|&block| {
    ///     number += 1;
    ///     // SAFETY: each is freed at most once, and not used.
    ///     number % 10 == 0 || unsafe { heap.deallocate(block, layout); false }
    /// });
    /// let before = heap.stats().held_bytes();
    /// heap.flush();
    /// for block in &mut blocks {
    ///     // SAFETY: live, of this heap and layout, and known by this pointer alone.
    ///     if let Some(moved) = unsafe { heap.try_relocate(*block, layout) } {
    ///         *block = moved;
    ///     }
    /// }
    /// heap.trim();
    /// assert!(heap.stats().held_bytes() < before / 5);
    /// ```
    ///
    /// # Safety
    /// The block is live, of this heap and layout, and if it moves nobody uses the old pointer any
    /// more.
    #[must_use = "the block may have moved"]
    pub unsafe fn try_relocate(&self, block: NonNull<u8>, layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: the caller's promise.
        if !unsafe { self.is_underused(block, layout) } {
            return None;
        }
        let class = SizeClass::of(layout)?;
        // SAFETY: the caller's promise: it lies in a live span of its class.
        let old = unsafe { Span::of(block, class) };
        let place = self.try_allocate(layout).ok()?;
        // SAFETY: just allocated, from a live span of the class.
        let new = unsafe { Span::of(place, class) };
        if new == old || new.out() <= old.out() {
            // SAFETY: just allocated, and not used.
            unsafe { self.deallocate(place, layout) };
            return None;
        }
        // SAFETY: both blocks have so many bytes, and live blocks do not overlap.
        unsafe { place.copy_from_nonoverlapping(block, layout.size()) };
        // SAFETY: of this class and heap, and nobody uses it any more, says the caller.
        unsafe { self.store().put_back(class, block, self.source()) };
        Some(place)
    }
}
