//! `PoolBox`: a value in a block of its own. A storage file.

mod slice;

use crate::block_alloc::BlockAlloc;
use crate::error::{AllocError, refuse};
use core::alloc::Layout;
use core::borrow::Borrow;
use core::cmp::Ordering;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use core::pin::Pin;
use core::ptr::NonNull;
use core::{fmt, hash};

/// Owns a value in a block of an allocator: `Box` with a heap that the program chose, and Loki's
/// `SmallObject` without a base class.
///
/// ```
/// use pool_object::{PoolBox, SmallAlloc};
/// let heap = SmallAlloc::new();
/// let mut boxed = PoolBox::new_in(41, &heap);
/// *boxed += 1;
/// assert_eq!(PoolBox::into_inner(boxed), 42);
/// ```
///
/// It borrows the heap, which therefore outlives it:
///
/// ```compile_fail,E0597
/// use pool_object::{PoolBox, SmallAlloc};
/// let boxed = {
///     let heap = SmallAlloc::new();
///     PoolBox::new_in(1, &heap)
/// };
/// drop(boxed);
/// ```
///
/// or owns a handle, [`LocalHeap`](crate::LocalHeap). One that holds `&SmallAlloc` is two pointers long
/// and stays on its thread.
///
/// Slices and strings are boxed with one allocation and one copy:
///
/// ```
/// use pool_object::{PoolBox, SmallAlloc};
/// let heap = SmallAlloc::new();
/// let key = PoolBox::copy_from_slice_in(b"user:1001", &heap);
/// let name = PoolBox::copy_from_str_in("Ada", &heap);
/// let squares = PoolBox::from_iter_in((1..5).map(|n| n * n), &heap);
/// assert_eq!((&*key, &*name, &*squares), (&b"user:1001"[..], "Ada", &[1, 4, 9, 16][..]));
/// ```
///
/// Trait objects: take the box apart, let the pointer coerce, and put it together again; or
/// `allocator_api2::boxed::Box<_, &SmallAlloc>`.
pub struct PoolBox<T: ?Sized, A: BlockAlloc> {
    /// A block of `alloc` for the layout of the value, with the provenance it was handed out with;
    /// initialised, and nobody else's.
    value: NonNull<T>,
    alloc: ManuallyDrop<A>,
    marker: PhantomData<T>,
}

// SAFETY: it owns the value, as a `Box` does, and the handle; nothing else is reached through it.
unsafe impl<T: ?Sized + Send, A: BlockAlloc + Send> Send for PoolBox<T, A> {}
// SAFETY: `&PoolBox` gives `&T`, and to `clone` the handle.
unsafe impl<T: ?Sized + Sync, A: BlockAlloc + Sync> Sync for PoolBox<T, A> {}

/// The value stays where it is when the box moves: so a pinned box may, as a pinned `Box` may.
impl<T: ?Sized, A: BlockAlloc> Unpin for PoolBox<T, A> {}

/// A value that no block could be had for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct BoxError<T> {
    /// Why.
    pub error: AllocError,
    /// The value.
    pub value: T,
}

impl<T, A: BlockAlloc> PoolBox<T, A> {
    /// Moves `value` into a block of `alloc`.
    ///
    /// # Panics
    /// If no memory can be had.
    #[inline]
    pub fn new_in(value: T, alloc: A) -> Self {
        match alloc.try_allocate(Layout::new::<T>()) {
            // SAFETY: just allocated for this layout.
            Ok(block) => unsafe { Self::fill(block, value, alloc) },
            Err(error) => refuse(error),
        }
    }

    /// As [`new_in`](Self::new_in).
    ///
    /// # Errors
    /// If no memory can be had; the value comes back.
    #[inline]
    pub fn try_new_in(value: T, alloc: A) -> Result<Self, BoxError<T>> {
        match alloc.try_allocate(Layout::new::<T>()) {
            // SAFETY: just allocated for this layout.
            Ok(block) => Ok(unsafe { Self::fill(block, value, alloc) }),
            Err(error) => Err(BoxError { error, value }),
        }
    }

    /// As [`new_in`](Self::new_in), pinned.
    ///
    /// # Panics
    /// If no memory can be had.
    #[inline]
    pub fn pin_in(value: T, alloc: A) -> Pin<Self>
    where
        A: 'static,
    {
        // SAFETY: the value does not move with the box; it is dropped before its block is given
        // back; and a handle that is `'static` keeps the heap's memory even if the box is forgotten.
        unsafe { Pin::new_unchecked(Self::new_in(value, alloc)) }
    }

    /// # Safety
    /// The block was allocated from `alloc` for a `T`, and is the caller's.
    #[inline(always)]
    unsafe fn fill(block: NonNull<u8>, value: T, alloc: A) -> Self {
        let place = block.cast::<T>();
        // SAFETY: long enough, aligned, and ours.
        unsafe { place.write(value) };
        Self { value: place, alloc: ManuallyDrop::new(alloc), marker: PhantomData }
    }

    /// Moves the value out and gives the block back.
    #[inline]
    #[must_use]
    pub fn into_inner(boxed: Self) -> T {
        let (place, alloc) = Self::into_raw_parts(boxed);
        // SAFETY: initialised, ours, and not used again.
        let value = unsafe { place.read() };
        // SAFETY: a block of `alloc` for this layout, ours, and not used any more.
        unsafe { alloc.deallocate(place.cast(), Layout::new::<T>()) };
        value
    }
}

impl<T: ?Sized, A: BlockAlloc> PoolBox<T, A> {
    /// Gives up the ownership: the value is never dropped, and its block never given back by itself.
    /// An owned handle is forgotten with it, so that its heap stays.
    #[inline]
    #[allow(clippy::must_use_candidate, reason = "may be called to forget the value")]
    pub fn leak<'a>(boxed: Self) -> &'a mut T
    where
        A: 'a,
    {
        let mut boxed = ManuallyDrop::new(boxed);
        // SAFETY: initialised and exclusive. The handle lives during `'a` and is never dropped, so
        // the block stays.
        unsafe { boxed.value.as_mut() }
    }

    /// The block and the handle, to be given back by hand or put together again.
    #[inline]
    #[must_use = "the value is leaked otherwise"]
    pub fn into_raw_parts(boxed: Self) -> (NonNull<T>, A) {
        let mut boxed = ManuallyDrop::new(boxed);
        // SAFETY: the box is not used again, so the handle is taken once.
        let alloc = unsafe { ManuallyDrop::take(&mut boxed.alloc) };
        (boxed.value, alloc)
    }

    /// A box of a value that was taken apart, or put into a block by hand.
    ///
    /// # Safety
    /// `value` is a block of `alloc` for the layout of that `T`, as [`BlockAlloc::deallocate`] asks for
    /// it, initialised, and the caller gives it up.
    #[inline]
    pub const unsafe fn from_raw_parts(value: NonNull<T>, alloc: A) -> Self {
        Self { value, alloc: ManuallyDrop::new(alloc), marker: PhantomData }
    }
}

impl<T: ?Sized, A: BlockAlloc> PoolBox<T, A> {
    /// Moves the value if its allocator wants that: see [`Relocate`](crate::Relocate). `rebuild` makes a
    /// pointer to it out of its new place and the old pointer.
    #[inline]
    pub(crate) fn relocate_with(
        boxed: &mut Self,
        rebuild: impl FnOnce(NonNull<u8>, NonNull<T>) -> NonNull<T>,
    ) -> bool {
        let layout = Layout::for_value(&**boxed);
        // SAFETY: by the field's invariant a live block of `alloc` for this layout, which nobody else
        // knows: the box is borrowed exclusively, and its field is overwritten if it moves.
        let moved = unsafe { boxed.alloc.try_relocate(boxed.value.cast(), layout) };
        if let Some(place) = moved {
            boxed.value = rebuild(place, boxed.value);
        }
        moved.is_some()
    }
}

/// Gives a block back, and its handle, when dropped: also if the value's own drop panics.
struct GiveBack<'a, T: ?Sized, A: BlockAlloc>(&'a mut PoolBox<T, A>, Layout);

impl<T: ?Sized, A: BlockAlloc> Drop for GiveBack<'_, T, A> {
    #[inline]
    fn drop(&mut self) {
        let block = self.0.value.cast();
        // SAFETY: by the field's invariant a block of `alloc` for this layout; its value is dropped.
        unsafe { self.0.alloc.deallocate(block, self.1) };
        // SAFETY: the box is being dropped, so nobody uses the handle after this.
        unsafe { ManuallyDrop::drop(&mut self.0.alloc) };
    }
}

impl<T: ?Sized, A: BlockAlloc> Drop for PoolBox<T, A> {
    #[inline]
    fn drop(&mut self) {
        let (value, layout) = (self.value, Layout::for_value(&**self));
        let _guard = GiveBack(self, layout);
        // SAFETY: initialised, ours, and dropped once.
        unsafe { value.drop_in_place() };
    }
}

impl<T: ?Sized, A: BlockAlloc> Deref for PoolBox<T, A> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: initialised, and only lent as the box is borrowed.
        unsafe { self.value.as_ref() }
    }
}

impl<T: ?Sized, A: BlockAlloc> DerefMut for PoolBox<T, A> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: initialised, and only lent as the box is borrowed.
        unsafe { self.value.as_mut() }
    }
}

impl<T: Clone, A: BlockAlloc + Clone> Clone for PoolBox<T, A> {
    /// A box of a clone of the value, from the same heap. Panics if no memory can be had.
    fn clone(&self) -> Self {
        Self::new_in((**self).clone(), A::clone(&self.alloc))
    }
}

impl<T: ?Sized, A: BlockAlloc> AsRef<T> for PoolBox<T, A> {
    fn as_ref(&self) -> &T {
        self
    }
}

impl<T: ?Sized, A: BlockAlloc> AsMut<T> for PoolBox<T, A> {
    fn as_mut(&mut self) -> &mut T {
        self
    }
}

/// So that a map with boxed keys is asked by `&str` or `&[u8]`.
impl<T: ?Sized, A: BlockAlloc> Borrow<T> for PoolBox<T, A> {
    fn borrow(&self) -> &T {
        self
    }
}

impl<T: ?Sized + fmt::Debug, A: BlockAlloc> fmt::Debug for PoolBox<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display, A: BlockAlloc> fmt::Display for PoolBox<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + PartialEq, A: BlockAlloc, B: BlockAlloc> PartialEq<PoolBox<T, B>>
    for PoolBox<T, A>
{
    fn eq(&self, other: &PoolBox<T, B>) -> bool {
        **self == **other
    }
}

impl<T: ?Sized + Eq, A: BlockAlloc> Eq for PoolBox<T, A> {}

impl<T: ?Sized + PartialOrd, A: BlockAlloc, B: BlockAlloc> PartialOrd<PoolBox<T, B>>
    for PoolBox<T, A>
{
    fn partial_cmp(&self, other: &PoolBox<T, B>) -> Option<Ordering> {
        (**self).partial_cmp(&**other)
    }
}

impl<T: ?Sized + Ord, A: BlockAlloc> Ord for PoolBox<T, A> {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl<T: ?Sized + hash::Hash, A: BlockAlloc> hash::Hash for PoolBox<T, A> {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}
