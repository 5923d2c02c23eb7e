//! Calls of the system's allocator, counted when that is asked for. A storage file: the program's global
//! allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The system's allocator, and how often it is called: `#[global_allocator]` of the program. While nobody
/// counts it costs a test of a flag.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted;

static COUNTING: AtomicBool = AtomicBool::new(false);
static CALLS: AtomicU64 = AtomicU64::new(0);

/// Counts from now on.
pub fn count() {
    COUNTING.store(true, Ordering::Relaxed);
}

/// Calls of all threads since [`count`], if that was called: each allocation, each growth and each end of
/// a block is one.
#[must_use]
pub fn counted() -> Option<u64> {
    COUNTING.load(Ordering::Relaxed).then(|| CALLS.load(Ordering::Relaxed))
}

#[inline(always)]
fn note() {
    if COUNTING.load(Ordering::Relaxed) {
        CALLS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: every call goes on to the system's allocator as it came, and counting does not allocate.
unsafe impl GlobalAlloc for Counted {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's promise, the same as is asked for here.
        unsafe { System.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's promise, the same as is asked for here.
        unsafe { System.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: the caller's promise, the same as is asked for here.
        unsafe { System.realloc(block, layout, size) }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        note();
        // SAFETY: the caller's promise, the same as is asked for here.
        unsafe { System.dealloc(block, layout) };
    }
}
