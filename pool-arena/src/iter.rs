//! The bytes that objects lie in, chunk by chunk.

use crate::arena::Arena;
use crate::chunk::Chunk;
use crate::large::Large;
use crate::tip::Gap;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use core::slice;
use pool_core::{PageSource, poison};

impl<S: PageSource> Arena<S> {
    /// The memory that objects were put into, as slices: each chunk's, newest chunk first and in
    /// it the newest object first, then what tail builders left at its lower end; then the large
    /// objects.
    ///
    /// The bytes may be padding or were never written; every object begins at a multiple of 8.
    ///
    /// ```
    /// # use pool_arena::Arena;
    /// let mut arena = Arena::new();
    /// for value in [1u64, 2, 3] {
    ///     arena.alloc(value);
    /// }
    /// let chunk = arena.iter_allocated_chunks().next().unwrap();
    /// // SAFETY: only `u64`s were allocated.
    /// assert_eq!(unsafe { chunk[0].assume_init() }, 3);
    /// assert_eq!(chunk.len(), 24);
    /// ```
    pub fn iter_allocated_chunks(&mut self) -> impl Iterator<Item = &[MaybeUninit<u8>]> {
        // SAFETY: `&mut self` is borrowed as long as the iterator and its slices live.
        let raw = unsafe { self.iter_allocated_chunks_raw() };
        raw.map(|(start, len)| {
            // Padding between objects may be read here.
            poison::allow(start, len);
            // SAFETY: so many bytes lie in a live run, nobody writes to them as long as the arena is
            // borrowed, and any contents are valid.
            unsafe { slice::from_raw_parts(start.cast(), len) }
        })
    }

    /// As [`iter_allocated_chunks`](Self::iter_allocated_chunks): start and length in bytes.
    ///
    /// # Safety
    /// As long as the iterator lives nothing is allocated from the arena or given back to it.
    /// References to objects still live, so whoever reads through the pointers heeds them.
    pub unsafe fn iter_allocated_chunks_raw(&self) -> impl Iterator<Item = (*mut u8, usize)> {
        let chunks = self.used.iter().flat_map(|chunk| self.parts(chunk));
        let large = self.large.iter().map(Large::bytes);
        chunks.chain(large).map(|part| (part.cast().as_ptr(), part.len())).filter(|part| part.1 > 0)
    }

    /// What is not free in a chunk: above the gap and below it.
    fn parts(&self, chunk: Chunk) -> [NonNull<[u8]>; 2] {
        let Gap { low: start, len } = chunk.whole();
        let gap = if self.current.get() == Some(chunk) { self.tip.gap() } else { chunk.rest() };
        let end = start.addr().get() + len;
        // A full chunk, or one whose rest was lent: the gap may be anywhere.
        let low = if gap.len == 0 { start } else { gap.low };
        let below = low.addr().get() - start.addr().get();
        // SAFETY: the end of the gap lies within the chunk, whose start has provenance for it.
        let high = unsafe { start.add(below + gap.len) };
        let above = end - high.addr().get();
        [NonNull::slice_from_raw_parts(high, above), NonNull::slice_from_raw_parts(start, below)]
    }
}
