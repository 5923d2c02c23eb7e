//! `GlobalHeap`: one heap for the whole process. A storage file.

use crate::block_alloc::BlockAlloc;
use crate::error::AllocError;
use crate::shared::{SharedAlloc, Slot};
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};

/// A zero-sized, `Copy` handle on the process-wide [`SharedAlloc`], over the process-wide page source:
/// a whole program's allocator.
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: pool_object::GlobalHeap = pool_object::GlobalHeap;
///
/// let words: Vec<String> = (0..100).map(|n| format!("word {n}")).collect();
/// assert!(pool_object::GlobalHeap::heap().stats().live_bytes() > 100 * 8);
/// # drop(words);
/// ```
///
/// It knows at compile time where a thread's cache is, so that a `Box` of a type of constant size
/// costs a few instructions to allocate, and a few to free.
///
/// # Memory
/// As [`SharedAlloc`]. Nothing is acquired before the first allocation, and nothing is ever allocated
/// from another allocator. Failure is a null pointer, as everywhere: `Vec::try_reserve` sees it. It
/// never panics.
///
/// # Threads
/// As [`SharedAlloc`]: it works before `main`, while thread-locals are being destroyed, and in a
/// forked child. Threads have caches on Unix; elsewhere nobody tells an allocator that a thread
/// ends, and each call takes a lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct GlobalHeap;

static HEAP: SharedAlloc = SharedAlloc::of_process();

impl GlobalHeap {
    /// The heap itself: for its statistics, to trim it, to allocate by other means.
    #[must_use]
    pub fn heap() -> &'static SharedAlloc {
        &HEAP
    }

    /// As [`SharedAlloc::try_allocate`].
    ///
    /// # Errors
    /// If no memory can be had.
    #[inline(always)]
    pub fn try_allocate(self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        HEAP.try_allocate_at(Slot::PROCESS, layout)
    }

    /// As [`SharedAlloc::try_allocate_zeroed`].
    ///
    /// # Errors
    /// If no memory can be had.
    #[inline]
    pub fn try_allocate_zeroed(self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        HEAP.try_allocate_zeroed_at(Slot::PROCESS, layout)
    }

    /// As [`SharedAlloc::deallocate`].
    ///
    /// # Safety
    /// As there; the process-wide heap is meant.
    #[inline(always)]
    pub unsafe fn deallocate(self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { HEAP.deallocate_at(Slot::PROCESS, block, layout) };
    }

    /// As [`SharedAlloc::try_relayout`].
    ///
    /// # Errors
    /// If no memory can be had; the block is as before.
    ///
    /// # Safety
    /// As [`deallocate`](Self::deallocate) about `block` and `old`.
    #[inline]
    pub unsafe fn try_relayout(
        self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<u8>, AllocError> {
        // SAFETY: the caller's promise.
        unsafe { HEAP.try_relayout(block, old, new) }
    }
}

// SAFETY: blocks are as long and aligned as asked, disjoint, and live until they are freed, on
// whatever thread; the heap is never dropped. Nothing panics: the methods used return errors.
unsafe impl GlobalAlloc for GlobalHeap {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        pointer(self.try_allocate(layout))
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: what was allocated is not null.
        let block = unsafe { NonNull::new_unchecked(block) };
        // SAFETY: the caller's promise: allocated here with this layout.
        unsafe { self.deallocate(block, layout) };
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        pointer(self.try_allocate_zeroed(layout))
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: what was allocated is not null.
        let block = unsafe { NonNull::new_unchecked(block) };
        // SAFETY: the caller's promise: allocated here with this layout.
        pointer(unsafe { HEAP.try_reallocate(block, layout, size) })
    }
}

#[inline]
fn pointer<E>(block: Result<NonNull<u8>, E>) -> *mut u8 {
    block.map_or(ptr::null_mut(), NonNull::as_ptr)
}
