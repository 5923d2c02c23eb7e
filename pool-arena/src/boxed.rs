//! `ArenaBox`: a value in the arena that is dropped early, by its owner.

use crate::arena::Arena;
use crate::error::{AllocError, refuse};
use crate::shared::SyncArena;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use core::pin::Pin;
use core::ptr::NonNull;
use core::{fmt, hash};
use pool_core::PageSource;

/// Owns a value that lies in an arena, and drops it when it goes out of scope; the memory stays
/// with the arena. The value may borrow: it is dropped while the arena is still borrowed.
///
/// ```
/// use pool_arena::{Arena, ArenaBox};
/// let arena = Arena::new();
/// let text = arena.alloc_box(String::from("dropped early"));
/// assert_eq!(text.len(), 13);
/// drop(text); // frees the string's own buffer
/// ```
///
/// It is one pointer long and holds no arena, so it is `Send` and `Sync` if the value is. (A
/// box that gives its memory back is `allocator_api2::boxed::Box<T, &Arena>`.)
///
/// ```
/// let arena = pool_arena::SyncArena::new();
/// let text = arena.alloc_box(String::from("dropped there"));
/// std::thread::scope(|scope| {
///     scope.spawn(move || assert_eq!(text.len(), 13));
/// });
/// ```
pub struct ArenaBox<'a, T: ?Sized> {
    /// Initialised, in an arena that is borrowed during `'a`, and nobody else's.
    ptr: NonNull<T>,
    marker: PhantomData<(&'a (), T)>,
}

// SAFETY: it owns the value as a `Box` does, and touches nothing else.
unsafe impl<T: ?Sized + Send> Send for ArenaBox<'_, T> {}
// SAFETY: `&ArenaBox` gives `&T` and nothing else.
unsafe impl<T: ?Sized + Sync> Sync for ArenaBox<'_, T> {}

macro_rules! boxes {
    ($arena:ident) => {
        impl<S: PageSource> $arena<S> {
            /// Moves `value` into the arena, under an owner that drops it.
            ///
            /// # Panics
            /// If no memory can be had.
            #[inline]
            pub fn alloc_box<'a, T: 'a>(&'a self, value: T) -> ArenaBox<'a, T> {
                ArenaBox::of(self.alloc(value))
            }

            /// As [`alloc_box`](Self::alloc_box).
            ///
            /// # Errors
            /// If no memory can be had; the value is dropped.
            #[inline]
            pub fn try_alloc_box<'a, T: 'a>(
                &'a self,
                value: T,
            ) -> Result<ArenaBox<'a, T>, AllocError> {
                Ok(ArenaBox::of(self.try_alloc(value)?))
            }

            /// Moves what `iter` yields into the arena, under an owner that drops it, as
            /// [`alloc_slice_fill_iter`](Self::alloc_slice_fill_iter).
            ///
            /// # Panics
            /// If no memory can be had, or the iterator does.
            ///
            /// ```
            #[doc = new!($arena)]
            /// let words = arena.alloc_box_slice(["a", "b"].iter().map(|word| word.to_string()));
            /// assert_eq!(words.concat(), "ab");
            /// ```
            pub fn alloc_box_slice<'a, T, I>(&'a self, iter: I) -> ArenaBox<'a, [T]>
            where
                T: 'a,
                I: IntoIterator<Item = T>,
                I::IntoIter: ExactSizeIterator,
            {
                self.try_alloc_box_slice(iter).unwrap_or_else(|error| refuse(error))
            }

            /// As [`alloc_box_slice`](Self::alloc_box_slice).
            ///
            /// # Errors
            /// If no memory can be had.
            pub fn try_alloc_box_slice<'a, T, I>(
                &'a self,
                iter: I,
            ) -> Result<ArenaBox<'a, [T]>, AllocError>
            where
                T: 'a,
                I: IntoIterator<Item = T>,
                I::IntoIter: ExactSizeIterator,
            {
                Ok(ArenaBox::of(self.try_alloc_slice_fill_iter(iter)?))
            }
        }
    };
}

boxes!(Arena);
boxes!(SyncArena);

impl<'a, T: ?Sized> ArenaBox<'a, T> {
    /// Takes over a value that nobody else will use or drop: `value` is exclusive during `'a`, and
    /// comes fresh from an arena.
    pub(crate) fn of(value: &'a mut T) -> Self {
        Self { ptr: NonNull::from(value), marker: PhantomData }
    }

    /// Gives the ownership up: the value is never dropped.
    #[inline]
    #[allow(clippy::must_use_candidate, reason = "may be called to forget the value")]
    pub fn into_mut(boxed: Self) -> &'a mut T {
        let boxed = ManuallyDrop::new(boxed);
        // SAFETY: initialised, exclusive, and in memory that lives during `'a`.
        unsafe { &mut *boxed.ptr.as_ptr() }
    }

    /// As [`into_mut`](Self::into_mut), under its usual name.
    #[inline]
    #[allow(clippy::must_use_candidate, reason = "may be called to forget the value")]
    pub fn leak(boxed: Self) -> &'a mut T {
        Self::into_mut(boxed)
    }

    /// For [`unsize_box!`](crate::unsize_box): the value's address, and its lifetime, which the
    /// compiler can neither lengthen nor shorten.
    #[doc(hidden)]
    #[inline]
    #[must_use]
    pub fn into_parts(boxed: Self) -> (*mut T, Lifetime<'a>) {
        let boxed = ManuallyDrop::new(boxed);
        (boxed.ptr.as_ptr(), Lifetime(PhantomData))
    }

    /// For [`unsize_box!`](crate::unsize_box): a box of these parts.
    ///
    /// # Safety
    /// They are those of one [`into_parts`](Self::into_parts), the address as it was or after an
    /// unsizing coercion, and are used once.
    #[doc(hidden)]
    #[inline]
    pub unsafe fn from_parts(ptr: *mut T, _: Lifetime<'a>) -> Self {
        // SAFETY: the address of a value, as the caller promises.
        Self { ptr: unsafe { NonNull::new_unchecked(ptr) }, marker: PhantomData }
    }
}

/// An invariant lifetime; see [`ArenaBox::into_parts`].
#[doc(hidden)]
pub struct Lifetime<'a>(PhantomData<fn(&'a ()) -> &'a ()>);

impl<T> ArenaBox<'_, T> {
    /// Moves the value out.
    #[inline]
    #[must_use]
    pub fn into_inner(boxed: Self) -> T {
        let boxed = ManuallyDrop::new(boxed);
        // SAFETY: initialised, ours, and the box is not dropped.
        unsafe { boxed.ptr.read() }
    }
}

impl<T: ?Sized> Drop for ArenaBox<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: initialised, ours, and dropped once.
        unsafe { self.ptr.drop_in_place() };
    }
}

impl<T: ?Sized> Deref for ArenaBox<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: initialised, and only lent as the box is borrowed.
        unsafe { self.ptr.as_ref() }
    }
}

impl<T: ?Sized> DerefMut for ArenaBox<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: initialised, and only lent as the box is borrowed.
        unsafe { self.ptr.as_mut() }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for ArenaBox<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for ArenaBox<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + PartialEq> PartialEq for ArenaBox<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: ?Sized + Eq> Eq for ArenaBox<'_, T> {}

impl<T: ?Sized + hash::Hash> hash::Hash for ArenaBox<'_, T> {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl<T: ?Sized> AsRef<T> for ArenaBox<'_, T> {
    fn as_ref(&self) -> &T {
        self
    }
}

impl<I: ?Sized + Iterator> Iterator for ArenaBox<'_, I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        (**self).next()
    }
}

impl<F: ?Sized + core::future::Future + Unpin> core::future::Future for ArenaBox<'_, F> {
    type Output = F::Output;

    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut core::task::Context<'_>,
    ) -> core::task::Poll<F::Output> {
        Pin::new(&mut **self).poll(context)
    }
}

/// Turns an [`ArenaBox`] of a value into one of a trait object or a slice: what `Box` does by
/// itself, and other types may not do in stable Rust.
///
/// ```
/// #![forbid(unsafe_code)]
/// use pool_arena::{Arena, ArenaBox, unsize_box};
/// let arena = Arena::new();
/// let shown: ArenaBox<dyn std::fmt::Display> = unsize_box!(arena.alloc_box(7) => dyn std::fmt::Display);
/// assert_eq!(shown.to_string(), "7");
/// let slice = unsize_box!(arena.alloc_box([1, 2]) => [i32]);
/// assert_eq!(slice.len(), 2);
/// ```
///
/// The value stays the same: it is not dereferenced, to something that has another owner.
///
/// ```compile_fail,E0308
/// use pool_arena::{Arena, unsize_box};
/// let arena = Arena::new();
/// let mut text = String::from("mine");
/// let owned = unsize_box!(arena.alloc_box(&mut text) => String);
/// ```
#[macro_export]
macro_rules! unsize_box {
    ($boxed:expr => $to:ty) => {{
        let (value, lifetime) = $crate::ArenaBox::into_parts($boxed);
        // A pointer coerces by unsizing only, where a reference would also be dereferenced: to
        // something that the value refers to, or that is inside of it.
        let value: *mut $to = value;
        // SAFETY: the parts of this one box, unsized.
        unsafe { $crate::ArenaBox::from_parts(value, lifetime) }
    }};
}
