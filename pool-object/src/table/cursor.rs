//! From tenant to tenant by the live bits. A storage file.

use crate::table::directory::Entry;
use crate::table::key::Key;
use crate::table::page::Page;
use core::slice;

/// Where a tenant is.
pub(crate) struct Place<T> {
    pub(crate) page: Page<T>,
    pub(crate) slot: usize,
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
        // SAFETY: the generation of a slot of a page that is live, since it has a tenant.
        let generation = unsafe { self.page.generation(self.slot).read() };
        Key::new(generation, self.first | self.slot as u32)
    }
}

/// Goes through the slots of a store in their order, 64 at a look. Raw, so that the store may
/// vacate slots meanwhile.
pub(crate) struct Cursor<T> {
    /// The entries of the directory, `end` of them.
    entries: *const Entry<T>,
    end: usize,
    /// The number of the next entry.
    number: usize,
    /// The page that `bits` belong to.
    page: Option<Page<T>>,
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
    pub(crate) fn new(entries: &[Entry<T>]) -> Self {
        let end = entries.len();
        Self { entries: entries.as_ptr(), end, number: 0, page: None, word: Self::WORDS, bits: 0 }
    }

    /// The next tenant.
    ///
    /// # Safety
    /// The store is alive and has had no page opened or closed since the cursor was made.
    #[inline(always)]
    pub(crate) unsafe fn next(&mut self) -> Option<Place<T>> {
        while self.bits == 0 {
            // SAFETY: the caller's promise.
            unsafe { self.advance() }?;
        }
        let slot = 64 * (self.word - 1) + self.bits.trailing_zeros() as usize;
        self.bits &= self.bits - 1;
        // SAFETY: bits are taken from a page.
        let page = unsafe { self.page.unwrap_unchecked() };
        Some(Place { page, slot, first: self.first() })
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
            if let Some(page) = self.page {
                let (first, start) = (self.first(), 64 * self.word.wrapping_sub(1));
                let mut bits = self.bits;
                while bits != 0 {
                    let slot = start.wrapping_add(bits.trailing_zeros() as usize);
                    bits &= bits - 1;
                    result = f(result, Place { page, slot, first });
                }
            }
            // SAFETY: the caller's promise.
            if unsafe { self.advance() }.is_none() {
                return result;
            }
        }
    }

    /// The index of the first slot of `page`.
    #[inline(always)]
    fn first(&self) -> u32 {
        ((self.number - 1) << Page::<T>::SHAPE.bits) as u32
    }

    /// Takes up the next word, or the next page and its first word; `None` at the end.
    ///
    /// # Safety
    /// As `next`.
    #[inline]
    unsafe fn advance(&mut self) -> Option<()> {
        if self.word == Self::WORDS {
            // SAFETY: the caller's promise.
            self.page = Some(unsafe { self.next_page() }?);
            self.word = 0;
        }
        let word = self.page?.live(self.word);
        // SAFETY: a word of a page that the caller promises is live.
        self.bits = unsafe { word.read() };
        self.word += 1;
        Some(())
    }

    /// # Safety
    /// As `next`.
    #[cold]
    unsafe fn next_page(&mut self) -> Option<Page<T>> {
        // SAFETY: the directory's entries stay where they are, as the caller promises.
        let entries = unsafe { slice::from_raw_parts(self.entries, self.end) };
        let found = entries[self.number..].iter().position(|entry| entry.page.is_some())?;
        self.number += found + 1;
        entries[self.number - 1].page
    }
}
