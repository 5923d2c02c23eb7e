//! The slow half of a thread's cache: how much each bin may hold, and where its blocks come from and
//! go.
//!
//! A magazine that is full gives half of what it may have to the central half; one that is empty gets
//! as much. So between two calls there are at least half as many operations, whichever way they go.
//!
//! A magazine begins at about a page of blocks, and doubles when it was not enough, to 64 KiB. Each
//! doubling is granted out of the bytes that the thread may keep, and all threads together. When
//! the thread's are used up, another class gives its own back. Its array is in a block of the heap's
//! own, which somebody has to bring who knows where spans come from.
//!
//! **Empty spans.** The last free blocks of many spans may lie in a cache. So a class that holds more
//! than a little also looks when half of what was live is freed: then all that lies idle goes to its
//! spans. [`Central`] says what is live.

use super::cache::Cache;
use super::central::Central;
use super::store::{FEW, Outlook, most};
use crate::magazine::{Magazines, Place};
use crate::size_class::SizeClass;
use core::cell::Cell;
use core::ptr::NonNull;

/// What a thread's cache knows besides its magazines.
pub(crate) struct Ledger {
    entries: [Entry; SizeClass::COUNT],
    /// Bytes that the magazines' capacities add up to.
    granted: Cell<usize>,
    /// The central's epoch that was last seen.
    epoch: Cell<usize>,
    /// The class that is asked first to give its capacity back.
    turn: Cell<usize>,
}

struct Entry {
    /// Places of the magazine's array: blocks that it may have.
    places: Cell<u16>,
    /// Blocks that it gets at a time, if that is fewer than it might.
    lot: Cell<u16>,
    /// Frees until it is time to look for empty spans again, as of the last look.
    limit: Cell<u32>,
    /// Blocks in the magazine when the central half was last told.
    told: Cell<u32>,
}

/// Blocks that a magazine may have at first: 4 KiB of them, two at least.
const fn least(class: SizeClass) -> usize {
    let len = if cfg!(loom) { 2 } else { (4 << 10) / class.size() };
    if len < 2 { 2 } else { len }
}

impl Entry {
    const fn new() -> Self {
        Self {
            places: Cell::new(0),
            lot: Cell::new(u16::MAX),
            limit: Cell::new(u32::MAX),
            told: Cell::new(0),
        }
    }

    fn places(&self) -> usize {
        self.places.get() as usize
    }

    fn told(&self) -> usize {
        self.told.get() as usize
    }
}

impl Ledger {
    pub(crate) fn new(epoch: usize) -> Self {
        Self {
            entries: [const { Entry::new() }; SizeClass::COUNT],
            granted: Cell::new(0),
            epoch: Cell::new(epoch),
            turn: Cell::new(0),
        }
    }

    fn entry(&self, class: SizeClass) -> &Entry {
        &self.entries[class.index()]
    }
}

/// A thread's open cache, and what it belongs to.
#[derive(Clone, Copy)]
pub(crate) struct Desk<'a> {
    cache: &'a Cache,
    ledger: &'a Ledger,
    central: &'a Central,
}

impl<'a> Desk<'a> {
    /// `None` if the cache is closed. It belongs to `central`.
    #[inline]
    pub(crate) fn of(cache: &'a Cache, central: &'a Central) -> Option<Self> {
        Some(Self { cache, ledger: cache.ledger()?, central })
    }

    fn magazines(self) -> &'a Magazines {
        &self.cache.magazines
    }

    /// Blocks in a magazine.
    pub(crate) fn len(self, class: SizeClass) -> usize {
        self.magazines().len(class)
    }

    /// A magazine's blocks are given away: it has none then.
    fn forget(self, class: SizeClass) {
        // SAFETY: none.
        unsafe { self.magazines().set_len(class, 0) };
    }

    /// A block, when the magazine has none; `None` if the class needs a span first.
    pub(crate) fn refill(self, class: SizeClass) -> Option<NonNull<u8>> {
        self.heed();
        let entry = self.ledger.entry(class);
        // As many as it gives at a time: the depot has them in such lots.
        let most = (entry.places() / 2).min(entry.lot.get() as usize);
        if most == 0 {
            return self.central.take_one(class);
        }
        entry.lot.set(entry.lot.get().saturating_mul(2));
        // SAFETY: half of the array's places, which are the empty magazine's.
        let (taken, outlook) =
            unsafe { self.central.take(class, most, entry.told(), self.magazines().array(class)) };
        entry.told.set(if taken > 0 { taken as u32 - 1 } else { entry.told.get() });
        // SAFETY: so many places were written, with blocks that are this magazine's now; the limit is
        // set below.
        unsafe { self.magazines().set_len(class, taken) };
        let block = self.magazines().pop(class);
        self.note(class, outlook);
        self.make_room(class);
        block
    }

    /// Takes a block when the magazine is full, or when it is time to look for empty spans.
    ///
    /// # Safety
    /// The block is of this class and heap, with provenance for its span; nobody uses it any more.
    pub(crate) unsafe fn overflow(self, class: SizeClass, block: NonNull<u8>) {
        self.heed();
        let entry = self.ledger.entry(class);
        if entry.places() == 0 {
            return self.central.give_one(class, block);
        }
        // SAFETY: the limit, and so the length, is below the number of places; the caller's promise.
        unsafe { self.magazines().push_more(class, block) };
        let outlook = if self.len(class) == entry.places() {
            self.give_half(class)
        } else {
            self.central.give(class, &[], entry.told(), self.len(class))
        };
        entry.told.set(self.len(class) as u32);
        self.note(class, outlook);
        if !outlook.quiet && self.len(class) + outlook.depot >= outlook.live {
            self.flush(class);
        }
        self.make_room(class);
    }

    /// Gives the older half of a magazine away.
    fn give_half(self, class: SizeClass) -> Outlook {
        let places = self.magazines().places(class);
        let (older, newer) = places.split_at(places.len().div_ceil(2));
        let told = self.ledger.entry(class).told();
        let outlook = self.central.give(class, older, told, newer.len());
        // SAFETY: as many places at the front, which are others, since not fewer are older.
        unsafe {
            self.magazines()
                .array(class)
                .copy_from_nonoverlapping(NonNull::from(newer).cast::<Place>(), newer.len());
        }
        // SAFETY: the newer ones were moved to the front; the others were given away.
        unsafe { self.magazines().set_len(class, newer.len()) };
        outlook
    }

    /// Puts all idle blocks of a class into their spans.
    fn flush(self, class: SizeClass) {
        let entry = self.ledger.entry(class);
        let blocks = self.magazines().places(class);
        let outlook = self.central.give_all(class, blocks, entry.told());
        self.forget(class);
        entry.told.set(0);
        self.note(class, outlook);
    }

    /// As [`flush`](Self::flush), since memory is missing elsewhere. What is taken out next may soon have
    /// to go back again, so it begins with a few.
    pub(crate) fn press(self, class: SizeClass) {
        self.flush(class);
        self.ledger.entry(class).lot.set(FEW as u16);
        self.make_room(class);
    }

    /// Remembers when to look again: after half of what is live was freed.
    fn note(self, class: SizeClass, outlook: Outlook) {
        let half = u32::try_from((outlook.live / 2).max(FEW)).unwrap_or(u32::MAX);
        let limit = if outlook.quiet { u32::MAX } else { half };
        self.ledger.entry(class).limit.set(limit);
    }

    /// Sets the limit of a magazine: what its array has, or when it is time to look.
    fn make_room(self, class: SizeClass) {
        let (entry, len) = (self.ledger.entry(class), self.len(class));
        let rest = entry.places().saturating_sub(len + 1);
        let limit = len + rest.min(entry.limit.get() as usize);
        // SAFETY: not below the length; below the number of places, if there are any.
        unsafe { self.magazines().set_limit(class, limit) };
    }

    /// How many places the magazine's next array has, if it shall have one when it has none left for
    /// another block, or is empty.
    #[inline]
    pub(crate) fn wants_places(self, class: SizeClass) -> Option<usize> {
        let (places, len) = (self.ledger.entry(class).places(), self.len(class));
        let short = len == 0 || len + 1 >= places;
        let more = (2 * places).max(least(class)).min(most(class));
        let bytes = (more - places) * class.size();
        (short && bytes > 0 && self.central.may_grant(bytes)).then_some(more)
    }

    /// Gives a magazine an array of so many places, if it may have them. The block that is not needed
    /// then goes back: the one that it had, or this one.
    ///
    /// # Safety
    /// The block is one of the heap's own, of the class of such an array, and nobody else uses it.
    pub(crate) unsafe fn lengthen(self, class: SizeClass, places: usize, block: NonNull<u8>) {
        let entry = self.ledger.entry(class);
        let before = entry.places();
        let bytes = places.saturating_sub(before) * class.size();
        let may = places > before && self.afford(class, bytes) && self.central.grant(bytes);
        if !may {
            // SAFETY: the caller's promise.
            return unsafe { self.central.give_array(places, block) };
        }
        self.ledger.granted.set(self.ledger.granted.get() + bytes);
        entry.places.set(places as u16);
        // SAFETY: more places than before, and so than the limit; nobody else uses them.
        let old: NonNull<Place> = unsafe { self.magazines().set_array(class, block.cast()) };
        if before > 0 {
            // SAFETY: it came the same way, and is not used any more.
            unsafe { self.central.give_array(before, old.cast()) };
        }
        self.make_room(class);
    }

    /// Whether the thread may keep so many bytes more, after other classes have given theirs back.
    fn afford(self, class: SizeClass, bytes: usize) -> bool {
        let fits = || self.ledger.granted.get() + bytes <= self.central.limits.thread;
        for _ in 0..SizeClass::COUNT {
            if fits() {
                return true;
            }
            let turn = self.ledger.turn.get();
            self.ledger.turn.set((turn + 1) % SizeClass::COUNT);
            if let Some(other) = SizeClass::from_index(turn).filter(|other| *other != class) {
                self.close(other);
            }
        }
        fits()
    }

    /// Gives a class' blocks and array back.
    fn close(self, class: SizeClass) {
        let entry = self.ledger.entry(class);
        let blocks = self.magazines().places(class);
        if !blocks.is_empty() || entry.told() > 0 {
            self.central.give(class, blocks, entry.told(), 0);
            self.forget(class);
            entry.told.set(0);
        }
        self.drop_array(class);
    }

    /// Gives a magazine's array back, when it is empty.
    fn drop_array(self, class: SizeClass) {
        let places = self.ledger.entry(class).places.replace(0) as usize;
        if places == 0 {
            return;
        }
        let array = self.magazines().take_array(class);
        // SAFETY: `lengthen` got it as one of the heap's own, and it is not used any more.
        unsafe { self.central.give_array(places, array.cast()) };
        let bytes = places * class.size();
        self.ledger.granted.set(self.ledger.granted.get() - bytes);
        self.central.take_back(bytes);
    }

    /// Puts everything idle into its spans if somebody asked for it.
    fn heed(self) {
        let epoch = self.central.epoch();
        if self.ledger.epoch.replace(epoch) != epoch {
            self.flush_all();
        }
    }

    /// Puts all idle blocks into their spans, and those of the arrays.
    pub(crate) fn flush_all(self) {
        for class in SizeClass::all() {
            if self.len(class) + self.ledger.entry(class).told() > 0 {
                self.flush(class);
            }
            self.drop_array(class);
        }
    }

    /// Gives all blocks and arrays back, for others to use. The cache can be closed then.
    pub(crate) fn close_all(self) {
        SizeClass::all().for_each(|class| self.close(class));
    }

    /// In a forked child: there are no other caches.
    #[cfg(not(loom))]
    pub(crate) fn forget_others(self) {
        let told = |class| self.ledger.entry(class).told();
        self.central.forget_others(told, self.ledger.granted.get());
    }

    /// Tells the central half how many free blocks this cache has.
    pub(crate) fn tell(self) {
        for class in SizeClass::all() {
            let (entry, len) = (self.ledger.entry(class), self.len(class));
            if len != entry.told() {
                self.central.give(class, &[], entry.told(), len);
                entry.told.set(len as u32);
            }
        }
    }
}
