//! Magazines: free blocks of one class, ready to be handed out. The fast path. A storage file.
//!
//! A free block goes to its class' magazine, not to its span: the header, a cold line, is touched
//! when blocks return in batches, and emptiness is looked for then.
//!
//! A magazine is an array of pointers, not a list through the blocks: what is freed need not be in
//! the processor's cache, and the next block is known before anything of this one is read.

use crate::size_class::SizeClass;
use core::cell::Cell;
use core::ptr::{self, NonNull};
use pool_core::poison;

/// A place in a magazine: below its length, a free block that is the magazine's own.
pub(crate) type Place = Cell<NonNull<u8>>;

/// A magazine for each class. All zeros when it is new, so that it can be in a thread-local at no cost.
///
/// What a magazine consists of stands in arrays of its own, since a machine's address is a base plus
/// an index times eight at most.
///
/// **Invariant.** `len <= limit`; either both are 0, or `base` is the start of an array of more than
/// `limit` places, which nobody else uses while it is this magazine's.
pub(crate) struct Magazines {
    bases: [Cell<*mut Place>; SizeClass::COUNT],
    lens: [Cell<u32>; SizeClass::COUNT],
    /// Blocks at which it is time to look. There is a place for one more.
    limits: [Cell<u32>; SizeClass::COUNT],
}

impl Magazines {
    /// Empty, without arrays.
    pub(crate) const fn new() -> Self {
        Self {
            bases: [const { Cell::new(ptr::null_mut()) }; SizeClass::COUNT],
            lens: [const { Cell::new(0) }; SizeClass::COUNT],
            limits: [const { Cell::new(0) }; SizeClass::COUNT],
        }
    }

    #[inline(always)]
    fn base_of(&self, class: SizeClass) -> &Cell<*mut Place> {
        // SAFETY: the number of a class is below `COUNT`.
        unsafe { self.bases.get_unchecked(class.index()) }
    }

    #[inline(always)]
    fn len_of(&self, class: SizeClass) -> &Cell<u32> {
        // SAFETY: the number of a class is below `COUNT`.
        unsafe { self.lens.get_unchecked(class.index()) }
    }

    #[inline(always)]
    fn limit_of(&self, class: SizeClass) -> &Cell<u32> {
        // SAFETY: the number of a class is below `COUNT`.
        unsafe { self.limits.get_unchecked(class.index()) }
    }

    /// Takes the block that came last.
    #[inline(always)]
    pub(crate) fn pop(&self, class: SizeClass) -> Option<NonNull<u8>> {
        let len = self.len_of(class).get().checked_sub(1)?;
        self.len_of(class).set(len);
        // SAFETY: there was a block, so there is an array, and that many places are in it.
        let place = unsafe { self.base_of(class).get().add(len as usize) };
        // SAFETY: below the length it was, so it is initialised, and the magazine's own.
        Some(unsafe { &*place }.get())
    }

    /// Adds a block; `false` if it is time to look: then it was not added.
    ///
    /// # Safety
    /// The block is of this class and heap, with provenance for its span; nobody uses it any more.
    #[inline(always)]
    pub(crate) unsafe fn push(&self, class: SizeClass, block: NonNull<u8>) -> bool {
        hide(block, class);
        let len = self.len_of(class).get();
        if len >= self.limit_of(class).get() {
            return false;
        }
        // SAFETY: the array has more than `limit` places.
        unsafe { self.put(class, len, block) };
        true
    }

    /// Adds a block behind `len` others.
    ///
    /// # Safety
    /// The magazine has `len` blocks and an array of more places. The block is as for
    /// [`push`](Self::push).
    #[inline(always)]
    unsafe fn put(&self, class: SizeClass, len: u32, block: NonNull<u8>) {
        // SAFETY: there is an array, which has more places than that.
        let place = unsafe { self.base_of(class).get().add(len as usize) };
        // SAFETY: in the array, which nobody else uses; it need not be initialised to be written.
        unsafe { place.write(Cell::new(block)) };
        self.len_of(class).set(len + 1);
    }

    /// Adds a block although it is time to look.
    ///
    /// # Safety
    /// The magazine's array has a place left. The block is as for [`push`](Self::push).
    pub(crate) unsafe fn push_more(&self, class: SizeClass, block: NonNull<u8>) {
        // SAFETY: the caller's promise.
        unsafe { self.put(class, self.len_of(class).get(), block) };
    }

    /// Blocks in a magazine.
    pub(crate) fn len(&self, class: SizeClass) -> usize {
        self.len_of(class).get() as usize
    }

    /// Sets how many blocks it has, after places were written.
    ///
    /// # Safety
    /// So many places are initialised, with blocks as for [`push`](Self::push) that nobody else keeps;
    /// not more than one above the limit, or the limit is set before the magazine is used again.
    pub(crate) unsafe fn set_len(&self, class: SizeClass, len: usize) {
        self.len_of(class).set(len as u32);
    }

    /// Sets at how many blocks it is time to look.
    ///
    /// # Safety
    /// Not below the length, and below the number of the array's places unless that is 0.
    pub(crate) unsafe fn set_limit(&self, class: SizeClass, limit: usize) {
        debug_assert!(self.len(class) <= limit);
        self.limit_of(class).set(limit as u32);
    }

    /// The blocks, the oldest first.
    pub(crate) fn places(&self, class: SizeClass) -> &[Place] {
        let places = NonNull::slice_from_raw_parts(self.array(class), self.len(class));
        // SAFETY: so many places are initialised, and only ever changed through their cells; the
        // array stays as long as the magazine has blocks.
        unsafe { places.as_ref() }
    }

    /// The start of a magazine's array; dangling if it has none.
    pub(crate) fn array(&self, class: SizeClass) -> NonNull<Place> {
        NonNull::new(self.base_of(class).get()).unwrap_or(NonNull::dangling())
    }

    /// Gives a magazine another array, and moves its blocks there. Returns the one it had; dangling
    /// if it had none.
    ///
    /// # Safety
    /// The array has more places than the limit, and not fewer than the length; nobody else uses it.
    pub(crate) unsafe fn set_array(
        &self,
        class: SizeClass,
        array: NonNull<Place>,
    ) -> NonNull<Place> {
        let old = self.array(class);
        self.base_of(class).set(array.as_ptr());
        // SAFETY: both have as many places, and are not the same.
        unsafe { array.copy_from_nonoverlapping(old, self.len(class)) };
        old
    }

    /// Gives a magazine another array with `len` blocks in it. Returns what it had.
    ///
    /// # Safety
    /// The array has more places than the limit, which is set before the magazine is used again; so
    /// many are initialised, with blocks as for [`push`](Self::push). Nobody else uses any of it.
    pub(crate) unsafe fn swap(
        &self,
        class: SizeClass,
        array: NonNull<Place>,
        len: usize,
    ) -> (NonNull<Place>, usize) {
        let old = self.array(class);
        self.base_of(class).set(array.as_ptr());
        (old, self.len_of(class).replace(len as u32) as usize)
    }

    /// Takes the array from a magazine, which has no blocks any more; dangling if it had none.
    #[cfg(feature = "std")]
    pub(crate) fn take_array(&self, class: SizeClass) -> NonNull<Place> {
        debug_assert_eq!(self.len(class), 0);
        self.limit_of(class).set(0);
        let old = self.array(class);
        self.base_of(class).set(ptr::null_mut());
        old
    }

    /// Makes it as new, whatever it held.
    #[cfg(feature = "std")]
    pub(crate) fn forget(&self) {
        self.lens.iter().for_each(|len| len.set(0));
        self.limits.iter().for_each(|limit| limit.set(0));
        self.bases.iter().for_each(|base| base.set(ptr::null_mut()));
    }
}

/// Tells a memory checker that a block is free.
#[inline(always)]
pub(crate) fn hide(block: NonNull<u8>, class: SizeClass) {
    poison::forbid(block.as_ptr(), class.size());
}
