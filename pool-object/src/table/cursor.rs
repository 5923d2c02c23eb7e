//! From tenant to tenant by the live bits. A storage file.

use crate::table::key::Key;
use crate::table::page::{Page, Spot};
use core::ptr::NonNull;
use core::slice;

/// Where a tenant is.
pub(crate) struct Place<T> {
    pub(crate) spot: Spot<T>,
    /// The index of the page's first slot.
    first: u32,
}

impl<T> Place<T> {
    /// The tenant's key.
    ///
    /// # Safety
    /// The tenant is still there.
    #[inline(always)]
    pub(crate) unsafe fn key(&self) -> Key {
        // SAFETY: a tenant's slot is one of a live page.
        let generation = unsafe { self.spot.generation() };
        Key::new(generation, self.first | self.spot.slot as u32)
    }
}

/// Goes through the slots of a store in their order, 64 at a look. Raw, so that the store may
/// vacate slots meanwhile.
pub(crate) struct Cursor<T> {
    /// The pages of the directory, `end` of them.
    pages: NonNull<Page<T>>,
    end: usize,
    /// The number of the next page.
    number: usize,
    /// The page that `bits` belong to, if there are any.
    page: Page<T>,
    /// The word after the one that `bits` are what is left of.
    word: usize,
    bits: u64,
}

impl<T> Clone for Cursor<T> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<T> Cursor<T> {
    const WORDS: usize = Page::<T>::SHAPE.words();

    #[inline]
    pub(crate) fn new(pages: &[Page<T>]) -> Self {
        let (start, end) = (NonNull::from(pages).cast(), pages.len());
        Self { pages: start, end, number: 0, page: Page::absent(), word: Self::WORDS, bits: 0 }
    }

    /// The next tenant.
    ///
    /// # Safety
    /// The store is alive and has had no page opened or closed since the cursor was made.
    #[inline(always)]
    pub(crate) unsafe fn next(&mut self) -> Option<Place<T>> {
        if self.bits == 0 {
            // SAFETY: the caller's promise.
            unsafe { self.advance() }?;
        }
        let slot = (64 * (self.word - 1)) | self.bits.trailing_zeros() as usize;
        self.bits &= self.bits - 1;
        Some(Place { spot: Spot { page: self.page, slot }, first: self.first() })
    }

    /// Calls `f` with every tenant to come, faster than one by one.
    ///
    /// # Safety
    /// As `next`, for as long as this takes.
    #[inline(always)]
    pub(crate) unsafe fn fold<B>(
        mut self,
        mut result: B,
        mut f: impl FnMut(B, Place<T>) -> B,
    ) -> B {
        loop {
            if self.bits == 0 {
                // SAFETY: the caller's promise.
                if unsafe { self.advance() }.is_none() {
                    return result;
                }
            }
            let (page, first, start) = (self.page, self.first(), 64 * (self.word - 1));
            while self.bits != 0 {
                let slot = start | self.bits.trailing_zeros() as usize;
                self.bits &= self.bits - 1;
                result = f(result, Place { spot: Spot { page, slot }, first });
            }
        }
    }

    /// The index of the first slot of `page`.
    #[inline(always)]
    fn first(&self) -> u32 {
        ((self.number - 1) << Page::<T>::SHAPE.bits) as u32
    }

    /// Takes up the next word that is not 0; `None` at the end.
    ///
    /// # Safety
    /// As `next`.
    #[inline]
    unsafe fn advance(&mut self) -> Option<()> {
        while self.bits == 0 {
            if self.word == Self::WORDS {
                // SAFETY: the caller's promise.
                self.page = unsafe { self.next_page() }?;
                self.word = 0;
            }
            // SAFETY: the page is there, and has so many words.
            let word = unsafe { self.page.live(self.word) };
            // SAFETY: initialised when the page was opened.
            self.bits = unsafe { word.read() };
            self.word += 1;
        }
        Some(())
    }

    /// # Safety
    /// As `next`.
    #[cold]
    unsafe fn next_page(&mut self) -> Option<Page<T>> {
        // SAFETY: the directory's pages stay where they are, as the caller promises.
        let pages = unsafe { slice::from_raw_parts(self.pages.as_ptr(), self.end) };
        let found = pages[self.number..].iter().position(|page| page.is_there())?;
        self.number += found + 1;
        Some(pages[self.number - 1])
    }
}
