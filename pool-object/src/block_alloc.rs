//! `BlockAlloc`: what the allocators of this crate have in common. A storage file.

use crate::error::{AllocError, refuse};
use core::alloc::Layout;
use core::ptr::NonNull;

/// Allocators whose blocks are given back with their layout: [`SmallAlloc`](crate::SmallAlloc),
/// handles on it, and layers around them. [`PoolBox`](crate::PoolBox) works over any.
///
/// It is the `Allocator` trait of `allocator-api2` with errors that say why; the features of that
/// name implement that trait for the handles of this crate.
///
/// ```
/// use core::alloc::Layout;
/// use pool_object::{AllocError, BlockAlloc, SmallAlloc};
/// fn twice(allocator: impl BlockAlloc) -> Result<(), AllocError> {
///     let layout = Layout::new::<u64>();
///     let (one, other) = (allocator.try_allocate(layout)?, allocator.try_allocate(layout)?);
///     assert_ne!(one, other);
///     for block in [one, other] {
///         // SAFETY: allocated above with this layout, freed once, and not used.
///         unsafe { allocator.deallocate(block, layout) };
///     }
///     Ok(())
/// }
/// twice(&SmallAlloc::new())?;
/// # Ok::<(), AllocError>(())
/// ```
///
/// # Safety
/// A block is readable and writable for `layout.size()` bytes, aligned, and disjoint from all others,
/// until it is deallocated, or until the allocator *and all its clones and handles* are gone or
/// borrowed exclusively. Moving the allocator changes nothing. Clones and references are the
/// same allocator. No method unwinds but `reallocate`, which does so before anything has changed.
pub unsafe trait BlockAlloc {
    /// A block for `layout`, indeterminate. A size of 0 is as good as 1.
    ///
    /// # Errors
    /// If no memory can be had. Nothing has changed then.
    fn try_allocate(&self, layout: Layout) -> Result<NonNull<u8>, AllocError>;

    /// Takes a block back.
    ///
    /// # Safety
    /// The block came from this allocator for `layout`, or was last relaid to it, was not
    /// deallocated since, and nobody uses it any more. The pointer is the one that was handed out,
    /// or derived from it without going through a reference to a part of the block.
    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout);

    /// A block for `layout`, all zeros.
    ///
    /// # Errors
    /// As [`try_allocate`](Self::try_allocate).
    #[inline]
    fn try_allocate_zeroed(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        let block = self.try_allocate(layout)?;
        // SAFETY: just allocated, so it has so many bytes and is ours.
        unsafe { block.write_bytes(0, layout.size()) };
        Ok(block)
    }

    /// Makes a block one for another layout, in place or by moving what it holds, as far as both
    /// sizes go. The old pointer must not be used any more.
    ///
    /// # Errors
    /// If no memory can be had; the block is as before.
    ///
    /// # Safety
    /// As [`deallocate`](Self::deallocate) about `block` and `old`.
    #[inline]
    unsafe fn try_relayout(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<u8>, AllocError> {
        // SAFETY: the caller's promise.
        unsafe { move_block(self, block, old, new) }
    }

    /// As [`try_relayout`](Self::try_relayout), to another size and the same alignment.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use pool_object::{BlockAlloc, SmallAlloc};
    /// let heap = SmallAlloc::new();
    /// let layout = Layout::array::<u8>(50)?;
    /// let block = heap.allocate(layout);
    /// // SAFETY: allocated above with this layout, and not used after.
    /// let longer = unsafe { heap.try_reallocate(block, layout, 56)? };
    /// assert_eq!(block, longer); // both are of the class of 56 bytes
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// If no memory can be had; the block is as before.
    ///
    /// # Safety
    /// As [`try_relayout`](Self::try_relayout).
    #[inline]
    unsafe fn try_reallocate(
        &self,
        block: NonNull<u8>,
        old: Layout,
        size: usize,
    ) -> Result<NonNull<u8>, AllocError> {
        let error = AllocError::TooLarge { size, align: old.align() };
        let new = Layout::from_size_align(size, old.align()).map_err(|_| error)?;
        // SAFETY: the caller's promise.
        unsafe { self.try_relayout(block, old, new) }
    }

    /// As [`try_reallocate`](Self::try_reallocate).
    ///
    /// # Panics
    /// If no memory can be had.
    ///
    /// # Safety
    /// As [`try_relayout`](Self::try_relayout).
    #[inline]
    unsafe fn reallocate(&self, block: NonNull<u8>, old: Layout, size: usize) -> NonNull<u8> {
        // SAFETY: the caller's promise.
        unsafe { self.try_reallocate(block, old, size) }.unwrap_or_else(|error| refuse(error))
    }

    /// Moves a block to where it helps to give memory back, if the allocator knows such a place: see
    /// [`SmallAlloc::mark_sparse`](crate::SmallAlloc::mark_sparse). Its new address, or `None` if it
    /// stays; others than `SmallAlloc` leave all where they are.
    ///
    /// # Safety
    /// As [`deallocate`](Self::deallocate) about `block`, if it moves.
    #[inline]
    unsafe fn try_relocate(&self, block: NonNull<u8>, layout: Layout) -> Option<NonNull<u8>> {
        let _ = (block, layout);
        None
    }
}

/// Moves what a block holds into a new one of another layout, as far as both sizes go.
///
/// # Errors
/// If no memory can be had; the block is as before.
///
/// # Safety
/// As [`BlockAlloc::deallocate`] about `block` and `old`.
#[inline(never)]
pub(crate) unsafe fn move_block<A: BlockAlloc + ?Sized>(
    alloc: &A,
    block: NonNull<u8>,
    old: Layout,
    new: Layout,
) -> Result<NonNull<u8>, AllocError> {
    let place = alloc.try_allocate(new)?;
    let bytes = old.size().min(new.size());
    // SAFETY: both blocks have so many bytes, and live blocks do not overlap.
    unsafe { place.copy_from_nonoverlapping(block, bytes) };
    // SAFETY: the caller's promise.
    unsafe { alloc.deallocate(block, old) };
    Ok(place)
}

// SAFETY: every call goes to the same allocator, which keeps the contract; the reference adds
// nothing, and keeps the allocator from being moved, dropped or borrowed exclusively.
unsafe impl<A: BlockAlloc + ?Sized> BlockAlloc for &A {
    #[inline(always)]
    fn try_allocate(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        (**self).try_allocate(layout)
    }

    #[inline(always)]
    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise, about the same allocator.
        unsafe { (**self).deallocate(block, layout) };
    }

    #[inline]
    fn try_allocate_zeroed(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        (**self).try_allocate_zeroed(layout)
    }

    #[inline]
    unsafe fn try_relayout(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<u8>, AllocError> {
        // SAFETY: the caller's promise, about the same allocator.
        unsafe { (**self).try_relayout(block, old, new) }
    }

    #[inline]
    unsafe fn try_relocate(&self, block: NonNull<u8>, layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: the caller's promise, about the same allocator.
        unsafe { (**self).try_relocate(block, layout) }
    }
}
