//! Single values, strings and layouts: methods that both arenas have.

use crate::arena::Arena;
use crate::error::{AllocError, AllocOrInitError, only_init, refuse};
use crate::shared::SyncArena;
use core::alloc::Layout;
use core::ptr::NonNull;
use pool_core::PageSource;

macro_rules! values {
    ($arena:ident, $send:literal, $memory:literal) => {
        /// # Values
        ///
        /// None of these are dropped by the arena; what lies in an [`ArenaBox`](crate::ArenaBox) is by the box.
        #[doc = $send]
        #[allow(clippy::mut_from_ref, reason = "every call lends other memory")]
        impl<S: PageSource> $arena<S> {
            /// Moves `value` into the arena.
            ///
            /// # Panics
            /// If no memory can be had; [`try_alloc`](Self::try_alloc) does not.
            ///
            /// ```
            #[doc = new!($arena)]
            /// let x = arena.alloc(7);
            /// *x += 1;
            /// assert_eq!(*x, 8);
            /// ```
            #[inline(always)]
            pub fn alloc<T>(&self, value: T) -> &mut T {
                self.alloc_with(|| value)
            }

            /// As [`alloc`](Self::alloc).
            ///
            /// # Errors
            /// If no memory can be had; the value is dropped.
            #[inline(always)]
            pub fn try_alloc<T>(&self, value: T) -> Result<&mut T, AllocError> {
                self.try_alloc_with(|| value)
            }

            /// Reserves memory, then calls `f` and writes its result there, which large values may be
            /// built in directly. `f` may allocate from the same arena.
            ///
            /// # Panics
            /// If no memory can be had; `f` is not called then.
            ///
            /// ```
            #[doc = new!($arena)]
            /// let page = arena.alloc_with(|| [0u8; 4096]);
            /// assert_eq!(page.len(), 4096);
            /// ```
            #[inline(always)]
            pub fn alloc_with<F, T>(&self, f: F) -> &mut T
            where
                F: FnOnce() -> T,
            {
                let place = self.place_for::<T>();
                // SAFETY: `place` is fit for a `T` and nobody else's.
                unsafe { place.write(f()) };
                // SAFETY: just initialised; exclusive until the arena is `&mut` or gone.
                unsafe { &mut *place.as_ptr() }
            }

            /// As [`alloc_with`](Self::alloc_with).
            ///
            /// # Errors
            /// If no memory can be had; `f` is not called then.
            #[inline(always)]
            pub fn try_alloc_with<F, T>(&self, f: F) -> Result<&mut T, AllocError>
            where
                F: FnOnce() -> T,
            {
                let place = self.try_place_for::<T>()?;
                // SAFETY: `place` is fit for a `T` and nobody else's.
                unsafe { place.write(f()) };
                // SAFETY: just initialised; exclusive until the arena is `&mut` or gone.
                Ok(unsafe { &mut *place.as_ptr() })
            }

            /// Reserves memory, then calls `f` and keeps what it made, or passes its error on.
            #[doc = $memory]
            ///
            /// # Errors
            /// What `f` returns.
            ///
            /// # Panics
            /// If no memory can be had; `f` is not called then.
            ///
            /// ```
            #[doc = new!($arena)]
            /// let number = arena.alloc_try_with(|| "12".parse::<u64>())?;
            /// assert_eq!(*number, 12);
            /// assert!(arena.alloc_try_with(|| "x".parse::<u64>()).is_err());
            /// # Ok::<(), std::num::ParseIntError>(())
            /// ```
            #[inline(always)]
            pub fn alloc_try_with<F, T, E>(&self, f: F) -> Result<&mut T, E>
            where
                F: FnOnce() -> Result<T, E>,
            {
                self.try_alloc_try_with(f).map_err(only_init)
            }

            /// As [`alloc_try_with`](Self::alloc_try_with).
            ///
            /// # Errors
            /// What `f` returns, or that no memory can be had; `f` is not called then.
            #[inline(always)]
            pub fn try_alloc_try_with<F, T, E>(&self, f: F) -> Result<&mut T, AllocOrInitError<E>>
            where
                F: FnOnce() -> Result<T, E>,
            {
                self.made_by(f)
            }

            /// Copies a string into the arena.
            ///
            /// # Panics
            /// If no memory can be had.
            ///
            /// ```
            #[doc = new!($arena)]
            /// let name = arena.alloc_str("alice");
            /// name.make_ascii_uppercase();
            /// assert_eq!(name, "ALICE");
            /// ```
            #[inline(always)]
            pub fn alloc_str(&self, src: &str) -> &mut str {
                let bytes = self.alloc_slice_copy(src.as_bytes());
                // SAFETY: a copy of a string's bytes.
                unsafe { core::str::from_utf8_unchecked_mut(bytes) }
            }

            /// As [`alloc_str`](Self::alloc_str).
            ///
            /// # Errors
            /// If no memory can be had.
            #[inline(always)]
            pub fn try_alloc_str(&self, src: &str) -> Result<&mut str, AllocError> {
                let bytes = self.try_alloc_slice_copy(src.as_bytes())?;
                // SAFETY: a copy of a string's bytes.
                Ok(unsafe { core::str::from_utf8_unchecked_mut(bytes) })
            }

            /// Memory for `layout`, contents indeterminate: writable and nobody else's until the arena is
            /// reset or dropped. For 0 bytes a well-aligned address of nothing.
            ///
            /// # Panics
            /// If no memory can be had.
            ///
            /// ```
            #[doc = new!($arena)]
            /// use std::alloc::Layout;
            /// let place = arena.alloc_layout(Layout::from_size_align(100, 64).unwrap());
            /// assert_eq!(place.addr().get() % 64, 0);
            /// ```
            #[inline(always)]
            pub fn alloc_layout(&self, layout: Layout) -> NonNull<u8> {
                self.place(layout)
            }

            /// As [`alloc_layout`](Self::alloc_layout).
            ///
            /// # Errors
            /// If no memory can be had.
            #[inline(always)]
            pub fn try_alloc_layout(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
                self.try_place(layout)
            }

            /// As [`alloc_layout`](Self::alloc_layout), all bytes zero. For a large object the source is asked
            /// for zeroed pages, which fresh ones are without being written.
            ///
            /// # Panics
            /// If no memory can be had.
            ///
            /// ```
            #[doc = new!($arena)]
            /// use std::alloc::Layout;
            /// let place = arena.alloc_layout_zeroed(Layout::new::<[u64; 100_000]>());
            /// // SAFETY: placed for this type, and zeros are numbers.
            /// let numbers = unsafe { place.cast::<[u64; 100_000]>().as_mut() };
            /// assert!(numbers.iter().all(|&number| number == 0));
            /// ```
            pub fn alloc_layout_zeroed(&self, layout: Layout) -> NonNull<u8> {
                self.try_alloc_layout_zeroed(layout).unwrap_or_else(|error| refuse(error))
            }

            /// As [`alloc_layout_zeroed`](Self::alloc_layout_zeroed).
            ///
            /// # Errors
            /// If no memory can be had.
            pub fn try_alloc_layout_zeroed(
                &self,
                layout: Layout,
            ) -> Result<NonNull<u8>, AllocError> {
                self.try_place_zeroed(layout)
            }
        }
    };
}

values!(Arena, "", "The memory is taken back then.");
values!(
    SyncArena,
    "Any type may go in, `Send` or not: the reference is as `Send` as it says.",
    "What was reserved is not used again before the reset."
);

#[allow(clippy::mut_from_ref, reason = "every call lends other memory")]
impl<S: PageSource> Arena<S> {
    #[inline(always)]
    fn made_by<F, T, E>(&self, f: F) -> Result<&mut T, AllocOrInitError<E>>
    where
        F: FnOnce() -> Result<T, E>,
    {
        // Not by way of `&mut`: giving a large object back needs the place as it was handed out.
        let place = self.try_place_for::<Result<T, E>>()?;
        // SAFETY: `place` is fit for it and nobody else's.
        unsafe { place.write(f()) };
        // SAFETY: just initialised; exclusive until the arena is `&mut` or gone.
        if let Ok(value) = unsafe { &mut *place.as_ptr() } {
            return Ok(value);
        }
        // SAFETY: initialised; moved out once, since the place is given back.
        let result = unsafe { place.read() };
        // SAFETY: it was placed with this layout, and nobody uses it any more.
        unsafe { self.give_back(place.cast(), Layout::new::<Result<T, E>>()) };
        match result {
            Ok(_) => unreachable!("the match above saw an error"),
            Err(error) => Err(AllocOrInitError::Init(error)),
        }
    }
}

#[allow(clippy::mut_from_ref, reason = "every call lends other memory")]
impl<S: PageSource> SyncArena<S> {
    #[inline(always)]
    fn made_by<F, T, E>(&self, f: F) -> Result<&mut T, AllocOrInitError<E>>
    where
        F: FnOnce() -> Result<T, E>,
    {
        let place = self.try_place_for::<T>()?;
        let value = f().map_err(AllocOrInitError::Init)?;
        // SAFETY: `place` is fit for a `T` and nobody else's.
        unsafe { place.write(value) };
        // SAFETY: just initialised; exclusive until the arena is `&mut` or gone.
        Ok(unsafe { &mut *place.as_ptr() })
    }
}
