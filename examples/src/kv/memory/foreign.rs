//! Other allocators: mimalloc, jemalloc, and pages out of any of them. A storage file.

#[cfg(any(feature = "mimalloc", feature = "jemalloc"))]
use allocator_api2::alloc::AllocError;
use allocator_api2::alloc::Allocator;
use pool_core::{Cause, OsError, PageError, PageKind, PageSource, Request, Run};
use std::alloc::Layout;
#[cfg(any(feature = "mimalloc", feature = "jemalloc"))]
use std::ptr::NonNull;

/// mimalloc, with a heap for each thread.
#[cfg(feature = "mimalloc")]
#[derive(Clone, Copy, Debug, Default)]
pub struct Mimalloc;

/// jemalloc, with a cache for each thread.
#[cfg(feature = "jemalloc")]
#[derive(Clone, Copy, Debug, Default)]
pub struct Jemalloc;

/// What an allocator returned, as a block.
#[cfg(any(feature = "mimalloc", feature = "jemalloc"))]
fn block(start: *mut std::ffi::c_void, len: usize) -> Result<NonNull<[u8]>, AllocError> {
    let start = NonNull::new(start.cast::<u8>()).ok_or(AllocError)?;
    Ok(NonNull::slice_from_raw_parts(start, len))
}

#[cfg(feature = "mimalloc")]
// SAFETY: blocks of mimalloc are valid and disjoint until `mi_free`, from any thread; all values of the
// type are the same allocator. `mi_malloc_aligned` keeps to sizes and alignments that `Layout` has.
unsafe impl Allocator for Mimalloc {
    #[inline]
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: any size, and an alignment that is a power of two.
        let start = unsafe { libmimalloc_sys::mi_malloc_aligned(size, align) };
        block(start, size)
    }

    #[inline]
    unsafe fn deallocate(&self, start: NonNull<u8>, _: Layout) {
        // SAFETY: the caller gives up a block that came from `allocate`.
        unsafe { libmimalloc_sys::mi_free(start.as_ptr().cast()) };
    }
}

/// The alignment in the form that jemalloc's calls take.
#[cfg(feature = "jemalloc")]
fn flags(layout: Layout) -> std::ffi::c_int {
    let (align, size) = (layout.align(), layout.size());
    // Up to 16 bytes it aligns by itself, unless the block is shorter.
    if align <= 16 && align <= size { 0 } else { tikv_jemalloc_sys::MALLOCX_ALIGN(align) }
}

#[cfg(feature = "jemalloc")]
// SAFETY: blocks of jemalloc are valid and disjoint until `sdallocx`, from any thread; all values of the
// type are the same allocator. A size of 0 is asked for as 1, here and there.
unsafe impl Allocator for Jemalloc {
    #[inline]
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the size is not 0.
        let start = unsafe { tikv_jemalloc_sys::mallocx(layout.size().max(1), flags(layout)) };
        block(start, layout.size())
    }

    #[inline]
    unsafe fn deallocate(&self, start: NonNull<u8>, layout: Layout) {
        let (size, flags) = (layout.size().max(1), flags(layout));
        // SAFETY: the caller gives up a block that came from `allocate` with this layout.
        unsafe { tikv_jemalloc_sys::sdallocx(start.as_ptr().cast(), size, flags) };
    }
}

/// What both have in common as memory for data.
#[cfg(any(feature = "mimalloc", feature = "jemalloc"))]
macro_rules! data {
    ($allocator:ident, $name:literal) => {
        impl crate::kv::memory::Data for $allocator {
            /// Their classes are a little apart; this is the least of what they take.
            #[inline]
            fn block(len: usize) -> usize {
                len.saturating_add(7) & !7
            }

            fn trim(&self) {}

            fn observe(&self, _: &mut dyn FnMut(&str, u64)) {}
        }

        impl super::plain::Named for $allocator {
            const NAME: &'static str = $name;
        }
    };
}

#[cfg(feature = "mimalloc")]
data!(Mimalloc, "mimalloc");
#[cfg(feature = "jemalloc")]
data!(Jemalloc, "jemalloc");

/// Pages out of an allocator.
#[derive(Clone, Debug, Default)]
pub struct BlockPages<A>(pub A);

/// Bytes that runs are multiples of and aligned to, on machines with larger pages too: nobody maps them.
const GRANULE: usize = 64 << 10;

// SAFETY: runs are blocks of the allocator: disjoint, and live until they are given back to it or to its
// clone (1, 2, 5); which thread may do that is told by the allocator's own `Send` and `Sync` (3). The other
// clauses are kept where their numbers stand; nothing here panics (6).
unsafe impl<A: Allocator + Clone> PageSource for BlockPages<A> {
    fn granule(&self) -> usize {
        GRANULE
    }

    fn acquire(&self, request: Request) -> Result<Run, PageError> {
        // Checks sizes (11).
        let request = request.round_to(GRANULE)?;
        let Request { len, align, zeroed, .. } = request;
        let too_large = PageError::TooLarge { asked: len, align, limit: GRANULE };
        let layout = Layout::from_size_align(len, GRANULE).map_err(|_| too_large)?;
        if align > GRANULE {
            return Err(too_large);
        }
        // Zeroed when that is asked for (4).
        let acquired =
            if zeroed { self.0.allocate_zeroed(layout) } else { self.0.allocate(layout) };
        let none = |_| OsError { call: "alloc", code: 12, asked: len, cause: Cause::Unknown };
        let start = acquired.map_err(none)?.cast::<u8>();
        Ok(Run::new(start, len).with_zeroed(zeroed).with_kind(PageKind::Heap))
    }

    unsafe fn release(&self, run: Run) {
        // The layout follows from the length (8).
        if let Ok(layout) = Layout::from_size_align(run.len(), GRANULE) {
            // SAFETY: the caller gives up a run that came from `acquire`, with this layout.
            unsafe { self.0.deallocate(run.ptr(), layout) };
        }
    }
}
