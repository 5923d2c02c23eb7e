//! Copies of bytes in blocks of an allocator. A storage file: what is copied becomes a slice here.

use crate::kv::reply::OutOfMemory;
use allocator_api2::alloc::Allocator;
use allocator_api2::boxed::Box;
use std::alloc::Layout;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

/// A copy of `bytes` in a block of its own, without zeroing it first.
///
/// # Errors
/// [`OutOfMemory`] if the allocator refuses.
#[inline(always)]
pub fn copy_in<A: Allocator>(bytes: &[u8], alloc: A) -> Result<Box<[u8], A>, OutOfMemory> {
    let place = Box::<[u8], A>::try_new_uninit_slice_in(bytes.len(), alloc);
    let mut place = place.map_err(|_| OutOfMemory)?;
    let from = bytes.as_ptr().cast::<MaybeUninit<u8>>();
    // SAFETY: `from` is the beginning of `bytes.len()` initialised bytes, `place` has as many and is a
    // block of its own, so they do not overlap.
    unsafe { place.as_mut_ptr().copy_from_nonoverlapping(from, bytes.len()) };
    // SAFETY: all its bytes have just been written.
    Ok(unsafe { place.assume_init() })
}

/// Frees a block: what dropping it does, without a call.
#[inline(always)]
pub fn free<A: Allocator>(bytes: Box<[u8], A>) {
    let layout = Layout::for_value::<[u8]>(&bytes);
    let (bytes, alloc) = Box::into_raw_with_allocator(bytes);
    if let Some(block) = NonNull::new(bytes.cast::<u8>()) {
        if layout.size() > 0 {
            // SAFETY: the box has owned this block of `alloc`, allocated with the layout of its contents,
            // and has given it up.
            unsafe { alloc.deallocate(block, layout) };
        }
    }
}
