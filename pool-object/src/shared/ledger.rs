//! The slow half of a thread's cache: how much each bin may hold, and where its blocks come from and
//! go.
//!
//! Two lists a class, the bin and an *older* one (Bonwick's magazines): a full bin becomes the older
//! list, and what was that goes to the central half; an empty bin gets the older list back. So
//! between two calls there are at least as many operations as a bin holds.
//!
//! A bin's capacity begins at about a page of blocks, and doubles when it was not enough, to 16 KiB.
//! Each doubling is granted out of the bytes that the thread may keep, and all threads together. When
//! the thread's are used up, another class gives its own back.
//!
//! **Empty spans.** The last free blocks of many spans may lie in a cache. So a class that holds more
//! than a little also looks when half of what was live is freed: then all that lies idle goes to its
//! spans. [`Central`] says what is live.
#![forbid(unsafe_code)]

use super::bin::Cache;
use super::central::{Central, Outlook, chain};
use crate::size_class::SizeClass;
use crate::span::{Chain, Link};
use core::cell::Cell;
use core::ptr::NonNull;

/// What a thread's cache knows besides its bins.
pub(crate) struct Ledger {
    entries: [Entry; SizeClass::COUNT],
    /// Bytes that the bins' capacities add up to, older lists included.
    granted: Cell<usize>,
    /// The central's epoch that was last seen.
    epoch: Cell<usize>,
    /// The class that is asked first to give its capacity back.
    turn: Cell<usize>,
}

struct Entry {
    /// The older list: `older_len` blocks, at most `cap`.
    older: Cell<Link>,
    older_len: Cell<u32>,
    /// Blocks that the bin may have.
    cap: Cell<u32>,
    /// Frees until it is time to look for empty spans again, as of the last look.
    limit: Cell<u32>,
    /// Blocks in both lists when the central half was last told.
    told: Cell<u32>,
}

/// Blocks a bin may have at most: 16 KiB of them, two at least, and not more than 512.
pub(crate) const fn most(class: SizeClass) -> usize {
    let len = (16 << 10) / class.size();
    if len < 2 {
        2
    } else if len > 512 {
        512
    } else {
        len
    }
}

/// Blocks that a bin may have at first.
const fn least(class: SizeClass) -> usize {
    let len = (2 << 10) / class.size();
    if len < 1 { 1 } else { len }
}

impl Entry {
    const fn new() -> Self {
        Self {
            older: Cell::new(Link::NONE),
            older_len: Cell::new(0),
            cap: Cell::new(0),
            limit: Cell::new(u32::MAX),
            told: Cell::new(0),
        }
    }

    fn take_older(&self) -> Option<Chain> {
        chain(self.older.replace(Link::NONE), self.older_len.replace(0) as usize)
    }

    fn older_len(&self) -> usize {
        self.older_len.get() as usize
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

    /// A block, when the bin has none; `None` if the class needs a span first.
    pub(crate) fn refill(self, class: SizeClass) -> Option<NonNull<u8>> {
        self.heed();
        let (bin, entry) = (self.cache.bin(class), self.ledger.entry(class));
        bin.set_room(0);
        if let Some(older) = entry.take_older() {
            let block = bin.fill(older);
            self.make_room(class);
            return Some(block);
        }
        self.grow(class);
        // One more than the bin may have, since one is used: lists of the depot are that long.
        let (chain, outlook) = self.central.take(class, entry.cap() + 1, entry.told())?;
        let block = bin.fill(chain);
        entry.told.set(bin.len() as u32);
        self.note(class, outlook);
        self.make_room(class);
        Some(block)
    }

    /// Sees to a bin that took one block more than it had room for.
    pub(crate) fn overflow(self, class: SizeClass) {
        if self.heed() {
            return;
        }
        let (bin, entry) = (self.cache.bin(class), self.ledger.entry(class));
        // Else it is only time to look.
        let full = bin.len() > entry.cap() && !self.grow(class);
        let gone = if full { self.rotate(class) } else { None };
        let has = bin.len() + entry.older_len();
        let outlook = self.central.give(class, gone, entry.told(), has);
        entry.told.set(has as u32);
        if !outlook.quiet && has + outlook.depot >= outlook.live {
            self.flush(class);
        } else {
            self.note(class, outlook);
        }
        self.make_room(class);
    }

    /// Makes the bin's list the older one, and returns what that was. A class that may keep nothing
    /// gives all.
    fn rotate(self, class: SizeClass) -> Option<Chain> {
        let (bin, entry) = (self.cache.bin(class), self.ledger.entry(class));
        let list = bin.take();
        if entry.cap() == 0 {
            return list;
        }
        let gone = entry.take_older();
        entry.older.set(Link(list.map(|list| list.first)));
        entry.older_len.set(list.map_or(0, |list| list.len) as u32);
        gone
    }

    /// Puts all idle blocks of a class into their spans.
    pub(crate) fn flush(self, class: SizeClass) {
        let (bin, entry) = (self.cache.bin(class), self.ledger.entry(class));
        let lists = entry.take_older().into_iter().chain(bin.take());
        let outlook = self.central.give_all(class, lists, entry.told());
        entry.told.set(0);
        self.note(class, outlook);
    }

    /// Remembers when to look again: after half of what is live was freed.
    fn note(self, class: SizeClass, outlook: Outlook) {
        let half = u32::try_from(outlook.live / 2).unwrap_or(u32::MAX);
        let limit = if outlook.quiet { u32::MAX } else { half };
        self.ledger.entry(class).limit.set(limit);
    }

    /// Sets the bin's room: what its capacity leaves, or until it is time to look.
    fn make_room(self, class: SizeClass) {
        let (bin, entry) = (self.cache.bin(class), self.ledger.entry(class));
        let rest = entry.cap().saturating_sub(bin.len());
        bin.set_room(rest.min(entry.limit.get() as usize));
    }

    /// Lets the bin have more, if it may: twice as much.
    fn grow(self, class: SizeClass) -> bool {
        let entry = self.ledger.entry(class);
        let cap = entry.cap();
        let new = (2 * cap).max(least(class)).min(most(class));
        if new <= cap {
            return false;
        }
        let bytes = 2 * (new - cap) * class.size();
        if !self.afford(class, bytes) || !self.central.grant(bytes) {
            return false;
        }
        self.ledger.granted.set(self.ledger.granted.get() + bytes);
        entry.cap.set(new as u32);
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
        let (bin, entry) = (self.cache.bin(class), self.ledger.entry(class));
        if entry.cap() == 0 {
            return;
        }
        let has = bin.len();
        self.central.give(class, entry.take_older(), entry.told(), has);
        self.central.give(class, bin.take(), has, 0);
        entry.told.set(0);
        let bytes = 2 * entry.cap() * class.size();
        entry.cap.set(0);
        self.ledger.granted.set(self.ledger.granted.get() - bytes);
        self.central.take_back(bytes);
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
            let entry = self.ledger.entry(class);
            if self.cache.bin(class).len() + entry.older_len() + entry.told() > 0 {
                self.flush(class);
            }
            self.cache.bin(class).set_room(0);
        }
    }

    /// Gives all blocks and capacities back, for others to use. The cache can be closed then.
    pub(crate) fn close_all(self) {
        SizeClass::all().for_each(|class| self.close(class));
    }

    /// Free blocks of a class in this cache, which the central half is told.
    pub(crate) fn tell(self, class: SizeClass) {
        let entry = self.ledger.entry(class);
        let has = self.cache.bin(class).len() + entry.older_len();
        self.central.give(class, None, entry.told(), has);
        entry.told.set(has as u32);
    }
}
