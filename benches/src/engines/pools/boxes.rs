//! No pool: an object is made when it is needed, with its buffer, and dropped after.

use crate::engine::{Engine, Setup};
use crate::engines::heaps::Aligned;
use crate::objects::{Object, Pools, Session};
use allocator_api2::alloc::{AllocError, Allocator};
use allocator_api2::boxed::Box;
use std::alloc::{GlobalAlloc, Layout};
use std::ptr::NonNull;

/// A box on the C library's allocator.
pub struct BoxOnGlibc;

/// A box on mimalloc, as its crate calls it.
pub struct BoxOnMimalloc;

impl Engine for BoxOnGlibc {
    const NAME: &'static str = "Box, glibc";
    type Store = ();

    fn build(_: Setup) {}
}

impl Pools for BoxOnGlibc {
    type View<'a> = ();
    type Guard<'a> = std::boxed::Box<Session>;

    fn view((): &()) {}

    #[inline(always)]
    fn get<'a>((): &'a ()) -> Self::Guard<'a> {
        std::boxed::Box::new(Session::create())
    }
}

impl Engine for BoxOnMimalloc {
    const NAME: &'static str = "Box, mimalloc";
    type Store = ();

    fn build(_: Setup) {}
}

impl Pools for BoxOnMimalloc {
    type View<'a> = ();
    type Guard<'a> = Box<Session<Mimalloc>, Mimalloc>;

    fn view((): &()) {}

    #[inline(always)]
    fn get<'a>((): &'a ()) -> Self::Guard<'a> {
        Box::new_in(Session::create(), Mimalloc)
    }
}

/// mimalloc for boxes and vectors.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mimalloc;

// SAFETY: mimalloc's blocks are as long and aligned as asked, and live until they are freed; all
// values of the type are the same allocator.
unsafe impl Allocator for Mimalloc {
    #[inline(always)]
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: mimalloc allows a length of 0.
        let block = unsafe { Aligned.alloc(layout) };
        let block = NonNull::new(block).ok_or(AllocError)?;
        Ok(NonNull::slice_from_raw_parts(block, layout.size()))
    }

    #[inline(always)]
    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { Aligned.dealloc(block.as_ptr(), layout) };
    }
}
