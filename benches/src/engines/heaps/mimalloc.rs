//! mimalloc: as its crate calls it for Rust programs, as C programs call it, and by a heap that is
//! destroyed with all that is in it.

use crate::engine::{Engine, Setup};
use crate::heap::{Global, Heap};
use libmimalloc_sys::{
    mi_free, mi_heap_destroy, mi_heap_malloc, mi_heap_new, mi_heap_t, mi_malloc, mi_malloc_aligned,
};
use std::alloc::{GlobalAlloc, Layout};
use std::ptr::NonNull;

/// `mi_malloc_aligned` for every layout, which is what the crate `mimalloc` does.
pub struct MimallocCrate;

/// `mi_malloc`.
pub struct MimallocRaw;

/// `mi_heap_malloc`.
pub struct MimallocHeap;

/// The calls of the crate.
pub struct Aligned;

/// The calls of C.
pub struct Plain;

// SAFETY: mimalloc's blocks are as long and aligned as asked, and live until they are freed.
unsafe impl GlobalAlloc for Aligned {
    #[inline(always)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: a layout's alignment is a power of two.
        unsafe { mi_malloc_aligned(layout.size(), layout.align()) }.cast()
    }

    #[inline(always)]
    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: the caller's promise.
        unsafe { mi_free(block.cast()) };
    }
}

// SAFETY: as above; workloads ask for no more alignment than 8, and blocks of 8 bytes have that.
unsafe impl GlobalAlloc for Plain {
    #[inline(always)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        debug_assert!(layout.align() <= 8);
        // SAFETY: any length may be asked for.
        unsafe { mi_malloc(layout.size()) }.cast()
    }

    #[inline(always)]
    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: the caller's promise.
        unsafe { mi_free(block.cast()) };
    }
}

impl Engine for MimallocCrate {
    const NAME: &'static str = "mimalloc crate";
    type Store = Global<Aligned>;

    fn build(_: Setup) -> Self::Store {
        Global(Aligned)
    }
}

impl Engine for MimallocRaw {
    const NAME: &'static str = "mi_malloc";
    type Store = Global<Plain>;

    fn build(_: Setup) -> Self::Store {
        Global(Plain)
    }
}

impl Engine for MimallocHeap {
    const NAME: &'static str = "mi_heap_malloc";
    type Store = HeapOfOne;

    fn build(_: Setup) -> HeapOfOne {
        // SAFETY: a heap of the calling thread.
        let heap = unsafe { mi_heap_new() };
        HeapOfOne(NonNull::new(heap).expect("there is memory"))
    }
}

/// A heap of mimalloc's, for the thread that made it.
pub struct HeapOfOne(NonNull<mi_heap_t>);

impl Heap for HeapOfOne {
    #[inline(always)]
    fn allocate(&self, layout: Layout) -> NonNull<u8> {
        debug_assert!(layout.align() <= 8);
        // SAFETY: the heap lives until drop, and stays with its thread, as it is not `Send`.
        let block = unsafe { mi_heap_malloc(self.0.as_ptr(), layout.size()) };
        NonNull::new(block.cast()).expect("there is memory")
    }

    #[inline(always)]
    unsafe fn deallocate(&self, block: NonNull<u8>, _: Layout) {
        // SAFETY: the caller's promise.
        unsafe { mi_free(block.as_ptr().cast()) };
    }
}

impl Drop for HeapOfOne {
    fn drop(&mut self) {
        // SAFETY: made by `build`, and destroyed once; nobody uses its blocks any more.
        unsafe { mi_heap_destroy(self.0.as_ptr()) };
    }
}
