//! Slices, in all the ways to fill them.

use crate::arena::Arena;
use crate::error::{AllocError, AllocOrInitError, refuse};
use core::alloc::Layout;
use core::convert::Infallible;
use core::mem;
use core::ptr::{self, NonNull};
use core::slice;
use pool_core::PageSource;

/// A slice that is being filled. If filling ends early, by an error or a panic, the items made so
/// far are dropped and the memory is taken back if nothing was allocated since.
struct Filling<'a, T, S: PageSource> {
    arena: &'a Arena<S>,
    place: NonNull<T>,
    layout: Layout,
    /// The first `made` items are initialised, and nobody else's.
    made: usize,
}

impl<'a, T, S: PageSource> Filling<'a, T, S> {
    #[inline(always)]
    fn new(arena: &'a Arena<S>, len: usize) -> Result<Self, AllocError> {
        let layout = layout_of::<T>(len)?;
        let place = arena.try_place(layout)?.cast();
        Ok(Self { arena, place, layout, made: 0 })
    }

    /// Adds an item.
    ///
    /// # Safety
    /// There are fewer than the slice has.
    #[inline(always)]
    unsafe fn push(&mut self, item: T) {
        // SAFETY: within the place, as the caller promises.
        let next = unsafe { self.place.add(self.made) };
        // SAFETY: fit for a `T`, and ours.
        unsafe { next.write(item) };
        self.made += 1;
    }

    /// The slice, of the items made so far.
    #[inline(always)]
    fn finish(self) -> &'a mut [T] {
        let this = mem::ManuallyDrop::new(self);
        // SAFETY: so many items are initialised, and exclusive until the arena is `&mut` or gone.
        unsafe { slice::from_raw_parts_mut(this.place.as_ptr(), this.made) }
    }
}

impl<T, S: PageSource> Drop for Filling<'_, T, S> {
    #[cold]
    fn drop(&mut self) {
        /// Takes the memory back even if an item's destructor panics.
        struct GiveBack<'a, S: PageSource>(&'a Arena<S>, NonNull<u8>, Layout);
        impl<S: PageSource> Drop for GiveBack<'_, S> {
            fn drop(&mut self) {
                // SAFETY: placed with this layout; its items are dropped or forgotten.
                unsafe { self.0.give_back(self.1, self.2) };
            }
        }
        let _give_back = GiveBack(self.arena, self.place.cast(), self.layout);
        let made = ptr::slice_from_raw_parts_mut(self.place.as_ptr(), self.made);
        // SAFETY: so many items are initialised, nobody else's, and dropped once.
        unsafe { ptr::drop_in_place(made) };
    }
}

#[inline(always)]
fn layout_of<T>(len: usize) -> Result<Layout, AllocError> {
    Layout::array::<T>(len).map_err(|_| AllocError::TooLarge { items: len, size: size_of::<T>() })
}

/// # Slices
///
/// None of the items are dropped by the arena. Where filling stops early, by an error or a panic,
/// the items made so far are dropped (bumpalo forgets them) and the memory is taken back.
#[allow(clippy::mut_from_ref, reason = "every call lends other memory")]
impl<S: PageSource> Arena<S> {
    /// Copies a slice.
    ///
    /// # Panics
    /// If no memory can be had.
    ///
    /// ```
    /// # use pool_arena::Arena;
    /// let arena = Arena::new();
    /// assert_eq!(arena.alloc_slice_copy(&[1, 2, 3]), &[1, 2, 3]);
    /// ```
    #[inline(always)]
    pub fn alloc_slice_copy<T: Copy>(&self, src: &[T]) -> &mut [T] {
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
    /// # use pool_arena::Arena;
    /// let arena = Arena::new();
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
    pub fn try_alloc_slice_clone<T: Clone>(&self, src: &[T]) -> Result<&mut [T], AllocError> {
        self.try_alloc_slice_fill_with(src.len(), |index| src[index].clone())
    }

    /// A slice of `len` items, made by `f` from their indices.
    ///
    /// # Panics
    /// If no memory can be had, or `f` does.
    ///
    /// ```
    /// # use pool_arena::Arena;
    /// let arena = Arena::new();
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
        match self.fill(len, |index| Ok::<T, Infallible>(f(index))) {
            Ok(items) => Ok(items),
            Err(AllocOrInitError::Alloc(error)) => Err(error),
            Err(AllocOrInitError::Init(never)) => match never {},
        }
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
    /// # use pool_arena::Arena;
    /// let arena = Arena::new();
    /// let result = arena.alloc_slice_try_fill_with(9, |i| if i < 5 { Ok(i) } else { Err(i) });
    /// assert_eq!(result, Err(5));
    /// ```
    #[inline(always)]
    pub fn alloc_slice_try_fill_with<T, F, E>(&self, len: usize, f: F) -> Result<&mut [T], E>
    where
        F: FnMut(usize) -> Result<T, E>,
    {
        match self.fill(len, f) {
            Ok(items) => Ok(items),
            Err(AllocOrInitError::Init(error)) => Err(error),
            Err(AllocOrInitError::Alloc(error)) => refuse(error),
        }
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
        self.fill(len, f)
    }

    #[inline(always)]
    fn fill<T, F, E>(&self, len: usize, mut f: F) -> Result<&mut [T], AllocOrInitError<E>>
    where
        F: FnMut(usize) -> Result<T, E>,
    {
        let mut items = Filling::new(self, len)?;
        for index in 0..len {
            let item = f(index).map_err(AllocOrInitError::Init)?;
            // SAFETY: one of `len` items.
            unsafe { items.push(item) };
        }
        Ok(items.finish())
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
    /// # use pool_arena::Arena;
    /// let arena = Arena::new();
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
        match self.fill_iter(iter.into_iter().map(Ok::<T, Infallible>)) {
            Ok(items) => Ok(items),
            Err(AllocOrInitError::Alloc(error)) => Err(error),
            Err(AllocOrInitError::Init(never)) => match never {},
        }
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
    /// # use pool_arena::Arena;
    /// let arena = Arena::new();
    /// let numbers = ["1", "2"].iter().map(|s| s.parse::<u32>());
    /// assert_eq!(arena.alloc_slice_try_fill_iter(numbers), Ok(&mut [1, 2][..]));
    /// ```
    #[inline(always)]
    pub fn alloc_slice_try_fill_iter<T, I, E>(&self, iter: I) -> Result<&mut [T], E>
    where
        I: IntoIterator<Item = Result<T, E>>,
        I::IntoIter: ExactSizeIterator,
    {
        match self.fill_iter(iter.into_iter()) {
            Ok(items) => Ok(items),
            Err(AllocOrInitError::Init(error)) => Err(error),
            Err(AllocOrInitError::Alloc(error)) => refuse(error),
        }
    }

    /// The length that the iterator announces is a hint from safe code and not trusted.
    #[inline(always)]
    fn fill_iter<T, E>(
        &self,
        mut iter: impl ExactSizeIterator<Item = Result<T, E>>,
    ) -> Result<&mut [T], AllocOrInitError<E>> {
        let len = iter.len();
        let mut items = Filling::new(self, len)?;
        for _ in 0..len {
            let Some(item) = iter.next() else { break };
            let item = item.map_err(AllocOrInitError::Init)?;
            // SAFETY: one of `len` items.
            unsafe { items.push(item) };
        }
        Ok(items.finish())
    }
}

/// Fills `place` with a copy of `src`.
///
/// # Safety
/// `place` has the layout of `src`, and is nobody else's during `'a`.
#[inline(always)]
unsafe fn copy_to<'a, T: Copy>(src: &[T], place: NonNull<T>) -> &'a mut [T] {
    // SAFETY: as long and aligned as `src`, and fresh, so they do not overlap.
    unsafe { ptr::copy_nonoverlapping(src.as_ptr(), place.as_ptr(), src.len()) };
    // SAFETY: just initialised, and exclusive as the caller promises.
    unsafe { slice::from_raw_parts_mut(place.as_ptr(), src.len()) }
}
