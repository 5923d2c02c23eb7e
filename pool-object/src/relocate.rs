//! Owners whose blocks move when a heap is defragmented. A storage file.

use crate::block_alloc::BlockAlloc;
use crate::boxed::PoolBox;
#[cfg(any(feature = "allocator-api2", feature = "allocator-api2-04"))]
use crate::{handle::LocalHeap, small::SmallAlloc};
#[cfg(any(feature = "allocator-api2", feature = "allocator-api2-04"))]
use core::alloc::Layout;
use core::ptr::NonNull;
#[cfg(any(feature = "allocator-api2", feature = "allocator-api2-04"))]
use pool_core::PageSource;

/// Owners of a block that may move: what a defragmenter calls for each of them, after
/// [`SmallAlloc::mark_sparse`](crate::SmallAlloc::mark_sparse).
///
/// | owner | how it moves |
/// |---|---|
/// | [`PoolBox`] of a value, slice or string | bytes are copied, whatever they are: as when a value moves |
/// | `allocator_api2::vec::Vec` over `&SmallAlloc` or `LocalHeap` (features) | the same |
/// | `allocator_api2::boxed::Box<[T]>` over these, `T: Copy` | a new box, since its pointer is not to be had |
///
/// Over other allocators nothing moves.
///
/// ```
/// use pool_object::{LocalHeap, PoolBox, Relocate};
/// let heap = LocalHeap::new();
/// let new = |n: u32| PoolBox::copy_from_str_in(&format!("user:{n:09}"), heap.clone());
/// let mut keys: Vec<_> = (0..100_000).map(new).collect();
/// let mut number = 0;
/// keys.retain(|_| { number += 1; number % 16 == 0 });
/// heap.mark_sparse(75);
/// let moved = keys.iter_mut().map(Relocate::relocate).filter(|moved| *moved).count();
/// heap.trim();
/// assert!(moved > 4000 && heap.stats().held_bytes() <= 3 << 16);
/// assert_eq!(&*keys[0], "user:000000015");
/// ```
///
/// Nothing moves that somebody looks at, or that is pinned:
///
/// ```compile_fail,E0502
/// use pool_object::{LocalHeap, PoolBox, Relocate};
/// let mut boxed = PoolBox::new_in(1, LocalHeap::new());
/// let value: &i32 = &boxed;
/// boxed.relocate();
/// assert_eq!(*value, 1);
/// ```
///
/// ```compile_fail,E0599
/// use pool_object::{LocalHeap, PoolBox, Relocate};
/// let mut pinned = PoolBox::pin_in(async { 1 }, LocalHeap::new());
/// pinned.relocate();
/// ```
pub trait Relocate {
    /// Moves the block, if it is in a span that is to be emptied and there is a better place;
    /// whether it did. The value is the same. O(bytes) if it moves, else O(1).
    fn relocate(&mut self) -> bool;
}

impl<T: Relocate> Relocate for Option<T> {
    fn relocate(&mut self) -> bool {
        self.as_mut().is_some_and(T::relocate)
    }
}

impl<T, A: BlockAlloc> Relocate for PoolBox<T, A> {
    #[inline]
    fn relocate(&mut self) -> bool {
        Self::relocate_with(self, |place, _| place.cast())
    }
}

impl<T, A: BlockAlloc> Relocate for PoolBox<[T], A> {
    #[inline]
    fn relocate(&mut self) -> bool {
        Self::relocate_with(self, |place, old| {
            NonNull::slice_from_raw_parts(place.cast(), old.len())
        })
    }
}

impl<A: BlockAlloc> Relocate for PoolBox<str, A> {
    #[inline]
    fn relocate(&mut self) -> bool {
        Self::relocate_with(self, |place, old| {
            let len = (old.as_ptr() as *mut [u8]).len();
            let bytes = NonNull::slice_from_raw_parts(place, len);
            // SAFETY: not null before the cast, which keeps address and length.
            unsafe { NonNull::new_unchecked(bytes.as_ptr() as *mut str) }
        })
    }
}

/// Implements it for the collections of one version of `allocator-api2`, over one handle.
#[cfg(any(feature = "allocator-api2", feature = "allocator-api2-04"))]
macro_rules! collections {
    ($version:ident, [$($generics:tt)*] $handle:ty) => {
        impl<T, $($generics)*> Relocate for $version::vec::Vec<T, $handle> {
            fn relocate(&mut self) -> bool {
                let (len, capacity) = (self.len(), self.capacity());
                let Ok(layout) = Layout::array::<T>(capacity) else { return false };
                let Some(block) = NonNull::new(self.as_mut_ptr()) else { return false };
                if layout.size() == 0 {
                    return false;
                }
                // SAFETY: a vector with room for something has a block of its allocator for this
                // layout; its pointer is as it was handed out; if the block moves, the old pointer is
                // forgotten below.
                let place = unsafe { self.allocator().try_relocate(block.cast(), layout) };
                let Some(place) = place else { return false };
                // SAFETY: the vector that this is read from is forgotten below, so it is moved.
                let alloc = unsafe { core::ptr::read(self.allocator()) };
                let first = place.cast::<T>().as_ptr();
                // SAFETY: a block of this allocator for so many elements, of which `len` were moved
                // here with it.
                let moved = unsafe { Self::from_raw_parts_in(first, len, capacity, alloc) };
                core::mem::forget(core::mem::replace(self, moved));
                true
            }
        }

        impl<T: Copy, $($generics)*> Relocate for $version::boxed::Box<[T], $handle> {
            fn relocate(&mut self) -> bool {
                let (layout, old) = (Layout::for_value(&**self), self.as_ptr());
                let alloc = $version::boxed::Box::allocator(self).clone();
                if layout.size() == 0 || !alloc.is_sparse(old, layout) {
                    return false;
                }
                let mut copy = $version::vec::Vec::new_in(alloc.clone());
                if !alloc.prefer_better_place(layout) || copy.try_reserve_exact(self.len()).is_err()
                {
                    return false;
                }
                copy.extend_from_slice(self);
                *self = copy.into_boxed_slice();
                alloc.expel(old.addr(), layout);
                true
            }
        }
    };
}

/// For both handles on a heap for one thread.
#[cfg(any(feature = "allocator-api2", feature = "allocator-api2-04"))]
macro_rules! handles {
    ($version:ident) => {
        collections!($version, [S: PageSource] &SmallAlloc<S>);
        collections!($version, [S: PageSource] LocalHeap<S>);
    };
}

#[cfg(feature = "allocator-api2")]
handles!(allocator_api2);
#[cfg(feature = "allocator-api2-04")]
handles!(allocator_api2_04);
