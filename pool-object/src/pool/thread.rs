//! Which magazine of which pool is the calling thread's.
//!
//! The way that is taken each time looks into small tables without destructors, so that it works at
//! any moment of the thread's life; behind it stands the map of all pools that the thread has
//! used, whose destructor gives the magazines back.
#![forbid(unsafe_code)]

use crate::pool::sync::swallow;
use core::cell::{Cell, RefCell};
use core::ptr::NonNull;
use std::collections::BTreeMap;
use std::sync::Weak;
use std::vec::Vec;

/// A pool, to the thread that ends.
pub(crate) trait Ends {
    /// Takes this thread's magazine back, by the pointer that `magazine` was told.
    fn end(&self, magazine: NonNull<()>);
}

/// Names a pool: where it is in memory. Nothing else comes to be there while this thread may say the
/// name, since whatever it is written down in goes before the `Weak` of its [`Entry`], which keeps the
/// memory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Id(usize);

impl Id {
    const NONE: Self = Self(usize::MAX);

    #[inline(always)]
    pub(crate) fn of<P>(pool: *const P) -> Self {
        // Counted from where the counts of an `Arc` are, which is what its handles have at hand.
        Self(pool.addr().wrapping_sub(2 * size_of::<usize>()))
    }

    /// Fibonacci's hash.
    const fn row(self) -> usize {
        (self.0 as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) as usize >> (usize::BITS - 3)
            & (ROWS - 1)
    }
}

/// Rows of the second table.
const ROWS: usize = 8;

/// A pool, and this thread's magazine of it.
type Row = Cell<(Id, NonNull<()>)>;

const NOTHING: (Id, NonNull<()>) = (Id::NONE, NonNull::dangling());

std::thread_local! {
    /// The pool that was used last: a thread has one pool, as a rule, and asks for it all the time.
    static LAST: Row = const { Cell::new(NOTHING) };
    static ROW: [Row; ROWS] = const { [const { Cell::new(NOTHING) }; ROWS] };
    static POOLS: Pools = const { Pools(RefCell::new(Known { entries: BTreeMap::new(), purge: 8 })) };
}

/// A pool that this thread has a magazine of. What the tables say of it goes with it.
struct Entry {
    id: Id,
    magazine: NonNull<()>,
    /// Keeps the pool's memory, if not the pool.
    pool: Weak<dyn Ends>,
}

/// The pools that this thread has magazines of.
struct Known {
    entries: BTreeMap<Id, Entry>,
    /// When there are so many, those that are gone are forgotten.
    purge: usize,
}

struct Pools(RefCell<Known>);

/// This thread's magazine of the pool, if that is the one that was used last.
#[inline(always)]
pub(crate) fn last(id: Id) -> Option<NonNull<()>> {
    let (found, magazine) = LAST.with(Cell::get);
    (found == id).then_some(magazine)
}

/// This thread's magazine of the pool, if it has one; else the one that `lease` gets for it. `None`
/// if there is none to be had, or the thread is about to end.
#[cold]
#[inline(never)]
pub(crate) fn find(
    id: Id,
    pool: impl FnOnce() -> Weak<dyn Ends>,
    lease: impl FnOnce() -> Option<NonNull<()>>,
) -> Option<NonNull<()>> {
    let (known, magazine) = ROW.with(|rows| rows[id.row()].get());
    if known == id {
        LAST.set((id, magazine));
        return Some(magazine);
    }
    let found = POOLS.try_with(|pools| {
        let mut known = pools.0.try_borrow_mut().ok()?;
        if let Some(entry) = known.entries.get(&id) {
            return Some(entry.magazine);
        }
        known.purge();
        let magazine = lease()?;
        known.entries.insert(id, Entry { id, magazine, pool: pool() });
        Some(magazine)
    });
    let magazine = found.ok().flatten()?;
    ROW.with(|rows| rows[id.row()].set((id, magazine)));
    LAST.set((id, magazine));
    Some(magazine)
}

/// Gives this thread's magazine of the pool back, if it has one, before the thread ends.
pub(crate) fn leave(id: Id) {
    let remove = |pools: &Pools| pools.0.try_borrow_mut().ok()?.entries.remove(&id);
    if let Ok(Some(entry)) = POOLS.try_with(remove) {
        entry.end();
    }
}

impl Known {
    /// Forgets pools that are gone, when there are twice as many as were left the last time: O(1) a
    /// pool that is made.
    fn purge(&mut self) {
        if self.entries.len() >= self.purge {
            self.entries.retain(|_, entry| entry.pool.strong_count() > 0);
            self.purge = (2 * self.entries.len()).max(8);
        }
    }
}

impl Entry {
    /// Gives the magazine back. May run destructors of objects that are too many, which may use the
    /// pool again.
    fn end(&self) {
        self.forget();
        if let Some(pool) = self.pool.upgrade() {
            pool.end(self.magazine);
        }
    }

    /// Has no table say the pool's name.
    fn forget(&self) {
        ROW.with(|rows| forget(&rows[self.id.row()], self));
        LAST.with(|last| forget(last, self));
    }
}

/// Forgets this magazine, if it stands here.
fn forget(row: &Row, entry: &Entry) {
    if row.get() == (entry.id, entry.magazine) {
        row.set(NOTHING);
    }
}

impl Drop for Entry {
    /// Before the `Weak` goes.
    fn drop(&mut self) {
        self.forget();
    }
}

impl Drop for Pools {
    /// From now on `POOLS` cannot be had, so no magazine is leased; what comes later goes to the depots.
    fn drop(&mut self) {
        let entries: Vec<_> =
            core::mem::take(&mut self.0.get_mut().entries).into_values().collect();
        // Destructors of objects that are too many may run, and a panic would end the process here.
        entries.iter().for_each(|entry| swallow(|| entry.end()));
    }
}
