//! Magazines: free blocks of one class, ready to be handed out. The fast path. A storage file.
//!
//! A free block goes to its class' magazine, not to its span: the header, a cold line, is touched
//! when blocks return in batches, and emptiness is looked for then.
//!
//! A magazine is an array of pointers, not a list through the blocks: what is freed need not be in
//! the processor's cache, and the next block is known before anything of this one is read.

use crate::size_class::SizeClass;
use core::cell::Cell;
use core::ptr::NonNull;
use pool_core::poison;

/// A place in a magazine: below its length, a free block that is the magazine's own.
pub(crate) type Place = Cell<NonNull<u8>>;

/// A magazine for each class.
///
/// What a magazine consists of stands in arrays of its own, since a machine's address is a base plus
/// an index times eight at most.
///
/// **Invariant.** `len <= limit`; either both are 0, or `base` is the start of an array of more than
/// `limit` places, which nobody else uses while it is this magazine's.
pub(crate) struct Magazines {
    bases: [Cell<NonNull<Place>>; SizeClass::COUNT],
    lens: [Cell<usize>; SizeClass::COUNT],
    /// Blocks at which it is time to look. There is a place for one more.
    limits: [Cell<usize>; SizeClass::COUNT],
}

impl Magazines {
    /// Empty, without arrays.
    pub(crate) const fn new() -> Self {
        Self {
            bases: [const { Cell::new(NonNull::dangling()) }; SizeClass::COUNT],
            lens: [const { Cell::new(0) }; SizeClass::COUNT],
            limits: [const { Cell::new(0) }; SizeClass::COUNT],
        }
    }

    #[inline(always)]
    fn base(&self, class: SizeClass) -> NonNull<Place> {
        // SAFETY: the number of a class is below `COUNT`.
        unsafe { self.bases.get_unchecked(class.index()) }.get()
    }

    #[inline(always)]
    fn len_of(&self, class: SizeClass) -> &Cell<usize> {
        // SAFETY: the number of a class is below `COUNT`.
        unsafe { self.lens.get_unchecked(class.index()) }
    }

    #[inline(always)]
    fn limit_of(&self, class: SizeClass) -> &Cell<usize> {
        // SAFETY: the number of a class is below `COUNT`.
        unsafe { self.limits.get_unchecked(class.index()) }
    }

    /// Takes the block that came last.
    #[inline(always)]
    pub(crate) fn pop(&self, class: SizeClass) -> Option<NonNull<u8>> {
        let len = self.len_of(class).get().checked_sub(1)?;
        self.len_of(class).set(len);
        // SAFETY: that many places are in the array.
        let place = unsafe { self.base(class).add(len) };
        // SAFETY: below the length it was, so it is initialised, and the magazine's own.
        Some(unsafe { place.as_ref() }.get())
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
    unsafe fn put(&self, class: SizeClass, len: usize, block: NonNull<u8>) {
        // SAFETY: the array has more places than that.
        let place = unsafe { self.base(class).add(len) };
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
        unsafe { self.put(class, self.len(class), block) };
    }

    /// Blocks in a magazine.
    pub(crate) fn len(&self, class: SizeClass) -> usize {
        self.len_of(class).get()
    }

    /// Sets how many blocks it has, after some were written behind or moved by
    /// [`places`](Self::places).
    ///
    /// # Safety
    /// So many places are initialised, with blocks as for [`push`](Self::push) that nobody else keeps;
    /// not more than one above the limit.
    pub(crate) unsafe fn set_len(&self, class: SizeClass, len: usize) {
        self.len_of(class).set(len);
    }

    /// Sets at how many blocks it is time to look.
    ///
    /// # Safety
    /// Not below the length, and below the array's length unless that is 0.
    pub(crate) unsafe fn set_limit(&self, class: SizeClass, limit: usize) {
        debug_assert!(self.len(class) <= limit);
        self.limit_of(class).set(limit);
    }

    /// The blocks, the oldest first.
    pub(crate) fn places(&self, class: SizeClass) -> &[Place] {
        // SAFETY: so many places are initialised, and only ever changed through their cells; the
        // array stays until `set_array`, which nobody calls who has these.
        unsafe { NonNull::slice_from_raw_parts(self.base(class), self.len(class)).as_ref() }
    }

    /// The start of a magazine's array.
    pub(crate) fn array(&self, class: SizeClass) -> NonNull<Place> {
        self.base(class)
    }

    /// Gives a magazine another array, and moves its blocks there.
    ///
    /// # Safety
    /// The array has more places than the limit and the length; nobody else uses it.
    pub(crate) unsafe fn set_array(&self, class: SizeClass, array: NonNull<Place>) {
        let old = self.bases[class.index()].replace(array);
        // SAFETY: both have as many places, and are not the same.
        unsafe { array.copy_from_nonoverlapping(old, self.len(class)) };
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
        (self.bases[class.index()].replace(array), self.len_of(class).replace(len))
    }
}

/// Tells a memory checker that a block is free.
#[inline(always)]
pub(crate) fn hide(block: NonNull<u8>, class: SizeClass) {
    poison::forbid(block.as_ptr(), class.size());
}
