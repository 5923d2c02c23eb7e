//! Which regions there are, which of their pages are free, and which are known to be zero. Safe
//! code: it decides about offsets, `mmap` turns them into memory.
#![forbid(unsafe_code)]

use crate::buddy::BuddyMap;
use crate::error::OsError;
use crate::run::PageKind;
use crate::source::mmap::address_map::AddressMap;
use crate::sys::mapping::Mapping;
use crate::sys::table::Table;
use core::ops::Range;

/// No region: the end of a list.
const NONE: u32 = u32::MAX;

/// All regions of one `Mmap`: equally long, each cut by a buddy.
///
/// Regions stand in lists by the order of their largest free block, so that the best fit over all
/// of them is one `trailing_zeros`, and a run is given back in O(log n) whatever there is.
#[derive(Debug)]
pub(crate) struct Directory {
    map: BuddyMap,
    page_log2: u32,
    region_log2: u32,
    /// By number; `None` where a region was removed.
    regions: Table<Option<Region>>,
    /// Numbers of `None` regions.
    vacant: Table<u32>,
    /// `words_each` words for each region: the buddy's, then a bit for each page that is dirty.
    words: Table<u64>,
    words_each: usize,
    /// The base address of each region.
    by_base: AddressMap,
    /// For each order the first region whose largest free block has it.
    heads: [u32; 32],
    /// Bit k: `heads[k]` is not `NONE`.
    filled: u32,
    /// Regions of which every page is free.
    empty: usize,
    len: usize,
}

/// One region: `1 << region_log2` bytes, aligned to that.
#[derive(Debug)]
pub(crate) struct Region {
    pub(crate) mapping: Mapping,
    pub(crate) kind: PageKind,
    /// The list it is in; `None` if no page is free.
    order: Option<u32>,
    next: u32,
    previous: u32,
}

/// A block of a region.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) region: u32,
    /// Bytes from the region's base.
    pub(crate) offset: usize,
    /// Whether all of it is known to read as zeros.
    pub(crate) zeroed: bool,
}

impl Directory {
    /// `page_log2 < region_log2`, at most 31 apart.
    pub(crate) fn new(page_log2: u32, region_log2: u32) -> Self {
        let pages = 1_usize << (region_log2 - page_log2);
        let map = BuddyMap::of_power(region_log2 - page_log2);
        Self {
            map,
            page_log2,
            region_log2,
            regions: Table::new(),
            vacant: Table::new(),
            words: Table::new(),
            words_each: map.words() + pages.div_ceil(64),
            by_base: AddressMap::new(),
            heads: [NONE; 32],
            filled: 0,
            empty: 0,
            len: 0,
        }
    }

    /// Regions that there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Regions of which every page is free.
    pub(crate) fn empty(&self) -> usize {
        self.empty
    }

    pub(crate) fn region(&self, number: u32) -> Option<&Region> {
        self.regions.get(number as usize)?.as_ref()
    }

    /// Numbers of regions run from 0 to this.
    pub(crate) fn numbers(&self) -> u32 {
        self.regions.len() as u32
    }

    fn order_of(&self, len: usize) -> u32 {
        crate::bytes::log2_ceil(len).saturating_sub(self.page_log2)
    }

    /// The map, and the words of one region. The map is lent, not copied: it is a kilobyte.
    #[inline]
    fn parts(&mut self, region: u32) -> (&BuddyMap, &mut [u64]) {
        let at = region as usize * self.words_each;
        (&self.map, &mut self.words[at..at + self.words_each])
    }

    /// Takes a block of `len` bytes (rounded up to a power of two of pages), aligned to `align`,
    /// both at most a region. `None`: no region has one.
    pub(crate) fn take(&mut self, len: usize, align: usize) -> Option<Place> {
        let (order, align) = (self.order_of(len), self.order_of(align));
        let fits = self.filled.checked_shr(order.max(align)).unwrap_or(0);
        if fits == 0 {
            return None;
        }
        let list = order.max(align) + fits.trailing_zeros();
        let number = self.heads[list as usize];
        let (map, words) = self.parts(number);
        let was_empty = map.is_empty(words);
        let page = map.allocate(words, order, align)?;
        let dirty = &words[map.words()..];
        let zeroed = !any(dirty, page as usize..(page as usize + (1 << order)));
        self.empty -= usize::from(was_empty);
        self.relist(number);
        Some(Place { region: number, offset: (page as usize) << self.page_log2, zeroed })
    }

    /// The region that `address` lies in, if it is one of ours.
    pub(crate) fn region_at(&self, address: usize) -> Option<u32> {
        self.by_base.get(address >> self.region_log2 << self.region_log2)
    }

    /// Gives the block of `len` bytes at `address` in `region` back; its pages are dirty now.
    pub(crate) fn give(&mut self, region: u32, address: usize, len: usize) {
        let offset = address & ((1 << self.region_log2) - 1);
        let (page, order) = ((offset >> self.page_log2) as u32, self.order_of(len));
        let (map, words) = self.parts(region);
        set(&mut words[map.words()..], page as usize..(page as usize + (1 << order)), true);
        map.free(words, page, order);
        let is_empty = map.is_empty(words);
        self.empty += usize::from(is_empty);
        self.relist(region);
    }

    /// Adds a region, all free and known to be zero. Refused without side effect but for the
    /// mapping, which comes back.
    pub(crate) fn insert(
        &mut self,
        mapping: Mapping,
        kind: PageKind,
    ) -> Result<u32, (OsError, Mapping)> {
        let number = match self.reserve() {
            Ok(number) => number,
            Err(error) => return Err((error, mapping)),
        };
        let base = mapping.ptr().addr().get();
        let region = Region { mapping, kind, order: None, next: NONE, previous: NONE };
        self.regions[number as usize] = Some(region);
        self.by_base.insert(base, number);
        let (map, words) = self.parts(number);
        words.fill(0);
        map.reset(words);
        self.empty += 1;
        self.len += 1;
        self.relist(number);
        Ok(number)
    }

    /// A vacant number, with room for all that a region needs, and for its removal.
    fn reserve(&mut self) -> Result<u32, OsError> {
        self.by_base.reserve()?;
        if let Some(number) = self.vacant.pop() {
            return Ok(number);
        }
        self.regions.reserve(1)?;
        self.words.reserve(self.words_each)?;
        self.vacant.reserve(self.regions.len() + 1)?;
        for _ in 0..self.words_each {
            self.words.push(0)?;
        }
        self.regions.push(None)?;
        Ok(self.regions.len() as u32 - 1)
    }

    /// Takes a region out if all its pages are free.
    pub(crate) fn remove_if_empty(&mut self, number: u32) -> Option<Mapping> {
        self.regions.get(number as usize)?.as_ref()?;
        let (map, words) = self.parts(number);
        if !map.is_empty(words) {
            return None;
        }
        self.unlist(number);
        let region = self.regions[number as usize].take()?;
        self.by_base.remove(region.mapping.ptr().addr().get());
        // `reserve` made room for every number to be vacant at once.
        let pushed = self.vacant.push(number);
        debug_assert!(pushed.is_ok());
        self.empty -= 1;
        self.len -= 1;
        Some(region.mapping)
    }

    /// Tells `clean` each free block of a region that has dirty pages, as offset and length in
    /// bytes; where it says `true`, the block is known to be zero from now on.
    pub(crate) fn clean_free(&mut self, number: u32, mut clean: impl FnMut(usize, usize) -> bool) {
        let page_log2 = self.page_log2;
        let (map, words) = self.parts(number);
        let (free, dirty) = words.split_at_mut(map.words());
        map.for_each_free(free, |page, order| {
            let pages = page as usize..(page as usize + (1 << order));
            let (offset, len) = (pages.start << page_log2, pages.len() << page_log2);
            if any(dirty, pages.clone()) && clean(offset, len) {
                set(dirty, pages, false);
            }
        });
    }

    /// Puts a region into the list of its largest free block.
    fn relist(&mut self, number: u32) {
        let (map, words) = self.parts(number);
        let order = map.largest_free_order(words);
        if self.region(number).is_some_and(|region| region.order == order) {
            return;
        }
        self.unlist(number);
        let Some(order) = order else { return };
        let head = self.heads[order as usize];
        if let Some(Some(next)) = self.regions.get_mut(head as usize) {
            next.previous = number;
        }
        if let Some(region) = &mut self.regions[number as usize] {
            (region.order, region.next, region.previous) = (Some(order), head, NONE);
        }
        self.heads[order as usize] = number;
        self.filled |= 1 << order;
    }

    fn unlist(&mut self, number: u32) {
        let Some(region) = &mut self.regions[number as usize] else { return };
        let Some(order) = region.order.take() else { return };
        let (next, previous) = (region.next, region.previous);
        if let Some(Some(region)) = self.regions.get_mut(next as usize) {
            region.previous = previous;
        }
        match self.regions.get_mut(previous as usize) {
            Some(Some(region)) => region.next = next,
            _ => self.heads[order as usize] = next,
        }
        if self.heads[order as usize] == NONE {
            self.filled &= !(1 << order);
        }
    }
}

/// For each word that holds bits of `range`, its index and the mask of those bits.
fn masks(range: Range<usize>) -> impl Iterator<Item = (usize, u64)> {
    let words = range.start / 64..range.end.div_ceil(64);
    words.map(move |word| {
        let low = range.start.saturating_sub(word * 64);
        let high = (range.end - word * 64).min(64);
        (word, (u64::MAX >> (64 - (high - low))) << low)
    })
}

/// The same, if the range lies within one word: blocks of up to 64 pages do.
#[inline]
fn one_mask(range: &Range<usize>) -> Option<(usize, u64)> {
    let (word, low) = (range.start / 64, range.start % 64);
    let len = range.end - range.start;
    (len > 0 && low + len <= 64).then(|| (word, (u64::MAX >> (64 - len)) << low))
}

/// Whether any bit of a range is set.
#[inline]
fn any(bits: &[u64], range: Range<usize>) -> bool {
    match one_mask(&range) {
        Some((word, mask)) => bits[word] & mask != 0,
        None => masks(range).any(|(word, mask)| bits[word] & mask != 0),
    }
}

/// Sets or clears the bits of a range.
#[inline]
fn set(bits: &mut [u64], range: Range<usize>, value: bool) {
    let mut put = |(word, mask): (usize, u64)| {
        if value { bits[word] |= mask } else { bits[word] &= !mask }
    };
    match one_mask(&range) {
        Some(one) => put(one),
        None => masks(range).for_each(put),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_bits_agree_with_single_bits() {
        // A prime step under Miri, which would take minutes for all of them.
        let step = if cfg!(miri) { 29 } else { 1 };
        for start in (0..140).step_by(step) {
            for end in (start + 1..=192).step_by(step) {
                let mut bits = [0; 3];
                set(&mut bits, start..end, true);
                for bit in 0..192 {
                    let expected = (start..end).contains(&bit);
                    assert_eq!(bits[bit / 64] >> (bit % 64) & 1 == 1, expected);
                    assert_eq!(any(&bits, bit..bit + 1), expected);
                }
                set(&mut bits, start..end, false);
                assert_eq!(bits, [0; 3]);
            }
        }
    }
}
