//! How `SmallAlloc` is held: by reference, or by `LocalHeap`. A storage file.

use crate::block_alloc::BlockAlloc;
use crate::error::AllocError;
#[cfg(feature = "alloc")]
use crate::small::DefaultSource;
use crate::small::SmallAlloc;
#[cfg(feature = "alloc")]
use alloc::rc::Rc;
use core::alloc::Layout;
#[cfg(feature = "alloc")]
use core::ops::Deref;
use core::ptr::NonNull;
use pool_core::PageSource;

// SAFETY: blocks come from the heap's spans and runs: valid, aligned and disjoint until they are
// deallocated, or the heap is dropped or cleared, for which nobody may borrow it. It is not `Clone`,
// spans do not move with it, and no page source unwinds.
unsafe impl<S: PageSource> BlockAlloc for SmallAlloc<S> {
    #[inline(always)]
    fn try_allocate(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        self.try_allocate(layout)
    }

    #[inline(always)]
    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise, the same as is asked for here.
        unsafe { self.deallocate(block, layout) };
    }

    #[inline]
    fn try_allocate_zeroed(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        self.try_allocate_zeroed(layout)
    }

    #[inline]
    unsafe fn try_relayout(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<u8>, AllocError> {
        // SAFETY: the caller's promise, the same as is asked for here.
        unsafe { self.try_relayout(block, old, new) }
    }

    #[inline]
    unsafe fn try_relocate(&self, block: NonNull<u8>, layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: the caller's promise, the same as is asked for here.
        unsafe { self.try_relocate(block, layout) }
    }
}

/// An owned handle on a [`SmallAlloc`]: for structures that keep their heap, and for vectors and
/// boxes without a lifetime. All clones are the same heap, which goes with the last of them.
///
/// ```
/// use pool_object::{LocalHeap, PoolBox};
/// let heap = LocalHeap::new();
/// let boxed = PoolBox::new_in([1, 2, 3], heap.clone());
/// drop(heap);
/// assert_eq!(boxed[1], 2); // the box keeps the heap
/// ```
///
/// It stays on its thread, and so does what lies in it:
///
/// ```compile_fail,E0277
/// use pool_object::{LocalHeap, PoolBox};
/// let boxed = PoolBox::new_in(1, LocalHeap::new());
/// std::thread::spawn(move || assert_eq!(*boxed, 1));
/// ```
///
/// Nobody can take the heap out from under the others:
///
/// ```compile_fail,E0596
/// let mut heap = pool_object::LocalHeap::new();
/// heap.clear();
/// ```
#[cfg(feature = "alloc")]
#[derive(Debug)]
pub struct LocalHeap<S: PageSource = DefaultSource>(Rc<SmallAlloc<S>>);

#[cfg(all(feature = "std", not(loom)))]
impl LocalHeap {
    /// A heap over the process-wide source.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

#[cfg(all(feature = "std", not(loom)))]
impl Default for LocalHeap {
    fn default() -> Self {
        Self::from(SmallAlloc::new())
    }
}

#[cfg(feature = "alloc")]
impl<S: PageSource> LocalHeap<S> {
    /// A heap over `source`.
    #[must_use]
    pub fn new_in(source: S) -> Self {
        Self::from(SmallAlloc::new_in(source))
    }
}

#[cfg(feature = "alloc")]
impl<S: PageSource> From<SmallAlloc<S>> for LocalHeap<S> {
    fn from(heap: SmallAlloc<S>) -> Self {
        Self(Rc::new(heap))
    }
}

#[cfg(feature = "alloc")]
impl<S: PageSource> Clone for LocalHeap<S> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

#[cfg(feature = "alloc")]
impl<S: PageSource> Deref for LocalHeap<S> {
    type Target = SmallAlloc<S>;

    #[inline(always)]
    fn deref(&self) -> &SmallAlloc<S> {
        &self.0
    }
}

// SAFETY: every call goes to one and the same heap, which the handle keeps alive, and which nobody
// can borrow exclusively: no method gives the `Rc` out.
#[cfg(feature = "alloc")]
unsafe impl<S: PageSource> BlockAlloc for LocalHeap<S> {
    #[inline(always)]
    fn try_allocate(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        self.0.try_allocate(layout)
    }

    #[inline(always)]
    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise, about the same heap.
        unsafe { self.0.deallocate(block, layout) };
    }

    #[inline]
    fn try_allocate_zeroed(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        self.0.try_allocate_zeroed(layout)
    }

    #[inline]
    unsafe fn try_relayout(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<u8>, AllocError> {
        // SAFETY: the caller's promise, about the same heap.
        unsafe { self.0.try_relayout(block, old, new) }
    }

    #[inline]
    unsafe fn try_relocate(&self, block: NonNull<u8>, layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: the caller's promise, about the same heap.
        unsafe { self.0.try_relocate(block, layout) }
    }
}
