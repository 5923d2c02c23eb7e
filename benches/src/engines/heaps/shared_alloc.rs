//! Ours: the heaps for all threads.

use crate::engine::{Engine, Setup};
use crate::heap::{Global, Heap};
use std::alloc::Layout;
use std::ptr::NonNull;

/// `SharedAlloc`, one of several that a process may have.
pub struct SharedAlloc;

/// The same as the process-wide heap, through `GlobalAlloc`.
pub struct GlobalHeap;

impl Engine for SharedAlloc {
    const NAME: &'static str = "SharedAlloc";
    const OURS: bool = true;
    type Store = pool_object::SharedAlloc;

    fn build(_: Setup) -> Self::Store {
        pool_object::SharedAlloc::new()
    }
}

impl Heap for pool_object::SharedAlloc {
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

impl Engine for GlobalHeap {
    const NAME: &'static str = "GlobalHeap";
    const OURS: bool = true;
    type Store = Global<pool_object::GlobalHeap>;

    fn build(_: Setup) -> Self::Store {
        Global(pool_object::GlobalHeap)
    }
}
