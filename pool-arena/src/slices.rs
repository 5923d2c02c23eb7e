//! Slices, in all the ways to fill them: methods that both arenas have.

use crate::arena::Arena;
use crate::error::{AllocError, AllocOrInitError, only_alloc, only_init, refuse};
use crate::filling::{copy_to, fill, fill_iter};
use crate::shared::SyncArena;
use core::alloc::Layout;
use pool_core::PageSource;

macro_rules! slices {
    ($arena:ident, $memory:literal) => {
        /// # Slices
        ///
        /// None of the items are dropped by the arena. Where filling stops early, by an error or a panic,
        /// the items made so far are dropped (bumpalo forgets them).
        #[doc = $memory]
        #[allow(clippy::mut_from_ref, reason = "every call lends other memory")]
        impl<S: PageSource> $arena<S> {
            /// Copies a slice.
            ///
            /// # Panics
            /// If no memory can be had.
            ///
            /// ```
            #[doc = new!($arena)]
            /// assert_eq!(arena.alloc_slice_copy(&[1, 2, 3]), &[1, 2, 3]);
            /// ```
            #[inline(always)]
            pub fn alloc_slice_copy<T: Copy>(&self, src: &[T]) -> &mut [T] {
                self.copied(src)
            }

            /// As [`alloc_slice_copy`](Self::alloc_slice_copy).
            ///
            /// # Errors
            /// If no memory can be had.
            #[inline(always)]
            pub fn try_alloc_slice_copy<T: Copy>(&self, src: &[T]) -> Result<&mut [T], AllocError> {
                let place = self.try_place(Layout::for_value(src))?.cast();
                // SAFETY: placed with the layout of `src`.
                Ok(unsafe { copy_to(src, place) })
            }

            /// Clones a slice, item by item.
            ///
            /// # Panics
            /// If no memory can be had, or `clone` does.
            ///
            /// ```
            #[doc = new!($arena)]
            /// let words = arena.alloc_slice_clone(&["a".to_string(), "b".to_string()]);
            /// assert_eq!(words[1], "b");
            /// # for word in words { drop(std::mem::take(word)) }
            /// ```
            #[inline(always)]
            pub fn alloc_slice_clone<T: Clone>(&self, src: &[T]) -> &mut [T] {
                self.try_alloc_slice_clone(src).unwrap_or_else(|error| refuse(error))
            }

            /// As [`alloc_slice_clone`](Self::alloc_slice_clone).
            ///
            /// # Errors
            /// If no memory can be had.
            #[inline(always)]
            pub fn try_alloc_slice_clone<T: Clone>(
                &self,
                src: &[T],
            ) -> Result<&mut [T], AllocError> {
                self.try_alloc_slice_fill_with(src.len(), |index| src[index].clone())
            }

            /// A slice of `len` items, made by `f` from their indices.
            ///
            /// # Panics
            /// If no memory can be had, or `f` does.
            ///
            /// ```
            #[doc = new!($arena)]
            /// assert_eq!(arena.alloc_slice_fill_with(4, |i| i * i), &[0, 1, 4, 9]);
            /// ```
            #[inline(always)]
            pub fn alloc_slice_fill_with<T, F>(&self, len: usize, f: F) -> &mut [T]
            where
                F: FnMut(usize) -> T,
            {
                self.try_alloc_slice_fill_with(len, f).unwrap_or_else(|error| refuse(error))
            }

            /// As [`alloc_slice_fill_with`](Self::alloc_slice_fill_with).
            ///
            /// # Errors
            /// If no memory can be had.
            #[inline(always)]
            pub fn try_alloc_slice_fill_with<T, F>(
                &self,
                len: usize,
                mut f: F,
            ) -> Result<&mut [T], AllocError>
            where
                F: FnMut(usize) -> T,
            {
                fill(self, len, |index| Ok(f(index))).map_err(only_alloc)
            }

            /// A slice of `len` items, made by `f` from their indices, if it makes them all.
            ///
            /// # Errors
            /// The first that `f` returns.
            ///
            /// # Panics
            /// If no memory can be had, or `f` does.
            ///
            /// ```
            #[doc = new!($arena)]
            /// let result = arena.alloc_slice_try_fill_with(9, |i| if i < 5 { Ok(i) } else { Err(i) });
            /// assert_eq!(result, Err(5));
            /// ```
            #[inline(always)]
            pub fn alloc_slice_try_fill_with<T, F, E>(
                &self,
                len: usize,
                f: F,
            ) -> Result<&mut [T], E>
            where
                F: FnMut(usize) -> Result<T, E>,
            {
                fill(self, len, f).map_err(only_init)
            }

            /// As [`alloc_slice_try_fill_with`](Self::alloc_slice_try_fill_with).
            ///
            /// # Errors
            /// The first that `f` returns, or that no memory can be had.
            #[inline(always)]
            pub fn try_alloc_slice_try_fill_with<T, F, E>(
                &self,
                len: usize,
                f: F,
            ) -> Result<&mut [T], AllocOrInitError<E>>
            where
                F: FnMut(usize) -> Result<T, E>,
            {
                fill(self, len, f)
            }

            /// A slice of `len` copies of `value`.
            ///
            /// # Panics
            /// If no memory can be had.
            #[inline(always)]
            pub fn alloc_slice_fill_copy<T: Copy>(&self, len: usize, value: T) -> &mut [T] {
                self.alloc_slice_fill_with(len, |_| value)
            }

            /// As [`alloc_slice_fill_copy`](Self::alloc_slice_fill_copy).
            ///
            /// # Errors
            /// If no memory can be had.
            #[inline(always)]
            pub fn try_alloc_slice_fill_copy<T: Copy>(
                &self,
                len: usize,
                value: T,
            ) -> Result<&mut [T], AllocError> {
                self.try_alloc_slice_fill_with(len, |_| value)
            }

            /// A slice of `len` clones of `value`.
            ///
            /// # Panics
            /// If no memory can be had, or `clone` does.
            #[inline(always)]
            pub fn alloc_slice_fill_clone<T: Clone>(&self, len: usize, value: &T) -> &mut [T] {
                self.alloc_slice_fill_with(len, |_| value.clone())
            }

            /// As [`alloc_slice_fill_clone`](Self::alloc_slice_fill_clone).
            ///
            /// # Errors
            /// If no memory can be had.
            #[inline(always)]
            pub fn try_alloc_slice_fill_clone<T: Clone>(
                &self,
                len: usize,
                value: &T,
            ) -> Result<&mut [T], AllocError> {
                self.try_alloc_slice_fill_with(len, |_| value.clone())
            }

            /// A slice of `len` default values.
            ///
            /// # Panics
            /// If no memory can be had, or `default` does.
            #[inline(always)]
            pub fn alloc_slice_fill_default<T: Default>(&self, len: usize) -> &mut [T] {
                self.alloc_slice_fill_with(len, |_| T::default())
            }

            /// As [`alloc_slice_fill_default`](Self::alloc_slice_fill_default).
            ///
            /// # Errors
            /// If no memory can be had.
            #[inline(always)]
            pub fn try_alloc_slice_fill_default<T: Default>(
                &self,
                len: usize,
            ) -> Result<&mut [T], AllocError> {
                self.try_alloc_slice_fill_with(len, |_| T::default())
            }

            /// A slice of what `iter` yields. If it yields less than it announced the slice is shorter; what
            /// it yields beyond is not asked for. (bumpalo panics in the first case.)
            ///
            /// # Panics
            /// If no memory can be had, or the iterator does.
            ///
            /// ```
            #[doc = new!($arena)]
            /// let lens = arena.alloc_slice_fill_iter(["a", "bcd"].iter().map(|s| s.len()));
            /// assert_eq!(lens, &[1, 3]);
            /// ```
            #[inline(always)]
            pub fn alloc_slice_fill_iter<T, I>(&self, iter: I) -> &mut [T]
            where
                I: IntoIterator<Item = T>,
                I::IntoIter: ExactSizeIterator,
            {
                self.try_alloc_slice_fill_iter(iter).unwrap_or_else(|error| refuse(error))
            }

            /// As [`alloc_slice_fill_iter`](Self::alloc_slice_fill_iter).
            ///
            /// # Errors
            /// If no memory can be had.
            #[inline(always)]
            pub fn try_alloc_slice_fill_iter<T, I>(&self, iter: I) -> Result<&mut [T], AllocError>
            where
                I: IntoIterator<Item = T>,
                I::IntoIter: ExactSizeIterator,
            {
                fill_iter(self, iter.into_iter().map(Ok)).map_err(only_alloc)
            }

            /// A slice of what `iter` yields, if it yields no error.
            ///
            /// # Errors
            /// The first that the iterator yields.
            ///
            /// # Panics
            /// If no memory can be had, or the iterator does.
            ///
            /// ```
            #[doc = new!($arena)]
            /// let numbers = ["1", "2"].iter().map(|s| s.parse::<u32>());
            /// assert_eq!(arena.alloc_slice_try_fill_iter(numbers), Ok(&mut [1, 2][..]));
            /// ```
            #[inline(always)]
            pub fn alloc_slice_try_fill_iter<T, I, E>(&self, iter: I) -> Result<&mut [T], E>
            where
                I: IntoIterator<Item = Result<T, E>>,
                I::IntoIter: ExactSizeIterator,
            {
                fill_iter(self, iter.into_iter()).map_err(only_init)
            }
        }
    };
}

slices!(Arena, "The memory is taken back.");
slices!(SyncArena, "The memory is not used again before the reset.");

#[allow(clippy::mut_from_ref, reason = "every call lends other memory")]
impl<S: PageSource> Arena<S> {
    #[inline(always)]
    fn copied<T: Copy>(&self, src: &[T]) -> &mut [T] {
        match self.tip.take(Layout::for_value(src)) {
            // SAFETY: placed with the layout of `src`.
            Some(place) => unsafe { copy_to(src, place.cast()) },
            None => self.copy_slow(src),
        }
    }

    /// The slow path copies by itself, so that the fast one needs nothing after it but the result.
    #[cold]
    #[inline(never)]
    fn copy_slow<T: Copy>(&self, src: &[T]) -> &mut [T] {
        let place = self.place(Layout::for_value(src)).cast();
        // SAFETY: placed with the layout of `src`.
        unsafe { copy_to(src, place) }
    }
}

#[allow(clippy::mut_from_ref, reason = "every call lends other memory")]
impl<S: PageSource> SyncArena<S> {
    #[inline(always)]
    fn copied<T: Copy>(&self, src: &[T]) -> &mut [T] {
        let place = self.place(Layout::for_value(src)).cast();
        // SAFETY: placed with the layout of `src`.
        unsafe { copy_to(src, place) }
    }
}
