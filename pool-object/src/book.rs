//! Where a heap's magazines have their arrays: runs of their own, cut up from the low end. A storage
//! file.

use crate::magazine::Place;
use core::cell::Cell;
use core::ptr::NonNull;
use pool_core::{PageSource, Request, Run};

/// Runs, the first of them in use. Arrays end together.
pub(crate) struct Book {
    last: Cell<Option<NonNull<Page>>>,
    /// Bytes of the last run that are not cut off.
    left: Cell<usize>,
    /// Bytes of all runs.
    held: Cell<usize>,
}

/// At the low end of a run.
struct Page {
    /// The run itself.
    run: Run,
    /// The one before.
    next: Option<NonNull<Page>>,
}

/// Bytes of the shortest run and of the longest that is not for one array.
const SHORT: usize = 4 << 10;
const LONG: usize = 64 << 10;

impl Book {
    pub(crate) const fn new() -> Self {
        Self { last: Cell::new(None), left: Cell::new(0), held: Cell::new(0) }
    }

    /// Bytes of all runs.
    pub(crate) fn held(&self) -> usize {
        self.held.get()
    }

    /// An array of so many places, if there is memory. It is the caller's until
    /// [`release`](Self::release).
    pub(crate) fn array(
        &self,
        places: usize,
        acquire: impl FnOnce(Request) -> Option<Run>,
    ) -> Option<NonNull<Place>> {
        let bytes = places.checked_mul(size_of::<Place>())?;
        if self.left.get() < bytes {
            self.add(bytes, acquire)?;
        }
        let page = self.last.get()?;
        // SAFETY: the run is ours and its header was written.
        let len = unsafe { &page.as_ref().run }.len();
        let offset = len - self.left.get();
        self.left.set(self.left.get() - bytes);
        // SAFETY: `left` bytes at the end of the run, no fewer than asked, are nobody's.
        Some(unsafe { page.byte_add(offset) }.cast())
    }

    #[cold]
    fn add(&self, bytes: usize, acquire: impl FnOnce(Request) -> Option<Run>) -> Option<()> {
        let len = (bytes + size_of::<Page>()).max(self.held.get().clamp(SHORT, LONG));
        let run = acquire(Request::new(len).align(align_of::<Page>()))?;
        let (len, page): (_, NonNull<Page>) = (run.len(), run.ptr().cast());
        // SAFETY: the run is ours, aligned, and longer than a header.
        unsafe { page.write(Page { run, next: self.last.get() }) };
        self.last.set(Some(page));
        // A multiple of a place's length, as an array's start has to be.
        self.left.set((len - size_of::<Page>()) & !(size_of::<Place>() - 1));
        self.held.set(self.held.get() + len);
        Some(())
    }

    /// Gives everything back.
    ///
    /// # Safety
    /// No array is used any more. All that was acquired is of `source`.
    pub(crate) unsafe fn release<S: PageSource>(&self, source: &S) {
        self.left.set(0);
        self.held.set(0);
        let mut last = self.last.take();
        while let Some(page) = last {
            // SAFETY: a header that `add` wrote, in a run that is ours; moved out of once.
            let Page { run, next } = unsafe { page.read() };
            // SAFETY: from this source, and not used any more.
            unsafe { source.release(run) };
            last = next;
        }
    }
}
