//! The `Allocator` traits of `allocator-api2`, for handles on the allocators. A storage file.
//!
//! Boxes of slices come back by way of a reference: docs/UNSAFE.md says what the memory models think of it.

use crate::block_alloc::BlockAlloc;
use crate::handle::LocalHeap;
use crate::small::SmallAlloc;
use core::alloc::Layout;
use core::ptr::NonNull;
use pool_core::PageSource;

/// A place for nothing, aligned. Blocks of size 0 are nowhere: a vector that is shrunk to nothing keeps
/// what it gets then, and never gives it back.
const fn nowhere(layout: Layout) -> NonNull<[u8]> {
    let place = core::ptr::without_provenance_mut(layout.align());
    // SAFETY: an alignment is not 0.
    NonNull::slice_from_raw_parts(unsafe { NonNull::new_unchecked(place) }, 0)
}

/// Zeros what a block got longer by.
///
/// # Safety
/// The block has `new.size()` bytes, which are not fewer than `old.size()`, and is the caller's.
unsafe fn zero_tail(block: NonNull<u8>, old: Layout, new: Layout) {
    // SAFETY: the block has so many bytes.
    let tail = unsafe { block.add(old.size()) };
    // SAFETY: so many bytes are behind `tail`, and the caller's.
    unsafe { tail.write_bytes(0, new.size() - old.size()) };
}

/// Implements the trait of one version of the crate for one handle.
macro_rules! allocator {
    ($version:ident, [$($generics:tt)*] $handle:ty) => {
        // SAFETY: the contract of `BlockAlloc` is this trait's: blocks live until they are given
        // back or the allocator and all its handles are gone; clones are the same allocator; moving
        // a handle moves nothing. Blocks are said to be exactly as long as was asked, so a layout
        // that fits one is the layout it was allocated for.
        unsafe impl<$($generics)*> $version::alloc::Allocator for $handle {
            #[inline(always)]
            fn allocate(
                &self,
                layout: Layout,
            ) -> Result<NonNull<[u8]>, $version::alloc::AllocError> {
                if layout.size() == 0 {
                    return Ok(nowhere(layout));
                }
                let block = self.try_allocate(layout).map_err(|_| $version::alloc::AllocError)?;
                Ok(NonNull::slice_from_raw_parts(block, layout.size()))
            }

            #[inline]
            fn allocate_zeroed(
                &self,
                layout: Layout,
            ) -> Result<NonNull<[u8]>, $version::alloc::AllocError> {
                if layout.size() == 0 {
                    return Ok(nowhere(layout));
                }
                let block = self.try_allocate_zeroed(layout);
                let block = block.map_err(|_| $version::alloc::AllocError)?;
                Ok(NonNull::slice_from_raw_parts(block, layout.size()))
            }

            #[inline(always)]
            unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
                if layout.size() != 0 {
                    // SAFETY: the caller's promise, the same as is asked for here.
                    unsafe { BlockAlloc::deallocate(self, block, layout) };
                }
            }

            #[inline]
            unsafe fn grow(
                &self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, $version::alloc::AllocError> {
                if old.size() == 0 {
                    return $version::alloc::Allocator::allocate(self, new);
                }
                // SAFETY: the caller's promise, the same as is asked for here.
                let block = unsafe { self.try_relayout(block, old, new) };
                let block = block.map_err(|_| $version::alloc::AllocError)?;
                Ok(NonNull::slice_from_raw_parts(block, new.size()))
            }

            #[inline]
            unsafe fn grow_zeroed(
                &self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, $version::alloc::AllocError> {
                if old.size() == 0 {
                    return $version::alloc::Allocator::allocate_zeroed(self, new);
                }
                // SAFETY: the caller's promise, the same as is asked for here.
                let block = unsafe { self.try_relayout(block, old, new) };
                let block = block.map_err(|_| $version::alloc::AllocError)?;
                // SAFETY: the block is of the new layout now, which is not smaller, says the caller.
                unsafe { zero_tail(block, old, new) };
                Ok(NonNull::slice_from_raw_parts(block, new.size()))
            }

            #[inline]
            unsafe fn shrink(
                &self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, $version::alloc::AllocError> {
                if new.size() == 0 {
                    // SAFETY: the caller's promise, the same as is asked for here.
                    unsafe { $version::alloc::Allocator::deallocate(self, block, old) };
                    return Ok(nowhere(new));
                }
                // SAFETY: the caller's promise, the same as is asked for here.
                let block = unsafe { self.try_relayout(block, old, new) };
                let block = block.map_err(|_| $version::alloc::AllocError)?;
                Ok(NonNull::slice_from_raw_parts(block, new.size()))
            }
        }
    };
}

/// Implements the traits of both versions for one handle.
macro_rules! allocators {
    ($([$($generics:tt)*] $handle:ty;)*) => {$(
        #[cfg(feature = "allocator-api2")]
        allocator!(allocator_api2, [$($generics)*] $handle);
        #[cfg(feature = "allocator-api2-04")]
        allocator!(allocator_api2_04, [$($generics)*] $handle);
    )*};
}

#[cfg(all(feature = "std", not(loom)))]
allocators! {
    [S: PageSource] &crate::shared::SharedAlloc<S>;
    [S: PageSource] crate::shared::SharedHeap<S>;
    [] crate::global_alloc::GlobalHeap;
}

allocators! {
    [S: PageSource] &SmallAlloc<S>;
    [S: PageSource] LocalHeap<S>;
}

#[cfg(feature = "checked")]
allocators! { [A: BlockAlloc] &crate::debug::checked::Checked<A>; }

#[cfg(feature = "trace")]
allocators! { [A: BlockAlloc] &crate::debug::trace::Traced<A>; }
