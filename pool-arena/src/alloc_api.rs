//! The `Allocator` traits of `allocator-api2`, for `&Arena`. A storage file.

use crate::arena::Arena;
use core::alloc::Layout;
use core::ptr::NonNull;
use pool_core::PageSource;

/// Implements the trait of one version of the crate.
macro_rules! allocator {
    ($version:ident) => {
        // SAFETY: blocks come from `try_place` and its like: valid, aligned, disjoint, and live until they are
        // given back or the arena is reset, rewound or dropped. For the first and the last the
        // borrow must have ended, and with it every clone of the allocator; rewinding is unsafe and
        // asks for it. Clones are the same arena, and moving a reference moves nothing. Whether a
        // block is large follows from its address, its size and an option that never changes, and
        // blocks are exactly as long as was asked, so the layout that fits a block is that one.
        unsafe impl<S: PageSource> $version::alloc::Allocator for &Arena<S> {
            #[inline]
            fn allocate(
                &self,
                layout: Layout,
            ) -> Result<NonNull<[u8]>, $version::alloc::AllocError> {
                let place = self.try_place(layout).map_err(|_| $version::alloc::AllocError)?;
                Ok(NonNull::slice_from_raw_parts(place, layout.size()))
            }

            #[inline]
            fn allocate_zeroed(
                &self,
                layout: Layout,
            ) -> Result<NonNull<[u8]>, $version::alloc::AllocError> {
                let place = self.try_place_zeroed(layout);
                let place = place.map_err(|_| $version::alloc::AllocError)?;
                Ok(NonNull::slice_from_raw_parts(place, layout.size()))
            }

            #[inline]
            unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
                // SAFETY: the caller's promise: currently allocated by this arena, of this layout.
                unsafe { self.give_back(block, layout) };
            }

            #[inline]
            unsafe fn grow(
                &self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, $version::alloc::AllocError> {
                // SAFETY: the caller's promise, the same as is asked for here.
                let place = unsafe { self.grow_block(block, old, new) };
                let place = place.map_err(|_| $version::alloc::AllocError)?;
                Ok(NonNull::slice_from_raw_parts(place, new.size()))
            }

            #[inline]
            unsafe fn grow_zeroed(
                &self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, $version::alloc::AllocError> {
                // SAFETY: the caller's promise, the same as is asked for here.
                let place = unsafe { self.grow_block(block, old, new) };
                let place = place.map_err(|_| $version::alloc::AllocError)?;
                // SAFETY: the place has `new.size()` bytes, which are not fewer.
                let tail = unsafe { place.add(old.size()) };
                // SAFETY: so many bytes are behind `tail`.
                unsafe { tail.write_bytes(0, new.size() - old.size()) };
                Ok(NonNull::slice_from_raw_parts(place, new.size()))
            }

            #[inline]
            unsafe fn shrink(
                &self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, $version::alloc::AllocError> {
                // SAFETY: the caller's promise, the same as is asked for here.
                let place = unsafe { self.shrink_block(block, old, new) };
                let place = place.map_err(|_| $version::alloc::AllocError)?;
                Ok(NonNull::slice_from_raw_parts(place, new.size()))
            }
        }
    };
}

#[cfg(feature = "allocator-api2")]
allocator!(allocator_api2);
#[cfg(feature = "allocator-api2-04")]
allocator!(allocator_api2_04);
