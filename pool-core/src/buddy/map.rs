//! `BuddyMap`: the buddy system as pure arithmetic over words that the caller brings.
//!
//! For each order there is a set of free blocks (see `bitset`), with the least of them in a word by
//! itself; one word says which orders have any, so the best fit is one `trailing_zeros`. Knuth's buddy keeps lists inside the free
//! blocks and Linux beside them; sets cost no more, never touch a free page (which would make it
//! resident), and give the *lowest* block of an order, which packs what lives and leaves whole
//! regions to be unmapped.
//!
//! ```text
//! words: [orders that have a free block][those with several][free pages][least of each order]
//!        [order 0: the others][order 1: the others] ...
//! ```
//!
//! The word by itself is for the steady state, in which most orders have no free block or one: then
//! no other word is read.
#![forbid(unsafe_code)]

use super::bitset::BitSet;

/// The word with bit k set if order k has a free block.
const ORDERS: usize = 0;
/// The word with bit k set if order k has more than one free block.
const SEVERAL: usize = 1;
/// The word with the number of free pages.
const FREE: usize = 2;
/// The first of the words with the least free block of each order, or `NONE`.
const LEAST: usize = 3;
/// No block has this number.
const NONE: u64 = u64::MAX;
/// Page numbers are `u32`, so a block has at most 2^31 pages.
const MAX_ORDERS: usize = 32;
/// Debug builds check maps of up to this many pages after every change.
const CHECKED_PAGES: u32 = 128;

/// Cuts pages `first..end` into blocks of powers of two, and merges them again.
///
/// A block of order k has 2^k pages and begins at a multiple of 2^k, counted from page 0. `end`
/// need not be a power of two: what is left at the end is blocks of smaller orders. Pages below
/// `first` are never free; they are there so that page 0 can be aligned better than page `first`.
///
/// This is the shape alone: immutable and computed once. The state is `words()` words of the
/// caller, passed to each call, and set up by [`reset`](Self::reset). They cost 2 bits a page and
/// 1/63 of that for the summaries, plus at most 3 words an order: 296 bytes for 512 pages,
/// at most 0.29 bytes a page from 10,000 pages on.
///
/// Every change is O(log n): at most one set an order, and of a set mostly one word, at worst one
/// a level (6 bits each).
#[derive(Clone, Copy, Debug)]
pub(crate) struct BuddyMap {
    first: u32,
    end: u32,
    orders: u32,
    words: u32,
    /// The set of order k holds the free blocks but the least, by number, below `end >> k`. Sets
    /// from `orders` on are unused.
    sets: [BitSet; MAX_ORDERS],
}

impl BuddyMap {
    /// Pages `first..end`; `None` if there is none, or if page numbers exceed `u32`.
    pub(crate) const fn new(first: usize, end: usize) -> Option<Self> {
        if first >= end || end > u32::MAX as usize {
            return None;
        }
        let orders = end.ilog2() + 1;
        let (mut order, mut at) = (0, LEAST as u32 + orders);
        let mut sets = [BitSet::new(at, 1); MAX_ORDERS];
        while order < orders {
            let set = BitSet::new(at, (end >> order) as u32);
            sets[order as usize] = set;
            at = set.end();
            order += 1;
        }
        Some(Self { first: first as u32, end: end as u32, orders, words: at, sets })
    }

    /// Pages `0..2^log2`, for `log2` up to 31.
    #[cfg(feature = "std")]
    pub(crate) const fn of_power(log2: u32) -> Self {
        match Self::new(0, 1 << log2) {
            Some(map) => map,
            None => unreachable!(),
        }
    }

    /// Words of state that each call needs.
    #[inline]
    pub(crate) const fn words(&self) -> usize {
        self.words as usize
    }

    /// Pages in all.
    #[inline]
    pub(crate) const fn pages(&self) -> u32 {
        self.end - self.first
    }

    /// Makes every page free, whatever `words` held before: the largest blocks that fit, from both
    /// ends of the range.
    pub(crate) fn reset(&self, words: &mut [u64]) {
        words[..self.words()].fill(0);
        words[LEAST..LEAST + self.orders as usize].fill(NONE);
        words[FREE] = u64::from(self.pages());
        let mut page = self.first;
        while page < self.end {
            let fits = (self.end - page).ilog2();
            let order = if page == 0 { fits } else { fits.min(page.trailing_zeros()) };
            self.put(words, order, page >> order);
            page += 1 << order;
        }
        self.debug_check(words);
    }

    /// Takes a block of 2^`order` pages that begins at a multiple of 2^`align` pages, and returns
    /// its first page. The block is cut from the smallest free block that has both the size and
    /// the alignment, the lowest of them; a shorter free block that happens to be aligned better
    /// than its size is not looked for.
    #[inline]
    pub(crate) fn allocate(&self, words: &mut [u64], order: u32, align: u32) -> Option<u32> {
        let least = if order > align { order } else { align };
        let enough = words[ORDERS].checked_shr(least).unwrap_or(0);
        if enough == 0 {
            return None;
        }
        let from = least + enough.trailing_zeros();
        let index = words[LEAST + from as usize] as u32;
        self.drop_least(words, from);
        let page = index << from;
        words[FREE] -= 1 << order;
        if from > order {
            self.free_behind(words, page, order, from);
        }
        self.debug_check(words);
        Some(page)
    }

    /// Gives back the block of 2^`order` pages at `page`, and merges it with its buddies.
    #[inline]
    pub(crate) fn free(&self, words: &mut [u64], page: u32, order: u32) {
        #[cfg(debug_assertions)]
        self.check_live(words, page, order);
        words[FREE] += 1 << order;
        let index = page >> order;
        if self.buddy_is_free(words, order, index) {
            self.merge(words, order, index);
        } else {
            self.put(words, order, index);
        }
        self.debug_check(words);
    }

    /// Whether block `index ^ 1` of this order is free. At the end of the range it may not exist;
    /// its bit is 0 then, as is that of the buddy of the highest order's only block.
    #[inline(always)]
    fn buddy_is_free(&self, words: &[u64], order: u32, index: u32) -> bool {
        self.is_free(words, order, index ^ 1)
    }

    #[inline(always)]
    fn is_free(&self, words: &[u64], order: u32, index: u32) -> bool {
        words[LEAST + order as usize] == u64::from(index)
            || self.sets[order as usize % MAX_ORDERS].contains(words, index)
    }

    /// Merges block `index` with its buddy, and what comes of it with its own, and so on. Apart
    /// from `free` to keep the common case short.
    #[inline(never)]
    fn merge(&self, words: &mut [u64], mut order: u32, mut index: u32) {
        while self.buddy_is_free(words, order, index) {
            self.take(words, order, index ^ 1);
            index >>= 1;
            order += 1;
        }
        self.put(words, order, index);
    }

    /// Shortens the live block at `page` from 2^`from` to 2^`to` pages; the rest is free.
    #[allow(dead_code, reason = "Mmap uses it")]
    pub(crate) fn shrink(&self, words: &mut [u64], page: u32, from: u32, to: u32) {
        #[cfg(debug_assertions)]
        self.check_live(words, page, from);
        words[FREE] += (1 << from) - (1 << to);
        self.free_behind(words, page, to, from);
        self.debug_check(words);
    }

    /// Frees what a block of order `from` at `page` has behind its first 2^`to` pages: the upper
    /// half of each order between. None of them merges, as its buddy is in use.
    #[inline(never)]
    fn free_behind(&self, words: &mut [u64], page: u32, to: u32, from: u32) {
        for order in to..from {
            self.put(words, order, (page >> order) + 1);
        }
    }

    /// Makes block `index` of this order free.
    #[inline(always)]
    fn put(&self, words: &mut [u64], order: u32, index: u32) {
        let least = &mut words[LEAST + order as usize];
        let before = *least;
        let mut other = index;
        if u64::from(index) < before {
            *least = u64::from(index);
            if before == NONE {
                words[ORDERS] |= 1 << order;
                return;
            }
            other = before as u32;
        }
        if self.sets[order as usize % MAX_ORDERS].insert(words, other) {
            words[SEVERAL] |= 1 << order;
        }
    }

    /// Makes the free block `index` of this order free no longer.
    #[inline(always)]
    fn take(&self, words: &mut [u64], order: u32, index: u32) {
        if words[LEAST + order as usize] == u64::from(index) {
            self.drop_least(words, order);
        } else if self.sets[order as usize % MAX_ORDERS].remove(words, index) {
            words[SEVERAL] &= !(1 << order);
        }
    }

    /// As `take` of the least.
    #[inline(always)]
    fn drop_least(&self, words: &mut [u64], order: u32) {
        let mut least = NONE;
        if words[SEVERAL] & 1 << order == 0 {
            words[ORDERS] &= !(1 << order);
        } else {
            let (index, emptied) = self.sets[order as usize % MAX_ORDERS].pop(words);
            least = u64::from(index);
            if emptied {
                words[SEVERAL] &= !(1 << order);
            }
        }
        words[LEAST + order as usize] = least;
    }

    /// The first free block of this order from number `from` on.
    fn next_free(&self, words: &[u64], order: u32, from: u32) -> Option<u32> {
        let least = words[LEAST + order as usize];
        if least == NONE || least >= u64::from(from) {
            return u32::try_from(least).ok();
        }
        self.sets[order as usize].next(words, from)
    }

    /// Pages that are free.
    #[inline]
    #[allow(clippy::unused_self, reason = "words mean something to their map only")]
    pub(crate) fn free_pages(&self, words: &[u64]) -> u32 {
        words[FREE] as u32
    }

    /// Whether all pages are free.
    #[inline]
    #[allow(dead_code, reason = "Mmap uses it")]
    pub(crate) fn is_empty(&self, words: &[u64]) -> bool {
        self.free_pages(words) == self.pages()
    }

    /// The order of the largest free block; `None` if no page is free.
    #[inline]
    #[allow(clippy::unused_self, reason = "words mean something to their map only")]
    pub(crate) fn largest_free_order(&self, words: &[u64]) -> Option<u32> {
        words[ORDERS].checked_ilog2()
    }

    /// The order of the largest block that there is when all pages are free.
    pub(crate) fn largest_order(&self) -> u32 {
        let has = |order: u32| (self.end >> order) > self.first.div_ceil(1 << order);
        (0..self.orders).rev().find(|&order| has(order)).unwrap_or(0)
    }

    /// Tells `f` each free block's first page and order: from small orders to large, each from low
    /// pages to high. O(free blocks × log n).
    pub(crate) fn for_each_free(&self, words: &[u64], mut f: impl FnMut(u32, u32)) {
        for order in 0..self.orders {
            let mut next = self.next_free(words, order, 0);
            while let Some(index) = next {
                f(index << order, order);
                next = self.next_free(words, order, index + 1);
            }
        }
    }

    /// Panics if a page of the block is not there or is free already: a block freed twice, or one
    /// that never was.
    #[cfg(debug_assertions)]
    fn check_live(&self, words: &[u64], page: u32, order: u32) {
        assert!(order < self.orders, "no block has order {order}");
        let inside = page >= self.first && (1 << order) <= self.end - page.min(self.end);
        assert!(inside && page.trailing_zeros() >= order, "no block of order {order} at {page}");
        for above in order..self.orders {
            let free = self.exists_free(words, above, page >> above);
            assert!(!free, "page {page} is free already, in a block of order {above}");
        }
        for below in 0..order {
            let found = self.next_free(words, below, page >> below);
            let free = found.is_some_and(|index| index << below < page + (1 << order));
            assert!(!free, "pages behind {page} are free already, in a block of order {below}");
        }
    }

    /// As `is_free`, where the block may be behind the end.
    fn exists_free(&self, words: &[u64], order: u32, index: u32) -> bool {
        index < self.end >> order && self.is_free(words, order, index)
    }

    #[inline]
    fn debug_check(&self, words: &[u64]) {
        if cfg!(debug_assertions) && self.end <= CHECKED_PAGES {
            self.check(words);
        }
    }

    /// Panics unless all holds: the summaries agree, no free block overlaps another or leaves
    /// the range, no two free blocks are buddies, and the pages add up.
    pub(crate) fn check(&self, words: &[u64]) {
        let mut free = 0;
        for order in 0..self.orders {
            let set = &self.sets[order as usize];
            let (least, several) = (words[LEAST + order as usize], set.check(words));
            let told = (words[ORDERS] >> order & 1 != 0, words[SEVERAL] >> order & 1 != 0);
            assert_eq!(told, (least != NONE, several), "the masks lie about order {order}");
            let next = set.next(words, 0).map_or(NONE, u64::from);
            assert!(least < next || least == NONE && !several, "a lesser one of order {order}");
        }
        let masks = words[ORDERS] | words[SEVERAL];
        assert_eq!(masks >> self.orders, 0, "the masks have orders that are not there");
        self.for_each_free(words, |page, order| {
            free += 1u64 << order;
            assert!(page >= self.first, "page {page} is not ours");
            let buddies = self.buddy_is_free(words, order, page >> order);
            assert!(!buddies, "buddies {page} of order {order} are both free");
            for above in order + 1..self.orders {
                let twice = self.exists_free(words, above, page >> above);
                assert!(!twice, "page {page} is free in orders {order} and {above}");
            }
        });
        assert_eq!(words[FREE], free, "free pages do not add up");
    }
}

#[cfg(test)]
mod tests;
