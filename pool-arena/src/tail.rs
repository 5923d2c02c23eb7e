//! `TailVec`: a vector that grows without leaving copies behind. A storage file.

use crate::arena::Arena;
use crate::error::{AllocError, refuse};
use crate::large::Large;
use crate::tip::{MIN_ALIGN, round};
use core::alloc::Layout;
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
    /// Memory for `capacity` items, the first `len` of them initialised. Dangling if that is no
    /// memory.
    start: NonNull<T>,
    len: usize,
    capacity: usize,
    /// Bytes that `start` has from the arena, a multiple of `MIN_ALIGN`.
    bytes: usize,
    /// Whether these are a large object; else they were cut off a gap, at its lower end where
    /// possible, however many they are.
    large: bool,
}

impl<S: PageSource> Arena<S> {
    /// An empty vector that grows in this arena. It takes no memory before the first item.
    pub fn tail_vec<T>(&self) -> TailVec<'_, T, S> {
        let capacity = if size_of::<T>() == 0 { usize::MAX } else { 0 };
        TailVec {
            arena: self,
            start: NonNull::dangling(),
            len: 0,
            capacity,
            bytes: 0,
            large: false,
        }
    }
}

impl<'a, T, S: PageSource> TailVec<'a, T, S> {
    /// How many bytes a vector asks for at least when it has nothing: a cache line.
    const LEAST: usize = 64;
    /// How many bytes a vector has at most.
    const MOST: usize = isize::MAX as usize & !(MIN_ALIGN - 1);

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
        let next = unsafe { self.start.add(self.len) };
        // SAFETY: fit for a `T`, ours, and not initialised.
        unsafe { next.write(item) };
        self.len += 1;
    }

    /// Takes the last item off.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        self.len = self.len.checked_sub(1)?;
        // SAFETY: within the memory.
        let last = unsafe { self.start.add(self.len) };
        // SAFETY: initialised, and no longer counted.
        Some(unsafe { last.read() })
    }

    /// Drops the items from `len` on.
    pub fn truncate(&mut self, len: usize) {
        let Some(more) = self.len.checked_sub(len) else { return };
        self.len = len;
        // SAFETY: within the memory.
        let first = unsafe { self.start.add(len) };
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
        let end = unsafe { self.start.add(self.len) };
        // SAFETY: there is room for so many, which nobody else has a reference to.
        unsafe { ptr::copy_nonoverlapping(items.as_ptr(), end.as_ptr(), items.len()) };
        self.len += items.len();
        Ok(())
    }

    /// The items, for as long as the arena is borrowed. They are not dropped by the arena. What was
    /// reserved beyond them is free again, if nothing else grew there.
    #[must_use]
    pub fn finish(self) -> &'a mut [T] {
        let mut this = ManuallyDrop::new(self);
        this.trim();
        // SAFETY: so many items are initialised, and exclusive until the arena is `&mut` or gone.
        unsafe { slice::from_raw_parts_mut(this.start.as_ptr(), this.len) }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, more: usize) {
        self.try_grow(more).unwrap_or_else(|error| refuse(error));
    }

    /// Makes room for `more` items, or twice as many as now.
    #[cold]
    #[inline(never)]
    fn try_grow(&mut self, more: usize) -> Result<(), AllocError> {
        let error = AllocError::TooLarge { items: more, size: size_of::<T>() };
        let items = self.len.checked_add(more).ok_or(error)?;
        let least = round(Layout::array::<T>(items).map_err(|_| error)?.size());
        let twice = self.bytes.saturating_mul(2).min(Self::MOST);
        // Both are multiples of `MIN_ALIGN`, as is every `bytes`.
        let want = least.max(twice).max(Self::LEAST);
        // Towards the end of the chunk half of what is left, so that steps stay few.
        let half = (self.arena.tip.free() / 2) & !(MIN_ALIGN - 1);
        if self.extend(want) || self.extend(least.max(self.bytes + half)) || self.extend(least) {
            return Ok(());
        }
        let (place, large, bytes) = match self.place_elsewhere(want) {
            Ok((place, large)) => (place, large, want),
            Err(_) => self.place_elsewhere(least).map(|(place, large)| (place, large, least))?,
        };
        // SAFETY: `len` items are valid in both, and the new place is fresh.
        unsafe { self.start.copy_to_nonoverlapping(place.cast(), self.len) };
        self.give_back(0);
        self.start = place.cast();
        self.large = large;
        self.set_bytes(bytes);
        Ok(())
    }

    fn set_bytes(&mut self, bytes: usize) {
        self.bytes = bytes;
        // Items of no bytes never get here: there is always room for one more.
        self.capacity = bytes.checked_div(size_of::<T>()).unwrap_or(usize::MAX);
    }

    /// Whether it lies at the lower end of what is free, so that it can extend.
    fn is_lowest(&self) -> bool {
        // The address behind it, which may be that of the next run's header if it fills its chunk;
        // nothing is free at the start of a run, so that does not matter.
        let end = self.start.as_ptr().cast::<u8>().wrapping_add(self.bytes);
        self.bytes > 0 && !self.large && end == self.arena.tip.low().as_ptr()
    }

    /// Extends in place to `want` bytes, if they are free.
    fn extend(&mut self, want: usize) -> bool {
        let fits = want > self.bytes
            && self.is_lowest()
            && self.arena.take_low(want - self.bytes).is_some();
        if fits {
            self.set_bytes(want);
        }
        fits
    }

    /// Another place of `want` bytes, at the lower end of what is free if that may be, and whether
    /// it is a large object.
    fn place_elsewhere(&self, want: usize) -> Result<(NonNull<u8>, bool), AllocError> {
        let error = AllocError::TooLarge { items: 1, size: want };
        let layout = Layout::from_size_align(want, align_of::<T>()).map_err(|_| error)?;
        let arena = self.arena;
        if layout.align() > MIN_ALIGN {
            return Ok((arena.try_place(layout)?, arena.is_large(want)));
        }
        if let Some(low) = arena.take_low(want) {
            return Ok((low, false));
        }
        if want <= arena.config.max_chunk / 2 {
            arena.open_chunk(want)?;
            if let Some(low) = arena.take_low(want) {
                return Ok((low, false));
            }
        }
        Ok((arena.place_large(layout, false)?, true))
    }

    /// Gives what lies beyond the items back, if that can be.
    fn trim(&mut self) {
        self.give_back(round(self.len * size_of::<T>()));
    }

    /// Gives all but the first `keep` bytes back, if they are at the lower end of what is free, or
    /// all of a large object.
    fn give_back(&mut self, keep: usize) {
        if self.bytes == 0 || keep >= self.bytes {
        } else if self.is_lowest() {
            // SAFETY: these bytes are this vector's, not initialised or no longer used.
            unsafe { self.arena.give_back_low(self.bytes - keep) };
            self.set_bytes(keep);
        } else if self.large && keep == 0 {
            // SAFETY: it was placed as a large object, with this alignment.
            let large = unsafe { Large::of(self.start.cast(), align_of::<T>()) };
            // SAFETY: it is one of this arena, and no longer used.
            unsafe { self.arena.release_large(large) };
            self.set_bytes(0);
        }
    }
}

impl<T, S: PageSource> Drop for TailVec<'_, T, S> {
    fn drop(&mut self) {
        /// Gives the memory back even if an item's destructor panics.
        struct Trim<'b, 'a, T, S: PageSource>(&'b mut TailVec<'a, T, S>);
        impl<T, S: PageSource> Drop for Trim<'_, '_, T, S> {
            fn drop(&mut self) {
                self.0.give_back(0);
            }
        }
        Trim(self).0.clear();
    }
}

impl<T, S: PageSource> Deref for TailVec<'_, T, S> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: so many items are initialised, and only lent as the vector is borrowed.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T, S: PageSource> DerefMut for TailVec<'_, T, S> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: so many items are initialised, and only lent as the vector is borrowed.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
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
