//! `TailVec`: a vector that grows without leaving copies behind. A storage file.

use crate::arena::Arena;
use crate::error::{AllocError, refuse};
use crate::growing::Growing;
use core::alloc::Layout;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use core::ptr::{self, NonNull};
use core::{fmt, slice};
use pool_core::PageSource;

/// A vector in an arena that grows **up from the lower end** of the free bytes, while everything
/// else goes down from the upper: so it extends in place, though other objects are allocated
/// meanwhile. Made by [`Arena::tail_vec`].
///
/// It becomes a slice by [`finish`](Self::finish). Dropped without that, it drops its items.
///
/// ```
/// # use pool_arena::Arena;
/// let arena = Arena::new();
/// let mut words = arena.tail_vec();
/// for word in "a small example".split(' ') {
///     words.push(&*arena.alloc_str(word)); // from the same arena
/// }
/// let words: &mut [&str] = words.finish();
/// assert_eq!(words, ["a", "small", "example"]);
/// ```
///
/// At the end of a chunk, and when a second builder stands in its way, it moves to a chunk with
/// room for twice as much. Such a chunk is kept by a reset like any other, so that in the long run
/// nothing moves. Beyond half of [`max_chunk`](crate::ArenaBuilder::max_chunk) it lies in a run of
/// its own, and the old run goes back at each move.
pub struct TailVec<'a, T, S: PageSource> {
    arena: &'a Arena<S>,
    /// Memory for `capacity` items, the first `len` of them initialised.
    memory: Growing,
    len: usize,
    capacity: usize,
    items: PhantomData<T>,
}

impl<S: PageSource> Arena<S> {
    /// An empty vector that grows in this arena. It takes no memory before the first item.
    #[inline]
    pub fn tail_vec<T>(&self) -> TailVec<'_, T, S> {
        let capacity = if size_of::<T>() == 0 { usize::MAX } else { 0 };
        TailVec {
            arena: self,
            memory: Growing::nothing(align_of::<T>()),
            len: 0,
            capacity,
            items: PhantomData,
        }
    }
}

impl<'a, T, S: PageSource> TailVec<'a, T, S> {
    #[inline(always)]
    fn start(&self) -> NonNull<T> {
        self.memory.start.cast()
    }

    /// Appends an item.
    ///
    /// # Panics
    /// If no memory can be had; the item is dropped then.
    #[inline(always)]
    pub fn push(&mut self, item: T) {
        if self.len == self.capacity {
            self.grow(1);
        }
        // SAFETY: there is room for an item more.
        unsafe { self.push_within(item) };
    }

    /// As [`push`](Self::push).
    ///
    /// # Errors
    /// If no memory can be had; the item is dropped, the vector is as it was.
    #[inline]
    pub fn try_push(&mut self, item: T) -> Result<(), AllocError> {
        self.try_reserve(1)?;
        // SAFETY: there is room for an item more.
        unsafe { self.push_within(item) };
        Ok(())
    }

    /// # Safety
    /// `len < capacity`.
    #[inline(always)]
    unsafe fn push_within(&mut self, item: T) {
        // SAFETY: within the memory, as the caller promises.
        let next = unsafe { self.start().add(self.len) };
        // SAFETY: fit for a `T`, ours, and not initialised.
        unsafe { next.write(item) };
        self.len += 1;
    }

    /// Takes the last item off.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        self.len = self.len.checked_sub(1)?;
        // SAFETY: within the memory.
        let last = unsafe { self.start().add(self.len) };
        // SAFETY: initialised, and no longer counted.
        Some(unsafe { last.read() })
    }

    /// Drops the items from `len` on.
    pub fn truncate(&mut self, len: usize) {
        let Some(more) = self.len.checked_sub(len) else { return };
        self.len = len;
        // SAFETY: within the memory.
        let first = unsafe { self.start().add(len) };
        let rest = ptr::slice_from_raw_parts_mut(first.as_ptr(), more);
        // SAFETY: initialised, no longer counted, and dropped once.
        unsafe { ptr::drop_in_place(rest) };
    }

    /// Drops all items.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Items that fit without more memory.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Makes room for `more` items.
    ///
    /// # Errors
    /// If no memory can be had; the vector is as it was.
    #[inline]
    pub fn try_reserve(&mut self, more: usize) -> Result<(), AllocError> {
        if more > self.capacity - self.len { self.try_grow(more) } else { Ok(()) }
    }

    /// As [`try_reserve`](Self::try_reserve).
    ///
    /// # Panics
    /// If no memory can be had.
    #[inline]
    pub fn reserve(&mut self, more: usize) {
        if more > self.capacity - self.len {
            self.grow(more);
        }
    }

    /// Appends copies.
    ///
    /// # Panics
    /// If no memory can be had.
    #[inline]
    pub fn extend_from_slice(&mut self, items: &[T])
    where
        T: Copy,
    {
        self.try_extend_from_slice(items).unwrap_or_else(|error| refuse(error));
    }

    /// As [`extend_from_slice`](Self::extend_from_slice).
    ///
    /// # Errors
    /// If no memory can be had; the vector is as it was.
    #[inline]
    pub fn try_extend_from_slice(&mut self, items: &[T]) -> Result<(), AllocError>
    where
        T: Copy,
    {
        self.try_reserve(items.len())?;
        // SAFETY: within the memory.
        let end = unsafe { self.start().add(self.len) };
        // SAFETY: there is room for so many, which nobody else has a reference to.
        unsafe { ptr::copy_nonoverlapping(items.as_ptr(), end.as_ptr(), items.len()) };
        self.len += items.len();
        Ok(())
    }

    /// The items, for as long as the arena is borrowed. They are not dropped by the arena. What was
    /// reserved beyond them is free again, if nothing else grew there.
    #[inline]
    #[must_use]
    pub fn finish(self) -> &'a mut [T] {
        let this = ManuallyDrop::new(self);
        let used = this.len * size_of::<T>();
        // SAFETY: the vector's own memory, of which the items alone are used from now on.
        unsafe { this.arena.cut_memory(this.memory, used, align_of::<T>()) };
        // SAFETY: so many items are initialised, and exclusive until the arena is `&mut` or gone.
        unsafe { slice::from_raw_parts_mut(this.start().as_ptr(), this.len) }
    }

    // The vector is passed on in parts and comes back in parts: whoever pushes in a loop then has
    // them in registers, since nobody is told where they lie.
    #[inline(always)]
    fn grow(&mut self, more: usize) {
        let memory =
            self.arena.grow_memory_or_refuse(self.memory, self.len, more, Layout::new::<T>());
        self.set_memory(memory);
    }

    #[inline(always)]
    fn try_grow(&mut self, more: usize) -> Result<(), AllocError> {
        let memory = self.arena.grow_memory(self.memory, self.len, more, Layout::new::<T>())?;
        self.set_memory(memory);
        Ok(())
    }

    #[inline(always)]
    fn set_memory(&mut self, memory: Growing) {
        self.memory = memory;
        // Items of no bytes never get here: there is always room for one more.
        self.capacity = memory.bytes.checked_div(size_of::<T>()).unwrap_or(usize::MAX);
    }
}

impl<T, S: PageSource> Drop for TailVec<'_, T, S> {
    // In parts, as in `grow`.
    #[inline(always)]
    fn drop(&mut self) {
        /// Gives the memory back even if an item's destructor panics.
        struct Last<'a, S: PageSource>(&'a Arena<S>, Growing, usize);
        impl<S: PageSource> Drop for Last<'_, S> {
            #[inline(always)]
            fn drop(&mut self) {
                // SAFETY: the vector's own memory, which it uses no more.
                unsafe { self.0.cut_memory(self.1, 0, self.2) };
            }
        }
        let last = Last(self.arena, self.memory, align_of::<T>());
        if core::mem::needs_drop::<T>() {
            self.clear();
        }
        drop(last);
    }
}

impl<T, S: PageSource> Deref for TailVec<'_, T, S> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: so many items are initialised, and only lent as the vector is borrowed.
        unsafe { slice::from_raw_parts(self.start().as_ptr(), self.len) }
    }
}

impl<T, S: PageSource> DerefMut for TailVec<'_, T, S> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: so many items are initialised, and only lent as the vector is borrowed.
        unsafe { slice::from_raw_parts_mut(self.start().as_ptr(), self.len) }
    }
}

impl<T, S: PageSource> Extend<T> for TailVec<'_, T, S> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, iter: I) {
        let iter = iter.into_iter();
        self.reserve(iter.size_hint().0);
        iter.for_each(|item| self.push(item));
    }
}

impl<T: fmt::Debug, S: PageSource> fmt::Debug for TailVec<'_, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
