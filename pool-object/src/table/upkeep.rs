//! What a store does now and then: makes room ahead, gives pages back, looks at itself. A storage file.

use crate::table::error::TableError;
use crate::table::live::LIVE;
use crate::table::page::{Page, RETIRED, Spot};
use crate::table::stats::TableStats;
use crate::table::store::{MOST_FIRST, NONE, Store};
use pool_core::PageSource;

impl<T, S: PageSource> Store<T, S> {
    /// Makes room for so many more tenants. After an error there are no pages without tenants.
    pub(crate) fn reserve(&mut self, more: usize) -> Result<(), TableError> {
        let wanted = self.len().saturating_add(more);
        let limit = self.max.min(Self::MOST_SLOTS);
        if wanted > limit {
            return Err(TableError::Full { live: self.len(), limit });
        }
        while self.usable + (Self::SLOTS - self.fresh) < wanted {
            self.list_last();
            if let Err(error) = self.add_page() {
                self.shrink();
                return Err(error);
            }
        }
        self.set_mark();
        Ok(())
    }

    pub(crate) fn stats(&self) -> TableStats {
        let pages = || self.directory.pages().iter().filter(|page| page.is_there());
        // SAFETY: the directory's pages that are there are live.
        let bytes: usize = pages().map(|page| unsafe { page.bytes() }).sum();
        let (pages, capacity) = (pages().count(), self.capacity());
        // What has no tenant and is not listed (2) is fresh or retired.
        let retired = capacity - self.usable - (Self::SLOTS - self.fresh);
        TableStats {
            live: self.len() as u64,
            peak: self.peak() as u64,
            capacity: capacity as u64,
            retired: retired as u64,
            pages: pages as u64,
            bytes: (bytes + self.directory.bytes()) as u64,
        }
    }

    /// Lists the slots that have never been, if there are any.
    fn list_last(&mut self) {
        if self.fresh < Self::SLOTS {
            let number = self.directory.len() - 1;
            let page = self.directory.pages()[number];
            // SAFETY: fresh slots are vacant, not listed, and in the last page (2).
            unsafe { self.list(page, number, self.fresh..Self::SLOTS) };
            self.fresh = Self::SLOTS;
        }
    }

    /// Gives back pages without tenants; their bytes.
    pub(crate) fn shrink(&mut self) -> usize {
        let (mut bytes, pages) = (0, self.directory.len());
        for number in 0..pages {
            let page = self.directory.pages()[number];
            // SAFETY: the directory's page, if it is there.
            if !page.is_there() || unsafe { Self::has_tenant(page) } {
                continue;
            }
            // SAFETY: the directory's page.
            let first = unsafe { Self::highest_generation(page) };
            self.directory.set(number, Page::absent(), first);
            // SAFETY: opened with this source, without tenants, and the directory has forgotten it;
            // its slots leave the list below, before anything looks at that.
            bytes += unsafe { page.close(&self.source) };
            if number + 1 == pages {
                self.fresh = Self::SLOTS;
            }
        }
        self.first = self.directory.forget_last(self.first, MOST_FIRST);
        (self.gaps, self.gaps_from) = (self.gaps_from(0).count(), 0);
        self.list_all();
        self.set_mark();
        // SAFETY: a store has one source for its whole life.
        bytes + unsafe { self.directory.release_if_empty(&self.source) }
    }

    /// Lists anew all vacant slots that are not fresh, the first one first.
    fn list_all(&mut self) {
        self.free = NONE;
        self.usable = self.len();
        for number in (0..self.directory.len()).rev() {
            let page = self.directory.pages()[number];
            if page.is_there() {
                // SAFETY: looked just now; and nothing of this page has been listed yet.
                unsafe { self.list_page(page, number) };
            }
        }
    }

    /// Lists the vacant slots of a page that are not fresh, the first one first.
    ///
    /// # Safety
    /// The page with this number is there, and none of its slots is listed.
    unsafe fn list_page(&mut self, page: Page<T>, number: usize) {
        for slot in (0..self.listable(number)).rev() {
            // SAFETY: one of the page's slots.
            let generation = unsafe { Spot { page, slot }.generation() };
            if Self::is_vacant(generation) {
                // SAFETY: nothing of the page has been listed yet but slots behind this one, which
                // has no tenant.
                unsafe { self.list(page, number, slot..slot + 1) };
            }
        }
    }

    /// Slots of the page with this number that are not fresh.
    fn listable(&self, number: usize) -> usize {
        if number + 1 == self.directory.len() { self.fresh } else { Self::SLOTS }
    }

    /// Whether a slot of this generation may have a tenant and has none.
    fn is_vacant(generation: u32) -> bool {
        generation < LIVE && generation != RETIRED
    }

    /// Whether a slot of the page has a tenant.
    ///
    /// # Safety
    /// The page is live.
    unsafe fn has_tenant(page: Page<T>) -> bool {
        // SAFETY: the page has so many words.
        (0..Page::<T>::SHAPE.words()).any(|word| unsafe { page.live(word) } != 0)
    }

    /// The highest generation of the page's slots; `RETIRED` if one is.
    ///
    /// # Safety
    /// The page is live.
    unsafe fn highest_generation(page: Page<T>) -> u32 {
        // SAFETY: the numbers are below `SLOTS`.
        let generations = (0..Self::SLOTS).map(|slot| unsafe { Spot { page, slot }.generation() });
        let (lowest, highest) =
            generations.fold((u32::MAX, 0), |(low, high), one| (low.min(one), high.max(one)));
        if lowest == RETIRED { RETIRED } else { highest }
    }

    /// Looks at every invariant; for tests, in time O(slots).
    pub(crate) fn check(&self) {
        let (mut live, mut vacant) = (0, 0);
        for (number, &page) in self.directory.pages().iter().enumerate() {
            for slot in (0..=Self::MASK).filter(|_| page.is_there()) {
                // SAFETY: the number is at most `MASK`, and the page is live.
                let generation = unsafe { Spot { page, slot }.generation() };
                assert!(slot < Self::SLOTS || generation == RETIRED);
                live += usize::from(generation >= LIVE);
                vacant += usize::from(Self::is_vacant(generation) && slot < self.listable(number));
            }
        }
        assert_eq!((live, live + vacant), (self.len(), self.usable));
        assert_eq!(self.gaps, self.gaps_from(0).count());
        assert_eq!(self.gaps, self.gaps_from(self.gaps_from).count());
        assert_eq!(self.mark, self.usable.min(self.peak).min(self.max));
        self.check_list(vacant);
    }

    fn check_list(&self, vacant: usize) {
        let mut free = self.free;
        for _ in 0..vacant {
            let page = self.directory.pages()[free as usize >> Self::BITS];
            let spot = Spot { page, slot: free as usize & Self::MASK };
            assert!(page.is_there() && spot.slot < Self::SLOTS);
            // SAFETY: just looked.
            let generation = unsafe { spot.generation() };
            assert!(Self::is_vacant(generation));
            // SAFETY: as above; listed slots are linked.
            free = unsafe { spot.next() };
        }
        assert_eq!(free, NONE, "the list has exactly the vacant slots");
    }
}
