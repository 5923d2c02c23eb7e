//! Slots with tenants and without: the unsafe half of the table. A storage file.

use crate::table::cursor::Cursor;
use crate::table::directory::Directory;
use crate::table::error::{InsertError, TableError, refuse};
use crate::table::key::Key;
use crate::table::live::LIVE;
use crate::table::page::{Page, RETIRED, Spot};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};
use pool_core::PageSource;

/// The end of the list of vacant slots.
pub(super) const NONE: u32 = u32::MAX;
/// Fresh slots that are listed at once: few, since linking a slot touches it.
const BATCH: usize = 8;

/// Marks the way that a stale key takes as unlikely; else the compiler computes the place of the
/// value first and then asks twice whether there is one.
#[cold]
#[inline(always)]
fn stale() {}

/// New pages begin at most here for the sake of what was given back: so that each has 2²⁹ tenants for
/// every slot ahead of it, however many others have had.
pub(super) const MOST_FIRST: u32 = 3 << 29;

/// Stores that have begun so far.
static BEGUN: AtomicUsize = AtomicUsize::new(0);

/// Where the generations of a new store begin: in the lower half of what there is, and far from
/// those of the stores before.
fn first_generation() -> u32 {
    let number = BEGUN.fetch_add(1, Ordering::Relaxed) as u32;
    // Weyl's sequence by the golden ratio: neighbours are far apart.
    number.wrapping_mul(0x9e37_79b9) >> 2
}

/// Invariants, which `check` checks:
/// 1. A slot below `SHAPE.slots` of a page has a tenant, an initialised value, exactly if its generation
///    is `LIVE`. There are `mark - room` of them.
/// 2. The vacant slots whose generation is not `RETIRED` are, once each, in the list that begins at
///    `free` and goes on in the slots' links, or are fresh: in the last page from `fresh` on.
/// 3. Slots begin at a generation that is not `LIVE`, not `RETIRED`, and above that of every key of an
///    earlier tenant of this index.
pub(crate) struct Store<T, S: PageSource> {
    pub(super) directory: Directory<T>,
    /// The first vacant slot's index, or `NONE`.
    pub(super) free: u32,
    /// The first slot of the last page that has never been listed.
    pub(super) fresh: usize,
    /// How many tenants more there may be before something has to be done for it; below 0 if there are
    /// more than may be.
    pub(super) room: isize,
    /// The most tenants that there were, or were to be.
    pub(super) peak: usize,
    /// Slots that have tenants or are listed.
    pub(super) usable: usize,
    /// The lowest of `usable`, `peak` and `max`: one comparison sees to all of them.
    pub(super) mark: usize,
    /// Pages that were given back and may be had again.
    pub(super) gaps: usize,
    /// There is none of them below this number.
    pub(super) gaps_from: usize,
    /// Of pages that the directory has not; `RETIRED` before the first one.
    pub(super) first: u32,
    /// The most slots that may have tenants.
    pub(super) max: usize,
    pub(super) source: S,
}

// SAFETY: the store owns its values, pages and source, all of which may go to another thread if `T`
// and `S` may (source: clause 3). Shared it lends `&T` and `&S`, as `Sync` allows.
unsafe impl<T: Send, S: PageSource + Send> Send for Store<T, S> {}
// SAFETY: as above; nothing changes through `&self`.
unsafe impl<T: Sync, S: PageSource + Sync> Sync for Store<T, S> {}

impl<T, S: PageSource> Store<T, S> {
    pub(super) const SLOTS: usize = Page::<T>::SHAPE.slots;
    pub(super) const BITS: u32 = Page::<T>::SHAPE.bits;
    pub(super) const MASK: usize = Page::<T>::MASK;
    /// As many slots as they have.
    pub(super) const MOST_SLOTS: usize = Self::MOST_PAGES.saturating_mul(Self::SLOTS);
    /// So many pages have indices below `NONE`.
    const MOST_PAGES: usize = (NONE >> Self::BITS) as usize;

    pub(crate) const fn new(source: S) -> Self {
        Self {
            directory: Directory::new(),
            free: NONE,
            fresh: Self::SLOTS,
            room: 0,
            peak: 0,
            usable: 0,
            mark: 0,
            gaps: 0,
            gaps_from: 0,
            first: RETIRED,
            max: usize::MAX,
            source,
        }
    }

    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.mark.wrapping_sub(self.room as usize)
    }

    pub(crate) fn peak(&self) -> usize {
        self.peak
    }

    pub(crate) fn max(&self) -> usize {
        self.max
    }

    pub(crate) fn set_max(&mut self, max: usize) {
        self.max = max;
        self.set_mark();
    }

    pub(crate) fn source(&self) -> &S {
        &self.source
    }

    /// Slots in the pages that there are.
    pub(crate) fn capacity(&self) -> usize {
        Self::SLOTS * self.directory.pages().iter().filter(|page| page.is_there()).count()
    }

    /// Lets new pages begin at this generation, or the next that may be.
    pub(crate) fn set_first(&mut self, first: u32) {
        self.first = self.first.max(first).clamp(RETIRED + 1, LIVE - 1);
    }

    /// The slot of the tenant with this key.
    #[inline(always)]
    fn find(&self, key: Key) -> Option<Spot<T>> {
        let index = key.index() as usize;
        let page = self.directory.page(index >> Self::BITS)?;
        let spot = Spot { page, slot: index & Self::MASK };
        // SAFETY: the number is at most `MASK`, and pages are live while the directory has them.
        let generation = unsafe { spot.generation() };
        // `LIVE`, as every key's, if they are equal: so there is a page, and a tenant (1).
        if generation != key.live_generation() {
            stale();
            return None;
        }
        Some(spot)
    }

    /// The place of the tenant's value.
    #[inline(always)]
    fn find_value(&self, key: Key) -> Option<NonNull<T>> {
        let spot = self.find(key)?;
        // SAFETY: a tenant's slot is one of a live page.
        Some(unsafe { spot.value() })
    }

    #[inline(always)]
    pub(crate) fn contains(&self, key: Key) -> bool {
        self.find(key).is_some()
    }

    #[inline(always)]
    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        let value = self.find_value(key)?;
        // SAFETY: a tenant is an initialised value, shared as `self` is.
        Some(unsafe { value.as_ref() })
    }

    #[inline(always)]
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let mut value = self.find_value(key)?;
        // SAFETY: a tenant is an initialised value, borrowed as `self` is, exclusively.
        Some(unsafe { value.as_mut() })
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
        // Equal indices with different generations cannot both be live: so all slots differ.
        let values = keys.map(|key| self.find_value(key).unwrap_or(NonNull::dangling()));
        // SAFETY: each is a tenant's place (the loop looked, and nothing has changed since), no two
        // are the same, and `self` is borrowed exclusively for as long as they are.
        Some(values.map(|mut value| unsafe { value.as_mut() }))
    }

    /// The place of the next tenant; nothing is taken yet.
    #[inline(always)]
    pub(crate) fn vacant(&mut self) -> Result<Vacant<'_, T, S>, TableError> {
        if self.room <= 0 {
            self.raise_mark()?;
        }
        // SAFETY: a slot is listed, since fewer than `usable` have tenants.
        let key = unsafe { self.key_of_vacant() };
        Ok(Vacant { store: self, key })
    }

    /// Moves a value into the table.
    ///
    /// # Panics
    /// If there is no room.
    #[inline(always)]
    #[track_caller]
    pub(crate) fn insert(&mut self, value: T) -> Key {
        if self.room <= 0 {
            // Behind a reference, which makes it another copy: one that the slow way shared would have
            // to be made before the fast way.
            return self.insert_slowly(&mut Some(value));
        }
        // SAFETY: a slot is listed, since fewer than `usable` have tenants.
        unsafe { self.settle(value) }
    }

    /// As `insert`; else the value, and why there is no room.
    #[inline(always)]
    pub(crate) fn try_insert(&mut self, value: T) -> Result<Key, InsertError<T>> {
        if self.room <= 0 {
            return self.try_insert_slowly(&mut Some(value));
        }
        // SAFETY: as in `insert`.
        Ok(unsafe { self.settle(value) })
    }

    /// Moves a value into the first listed slot; its key.
    ///
    /// # Safety
    /// There is one.
    #[inline(always)]
    unsafe fn settle(&mut self, value: T) -> Key {
        let index = self.free;
        // SAFETY: the caller's promise.
        let (_, generation) = unsafe { self.fill(value) };
        Key::new(generation, index)
    }

    /// As `insert` of what is in `value`.
    #[cold]
    #[inline(never)]
    #[track_caller]
    fn insert_slowly(&mut self, value: &mut Option<T>) -> Key {
        match self.try_insert_slowly(value) {
            Ok(key) => key,
            Err(refusal) => refuse(refusal.error),
        }
    }

    /// As `try_insert` of what is in `value`.
    #[cold]
    #[inline(never)]
    fn try_insert_slowly(&mut self, value: &mut Option<T>) -> Result<Key, InsertError<T>> {
        let raised = self.raise_mark();
        let value = value.take().expect("callers have one");
        match raised {
            // SAFETY: a slot is listed, since fewer than `usable` have tenants.
            Ok(()) => Ok(unsafe { self.settle(value) }),
            Err(error) => Err(InsertError { value, error }),
        }
    }

    /// The first listed slot.
    ///
    /// # Safety
    /// There is one.
    #[inline(always)]
    unsafe fn first_vacant(&self) -> Spot<T> {
        debug_assert!(self.free != NONE);
        // SAFETY: the list holds indices of slots of pages that there are (2).
        let page = unsafe { self.directory.page_unchecked(self.free as usize >> Self::BITS) };
        Spot { page, slot: self.free as usize & Self::MASK }
    }

    /// The key that the first listed slot gives its tenant.
    ///
    /// # Safety
    /// There is one.
    #[inline(always)]
    unsafe fn key_of_vacant(&self) -> Key {
        // SAFETY: the caller's promise.
        let spot = unsafe { self.first_vacant() };
        // SAFETY: a listed slot is one of a live page (2).
        let generation = unsafe { spot.generation() };
        Key::new(generation, self.free)
    }

    /// Moves a value into the first listed slot; its place and generation.
    ///
    /// # Safety
    /// There is one.
    #[inline(always)]
    unsafe fn fill(&mut self, value: T) -> (NonNull<T>, u32) {
        // SAFETY: the caller's promise.
        let spot = unsafe { self.first_vacant() };
        // SAFETY: a listed slot is one of a live page, vacant, and linked (2).
        let next = unsafe { spot.next() };
        // SAFETY: as above.
        let place = unsafe { spot.value() };
        // First of all that is written: nothing of it is in the value's way then, as far as the compiler
        // can tell, and it is copied once.
        // SAFETY: a slot without a tenant is free to be written, and aligned for `T`.
        unsafe { place.write(value) };
        // SAFETY: as above.
        let generation = unsafe { spot.generation() } | LIVE;
        // SAFETY: as above; the value is there.
        unsafe { spot.set_generation(generation) };
        self.free = next;
        self.room -= 1;
        (place, generation)
    }

    /// Takes the tenant out.
    #[inline(always)]
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let spot = self.find(key)?;
        // SAFETY: `find` found a tenant there.
        Some(unsafe { self.vacate(spot, key) })
    }

    /// Takes the tenant of this slot out.
    ///
    /// # Safety
    /// The slot of this store's has the tenant `key`.
    #[inline(always)]
    unsafe fn vacate(&mut self, spot: Spot<T>, key: Key) -> T {
        // SAFETY: a tenant's slot is one of a live page.
        let place = unsafe { spot.value() };
        // SAFETY: a tenant is an initialised value; from here on the slot counts as vacant.
        let value = unsafe { place.read() };
        // Away with `LIVE`, and one more.
        let generation = key.live_generation().wrapping_add(LIVE | 1);
        self.room += 1;
        // SAFETY: as above.
        unsafe { spot.set_generation(generation) };
        // SAFETY: as above, and the value was taken out.
        unsafe { spot.set_next(self.free) };
        self.free = key.index();
        if generation >= LIVE {
            // SAFETY: the slot is as it was found, and the list begins with it.
            unsafe { self.retire(spot) };
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
            // SAFETY: a tenant's slot is one of a live page.
            let mut value = unsafe { place.spot.value() };
            // SAFETY: as above; borrowed until `wanted` returns, while `self` is, exclusively.
            if !wanted(key, unsafe { value.as_mut() }) {
                // SAFETY: as above. The tenant is dropped when it is none any more.
                drop(unsafe { self.vacate(place.spot, key) });
            }
        }
    }

    /// Where all tenants are, in the order of their slots.
    #[inline]
    pub(crate) fn cursor(&self) -> Cursor<T> {
        Cursor::new(self.directory.pages())
    }

    /// Makes room for one tenant more, if there may be one.
    #[cold]
    #[inline(never)]
    fn raise_mark(&mut self) -> Result<(), TableError> {
        if self.len() >= self.max {
            return Err(TableError::Full { live: self.len(), limit: self.max });
        }
        if self.free == NONE {
            self.list_fresh()?;
        }
        self.peak = self.peak.max(self.len() + 1);
        self.set_mark();
        Ok(())
    }

    pub(super) fn set_mark(&mut self) {
        let len = self.len();
        self.mark = self.usable.min(self.peak).min(self.max);
        self.room = self.mark.wrapping_sub(len) as isize;
    }

    /// The slot has had as many tenants as can be told from each other.
    ///
    /// # Safety
    /// It is one of this store's, has no tenant, and is the first that is listed.
    #[cold]
    #[inline(never)]
    unsafe fn retire(&mut self, spot: Spot<T>) {
        // SAFETY: the caller's promise.
        unsafe { spot.set_generation(RETIRED) };
        // SAFETY: listed slots are linked.
        self.free = unsafe { spot.next() };
        self.usable -= 1;
        self.set_mark();
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
        let page = self.directory.pages()[number];
        let end = Self::SLOTS.min(self.fresh + BATCH);
        // SAFETY: fresh slots are vacant, not listed, and in the last page (2).
        unsafe { self.list(page, number, self.fresh..end) };
        self.fresh = end;
        Ok(())
    }

    /// Lists these slots of a page, the first one first.
    ///
    /// # Safety
    /// The page with this number is there; the slots have no tenants and are not listed.
    pub(super) unsafe fn list(
        &mut self,
        page: Page<T>,
        number: usize,
        slots: core::ops::Range<usize>,
    ) {
        for slot in slots.rev() {
            // SAFETY: the caller's promise.
            unsafe { Spot { page, slot }.set_next(self.free) };
            self.usable += 1;
            self.free = (number << Self::BITS | slot) as u32;
        }
    }

    /// One more page: where one was given back, whose slots are listed then, or at the end, where
    /// they are fresh.
    pub(super) fn add_page(&mut self) -> Result<(), TableError> {
        if let Some(number) = self.gap() {
            let page = Page::open(&self.source, self.directory.firsts()[number])?;
            self.directory.set(number, page, RETIRED);
            (self.gaps, self.gaps_from) = (self.gaps - 1, number + 1);
            // SAFETY: all slots of a new page are vacant and not listed. None counts as fresh,
            // even if the page is the last: `fresh` is `SLOTS`.
            unsafe { self.list(page, number, 0..Self::SLOTS) };
            return Ok(());
        }
        if self.directory.len() >= Self::MOST_PAGES {
            return Err(TableError::Full { live: self.len(), limit: Self::MOST_SLOTS });
        }
        if self.first == RETIRED {
            self.set_first(first_generation());
        }
        // SAFETY: a store has one source for its whole life.
        unsafe { self.directory.reserve(&self.source) }?;
        let page = Page::open(&self.source, self.first)?;
        self.directory.push(page);
        self.fresh = 0;
        Ok(())
    }

    /// The number of a page that was given back and may be had again.
    fn gap(&self) -> Option<usize> {
        if self.gaps == 0 {
            return None;
        }
        self.gaps_from(self.gaps_from).next()
    }

    /// The numbers of all of them, from this number on.
    pub(super) fn gaps_from(&self, from: usize) -> impl Iterator<Item = usize> {
        let entries = self.directory.pages().iter().zip(self.directory.firsts());
        let is_gap = |(page, first): (&Page<T>, &u32)| !page.is_there() && *first != RETIRED;
        let gaps = entries.map(is_gap).enumerate().skip(from);
        gaps.filter_map(|(number, is_gap)| is_gap.then_some(number))
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
        let (mut place, _) = unsafe { self.store.fill(value) };
        // SAFETY: written just now, and borrowed as the store is, exclusively.
        unsafe { place.as_mut() }
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
        let value = unsafe { self.store.vacate(place.spot, key) };
        Some((key, value))
    }

    pub(crate) fn left(&self) -> usize {
        self.store.len()
    }
}

impl<T, S: PageSource> Drop for Store<T, S> {
    /// Gives all memory back. Values that are still there are not dropped: the table does that before.
    fn drop(&mut self) {
        for page in self.directory.pages().iter().filter(|page| page.is_there()) {
            // SAFETY: opened with this source; nobody looks at the directory's copy after this.
            unsafe { page.close(&self.source) };
        }
        // SAFETY: a store has one source for its whole life.
        unsafe { self.directory.release(&self.source) };
    }
}
