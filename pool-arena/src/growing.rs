//! Memory that grows: up from the lower end of what is free, in place as long as it can. A storage
//! file.
//!
//! Everything else goes down from the upper end, so one thing at a time can grow in place whatever
//! is allocated meanwhile. Tail builders are made on this, and vectors with the arena as their
//! allocator come here when they grow for the first time.

use crate::arena::Arena;
use crate::error::{AllocError, refuse};
use crate::large::Large;
use crate::tip::{MIN_ALIGN, nowhere, round};
use core::alloc::Layout;
use core::ptr::NonNull;
use pool_core::PageSource;

/// Memory that may grow.
#[derive(Clone, Copy)]
pub(crate) struct Growing {
    pub(crate) start: NonNull<u8>,
    /// Bytes that `start` has from the arena, a multiple of `MIN_ALIGN`; 0 if it is nowhere.
    pub(crate) bytes: usize,
}

/// Bytes that are asked for at least when there are none: a cache line.
const LEAST: usize = 64;
/// Bytes that may be asked for at most.
const MOST: usize = isize::MAX as usize & !(MIN_ALIGN - 1);

impl Growing {
    /// No memory.
    #[inline(always)]
    pub(crate) fn nothing(align: usize) -> Self {
        Self { start: nowhere(align), bytes: 0 }
    }

    /// The address behind it, which may be that of the next run's header if it fills its chunk;
    /// nothing is free at the start of a run, so that does not matter.
    fn end(self) -> *mut u8 {
        self.start.as_ptr().wrapping_add(self.bytes)
    }
}

impl<S: PageSource> Arena<S> {
    /// As [`grow_memory`](Self::grow_memory), or panics.
    #[cold]
    #[inline(never)]
    pub(crate) fn grow_memory_or_refuse(
        &self,
        memory: Growing,
        len: usize,
        more: usize,
        item: Layout,
    ) -> Growing {
        self.grow_memory(memory, len, more, item).unwrap_or_else(|error| refuse(error))
    }

    /// Memory for `more` items after the first `len`, which move along, or for twice as many as
    /// now. The old memory is no longer the caller's if this succeeds.
    #[cold]
    #[inline(never)]
    pub(crate) fn grow_memory(
        &self,
        memory: Growing,
        len: usize,
        more: usize,
        item: Layout,
    ) -> Result<Growing, AllocError> {
        let error = AllocError::TooLarge { items: more, size: item.size() };
        let bytes = |items: usize| items.checked_mul(item.size()).filter(|&bytes| bytes <= MOST);
        let least = round(len.checked_add(more).and_then(bytes).ok_or(error)?);
        let twice = memory.bytes.saturating_mul(2).min(MOST);
        // Both are multiples of `MIN_ALIGN`, as is every `bytes`.
        let want = least.max(twice).max(LEAST);
        // Towards the end of the chunk half of what is left, so that steps stay few.
        let half = (self.tip.free() / 2) & !(MIN_ALIGN - 1);
        for bytes in [want, least.max(memory.bytes + half), least] {
            if self.extend(memory, bytes) {
                return Ok(Growing { bytes, ..memory });
            }
        }
        let elsewhere = self.place_growing(want, item.align());
        let new = elsewhere.or_else(|_| self.place_growing(least, item.align()))?;
        // SAFETY: `len` items are valid in both, and the new place is fresh.
        unsafe { memory.start.copy_to_nonoverlapping(new.start, len * item.size()) };
        // SAFETY: the caller's memory, whose contents have moved.
        unsafe { self.cut_memory(memory, 0, item.align()) };
        Ok(new)
    }

    /// Extends `memory` in place to `bytes`, a multiple of `MIN_ALIGN`, if they are free.
    pub(crate) fn extend(&self, memory: Growing, bytes: usize) -> bool {
        bytes > memory.bytes
            && self.is_lowest(memory)
            && !self.in_own_run(memory.start, bytes, MIN_ALIGN)
            && self.take_low(bytes - memory.bytes).is_some()
    }

    /// Whether `memory` lies at the lower end of what is free, so that it can extend.
    pub(crate) fn is_lowest(&self, memory: Growing) -> bool {
        memory.bytes > 0 && memory.end() == self.tip.low().as_ptr()
    }

    /// Another place of `want` bytes, at the lower end of what is free if that may be.
    pub(crate) fn place_growing(&self, want: usize, align: usize) -> Result<Growing, AllocError> {
        let error = AllocError::TooLarge { items: 1, size: want };
        let layout = Layout::from_size_align(want, align).map_err(|_| error)?;
        let at = |start| Growing { start, bytes: want };
        if align > MIN_ALIGN {
            return self.try_place(layout).map(at);
        }
        if let Some(low) = self.place_low(want) {
            return Ok(at(low));
        }
        if want <= self.config.max_chunk / 2 {
            self.open_chunk(want)?;
            if let Some(low) = self.place_low(want) {
                return Ok(at(low));
            }
        }
        self.place_large(layout, false).map(at)
    }

    /// A place of so many bytes at the lower end of what is free, which nobody takes for a large
    /// object.
    fn place_low(&self, want: usize) -> Option<NonNull<u8>> {
        if self.in_own_run(self.tip.low(), want, MIN_ALIGN) {
            self.take_low(MIN_ALIGN)?;
        }
        self.take_low(want)
    }

    /// Takes all but the first `used` bytes back, if they are at the lower end of what is free, or
    /// all of a large object, if none are used.
    ///
    /// # Safety
    /// The memory is from this arena, placed with this alignment, is the caller's, and the caller
    /// uses the rest no more.
    #[inline(always)]
    pub(crate) unsafe fn cut_memory(&self, memory: Growing, used: usize, align: usize) {
        if memory.bytes > 0 {
            // SAFETY: the caller's promise.
            unsafe { self.cut_some(memory, round(used), align) };
        }
    }

    /// # Safety
    /// As [`cut_memory`](Self::cut_memory).
    #[inline(never)]
    unsafe fn cut_some(&self, memory: Growing, keep: usize, align: usize) {
        if self.is_lowest(memory) {
            // SAFETY: these bytes were cut off there, and are not used.
            unsafe { self.give_back_low(memory.bytes - keep) };
        } else if keep == 0 && self.in_own_run(memory.start, memory.bytes, align) {
            // SAFETY: so says the address, and it was placed with this alignment.
            let large = unsafe { Large::of(memory.start, align) };
            // SAFETY: it is one of this arena, and not used.
            unsafe { self.release_large(large) };
        }
    }
}
