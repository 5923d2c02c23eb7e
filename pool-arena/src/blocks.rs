//! Blocks that change: the last one given back, grown or shrunk in place. A storage file.

use crate::arena::Arena;
use crate::error::AllocError;
use crate::growing::Growing;
#[cfg(any(feature = "allocator-api2", feature = "allocator-api2-04"))]
use crate::large::Large;
use crate::tip::round;
#[cfg(any(feature = "allocator-api2", feature = "allocator-api2-04"))]
use crate::tip::{MIN_ALIGN, nowhere};
use core::alloc::Layout;
use core::ptr::NonNull;
use pool_core::PageSource;

impl<S: PageSource> Arena<S> {
    /// Takes a block back: a large object's run goes to the source, the last small object's bytes
    /// are free again, others stay until the reset.
    ///
    /// # Safety
    /// `block` was placed by this arena with `layout`, has not been given back, still has the
    /// provenance it was placed with, and nobody uses it any more.
    #[inline]
    pub(crate) unsafe fn give_back(&self, block: NonNull<u8>, layout: Layout) {
        if layout.size() == 0 {
            return;
        }
        if self.tip.is_last(block) {
            // SAFETY: it begins at the cursor and was cut off with this size; it is not used.
            unsafe { self.tip.give_back(layout.size(), self.config.window()) };
        } else {
            let memory = Growing { start: block, bytes: round(layout.size()) };
            // SAFETY: the caller's promise.
            unsafe { self.cut_memory(memory, 0, layout.align()) };
        }
    }

    /// As [`try_place`](Self::try_place), all bytes zero. A large object's run is asked for zeroed,
    /// so that fresh pages are not written.
    pub(crate) fn try_place_zeroed(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        if self.is_large(layout.size()) {
            return self.place_large(layout, true);
        }
        let place = self.try_place(layout)?;
        // SAFETY: so many bytes were placed just now.
        unsafe { place.write_bytes(0, layout.size()) };
        Ok(place)
    }

    /// Cuts `bytes`, a multiple of `MIN_ALIGN`, off the lower end of what is free.
    pub(crate) fn take_low(&self, bytes: usize) -> Option<NonNull<u8>> {
        self.tip.take_low(bytes, self.config.window())
    }

    /// Takes the `bytes` below what is free back.
    ///
    /// # Safety
    /// They were cut off there by [`take_low`](Self::take_low), and nobody uses them any more.
    pub(crate) unsafe fn give_back_low(&self, bytes: usize) {
        // SAFETY: the caller's promise.
        unsafe { self.tip.give_back_low(bytes, self.config.window()) };
    }
}

#[cfg(any(feature = "allocator-api2", feature = "allocator-api2-04"))]
impl<S: PageSource> Arena<S> {
    /// Moves a block to a larger place, or extends it where it is. Returns the new place, whose
    /// first bytes are those of the old.
    ///
    /// A block that grows for the first time moves to the lower end of what is free, where it can
    /// grow in place from then on.
    ///
    /// # Safety
    /// As [`give_back`](Self::give_back) if this succeeds; `new` is not smaller than `old`.
    #[cold]
    #[inline(never)]
    pub(crate) unsafe fn grow_block(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<u8>, AllocError> {
        let memory = Growing { start: block, bytes: round(old.size()) };
        let bytes = round(new.size());
        if new.align() > MIN_ALIGN || self.in_own_run(block, old.size(), old.align()) {
            // SAFETY: the caller's promise.
            return unsafe { self.grow_apart(block, old, new) };
        }
        let same = bytes == memory.bytes && bytes > 0;
        if self.extend(memory, bytes) || (same && !self.in_own_run(block, bytes, MIN_ALIGN)) {
            pool_core::poison::allow(block.as_ptr(), bytes);
            return Ok(block);
        }
        let place = self.place_growing(bytes, new.align())?.start;
        // SAFETY: the caller's promise; the place is fresh.
        unsafe { self.move_to(place, block, old, old.size()) };
        Ok(place)
    }

    /// As [`grow_block`](Self::grow_block), for large objects and high alignments.
    ///
    /// # Safety
    /// As [`grow_block`](Self::grow_block).
    unsafe fn grow_apart(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<u8>, AllocError> {
        if old.align() == new.align()
            && self.in_own_run(block, old.size(), old.align())
            // SAFETY: so says the address, and it was placed with this alignment.
            && unsafe { Large::of(block, old.align()) }.capacity(new.align()) >= new.size()
        {
            return Ok(block);
        }
        // SAFETY: the caller's promise.
        unsafe { self.move_block(block, old, new) }
    }

    /// Makes a block smaller, in place if it may stay small or large.
    ///
    /// # Safety
    /// As [`give_back`](Self::give_back) if this succeeds; `new` is not larger than `old`.
    #[inline]
    pub(crate) unsafe fn shrink_block(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<u8>, AllocError> {
        if new.size() == 0 {
            // SAFETY: the caller's promise.
            unsafe { self.give_back(block, old) };
            return Ok(nowhere(new.align()));
        }
        let aligned = block.addr().get() & (new.align() - 1) == 0;
        let large = self.in_own_run(block, old.size(), old.align());
        // It would be taken for what it is not.
        let mistaken = large != self.in_own_run(block, new.size(), new.align());
        if !aligned || mistaken || (large && old.align() != new.align()) {
            // SAFETY: the caller's promise.
            return unsafe { self.move_block(block, old, new) };
        }
        let memory = Growing { start: block, bytes: round(old.size()) };
        if self.is_lowest(memory) {
            // SAFETY: the caller's promise: the rest is not used any more.
            unsafe { self.cut_memory(memory, new.size(), new.align()) };
            return Ok(block);
        }
        let less = round(old.size()) - round(new.size());
        // Half or more is worth a copy to where the block ends.
        if !large && less >= new.size() && self.tip.is_last(block) {
            let less = less & !(new.align().max(MIN_ALIGN) - 1);
            if less >= new.size() {
                // SAFETY: within the old block, at a multiple of the new alignment from its start.
                let place = unsafe { block.add(less) };
                pool_core::poison::allow(place.as_ptr(), new.size());
                // SAFETY: both lie in the old block, and do not overlap, as `less` says.
                unsafe { block.copy_to_nonoverlapping(place, new.size()) };
                // SAFETY: the lower end of the last block, no longer used.
                unsafe { self.tip.give_back(less, self.config.window()) };
                return Ok(place);
            }
        }
        Ok(block)
    }

    /// Copies a block to a new place and gives the old one back.
    ///
    /// # Safety
    /// As [`give_back`](Self::give_back) if this succeeds.
    #[cold]
    unsafe fn move_block(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<u8>, AllocError> {
        let place = self.try_place(new)?;
        // SAFETY: the caller's promise; the place is fresh.
        unsafe { self.move_to(place, block, old, old.size().min(new.size())) };
        Ok(place)
    }

    /// Copies the first `len` bytes of a block to `place` and gives the block back.
    ///
    /// # Safety
    /// As [`give_back`](Self::give_back), and `place` is fresh and no shorter than `len`.
    unsafe fn move_to(&self, place: NonNull<u8>, block: NonNull<u8>, old: Layout, len: usize) {
        // SAFETY: `len` bytes are valid in both, and the new place is fresh.
        unsafe { block.copy_to_nonoverlapping(place, len) };
        // SAFETY: the caller's promise; its contents have moved.
        unsafe { self.give_back(block, old) };
    }
}
