//! Ours: the heap for one thread.

use crate::engine::{Engine, Setup};
use crate::heap::Heap;
use std::alloc::Layout;
use std::ptr::NonNull;

/// `SmallAlloc`.
pub struct SmallAlloc;

impl Engine for SmallAlloc {
    const NAME: &'static str = "SmallAlloc";
    const OURS: bool = true;
    type Store = pool_object::SmallAlloc;

    fn build(_: Setup) -> Self::Store {
        pool_object::SmallAlloc::new()
    }
}

impl Heap for pool_object::SmallAlloc {
    #[inline(always)]
    fn allocate(&self, layout: Layout) -> NonNull<u8> {
        self.allocate(layout)
    }

    #[inline(always)]
    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { self.deallocate(block, layout) };
    }
}
