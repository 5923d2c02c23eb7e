//! Blocks that are zero already, past the threads' caches: whoever wants one of those.
#![forbid(unsafe_code)]

use super::super::alloc::SharedAlloc;
use super::super::registry::{Slot, with_cache};
use super::{Central, Store};
use crate::size_class::SizeClass;
use core::alloc::Layout;
use core::ptr::NonNull;
use pool_core::{PageSource, poison};

impl Central {
    /// A block that is all zeros and was never written, when the shared half has no other one at hand;
    /// and whether it would take another span to have one.
    fn take_zeroed(&self, class: SizeClass) -> (Option<NonNull<u8>>, bool) {
        self.with(class, |store| {
            let missing = store.depot_len == 0 && store.spans.partial.head().is_none();
            (store.take_zeroed(), missing)
        })
    }
}

impl Store {
    fn take_zeroed(&mut self) -> Option<NonNull<u8>> {
        let span = self.spans.partial.head().filter(|_| self.depot_len == 0)?;
        let block = span.take_zeroed()?;
        self.carved += 1;
        self.out += 1;
        self.spans.note_taken(span);
        Some(block)
    }
}

impl<S: PageSource> SharedAlloc<S> {
    /// A zeroed block, if it can be had without writing it and this thread has no free one.
    #[cold]
    #[inline(never)]
    pub(in crate::shared) fn take_zeroed(&self, slot: Slot, layout: Layout) -> Option<NonNull<u8>> {
        let class = SizeClass::of(layout)?;
        if !with_cache(slot, |cache| cache.magazines.len(class) == 0) {
            return None;
        }
        let entry = self.entry().ok()?;
        let (mut block, missing) = entry.central.take_zeroed(class);
        if missing && self.add_span(slot, entry, class).is_ok() {
            (block, _) = entry.central.take_zeroed(class);
        }
        if let Some(block) = block {
            poison::allow(block.as_ptr(), layout.size());
        }
        block
    }
}
