//! From tenant to tenant by the generations. A storage file.

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
/// vacate slots meanwhile, of those that it has been to.
pub(crate) struct Cursor<T> {
    /// The pages of the directory, `end` of them.
    pages: NonNull<Page<T>>,
    end: usize,
    /// The number of the next page.
    number: usize,
    /// The page that `bits` belong to, if there are any.
    page: Page<T>,
    /// Sixty-four slots of it each, of which those before are done.
    word: usize,
    /// Tenants to come among those before `word`.
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
    /// The store is alive and has had no page opened or closed since the cursor was made, nor a slot
    /// filled or vacated that is still to come.
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
            let (page, first) = (self.page, self.first());
            let mut start = 64 * self.word;
            loop {
                while self.bits != 0 {
                    // Of the word before.
                    let slot = (start - 64) | self.bits.trailing_zeros() as usize;
                    self.bits &= self.bits - 1;
                    result = f(result, Place { spot: Spot { page, slot }, first });
                }
                if start == 64 * Self::WORDS {
                    break;
                }
                // SAFETY: the page is there, and has so many words.
                self.bits = unsafe { page.live(start / 64) };
                start += 64;
            }
            // SAFETY: the caller's promise.
            match unsafe { Self::next_page(self.pages, self.number, self.end) } {
                Some((number, page)) => (self.number, self.page, self.word) = (number + 1, page, 0),
                None => return result,
            }
        }
    }

    /// The index of the first slot of `page`.
    #[inline(always)]
    fn first(&self) -> u32 {
        (self.number.wrapping_sub(1) << Page::<T>::SHAPE.bits) as u32
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
                let (number, page) = unsafe { Self::next_page(self.pages, self.number, self.end) }?;
                (self.number, self.page, self.word) = (number + 1, page, 0);
            }
            // SAFETY: the page is there, and has so many words.
            self.bits = unsafe { self.page.live(self.word) };
            self.word += 1;
        }
        Some(())
    }

    /// The first page that is there, from this number on, and its own. Not by `self`, which so stays
    /// in registers.
    ///
    /// # Safety
    /// As `next`; these are its fields.
    #[inline]
    unsafe fn next_page(
        pages: NonNull<Page<T>>,
        number: usize,
        end: usize,
    ) -> Option<(usize, Page<T>)> {
        // SAFETY: the directory's pages stay where they are, as the caller promises.
        let pages = unsafe { slice::from_raw_parts(pages.as_ptr(), end) };
        let there = |(_, page): &(usize, &Page<T>)| page.is_there();
        pages.iter().enumerate().skip(number).find(there).map(|(number, &page)| (number, page))
    }
}
