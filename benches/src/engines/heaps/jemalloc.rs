//! jemalloc, with the calls that its crates for Rust make: the length goes back with the block.

use crate::engine::{Engine, Setup};
use crate::heap::Global;
use std::alloc::{GlobalAlloc, Layout};
use tikv_jemalloc_sys::{malloc, mallocx, sdallocx};

/// `malloc` and `sdallocx`.
pub struct Jemalloc;

/// The calls.
pub struct Calls;

/// What a block is aligned to without being asked.
const USUAL: usize = 16;

/// The flags for an alignment that is not usual.
#[inline(always)]
fn flags(layout: Layout) -> i32 {
    let usual = layout.align() <= USUAL && layout.align() <= layout.size();
    if usual { 0 } else { tikv_jemalloc_sys::MALLOCX_ALIGN(layout.align()) }
}

// SAFETY: jemalloc's blocks are as long and aligned as asked, and live until they are freed.
unsafe impl GlobalAlloc for Calls {
    #[inline(always)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match flags(layout) {
            // SAFETY: any length may be asked for.
            0 => unsafe { malloc(layout.size()) }.cast(),
            // SAFETY: the length is not 0, and the flags are those of an alignment.
            flags => unsafe { mallocx(layout.size(), flags) }.cast(),
        }
    }

    #[inline(always)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise; length and flags are those of the allocation.
        unsafe { sdallocx(block.cast(), layout.size(), flags(layout)) };
    }
}

impl Engine for Jemalloc {
    const NAME: &'static str = "jemalloc";
    type Store = Global<Calls>;

    fn build(_: Setup) -> Self::Store {
        Global(Calls)
    }
}
