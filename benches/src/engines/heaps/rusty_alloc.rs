//! rusty_alloc: mimalloc's design, written in Rust. Its calls are those that its documentation names
//! for a `GlobalAlloc`.

use crate::engine::{Engine, Setup};
use crate::heap::Global;
use rusty_alloc::alloc::{free_inline_flags_first, malloc, malloc_aligned_pow2};
use std::alloc::{GlobalAlloc, Layout};

/// `rusty_alloc::alloc`.
pub struct RustyAlloc;

/// The calls.
pub struct Calls;

/// What a block is aligned to without being asked.
const USUAL: usize = 8;

// SAFETY: blocks are as long and aligned as asked, and live until they are freed.
unsafe impl GlobalAlloc for Calls {
    #[inline(always)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() <= USUAL {
            return malloc(layout.size());
        }
        // SAFETY: a layout's alignment is a power of two.
        unsafe { malloc_aligned_pow2(layout.size(), layout.align()) }
    }

    #[inline(always)]
    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: the caller's promise.
        unsafe { free_inline_flags_first(block) };
    }
}

impl Engine for RustyAlloc {
    const NAME: &'static str = "rusty_alloc";
    type Store = Global<Calls>;

    fn build(_: Setup) -> Self::Store {
        Global(Calls)
    }
}
