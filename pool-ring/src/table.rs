//! `Table`: a fixed number of plain records on pages of a source.

use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use pool_core::{PageError, PageSource, Pages, Request};

/// Records that may consist of zeros.
///
/// # Safety
/// All bytes zero is a valid value, and there is nothing to drop.
pub(crate) unsafe trait Plain: Copy {}

// SAFETY: an integer.
unsafe impl Plain for u8 {}
// SAFETY: an integer.
unsafe impl Plain for u32 {}

/// What a packet ring knows of a connection with a partial, or of one that had one. Packed: each partial pays for it.
#[derive(Clone, Copy)]
#[repr(C, packed(2))]
pub(crate) struct Entry {
    /// From the lowest bit on: the entry before it in its list (28 bits), the one behind it, or of the free ones (28), and the
    /// number of the decoder that has seen its bytes to be no frame (8).
    pub(crate) links: u64,
    /// The connection, as its owner calls it.
    pub(crate) token: u32,
    /// Tells its owner from others that had this entry; 0 if nobody has it, with the highest bit in notes.
    pub(crate) generation: u32,
    /// When the partial began.
    pub(crate) stamp: u32,
    /// Where its bytes are (29 bits), and the highest bits of its length (3).
    pub(crate) form: u32,
    /// The lowest bits of its length, of a chain.
    pub(crate) len: u16,
}

// SAFETY: integers.
unsafe impl Plain for Entry {}

/// Bytes `start..end` of a stream that were received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Span {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

// SAFETY: integers.
unsafe impl Plain for Span {}

/// Records, all zero at first. Memory is taken from the system as they are used, if the source
/// sells such memory.
pub(crate) struct Table<T: Plain, S: PageSource> {
    /// Nobody else refers to its memory. Every byte is initialised.
    pages: Pages<S>,
    /// Its first byte, aligned for `T`.
    first: NonNull<T>,
    /// So many fit in `pages`.
    len: usize,
    _owns: PhantomData<T>,
}

// SAFETY: it owns its records and its pages, and may move if both may.
unsafe impl<T: Plain + Send, S: PageSource + Send> Send for Table<T, S> {}
// SAFETY: `&Table` gives `&[T]` only.
unsafe impl<T: Plain + Sync, S: PageSource + Sync> Sync for Table<T, S> {}

impl<T: Plain, S: PageSource> Table<T, S> {
    /// `len` records.
    pub(crate) fn new(source: S, len: usize) -> Result<Self, PageError> {
        let bytes = len.saturating_mul(size_of::<T>());
        let request = Request::new(bytes).align(align_of::<T>()).zeroed();
        let mut pages = Pages::new(source, request)?;
        let first = pages.as_mut_ptr().cast();
        Ok(Self { pages, first, len, _owns: PhantomData })
    }

    /// Bytes of its pages.
    pub(crate) const fn bytes(&self) -> usize {
        self.pages.len()
    }
}

impl<T: Plain, S: PageSource> Deref for Table<T, S> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        let slice = NonNull::slice_from_raw_parts(self.first, self.len);
        // SAFETY: the pages are owned, aligned and long enough for `len` records, which were zeros
        // at first (clause 4 of `PageSource`), that is valid ones, and written as records since;
        // `&self` allows no writes as long as the slice lives.
        unsafe { slice.as_ref() }
    }
}

impl<T: Plain, S: PageSource> DerefMut for Table<T, S> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [T] {
        let mut slice = NonNull::slice_from_raw_parts(self.first, self.len);
        // SAFETY: as above, and `&mut self` makes it exclusive.
        unsafe { slice.as_mut() }
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use pool_core::Heap;

    #[test]
    fn it_begins_with_zeros_and_keeps_what_is_written() {
        let heap = Heap::new();
        let mut table = Table::<u32, _>::new(&heap, 3000).unwrap();
        assert!(table.len() == 3000 && table.bytes() >= 12000);
        assert!(table.iter().all(|&word| word == 0));
        table[2999] = 7;
        assert_eq!(table.last(), Some(&7));
        assert!(Table::<u32, _>::new(&heap, usize::MAX).is_err());
    }
}
