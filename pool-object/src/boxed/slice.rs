//! Boxes of slices and strings: one block, one copy. A storage file.

use super::PoolBox;
use crate::block_alloc::BlockAlloc;
use crate::error::{AllocError, refuse};
use core::alloc::Layout;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ptr::NonNull;
use core::str::{self, Utf8Error};

/// The layout of so many elements.
fn layout_of<T>(len: usize) -> Result<Layout, AllocError> {
    let size = size_of::<T>().saturating_mul(len);
    Layout::array::<T>(len).map_err(|_| AllocError::TooLarge { size, align: align_of::<T>() })
}

impl<T, A: BlockAlloc> PoolBox<T, A> {
    /// A block for a value that is still to be written: [`assume_init`](PoolBox::assume_init) then.
    ///
    /// # Panics
    /// If no memory can be had.
    #[must_use]
    pub fn new_uninit_in(alloc: A) -> PoolBox<MaybeUninit<T>, A> {
        Self::try_new_uninit_in(alloc).unwrap_or_else(|error| refuse(error))
    }

    /// As [`new_uninit_in`](Self::new_uninit_in).
    ///
    /// # Errors
    /// If no memory can be had.
    pub fn try_new_uninit_in(alloc: A) -> Result<PoolBox<MaybeUninit<T>, A>, AllocError> {
        let block = alloc.try_allocate(Layout::new::<T>())?;
        // SAFETY: just allocated for this layout; nothing has to be initialised.
        Ok(unsafe { PoolBox::from_raw_parts(block.cast(), alloc) })
    }
}

impl<T, A: BlockAlloc> PoolBox<MaybeUninit<T>, A> {
    /// The box of the value that was written.
    ///
    /// # Safety
    /// The value is initialised.
    #[must_use]
    pub unsafe fn assume_init(self) -> PoolBox<T, A> {
        let (value, alloc) = Self::into_raw_parts(self);
        // SAFETY: a block for this layout, and initialised, as the caller promises.
        unsafe { PoolBox::from_raw_parts(value.cast(), alloc) }
    }
}

impl<T, A: BlockAlloc> PoolBox<[T], A> {
    /// A block for `len` values that are still to be written: [`assume_init`](PoolBox::assume_init) then.
    ///
    /// ```
    /// use pool_object::{PoolBox, SmallAlloc};
    /// let heap = SmallAlloc::new();
    /// let mut boxed = PoolBox::new_uninit_slice_in(3, &heap);
    /// for (number, place) in boxed.iter_mut().enumerate() {
    ///     place.write(number as u16);
    /// }
    /// // SAFETY: all three were written.
    /// let boxed = unsafe { boxed.assume_init() };
    /// assert_eq!(*boxed, [0, 1, 2]);
    /// ```
    ///
    /// # Panics
    /// If no memory can be had.
    #[must_use]
    pub fn new_uninit_slice_in(len: usize, alloc: A) -> PoolBox<[MaybeUninit<T>], A> {
        Self::try_new_uninit_slice_in(len, alloc).unwrap_or_else(|error| refuse(error))
    }

    /// As [`new_uninit_slice_in`](Self::new_uninit_slice_in).
    ///
    /// # Errors
    /// If no memory can be had.
    #[inline]
    pub fn try_new_uninit_slice_in(
        len: usize,
        alloc: A,
    ) -> Result<PoolBox<[MaybeUninit<T>], A>, AllocError> {
        let block = alloc.try_allocate(layout_of::<T>(len)?)?;
        let slice = NonNull::slice_from_raw_parts(block.cast(), len);
        // SAFETY: just allocated for this layout; nothing has to be initialised.
        Ok(unsafe { PoolBox::from_raw_parts(slice, alloc) })
    }

    /// As [`new_uninit_slice_in`](Self::new_uninit_slice_in), all zeros: for types for which those are a
    /// value, such as integers. What the source has zeroed already is not written.
    ///
    /// # Errors
    /// If no memory can be had.
    pub fn try_new_zeroed_slice_in(
        len: usize,
        alloc: A,
    ) -> Result<PoolBox<[MaybeUninit<T>], A>, AllocError> {
        let block = alloc.try_allocate_zeroed(layout_of::<T>(len)?)?;
        let slice = NonNull::slice_from_raw_parts(block.cast(), len);
        // SAFETY: just allocated for this layout; nothing has to be initialised.
        Ok(unsafe { PoolBox::from_raw_parts(slice, alloc) })
    }
}

impl<T, A: BlockAlloc> PoolBox<[MaybeUninit<T>], A> {
    /// The box of the values that were written.
    ///
    /// # Safety
    /// All values are initialised.
    #[inline]
    #[must_use]
    pub unsafe fn assume_init(self) -> PoolBox<[T], A> {
        let (slice, alloc) = Self::into_raw_parts(self);
        let slice = NonNull::slice_from_raw_parts(slice.cast(), slice.len());
        // SAFETY: a block for this layout, and initialised, as the caller promises.
        unsafe { PoolBox::from_raw_parts(slice, alloc) }
    }
}

impl<T, A: BlockAlloc> PoolBox<[T], A> {
    /// Copies a slice into a block of `alloc`: one allocation, one copy.
    ///
    /// ```
    /// use pool_object::{LocalHeap, PoolBox};
    /// let heap = LocalHeap::new();
    /// let value = PoolBox::copy_from_slice_in(b"some bytes", heap.clone());
    /// assert_eq!((&value[5..], value.len()), (&b"bytes"[..], 10));
    /// ```
    ///
    /// # Panics
    /// If no memory can be had.
    #[inline]
    #[must_use]
    pub fn copy_from_slice_in(slice: &[T], alloc: A) -> Self
    where
        T: Copy,
    {
        Self::try_copy_from_slice_in(slice, alloc).unwrap_or_else(|error| refuse(error))
    }

    /// As [`copy_from_slice_in`](Self::copy_from_slice_in).
    ///
    /// # Errors
    /// If no memory can be had.
    #[inline]
    pub fn try_copy_from_slice_in(slice: &[T], alloc: A) -> Result<Self, AllocError>
    where
        T: Copy,
    {
        let block = alloc.try_allocate(Layout::for_value(slice))?;
        let first = block.cast::<T>();
        let source = NonNull::from(slice).cast();
        // SAFETY: the block is as long and aligned as the slice, and nobody else's yet.
        unsafe { first.copy_from_nonoverlapping(source, slice.len()) };
        // SAFETY: allocated for this layout, and initialised with copies of `Copy` values.
        Ok(unsafe {
            Self::from_raw_parts(NonNull::slice_from_raw_parts(first, slice.len()), alloc)
        })
    }

    /// Clones the values of a slice into a block of `alloc`.
    ///
    /// # Panics
    /// If no memory can be had, or if a clone does; what was cloned before is dropped.
    #[must_use]
    pub fn clone_from_slice_in(slice: &[T], alloc: A) -> Self
    where
        T: Clone,
    {
        Self::try_clone_from_slice_in(slice, alloc).unwrap_or_else(|error| refuse(error))
    }

    /// As [`clone_from_slice_in`](Self::clone_from_slice_in).
    ///
    /// # Errors
    /// If no memory can be had.
    pub fn try_clone_from_slice_in(slice: &[T], alloc: A) -> Result<Self, AllocError>
    where
        T: Clone,
    {
        let mut filling = Filling::new(slice.len(), alloc)?;
        slice.iter().cloned().try_for_each(|value| filling.push(value))?;
        filling.finish()
    }

    /// Collects what an iterator yields. Without a move if it says truly how much that is.
    ///
    /// ```
    /// use pool_object::{PoolBox, SmallAlloc};
    /// let heap = SmallAlloc::new();
    /// let odd = PoolBox::from_iter_in((0..10).filter(|n| n % 2 == 1), &heap);
    /// assert_eq!(*odd, [1, 3, 5, 7, 9]);
    /// ```
    ///
    /// # Panics
    /// If no memory can be had, or if the iterator does; what it yielded before is dropped.
    #[must_use]
    pub fn from_iter_in(values: impl IntoIterator<Item = T>, alloc: A) -> Self {
        Self::try_from_iter_in(values, alloc).unwrap_or_else(|error| refuse(error))
    }

    /// As [`from_iter_in`](Self::from_iter_in).
    ///
    /// # Errors
    /// If no memory can be had; what was yielded before is dropped.
    pub fn try_from_iter_in(
        values: impl IntoIterator<Item = T>,
        alloc: A,
    ) -> Result<Self, AllocError> {
        let mut values = values.into_iter();
        let mut filling = Filling::new(values.size_hint().0, alloc)?;
        values.try_for_each(|value| filling.push(value))?;
        filling.finish()
    }
}

/// A block that is being filled; dropped early it drops what it has.
struct Filling<T, A: BlockAlloc> {
    /// A block of `alloc` for `capacity` values, the first `len` of which are initialised.
    first: NonNull<T>,
    capacity: usize,
    len: usize,
    alloc: ManuallyDrop<A>,
}

impl<T, A: BlockAlloc> Filling<T, A> {
    fn new(capacity: usize, alloc: A) -> Result<Self, AllocError> {
        let first = alloc.try_allocate(layout_of::<T>(capacity)?)?.cast();
        Ok(Self { first, capacity, len: 0, alloc: ManuallyDrop::new(alloc) })
    }

    fn layout(&self) -> Layout {
        // SAFETY: this product was computed when the block was allocated.
        let size = unsafe { size_of::<T>().unchecked_mul(self.capacity) };
        // SAFETY: the block was allocated for such a layout.
        unsafe { Layout::from_size_align_unchecked(size, align_of::<T>()) }
    }

    fn push(&mut self, value: T) -> Result<(), AllocError> {
        if self.len == self.capacity {
            self.relay(self.capacity.saturating_mul(2).max(4))?;
        }
        // SAFETY: there is room for one more, so this is in the block.
        let place = unsafe { self.first.add(self.len) };
        // SAFETY: in the block, which is ours, and aligned.
        unsafe { place.write(value) };
        self.len += 1;
        Ok(())
    }

    /// Makes the block one for so many values, not fewer than it has.
    #[cold]
    fn relay(&mut self, capacity: usize) -> Result<(), AllocError> {
        let (old, new) = (self.layout(), layout_of::<T>(capacity)?);
        // SAFETY: our block, of this layout; the old pointer is overwritten.
        let block = unsafe { self.alloc.try_relayout(self.first.cast(), old, new) }?;
        (self.first, self.capacity) = (block.cast(), capacity);
        Ok(())
    }

    fn finish(mut self) -> Result<PoolBox<[T], A>, AllocError> {
        if self.len < self.capacity {
            self.relay(self.len)?;
        }
        let mut this = ManuallyDrop::new(self);
        let slice = NonNull::slice_from_raw_parts(this.first, this.len);
        // SAFETY: `this` is not used again, nor dropped.
        let alloc = unsafe { ManuallyDrop::take(&mut this.alloc) };
        // SAFETY: a block for so many values, all of them initialised, which `this` gives up.
        Ok(unsafe { PoolBox::from_raw_parts(slice, alloc) })
    }
}

impl<T, A: BlockAlloc> Drop for Filling<T, A> {
    fn drop(&mut self) {
        let slice =
            NonNull::slice_from_raw_parts(self.first.cast::<MaybeUninit<T>>(), self.capacity);
        // SAFETY: this is being dropped, and does not use the handle again.
        let alloc = unsafe { ManuallyDrop::take(&mut self.alloc) };
        // SAFETY: our block, given up: the box gives it back, after the values below or if one panics.
        let _block = unsafe { PoolBox::from_raw_parts(slice, alloc) };
        let values = NonNull::slice_from_raw_parts(self.first, self.len);
        // SAFETY: so many are initialised, ours, and dropped once.
        unsafe { values.drop_in_place() };
    }
}

impl<T: Clone, A: BlockAlloc + Clone> Clone for PoolBox<[T], A> {
    /// A box of clones of the values, from the same heap. Panics if no memory can be had.
    fn clone(&self) -> Self {
        Self::clone_from_slice_in(self, A::clone(&self.alloc))
    }
}

impl<T, const N: usize, A: BlockAlloc> From<PoolBox<[T; N], A>> for PoolBox<[T], A> {
    /// The same block.
    fn from(boxed: PoolBox<[T; N], A>) -> Self {
        let (array, alloc) = PoolBox::into_raw_parts(boxed);
        // SAFETY: an array has the layout of a slice of as many values.
        unsafe { Self::from_raw_parts(NonNull::slice_from_raw_parts(array.cast(), N), alloc) }
    }
}

impl<T, const N: usize, A: BlockAlloc> TryFrom<PoolBox<[T], A>> for PoolBox<[T; N], A> {
    type Error = PoolBox<[T], A>;

    /// The same block; or the box comes back, if it has another length.
    fn try_from(boxed: PoolBox<[T], A>) -> Result<Self, PoolBox<[T], A>> {
        if boxed.len() != N {
            return Err(boxed);
        }
        let (slice, alloc) = PoolBox::into_raw_parts(boxed);
        // SAFETY: a slice of `N` values has the layout of an array.
        Ok(unsafe { Self::from_raw_parts(slice.cast(), alloc) })
    }
}

impl<'a, T, A: BlockAlloc> IntoIterator for &'a PoolBox<[T], A> {
    type Item = &'a T;
    type IntoIter = core::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, T, A: BlockAlloc> IntoIterator for &'a mut PoolBox<[T], A> {
    type Item = &'a mut T;
    type IntoIter = core::slice::IterMut<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

impl<A: BlockAlloc> PoolBox<str, A> {
    /// Copies a string into a block of `alloc`: one allocation, one copy.
    ///
    /// # Panics
    /// If no memory can be had.
    #[inline]
    #[must_use]
    pub fn copy_from_str_in(text: &str, alloc: A) -> Self {
        Self::try_copy_from_str_in(text, alloc).unwrap_or_else(|error| refuse(error))
    }

    /// As [`copy_from_str_in`](Self::copy_from_str_in).
    ///
    /// # Errors
    /// If no memory can be had.
    #[inline]
    pub fn try_copy_from_str_in(text: &str, alloc: A) -> Result<Self, AllocError> {
        let bytes = PoolBox::try_copy_from_slice_in(text.as_bytes(), alloc)?;
        // SAFETY: the bytes of a string.
        Ok(unsafe { Self::from_utf8_unchecked(bytes) })
    }

    /// The same block as a string, if that is what it has.
    ///
    /// ```
    /// use pool_object::{PoolBox, SmallAlloc};
    /// let heap = SmallAlloc::new();
    /// let text = PoolBox::from_utf8(PoolBox::copy_from_slice_in(b"text", &heap)).unwrap();
    /// assert_eq!(&*text, "text");
    /// let (error, bytes) = PoolBox::from_utf8(PoolBox::copy_from_slice_in(&[0xFF], &heap)).unwrap_err();
    /// assert_eq!((error.valid_up_to(), &*bytes), (0, &[0xFF][..]));
    /// ```
    ///
    /// # Errors
    /// Where it is none; the box comes back.
    pub fn from_utf8(bytes: PoolBox<[u8], A>) -> Result<Self, (Utf8Error, PoolBox<[u8], A>)> {
        match str::from_utf8(&bytes) {
            // SAFETY: just looked at.
            Ok(_) => Ok(unsafe { Self::from_utf8_unchecked(bytes) }),
            Err(error) => Err((error, bytes)),
        }
    }

    /// The same block as a string.
    ///
    /// # Safety
    /// The bytes are UTF-8.
    #[inline]
    #[must_use]
    pub unsafe fn from_utf8_unchecked(bytes: PoolBox<[u8], A>) -> Self {
        let (bytes, alloc) = PoolBox::into_raw_parts(bytes);
        // SAFETY: not null before the cast, which keeps address and length.
        let text = unsafe { NonNull::new_unchecked(bytes.as_ptr() as *mut str) };
        // SAFETY: a string has the layout of its bytes, and they are one, as the caller promises.
        unsafe { Self::from_raw_parts(text, alloc) }
    }
}

impl<A: BlockAlloc + Clone> Clone for PoolBox<str, A> {
    /// A box of the same string, from the same heap. Panics if no memory can be had.
    fn clone(&self) -> Self {
        Self::copy_from_str_in(self, A::clone(&self.alloc))
    }
}

impl<A: BlockAlloc> From<PoolBox<str, A>> for PoolBox<[u8], A> {
    /// The same block.
    fn from(text: PoolBox<str, A>) -> Self {
        let (text, alloc) = PoolBox::into_raw_parts(text);
        // SAFETY: not null before the cast, which keeps address and length.
        let bytes = unsafe { NonNull::new_unchecked(text.as_ptr() as *mut [u8]) };
        // SAFETY: the bytes of a string have its layout.
        unsafe { Self::from_raw_parts(bytes, alloc) }
    }
}
