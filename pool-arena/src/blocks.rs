//! Blocks that change: the last one given back, grown or shrunk in place. A storage file.

use crate::arena::Arena;
use crate::error::AllocError;
use crate::large::Large;
#[cfg(any(feature = "allocator-api2", feature = "allocator-api2-04"))]
use crate::tip::{nowhere, round};
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
        if self.is_large(layout.size()) {
            // SAFETY: by its size it was placed as a large object, with this alignment.
            let large = unsafe { Large::of(block, layout.align()) };
            // SAFETY: it is one of this arena, and not used.
            unsafe { self.release_large(large) };
        } else if self.tip.is_last(block) {
            // SAFETY: it begins at the cursor and was cut off with this size; it is not used.
            unsafe { self.tip.give_back(layout.size(), self.config.window()) };
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
    /// # Safety
    /// As [`give_back`](Self::give_back) if this succeeds; `new` is not smaller than `old`.
    #[inline]
    pub(crate) unsafe fn grow_block(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<u8>, AllocError> {
        // The last small block grows downwards: the place that is cut off below it begins lower by
        // what is missing, and its contents move there.
        if old.size() != 0 && !self.is_large(new.size()) && self.tip.is_last(block) {
            let before = round(old.size());
            // Enough below for what is missing, at an address that is right for all of it.
            let more = Layout::from_size_align(round(new.size()) - before, new.align());
            if let Some(place) = more.ok().and_then(|more| self.take_below(more, block)) {
                // SAFETY: the new place reaches at least to the end of the old one, both are ours,
                // and so many bytes of the old one are valid; they may overlap.
                unsafe { block.copy_to(place, old.size()) };
                return Ok(place);
            }
        }
        if old.size() != 0
            && self.is_large(old.size())
            && old.align() == new.align()
            // SAFETY: by its size it was placed as a large object, with this alignment.
            && unsafe { Large::of(block, old.align()) }.capacity(new.align()) >= new.size()
        {
            return Ok(block);
        }
        // SAFETY: the caller's promise.
        unsafe { self.move_block(block, old, new) }
    }

    /// Cuts `more` off below `block`, the last one.
    fn take_below(&self, more: Layout, block: NonNull<u8>) -> Option<NonNull<u8>> {
        if more.size() == 0 {
            let fits = block.addr().get() & (more.align() - 1) == 0;
            return Some(block).filter(|_| fits);
        }
        self.tip.take(more).or_else(|| self.tip.take_hidden(more, self.config.window()))
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
        let large = self.is_large(old.size());
        if large != self.is_large(new.size()) || !aligned || (large && old.align() != new.align()) {
            // SAFETY: the caller's promise.
            return unsafe { self.move_block(block, old, new) };
        }
        let less = round(old.size()) - round(new.size());
        // Half or more is worth a copy to where the block ends; see `grow_block`.
        if !large && less >= new.size() && self.tip.is_last(block) {
            let less = less & !(new.align().max(crate::tip::MIN_ALIGN) - 1);
            if less >= new.size() {
                // SAFETY: within the old block, at a multiple of the new alignment from its start.
                let place = unsafe { block.add(less) };
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
        let len = old.size().min(new.size());
        // SAFETY: `len` bytes are valid in both, and the new place is fresh.
        unsafe { block.copy_to_nonoverlapping(place, len) };
        // SAFETY: the caller's promise; its contents have moved.
        unsafe { self.give_back(block, old) };
        Ok(place)
    }
}
