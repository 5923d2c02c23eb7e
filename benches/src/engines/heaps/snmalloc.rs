//! snmalloc, with the calls that its crate for Rust makes.

use crate::engine::{Engine, Setup};
use crate::heap::Global;
use snmalloc_sys::{sn_rust_alloc, sn_rust_dealloc};
use std::alloc::{GlobalAlloc, Layout};

/// `sn_rust_alloc`.
pub struct Snmalloc;

/// The calls.
pub struct Calls;

// SAFETY: snmalloc's blocks are as long and aligned as asked, and live until they are freed.
unsafe impl GlobalAlloc for Calls {
    #[inline(always)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: a layout's alignment is a power of two.
        unsafe { sn_rust_alloc(layout.align(), layout.size()) }.cast()
    }

    #[inline(always)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { sn_rust_dealloc(block.cast(), layout.align(), layout.size()) };
    }
}

impl Engine for Snmalloc {
    const NAME: &'static str = "snmalloc";
    /// It does not run under valgrind, which has not the address space that it reserves.
    const COUNTED: bool = false;
    type Store = Global<Calls>;

    fn build(_: Setup) -> Self::Store {
        Global(Calls)
    }
}
