//! Single values, strings and layouts of a `SyncArena`.

use super::SyncArena;
use crate::boxed::ArenaBox;
use crate::error::{AllocError, AllocOrInitError, only_init, refuse};
use core::alloc::Layout;
use core::ptr::NonNull;
use pool_core::PageSource;

/// # Values
///
/// None of these are dropped by the arena, but those in an [`ArenaBox`] by their box. Any type may
/// go in, `Send` or not: the reference is as `Send` as it says.
#[allow(clippy::mut_from_ref, reason = "every call lends other memory")]
impl<S: PageSource> SyncArena<S> {
    /// Moves `value` into the arena.
    ///
    /// # Panics
    /// If no memory can be had; [`try_alloc`](Self::try_alloc) does not.
    ///
    /// ```
    /// # use pool_arena::SyncArena;
    /// let arena = SyncArena::new();
    /// let (left, right) = (arena.alloc(1), arena.alloc(2));
    /// std::thread::scope(|scope| {
    ///     scope.spawn(|| *left += 10);
    ///     scope.spawn(|| *right += *arena.alloc(20));
    /// });
    /// assert_eq!((*left, *right), (11, 22));
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
    /// # use pool_arena::SyncArena;
    /// let arena = SyncArena::new();
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

    /// Reserves memory, then calls `f` and keeps what it made, or passes its error on. What was
    /// reserved is not used again before the reset.
    ///
    /// # Errors
    /// What `f` returns.
    ///
    /// # Panics
    /// If no memory can be had; `f` is not called then.
    ///
    /// ```
    /// # use pool_arena::SyncArena;
    /// let arena = SyncArena::new();
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
        let place = self.try_place_for::<T>()?;
        let value = f().map_err(AllocOrInitError::Init)?;
        // SAFETY: `place` is fit for a `T` and nobody else's.
        unsafe { place.write(value) };
        // SAFETY: just initialised; exclusive until the arena is `&mut` or gone.
        Ok(unsafe { &mut *place.as_ptr() })
    }

    /// Moves `value` into the arena, under an owner that drops it. The box is `Send` if the value
    /// is.
    ///
    /// # Panics
    /// If no memory can be had.
    ///
    /// ```
    /// # use pool_arena::SyncArena;
    /// let arena = SyncArena::new();
    /// let text = arena.alloc_box(String::from("dropped there"));
    /// std::thread::scope(|scope| {
    ///     scope.spawn(move || assert_eq!(text.len(), 13));
    /// });
    /// ```
    #[inline]
    pub fn alloc_box<'a, T: 'a>(&'a self, value: T) -> ArenaBox<'a, T> {
        ArenaBox::of(self.alloc(value))
    }

    /// As [`alloc_box`](Self::alloc_box).
    ///
    /// # Errors
    /// If no memory can be had; the value is dropped.
    #[inline]
    pub fn try_alloc_box<'a, T: 'a>(&'a self, value: T) -> Result<ArenaBox<'a, T>, AllocError> {
        Ok(ArenaBox::of(self.try_alloc(value)?))
    }

    /// Memory for `layout`, contents indeterminate: writable and nobody else's until the arena is
    /// reset or dropped. For 0 bytes a well-aligned address of nothing.
    ///
    /// # Panics
    /// If no memory can be had.
    ///
    /// ```
    /// # use pool_arena::SyncArena;
    /// use std::alloc::Layout;
    /// let arena = SyncArena::new();
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

    /// As [`alloc_layout`](Self::alloc_layout), all bytes zero. For a large object the source is
    /// asked for zeroed pages, which fresh ones are without being written.
    ///
    /// # Panics
    /// If no memory can be had.
    pub fn alloc_layout_zeroed(&self, layout: Layout) -> NonNull<u8> {
        self.try_alloc_layout_zeroed(layout).unwrap_or_else(|error| refuse(error))
    }

    /// As [`alloc_layout_zeroed`](Self::alloc_layout_zeroed).
    ///
    /// # Errors
    /// If no memory can be had.
    ///
    /// ```
    /// # use pool_arena::SyncArena;
    /// use std::alloc::Layout;
    /// let arena = SyncArena::new();
    /// let place = arena.try_alloc_layout_zeroed(Layout::new::<[u64; 100_000]>())?;
    /// // SAFETY: placed for this type, and zeros are numbers.
    /// let numbers = unsafe { place.cast::<[u64; 100_000]>().as_mut() };
    /// assert!(numbers.iter().all(|&number| number == 0));
    /// # Ok::<(), pool_arena::AllocError>(())
    /// ```
    pub fn try_alloc_layout_zeroed(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        self.try_place_zeroed(layout)
    }
}
