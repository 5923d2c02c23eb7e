//! How `SharedAlloc` is held: by reference, by `SharedHeap`, or as the process-wide heap. A storage
//! file.

use super::SharedAlloc;
use crate::block_alloc::BlockAlloc;
use crate::error::AllocError;
use crate::global_alloc::GlobalHeap;
use alloc::sync::Arc;
use core::alloc::Layout;
use core::ops::Deref;
use core::ptr::NonNull;
use pool_core::{Global, PageSource};

/// Passes the calls of `BlockAlloc` on to a heap.
macro_rules! forward {
    ([$($generics:tt)*] $handle:ty, $this:ident => $heap:expr) => {
        // SAFETY: every call goes to one and the same heap, whose blocks come from its spans and
        // runs: valid, aligned and disjoint until they are deallocated or the heap is dropped. For
        // that nobody may borrow it (`SharedAlloc`, which is not `Clone`, and whose spans do not move
        // with it); or the last handle has to go (`SharedHeap`, which does not give its `Arc` out);
        // or it never is (`GlobalHeap`). No page source unwinds.
        unsafe impl<$($generics)*> BlockAlloc for $handle {
            #[inline(always)]
            fn try_allocate(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
                let $this = self;
                $heap.try_allocate(layout)
            }

            #[inline(always)]
            unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
                let $this = self;
                // SAFETY: the caller's promise, the same as is asked for here.
                unsafe { $heap.deallocate(block, layout) };
            }

            #[inline]
            fn try_allocate_zeroed(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
                let $this = self;
                $heap.try_allocate_zeroed(layout)
            }

            #[inline]
            unsafe fn try_relayout(
                &self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<u8>, AllocError> {
                let $this = self;
                // SAFETY: the caller's promise, the same as is asked for here.
                unsafe { $heap.try_relayout(block, old, new) }
            }
        }
    };
}

forward!([S: PageSource] SharedAlloc<S>, this => this);
forward!([S: PageSource] SharedHeap<S>, this => this.0);
forward!([] GlobalHeap, this => (*this));

/// An owned handle on a [`SharedAlloc`]: for structures that keep their heap, and for vectors and
/// boxes without a lifetime, on any thread. All clones are the same heap, which goes with the last of
/// them.
///
/// ```
/// use pool_object::{PoolBox, SharedHeap};
/// let heap = SharedHeap::new();
/// let boxed = PoolBox::new_in([1, 2, 3], heap.clone());
/// drop(heap);
/// let sum = std::thread::spawn(move || boxed.iter().sum::<i32>()).join().unwrap();
/// assert_eq!(sum, 6); // the box kept the heap, and took it along
/// ```
///
/// What is not for other threads does not become so by lying in it:
///
/// ```compile_fail,E0277
/// use pool_object::{PoolBox, SharedHeap};
/// let boxed = PoolBox::new_in(std::rc::Rc::new(1), SharedHeap::new());
/// std::thread::spawn(move || assert_eq!(**boxed, 1));
/// ```
#[derive(Debug)]
pub struct SharedHeap<S: PageSource = Global>(Arc<SharedAlloc<S>>);

impl SharedHeap {
    /// A heap over the process-wide source.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Default for SharedHeap {
    fn default() -> Self {
        Self::from(SharedAlloc::new())
    }
}

impl<S: PageSource> SharedHeap<S> {
    /// A heap over `source`.
    #[must_use]
    pub fn new_in(source: S) -> Self
    where
        S: 'static,
    {
        Self::from(SharedAlloc::new_in(source))
    }
}

impl<S: PageSource> From<SharedAlloc<S>> for SharedHeap<S> {
    fn from(heap: SharedAlloc<S>) -> Self {
        Self(Arc::new(heap))
    }
}

impl<S: PageSource> Clone for SharedHeap<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: PageSource> Deref for SharedHeap<S> {
    type Target = SharedAlloc<S>;

    #[inline(always)]
    fn deref(&self) -> &SharedAlloc<S> {
        &self.0
    }
}
