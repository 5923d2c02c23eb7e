//! Slots with tenants and without: the unsafe half of the table. A storage file.

use crate::table::cursor::Cursor;
use crate::table::directory::{Directory, Entry};
use crate::table::error::TableError;
use crate::table::key::Key;
use crate::table::page::{Page, RETIRED};
use core::sync::atomic::{AtomicUsize, Ordering};
use pool_core::PageSource;

/// The end of the list of vacant slots.
const NONE: u32 = u32::MAX;
/// Fresh slots that are listed at once: few, since linking a slot touches it.
const BATCH: usize = 8;

/// Stores that have begun so far.
static BEGUN: AtomicUsize = AtomicUsize::new(0);

/// Where the generations of a new store begin: in the lower half of what there is, and far from
/// those of the stores before.
fn first_generation() -> u32 {
    let number = BEGUN.fetch_add(1, Ordering::Relaxed) as u32;
    // Weyl's sequence by the golden ratio: neighbours are far apart.
    number.wrapping_mul(0x9e37_79b9) >> 1
}

/// Invariants, which `check` checks:
/// 1. A slot below `SHAPE.slots` of a page has a tenant, an initialised value, exactly if its generation
///    is odd, and exactly if its bit is set. `len` counts them.
/// 2. The vacant slots whose generation is not `RETIRED` are, once each, in the list that begins at
///    `free` and goes on in the slots' links, or are fresh: in the last page from `fresh` on.
/// 3. Slots begin at a generation that is even, not `RETIRED`, and above that of every key of an
///    earlier tenant of this index.
pub(crate) struct Store<T, S: PageSource> {
    directory: Directory<T>,
    /// The first vacant slot's index, or `NONE`.
    free: u32,
    /// The first slot of the last page that has never been listed.
    fresh: usize,
    len: usize,
    peak: usize,
    /// Of pages that the directory has not; `RETIRED` before the first one.
    first: u32,
    /// The most slots that may have tenants.
    max: usize,
    source: S,
}

// SAFETY: the store owns its values, pages and source, all of which may go to another thread if `T`
// and `S` may (source: clause 3). Shared it lends `&T` and `&S`, as `Sync` allows.
unsafe impl<T: Send, S: PageSource + Send> Send for Store<T, S> {}
// SAFETY: as above; nothing changes through `&self`.
unsafe impl<T: Sync, S: PageSource + Sync> Sync for Store<T, S> {}

impl<T, S: PageSource> Store<T, S> {
    const SLOTS: usize = Page::<T>::SHAPE.slots;
    const BITS: u32 = Page::<T>::SHAPE.bits;
    const MASK: usize = Page::<T>::MASK;
    /// So many pages have indices below `NONE`.
    const MOST_PAGES: usize = (NONE >> Self::BITS) as usize;

    pub(crate) const fn new(source: S) -> Self {
        Self {
            directory: Directory::new(),
            free: NONE,
            fresh: Self::SLOTS,
            len: 0,
            peak: 0,
            first: RETIRED,
            max: usize::MAX,
            source,
        }
    }

    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn peak(&self) -> usize {
        self.peak
    }

    pub(crate) fn max(&self) -> usize {
        self.max
    }

    pub(crate) fn set_max(&mut self, max: usize) {
        self.max = max;
    }

    pub(crate) fn source(&self) -> &S {
        &self.source
    }

    /// Slots in the pages that there are.
    pub(crate) fn capacity(&self) -> usize {
        Self::SLOTS * self.directory.entries().iter().filter(|entry| entry.page.is_some()).count()
    }

    /// Lets new pages begin at this generation, or the even one above.
    pub(crate) fn set_first(&mut self, first: u32) {
        self.first = self.first.max(first.saturating_add(1) & !1).max(2);
    }

    /// The page and the slot of an index. Only for indices of this store's.
    #[inline(always)]
    fn place(&self, index: u32) -> Option<(Page<T>, usize)> {
        let page = self.directory.page(index as usize >> Self::BITS)?;
        Some((page, index as usize & Self::MASK))
    }

    /// The slot of the tenant with this key.
    #[inline(always)]
    fn find(&self, key: Key) -> Option<(Page<T>, usize)> {
        let (page, slot) = self.place(key.index())?;
        // SAFETY: the slot's number is at most `MASK`, and the page is live while the directory
        // has it; generations only change through `&mut self`.
        let generation = unsafe { page.generation(slot).read() };
        // Odd, as every key's, if they are equal: so there is a tenant (1).
        (generation == key.generation()).then_some((page, slot))
    }

    #[inline(always)]
    pub(crate) fn contains(&self, key: Key) -> bool {
        self.find(key).is_some()
    }

    #[inline(always)]
    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        let (page, slot) = self.find(key)?;
        // SAFETY: the slot has a tenant, that is an initialised value in place, shared as `self` is.
        Some(unsafe { &*page.value(slot) })
    }

    #[inline(always)]
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let (page, slot) = self.find(key)?;
        // SAFETY: the slot has a tenant, that is an initialised value in place, borrowed as `self`
        // is, exclusively.
        Some(unsafe { &mut *page.value(slot) })
    }

    /// All of them at once; `None` if one is not there or two are the same.
    pub(crate) fn get_disjoint_mut<const N: usize>(
        &mut self,
        keys: [Key; N],
    ) -> Option<[&mut T; N]> {
        for (number, key) in keys.iter().enumerate() {
            if keys[..number].contains(key) || !self.contains(*key) {
                return None;
            }
        }
        let places = keys.map(|key| {
            let found = self.find(key);
            found.map_or(core::ptr::null_mut(), |(page, slot)| page.value(slot))
        });
        // Equal indices with different generations cannot both be live: so all slots differ.
        // SAFETY: each is a tenant's place (checked in the loop, and nothing has changed since), no
        // two are the same, and `self` is borrowed exclusively for as long as they are.
        Some(places.map(|place| unsafe { &mut *place }))
    }

    /// The place of the next tenant; nothing is taken yet.
    #[inline(always)]
    pub(crate) fn vacant(&mut self) -> Result<Vacant<'_, T, S>, TableError> {
        if self.len >= self.max {
            return Err(self.full());
        }
        if self.free == NONE {
            self.list_fresh()?;
        }
        let key = self.key_of_vacant();
        Ok(Vacant { store: self, key })
    }

    /// The key that the first listed slot gives its tenant.
    #[inline(always)]
    fn key_of_vacant(&self) -> Key {
        let (page, slot) = self.first_vacant();
        // SAFETY: a listed slot is one of a live page (2).
        let generation = unsafe { page.generation(slot).read() };
        Key::new(generation | 1, self.free)
    }

    /// The first listed slot; there is one.
    #[inline(always)]
    fn first_vacant(&self) -> (Page<T>, usize) {
        debug_assert!(self.free != NONE);
        // SAFETY: the list is not empty, and holds indices of slots of pages that there are (2).
        unsafe { self.place(self.free).unwrap_unchecked() }
    }

    /// Moves a value into the first listed slot.
    ///
    /// # Safety
    /// There is one, and `key` is what `key_of_vacant` says.
    #[inline(always)]
    unsafe fn fill(&mut self, key: Key, value: T) -> &mut T {
        let (page, slot) = self.first_vacant();
        // SAFETY: a listed slot is vacant, so its memory is its link (2), in a live page.
        let next = unsafe { page.next(slot).read() };
        let live = page.live(slot / 64);
        // SAFETY: the word of a slot of a live page.
        let bits = unsafe { live.read() };
        // SAFETY: as above.
        unsafe { live.write(bits | 1 << (slot % 64)) };
        // SAFETY: the generation of a slot of a live page. The key's is odd and one above.
        unsafe { page.generation(slot).write(key.generation()) };
        self.free = next;
        self.len += 1;
        self.peak = self.peak.max(self.len);
        let place = page.value(slot);
        // SAFETY: a vacant slot of a live page, aligned for `T`.
        unsafe { place.write(value) };
        // SAFETY: written just now, and borrowed as `self` is, exclusively.
        unsafe { &mut *place }
    }

    /// Takes the tenant out.
    #[inline(always)]
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let (page, slot) = self.find(key)?;
        // SAFETY: `find` found a tenant there.
        Some(unsafe { self.vacate(page, slot, key) })
    }

    /// Takes the tenant of this slot out.
    ///
    /// # Safety
    /// The slot of this page, one of the store's, has the tenant `key`.
    #[inline(always)]
    unsafe fn vacate(&mut self, page: Page<T>, slot: usize, key: Key) -> T {
        // SAFETY: the tenant's value is initialised, and from here on the slot counts as vacant.
        let value = unsafe { page.value(slot).read() };
        let live = page.live(slot / 64);
        // SAFETY: the word of a slot of a live page.
        let bits = unsafe { live.read() };
        // SAFETY: as above.
        unsafe { live.write(bits & !(1 << (slot % 64))) };
        let generation = key.generation().wrapping_add(1);
        // SAFETY: the generation of a slot of a live page. At the last one this is `RETIRED`, which
        // no key has.
        unsafe { page.generation(slot).write(generation) };
        self.len -= 1;
        if generation != RETIRED {
            // SAFETY: a vacant slot's memory is its link.
            unsafe { page.next(slot).write(self.free) };
            self.free = key.index();
        }
        value
    }

    /// Takes all tenants out, one after another.
    pub(crate) fn draining(&mut self) -> Draining<'_, T, S> {
        Draining { cursor: self.cursor(), store: self }
    }

    /// Takes out those that `wanted` refuses, after it has.
    pub(crate) fn retain(&mut self, mut wanted: impl FnMut(Key, &mut T) -> bool) {
        let mut cursor = self.cursor();
        // SAFETY: slots may be vacated here, but no page is opened or closed.
        while let Some(place) = unsafe { cursor.next() } {
            // SAFETY: the cursor comes to each tenant once, and nobody else takes any out.
            let key = unsafe { place.key() };
            // SAFETY: as above; borrowed until `wanted` returns, while `self` is, exclusively.
            let value = unsafe { &mut *place.page.value(place.slot) };
            if !wanted(key, value) {
                // SAFETY: as above. The tenant is dropped when it is none any more.
                drop(unsafe { self.vacate(place.page, place.slot, key) });
            }
        }
    }

    /// Where all tenants are, in the order of their slots.
    #[inline]
    pub(crate) fn cursor(&self) -> Cursor<T> {
        Cursor::new(self.directory.entries())
    }

    #[cold]
    fn full(&self) -> TableError {
        TableError::Full { live: self.len, limit: self.max }
    }

    /// Lists some slots that have never been, of a new page if need be. After an error nothing
    /// has changed, and otherwise at least one is listed.
    #[cold]
    #[inline(never)]
    fn list_fresh(&mut self) -> Result<(), TableError> {
        if self.fresh == Self::SLOTS {
            self.add_page()?;
        }
        if self.free != NONE {
            return Ok(());
        }
        let number = self.directory.len() - 1;
        let Some(page) = self.directory.page(number) else {
            unreachable!("fresh slots are in the last page");
        };
        let end = Self::SLOTS.min(self.fresh + BATCH);
        self.list(page, number, self.fresh..end);
        self.fresh = end;
        Ok(())
    }

    /// Lists these slots of a page, the first one first; vacant ones that are not listed.
    fn list(&mut self, page: Page<T>, number: usize, slots: core::ops::Range<usize>) {
        for slot in slots.rev() {
            // SAFETY: a vacant slot of a live page, whose memory is its link.
            unsafe { page.next(slot).write(self.free) };
            self.free = (number << Self::BITS | slot) as u32;
        }
    }

    /// One more page: where one was given back, whose slots are listed then, or at the end, where
    /// they are fresh.
    fn add_page(&mut self) -> Result<(), TableError> {
        let entries = self.directory.entries();
        let gap = entries.iter().position(|entry| entry.page.is_none() && entry.first != RETIRED);
        if let Some(number) = gap {
            let first = entries[number].first;
            let page = Page::open(&self.source, first)?;
            self.directory.entries_mut()[number].page = Some(page);
            // At the end it might count as fresh, but is not known to be the last for ever.
            self.list(page, number, 0..Self::SLOTS);
            return Ok(());
        }
        if entries.len() >= Self::MOST_PAGES {
            return Err(TableError::Full { live: self.len, limit: Self::MOST_PAGES * Self::SLOTS });
        }
        if self.first == RETIRED {
            self.set_first(first_generation());
        }
        // SAFETY: a store has one source for its whole life.
        unsafe { self.directory.reserve(&self.source) }?;
        let page = Page::open(&self.source, self.first)?;
        self.directory.push(Entry { page: Some(page), first: RETIRED });
        self.fresh = 0;
        Ok(())
    }

    /// Gives back pages without tenants; their bytes.
    pub(crate) fn shrink(&mut self) -> usize {
        let (mut bytes, last) = (0, self.directory.len().wrapping_sub(1));
        for number in 0..self.directory.len() {
            let Some(page) = self.directory.page(number).filter(|&page| Self::is_vacant(page))
            else {
                continue;
            };
            let first = Self::highest_generation(page);
            self.directory.entries_mut()[number] = Entry { page: None, first };
            // SAFETY: opened with this source, without tenants, and the directory has forgotten it;
            // its slots leave the list below, before anything looks at that.
            bytes += unsafe { page.close(&self.source) };
            if number == last {
                self.fresh = Self::SLOTS;
            }
        }
        self.first = self.directory.forget_last(self.first);
        self.relist();
        // SAFETY: a store has one source for its whole life.
        bytes + unsafe { self.directory.release_if_empty(&self.source) }
    }

    /// Lists anew all vacant slots that are not fresh, the first one first.
    fn relist(&mut self) {
        self.free = NONE;
        for number in (0..self.directory.len()).rev() {
            let Some(page) = self.directory.page(number) else { continue };
            let is_last = number + 1 == self.directory.len();
            let listed = if is_last { self.fresh } else { Self::SLOTS };
            for slot in (0..listed).rev() {
                // SAFETY: the generation of a slot of a live page.
                let generation = unsafe { page.generation(slot).read() };
                if generation % 2 == 0 && generation != RETIRED {
                    self.list(page, number, slot..slot + 1);
                }
            }
        }
    }

    /// Whether no slot of the page, one of the store's, has a tenant.
    fn is_vacant(page: Page<T>) -> bool {
        // SAFETY: the words of a live page.
        (0..Page::<T>::SHAPE.words()).all(|word| unsafe { page.live(word).read() } == 0)
    }

    /// Of a page of the store's; `RETIRED` if a slot of it is.
    fn highest_generation(page: Page<T>) -> u32 {
        let mut highest = RETIRED;
        for slot in 0..Self::SLOTS {
            // SAFETY: the generation of a slot of a live page.
            let generation = unsafe { page.generation(slot).read() };
            if generation == RETIRED {
                return RETIRED;
            }
            highest = highest.max(generation);
        }
        highest
    }

    /// Looks at every invariant; for tests, in time O(slots).
    #[doc(hidden)]
    pub(crate) fn check(&self) {
        let (mut live, mut vacant) = (0, 0);
        for (number, entry) in self.directory.entries().iter().enumerate() {
            let Some(page) = entry.page else { continue };
            let is_last = number + 1 == self.directory.len();
            let fresh = if is_last { self.fresh } else { Self::SLOTS };
            for slot in 0..=Self::MASK {
                // SAFETY: the generation of a slot of a live page.
                let generation = unsafe { page.generation(slot).read() };
                // SAFETY: the word of a slot of a live page.
                let word = unsafe { page.live(slot / 64).read() };
                assert_eq!(generation % 2 == 1, word >> (slot % 64) & 1 == 1);
                assert!(slot < Self::SLOTS || generation == RETIRED);
                live += generation as usize % 2;
                vacant += usize::from(slot < fresh && generation % 2 == 0 && generation != RETIRED);
            }
        }
        assert_eq!(live, self.len);
        let mut free = self.free;
        for _ in 0..vacant {
            let Some((page, slot)) = self.place(free) else { panic!("a page that is not there") };
            assert!(slot < Self::SLOTS);
            // SAFETY: the generation of a slot of a live page.
            let generation = unsafe { page.generation(slot).read() };
            assert!(generation % 2 == 0 && generation != RETIRED);
            // SAFETY: a vacant slot's memory is its link.
            free = unsafe { page.next(slot).read() };
        }
        assert_eq!(free, NONE, "the list has exactly the vacant slots");
    }
}

/// A store with a vacant slot listed.
pub(crate) struct Vacant<'a, T, S: PageSource> {
    store: &'a mut Store<T, S>,
    /// What `key_of_vacant` says, for as long as the store is borrowed here.
    key: Key,
}

impl<'a, T, S: PageSource> Vacant<'a, T, S> {
    #[inline(always)]
    pub(crate) fn key(&self) -> Key {
        self.key
    }

    #[inline(always)]
    pub(crate) fn fill(self, value: T) -> &'a mut T {
        // SAFETY: `vacant` found a listed slot, and the store has been borrowed since.
        unsafe { self.store.fill(self.key, value) }
    }
}

/// Takes all tenants of a store out.
pub(crate) struct Draining<'a, T, S: PageSource> {
    store: &'a mut Store<T, S>,
    /// Made when the borrow began.
    cursor: Cursor<T>,
}

impl<T, S: PageSource> Draining<'_, T, S> {
    #[inline]
    pub(crate) fn next(&mut self) -> Option<(Key, T)> {
        // SAFETY: the store is borrowed here, and no page is opened or closed.
        let place = unsafe { self.cursor.next() }?;
        // SAFETY: the cursor comes to each tenant once, and only this takes any out.
        let key = unsafe { place.key() };
        // SAFETY: as above.
        let value = unsafe { self.store.vacate(place.page, place.slot, key) };
        Some((key, value))
    }

    pub(crate) fn left(&self) -> usize {
        self.store.len
    }
}

impl<T, S: PageSource> Drop for Store<T, S> {
    /// Gives all memory back. Values that are still there are not dropped: the table does that before.
    fn drop(&mut self) {
        for number in 0..self.directory.len() {
            if let Some(page) = self.directory.page(number) {
                // SAFETY: opened with this source; nobody looks at the directory's copy after this.
                unsafe { page.close(&self.source) };
            }
        }
        // SAFETY: a store has one source for its whole life.
        unsafe { self.directory.release(&self.source) };
    }
}
