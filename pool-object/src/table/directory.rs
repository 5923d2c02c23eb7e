//! The directory: which pages there are, and the generations of those that were given back. A
//! storage file.

use crate::table::page::{Page, RETIRED};
use core::ptr::NonNull;
use core::slice;
use pool_core::{PageError, PageSource, Request, Run};

/// A page, or what is left of one.
pub(crate) struct Entry<T> {
    pub(crate) page: Option<Page<T>>,
    /// Without a page: the generation that its slots begin at when there is one again, so that no
    /// key of an earlier tenant finds a later one; `RETIRED` if there is never one again.
    pub(crate) first: u32,
}

impl<T> Clone for Entry<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Entry<T> {}

/// A vector of entries in a run of the table's source.
pub(crate) struct Directory<T> {
    /// `len` initialised entries; dangling without a run. They are this value's alone.
    entries: NonNull<Entry<T>>,
    len: usize,
    /// Holds `capacity()` entries, which begin where it does.
    run: Option<Run>,
}

impl<T> Directory<T> {
    pub(crate) const fn new() -> Self {
        Self { entries: NonNull::dangling(), len: 0, run: None }
    }

    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    fn capacity(&self) -> usize {
        self.run.as_ref().map_or(0, |run| run.len() / size_of::<Entry<T>>())
    }

    /// The page with this number, if there is one.
    #[inline(always)]
    pub(crate) fn page(&self, number: usize) -> Option<Page<T>> {
        if number >= self.len {
            return None;
        }
        // SAFETY: below `len`, so within the run.
        let entry = unsafe { self.entries.add(number) };
        // SAFETY: initialised, and shared for as long as `self` is.
        unsafe { entry.as_ref() }.page
    }

    #[inline]
    pub(crate) fn entries(&self) -> &[Entry<T>] {
        // SAFETY: `len` initialised entries, borrowed as `self` is; dangling but aligned if `len` is 0.
        unsafe { slice::from_raw_parts(self.entries.as_ptr(), self.len) }
    }

    pub(crate) fn entries_mut(&mut self) -> &mut [Entry<T>] {
        // SAFETY: as above, and exclusively.
        unsafe { slice::from_raw_parts_mut(self.entries.as_ptr(), self.len) }
    }

    /// Makes room for one more entry.
    ///
    /// # Safety
    /// The source is the same at every call, of this and of `release`.
    pub(crate) unsafe fn reserve(&mut self, source: &impl PageSource) -> Result<(), PageError> {
        if self.len < self.capacity() {
            return Ok(());
        }
        let bytes = (self.len * 2).max(1) * size_of::<Entry<T>>();
        let run = source.acquire(Request::new(bytes).align(align_of::<Entry<T>>()))?;
        let entries = run.ptr().cast::<Entry<T>>();
        // SAFETY: the new run is aligned, has room for more than `len` entries, and is nobody else's.
        unsafe { entries.copy_from_nonoverlapping(self.entries, self.len) };
        let old = self.run.replace(run);
        self.entries = entries;
        if let Some(old) = old {
            // SAFETY: acquired from this source, as the caller promises; its entries have moved.
            unsafe { source.release(old) };
        }
        Ok(())
    }

    /// Appends an entry; `reserve` has made room.
    pub(crate) fn push(&mut self, entry: Entry<T>) {
        assert!(self.len < self.capacity(), "no room was reserved");
        // SAFETY: at most the capacity, so within the run or at its end.
        let place = unsafe { self.entries.add(self.len) };
        // SAFETY: below the capacity, so within the run, and aligned.
        unsafe { place.write(entry) };
        self.len += 1;
    }

    /// Forgets the last entries as long as there is nothing to know of them, and returns the
    /// highest generation they had, or `first`.
    pub(crate) fn forget_last(&mut self, first: u32) -> u32 {
        let mut highest = first;
        while let Some(&Entry { page: None, first }) = self.entries().last() {
            if first == RETIRED {
                break;
            }
            highest = highest.max(first);
            self.len -= 1;
        }
        highest
    }

    /// Gives the run back if no entry needs it; its bytes.
    ///
    /// # Safety
    /// As `reserve`.
    pub(crate) unsafe fn release_if_empty(&mut self, source: &impl PageSource) -> usize {
        if self.len > 0 {
            return 0;
        }
        // SAFETY: the caller's promise, and there are no entries.
        unsafe { self.release(source) }
    }

    /// Gives the run back; its bytes. Pages in it are not released.
    ///
    /// # Safety
    /// As `reserve`.
    pub(crate) unsafe fn release(&mut self, source: &impl PageSource) -> usize {
        self.len = 0;
        self.entries = NonNull::dangling();
        let Some(run) = self.run.take() else { return 0 };
        let bytes = run.len();
        // SAFETY: acquired from this source, as the caller promises; nothing refers to it now.
        unsafe { source.release(run) };
        bytes
    }
}
