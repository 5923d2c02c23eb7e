//! The directory: which pages there are, and the generations of those that were given back. A
//! storage file.

use crate::table::page::{Page, RETIRED};
use core::ptr::NonNull;
use core::slice;
use pool_core::{PageError, PageSource, Request, Run};

/// Two vectors side by side in a run of the table's source.
///
/// ```text
/// │ a page, or none, each │ a generation each │
/// 0                       capacity pages
/// ```
///
/// The generation counts where there is no page: its slots begin at it when there is one again, so
/// that no key of an earlier tenant finds a later one. `RETIRED`: there is never one again.
///
/// Each page has its own, so that one whose slots have had many tenants takes nothing from the others.
pub(crate) struct Directory<T> {
    /// `len` pages, and `capacity` pages from here `len` generations, all initialised; dangling
    /// without a run. They are this value's alone.
    pages: NonNull<Page<T>>,
    len: usize,
    /// What the run has room for, of both; 0 without one.
    capacity: usize,
    run: Option<Run>,
}

impl<T> Directory<T> {
    /// Bytes for a page and its generation.
    const BYTES: usize = size_of::<Page<T>>() + size_of::<u32>();

    pub(crate) const fn new() -> Self {
        Self { pages: NonNull::dangling(), len: 0, capacity: 0, run: None }
    }

    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The page with this number, or none; `None` if there is not even a number.
    #[inline(always)]
    pub(crate) fn page(&self, number: usize) -> Option<Page<T>> {
        if number >= self.len {
            return None;
        }
        // SAFETY: just looked.
        Some(unsafe { self.page_unchecked(number) })
    }

    /// The page with this number.
    ///
    /// # Safety
    /// It is below `len`.
    #[inline(always)]
    pub(crate) unsafe fn page_unchecked(&self, number: usize) -> Page<T> {
        // SAFETY: below `len`, so within the run.
        let page = unsafe { self.pages.add(number) };
        // SAFETY: initialised, and nobody else's.
        unsafe { page.read() }
    }

    #[inline]
    pub(crate) fn pages(&self) -> &[Page<T>] {
        // SAFETY: `len` initialised pages, borrowed as `self` is; dangling but aligned if `len` is 0.
        unsafe { slice::from_raw_parts(self.pages.as_ptr(), self.len) }
    }

    /// The generations of what is not there.
    pub(crate) fn firsts(&self) -> &[u32] {
        // SAFETY: `len` initialised generations, borrowed as `self` is; dangling but aligned, as
        // pages are, if `capacity` is 0.
        unsafe { slice::from_raw_parts(self.generations().as_ptr(), self.len) }
    }

    /// Where the generations begin.
    fn generations(&self) -> NonNull<u32> {
        // SAFETY: the run has room for so many pages, and more.
        unsafe { self.pages.add(self.capacity) }.cast()
    }

    /// Writes an entry.
    ///
    /// # Safety
    /// `number` is below `capacity`.
    unsafe fn write(&mut self, number: usize, page: Page<T>, first: u32) {
        // SAFETY: below the capacity, so within the run.
        let place = unsafe { self.pages.add(number) };
        // SAFETY: as above, aligned, and nobody else's.
        unsafe { place.write(page) };
        // SAFETY: as for the page.
        let place = unsafe { self.generations().add(number) };
        // SAFETY: as for the page.
        unsafe { place.write(first) };
    }

    /// Replaces what is at `number`, which is below `len`.
    pub(crate) fn set(&mut self, number: usize, page: Page<T>, first: u32) {
        assert!(number < self.len);
        // SAFETY: below the length, which is at most the capacity.
        unsafe { self.write(number, page, first) };
    }

    /// Appends a page; `reserve` has made room.
    pub(crate) fn push(&mut self, page: Page<T>) {
        assert!(self.len < self.capacity, "no room was reserved");
        // SAFETY: just looked.
        unsafe { self.write(self.len, page, RETIRED) };
        self.len += 1;
    }

    /// Bytes of the run.
    pub(crate) fn bytes(&self) -> usize {
        self.run.as_ref().map_or(0, Run::len)
    }

    /// Makes room for one more.
    ///
    /// # Safety
    /// The source is the same at every call, of this and of `release`.
    pub(crate) unsafe fn reserve(&mut self, source: &impl PageSource) -> Result<(), PageError> {
        if self.len < self.capacity {
            return Ok(());
        }
        let bytes = (self.len * 2).max(1) * Self::BYTES;
        let run = source.acquire(Request::new(bytes).align(align_of::<Page<T>>()))?;
        let mut other = Self {
            pages: run.ptr().cast(),
            len: 0,
            capacity: run.len() / Self::BYTES,
            run: Some(run),
        };
        for (number, (&page, &first)) in self.pages().iter().zip(self.firsts()).enumerate() {
            // SAFETY: the new capacity is higher than the old one.
            unsafe { other.write(number, page, first) };
        }
        other.len = self.len;
        core::mem::swap(self, &mut other);
        // SAFETY: acquired from this source, as the caller promises; its entries have moved.
        unsafe { other.release(source) };
        Ok(())
    }

    /// Forgets the last entries as long as no page is there, and returns where all pages that are
    /// new from now on begin: at `first`, or above if one of those did. Not above `most`, however,
    /// for the sake of one: entries for which that would be needed stay.
    pub(crate) fn forget_last(&mut self, mut first: u32, most: u32) -> u32 {
        while let (Some(page), Some(&last)) = (self.pages().last(), self.firsts().last()) {
            if page.is_there() || last == RETIRED || last > first.max(most) {
                break;
            }
            first = first.max(last);
            self.len -= 1;
        }
        first
    }

    /// Gives the run back if there is no entry; its bytes.
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
        let Self { run, .. } = core::mem::replace(self, Self::new());
        let Some(run) = run else { return 0 };
        let bytes = run.len();
        // SAFETY: acquired from this source, as the caller promises; nothing refers to it now.
        unsafe { source.release(run) };
        bytes
    }
}
