//! The slow half of a thread's cache: how much each bin may hold, and where its blocks come from and
//! go.
//!
//! A bin that took one block too many gives half of what it may have to the central half; one that
//! is empty gets as much. So between two calls there are at least half as many operations, whichever
//! way they go.
//!
//! A bin's capacity begins at about a page of blocks, and doubles when it was not enough, to 64 KiB.
//! Each doubling is granted out of the bytes that the thread may keep, and all threads together. When
//! the thread's are used up, another class gives its own back.
//!
//! **Empty spans.** The last free blocks of many spans may lie in a cache. So a class that holds more
//! than a little also looks when half of what was live is freed: then all that lies idle goes to its
//! spans. [`Central`] says what is live.
#![forbid(unsafe_code)]

use super::cache::Cache;
use super::central::{Central, FEW, Outlook};
use crate::size_class::SizeClass;
use crate::span::Chain;
use core::cell::Cell;
use core::ptr::NonNull;

/// What a thread's cache knows besides its bins.
pub(crate) struct Ledger {
    entries: [Entry; SizeClass::COUNT],
    /// Bytes that the bins' capacities add up to.
    granted: Cell<usize>,
    /// The central's epoch that was last seen.
    epoch: Cell<usize>,
    /// The class that is asked first to give its capacity back.
    turn: Cell<usize>,
}

struct Entry {
    /// The bin's room and length together; modulo 2^32.
    sum: Cell<u32>,
    /// Blocks that the bin may have.
    cap: Cell<u32>,
    /// Frees until it is time to look for empty spans again, as of the last look.
    limit: Cell<u32>,
    /// Blocks in the bin when the central half was last told.
    told: Cell<u32>,
}

/// Blocks a bin may have at most: 64 KiB of them, four at least, and not more than 1024.
pub(crate) const fn most(class: SizeClass) -> u32 {
    let len = (64 << 10) / class.size() as u32;
    if len < 4 {
        4
    } else if len > 1024 {
        1024
    } else {
        len
    }
}

/// Blocks that a bin may have at first: 4 KiB of them, two at least.
const fn least(class: SizeClass) -> u32 {
    let len = (4 << 10) / class.size() as u32;
    if len < 2 { 2 } else { len }
}

impl Entry {
    const fn new() -> Self {
        Self {
            sum: Cell::new(0),
            cap: Cell::new(0),
            limit: Cell::new(u32::MAX),
            told: Cell::new(0),
        }
    }

    fn cap(&self) -> usize {
        self.cap.get() as usize
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

    /// Blocks in a bin.
    fn len(self, class: SizeClass) -> usize {
        let sum = self.ledger.entry(class).sum.get();
        sum.wrapping_sub(self.cache.room(class)) as usize
    }

    /// Takes all blocks of a bin, which has no room then.
    fn take(self, class: SizeClass) -> Option<Chain> {
        let all = self.cache.take(class, self.len(class));
        self.set(class, 0, 0);
        all
    }

    /// Sets a bin's room, when it has `len` blocks.
    fn set(self, class: SizeClass, len: usize, room: u32) {
        self.cache.set_room(class, room);
        self.ledger.entry(class).sum.set(room + len as u32);
    }

    /// A block, when the bin has none; `None` if the class needs a span first.
    pub(crate) fn refill(self, class: SizeClass) -> Option<NonNull<u8>> {
        self.heed();
        self.set(class, 0, 0);
        self.grow(class);
        let entry = self.ledger.entry(class);
        // One more than the bin then has, since one is used: lists of the depot are that long.
        let (chain, outlook) = self.central.take(class, entry.cap() / 2 + 1, entry.told())?;
        let len = chain.len - 1;
        entry.told.set(len as u32);
        self.cache.put(class, chain);
        let block = self.cache.pop(class);
        self.note(class, outlook);
        self.make_room(class, len);
        block
    }

    /// Sees to a bin that took one block more than it had room for.
    pub(crate) fn overflow(self, class: SizeClass) {
        if self.heed() {
            return;
        }
        let entry = self.ledger.entry(class);
        let mut len = self.len(class);
        // Else it is only time to look.
        let full = len > entry.cap() && !self.grow(class);
        let outlook = if full {
            self.give_half(class, &mut len)
        } else {
            self.central.give(class, None, entry.told(), len)
        };
        entry.told.set(len as u32);
        self.note(class, outlook);
        if !outlook.quiet && len + outlook.depot >= outlook.live {
            self.set(class, len, 0);
            self.flush(class);
            len = 0;
        }
        self.make_room(class, len);
    }

    /// Leaves half of its capacity to a bin that has `len` blocks. A class that may keep nothing
    /// gives all.
    fn give_half(self, class: SizeClass, len: &mut usize) -> Outlook {
        let entry = self.ledger.entry(class);
        let keep = entry.cap() / 2;
        let Some(all) = self.cache.take(class, *len) else {
            return self.central.give(class, None, entry.told(), 0);
        };
        let (kept, outlook) = self.central.give_some(class, all, *len - keep, entry.told());
        *len = kept.map_or(0, |kept| kept.len);
        if let Some(kept) = kept {
            self.cache.put(class, kept);
        }
        outlook
    }

    /// Puts all idle blocks of a class into their spans.
    fn flush(self, class: SizeClass) {
        let list = self.take(class);
        let entry = self.ledger.entry(class);
        let outlook = self.central.give_all(class, list, entry.told());
        entry.told.set(0);
        self.note(class, outlook);
    }

    /// Remembers when to look again: after half of what is live was freed.
    fn note(self, class: SizeClass, outlook: Outlook) {
        let half = u32::try_from((outlook.live / 2).max(FEW)).unwrap_or(u32::MAX);
        let limit = if outlook.quiet { u32::MAX } else { half };
        self.ledger.entry(class).limit.set(limit);
    }

    /// Sets the room of a bin that has `len` blocks: what its capacity leaves, or until it is time
    /// to look.
    fn make_room(self, class: SizeClass, len: usize) {
        let entry = self.ledger.entry(class);
        let rest = entry.cap.get().saturating_sub(len as u32);
        self.set(class, len, rest.min(entry.limit.get()));
    }

    /// Lets the bin have more, if it may: twice as much.
    fn grow(self, class: SizeClass) -> bool {
        let entry = self.ledger.entry(class);
        let cap = entry.cap.get();
        cap < most(class) && self.grow_from(class, cap)
    }

    #[cold]
    fn grow_from(self, class: SizeClass, cap: u32) -> bool {
        let new = (2 * cap).max(least(class)).min(most(class));
        let bytes = (new - cap) as usize * class.size();
        if !self.afford(class, bytes) || !self.central.grant(bytes) {
            return false;
        }
        self.ledger.granted.set(self.ledger.granted.get() + bytes);
        self.ledger.entry(class).cap.set(new);
        true
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

    /// Gives a class' blocks and capacity back.
    fn close(self, class: SizeClass) {
        let entry = self.ledger.entry(class);
        let list = self.take(class);
        if list.is_some() || entry.told() > 0 {
            self.central.give(class, list, entry.told(), 0);
            entry.told.set(0);
        }
        let bytes = entry.cap.replace(0) as usize * class.size();
        if bytes > 0 {
            self.ledger.granted.set(self.ledger.granted.get() - bytes);
            self.central.take_back(bytes);
        }
    }

    /// Puts everything idle into its spans if somebody asked for it; whether that was so.
    fn heed(self) -> bool {
        let epoch = self.central.epoch();
        let asked = self.ledger.epoch.replace(epoch) != epoch;
        if asked {
            self.flush_all();
        }
        asked
    }

    /// Puts all idle blocks into their spans.
    pub(crate) fn flush_all(self) {
        for class in SizeClass::all() {
            if self.len(class) + self.ledger.entry(class).told() > 0 {
                self.flush(class);
            }
            self.set(class, 0, 0);
        }
    }

    /// Gives all blocks and capacities back, for others to use. The cache can be closed then.
    pub(crate) fn close_all(self) {
        SizeClass::all().for_each(|class| self.close(class));
    }

    /// In a forked child: there are no other caches.
    #[cfg(not(loom))]
    pub(crate) fn forget_others(self) {
        let told = |class| self.ledger.entry(class).told();
        // The ledger's own block is in the cache of nobody.
        let told = |class| told(class) + usize::from(class == super::registry::LEDGER);
        self.central.forget_others(told, self.ledger.granted.get());
    }

    /// Tells the central half how many free blocks this cache has.
    pub(crate) fn tell(self) {
        for class in SizeClass::all() {
            let (entry, len) = (self.ledger.entry(class), self.len(class));
            if len != entry.told() {
                self.central.give(class, None, entry.told(), len);
                entry.told.set(len as u32);
            }
        }
    }
}
