//! `Heap`: runs from Rust's global allocator, for tests, Miri and targets without mmap.

use crate::bytes::{MAX_LEN, round_up};
use crate::error::{Cause, OsError, PageError};
use crate::run::{PageKind, Request, Run};
use crate::source::PageSource;
use alloc::alloc::{Layout, alloc, alloc_zeroed, dealloc};
use core::ptr::NonNull;

/// Sells runs that come from Rust's global allocator.
///
/// It needs no operating system beneath it, works under Miri, and any of its copies may release
/// any run. It must not stand beneath a `#[global_allocator]`. Cost: one allocator call each way.
///
/// ```
/// use pool_core::{Heap, PageSource};
/// let pages = Heap::with_granule(1 << 16).pages(1)?;
/// assert_eq!(pages.len(), 1 << 16);
/// # Ok::<(), pool_core::PageError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heap {
    /// A power of two, at least the page size.
    granule: usize,
}

impl Heap {
    /// Runs in multiples of the system's page.
    #[must_use]
    pub fn new() -> Self {
        Self { granule: crate::sys::page_size() }
    }

    /// Runs in multiples of `granule` bytes: what a machine with larger pages would give. Rounded
    /// up to a power of two and to the page size.
    #[must_use]
    pub fn with_granule(granule: usize) -> Self {
        let granule = granule.checked_next_power_of_two().unwrap_or(1 << (usize::BITS - 2));
        Self { granule: granule.max(crate::sys::page_size()) }
    }

    /// The layout of a run of `len` bytes. `release` knows the length alone, so alignment is a
    /// function of it: the largest power of two that divides it, from the granule to `MAX_ALIGN`.
    fn layout(&self, len: usize) -> Result<Layout, PageError> {
        let natural = len & len.wrapping_neg();
        let align = natural.clamp(self.granule, self.granule.max(MAX_ALIGN));
        let error = PageError::TooLarge { asked: len, align, limit: MAX_LEN };
        Layout::from_size_align(len, align).map_err(|_| error)
    }
}

/// The strongest alignment on offer; stronger ones cost allocators as much memory again.
const MAX_ALIGN: usize = 4 << 20;

impl Default for Heap {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: runs are blocks of the global allocator, which are disjoint, live until `dealloc`, and do
// not move with this value (1, 5); copies differ in nothing that `release` uses but the granule,
// which is the same in all copies of one source (2); the global allocator may be called from any
// thread (3); `alloc_zeroed` zeroes (4); no arithmetic here panics (6); `round_to` checks (11).
unsafe impl PageSource for Heap {
    fn granule(&self) -> usize {
        self.granule
    }

    fn acquire(&self, request: Request) -> Result<Run, PageError> {
        let request = request.round_to(self.granule)?;
        let limit = self.granule.max(MAX_ALIGN);
        let too_large = PageError::TooLarge { asked: request.len, align: request.align, limit };
        if request.align > limit {
            return Err(too_large);
        }
        let len = round_up(request.len, request.align).ok_or(too_large)?;
        let layout = self.layout(len)?;
        let ptr = if request.zeroed {
            // SAFETY: the layout's size is `len`, which is at least the granule.
            unsafe { alloc_zeroed(layout) }
        } else {
            // SAFETY: as above.
            unsafe { alloc(layout) }
        };
        match NonNull::new(ptr) {
            Some(ptr) => {
                Ok(Run::new(ptr, len).with_zeroed(request.zeroed).with_kind(PageKind::Heap))
            }
            None => {
                Err(OsError { call: "alloc", code: ENOMEM, asked: len, cause: Cause::Unknown }
                    .into())
            }
        }
    }

    unsafe fn release(&self, run: Run) {
        if let Ok(layout) = self.layout(run.len()) {
            // SAFETY: the run was allocated in `acquire` with the layout that its length gives,
            // and the caller gives it up.
            unsafe { dealloc(run.ptr().as_ptr(), layout) };
        }
    }
}

/// The number of "out of memory" on every Unix and in Windows' C runtime.
const ENOMEM: i32 = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_a_function_of_the_length() {
        let heap = Heap::new();
        let granule = heap.granule();
        for pages in 1..40 {
            let layout = heap.layout(pages * granule).unwrap();
            assert_eq!(layout.size(), pages * granule);
            assert!(layout.align() >= granule);
            assert_eq!(layout.size() % layout.align(), 0);
        }
        assert_eq!(heap.layout(MAX_ALIGN * 8).unwrap().align(), MAX_ALIGN);
    }
}
