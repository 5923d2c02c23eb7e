//! Which magazine of which pool is the calling thread's.
//!
//! The way that is taken each time looks into small tables without destructors, so that it works at
//! any moment of the thread's life; behind it stands the list of all pools that the thread has
//! used, whose destructor gives the magazines back.
#![forbid(unsafe_code)]

use core::cell::{Cell, RefCell};
use core::ptr::NonNull;
use std::sync::{Mutex, PoisonError, Weak};
use std::vec::Vec;

/// A pool, to the thread that ends.
pub(crate) trait Ends {
    /// Takes this thread's magazine back, by the pointer that `magazine` was told.
    fn end(&self, magazine: NonNull<()>);
}

/// Names a pool for as long as the process runs: never used twice, so that what a table says of a
/// pool that is gone is never taken for one that came later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Id(u64);

impl Id {
    const NONE: Self = Self(0);

    pub(crate) fn new() -> Self {
        static LAST: Mutex<u64> = Mutex::new(0);
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        *last += 1;
        Self(*last)
    }

    const fn row(self) -> usize {
        self.0 as usize % ROWS
    }
}

/// Rows of the second table: so many pools made one after the other do not get into each other's
/// way.
const ROWS: usize = 8;

/// A pool, and this thread's magazine of it.
type Row = Cell<(Id, NonNull<()>)>;

const NOTHING: (Id, NonNull<()>) = (Id::NONE, NonNull::dangling());

std::thread_local! {
    /// The pool that was used last: a thread has one pool, as a rule, and asks for it all the time.
    static LAST: Row = const { Cell::new(NOTHING) };
    static ROW: [Row; ROWS] = const { [const { Cell::new(NOTHING) }; ROWS] };
    static POOLS: Pools = const { Pools(RefCell::new(Vec::new())) };
}

struct Entry {
    id: Id,
    magazine: NonNull<()>,
    pool: Weak<dyn Ends>,
}

/// The pools that this thread has magazines of.
struct Pools(RefCell<Vec<Entry>>);

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
        let mut entries = pools.0.try_borrow_mut().ok()?;
        if let Some(entry) = entries.iter().find(|entry| entry.id == id) {
            return Some(entry.magazine);
        }
        entries.retain(|entry| entry.pool.strong_count() > 0);
        let magazine = lease()?;
        entries.push(Entry { id, magazine, pool: pool() });
        Some(magazine)
    });
    let magazine = found.ok().flatten()?;
    ROW.with(|rows| rows[id.row()].set((id, magazine)));
    LAST.set((id, magazine));
    Some(magazine)
}

/// Gives this thread's magazine of the pool back, if it has one, before the thread ends.
pub(crate) fn leave(id: Id) {
    let entry = POOLS.try_with(|pools| {
        let mut entries = pools.0.borrow_mut();
        let found = entries.iter().position(|entry| entry.id == id)?;
        Some(entries.swap_remove(found))
    });
    if let Ok(Some(entry)) = entry {
        entry.end();
    }
}

impl Entry {
    /// Gives the magazine back. May run destructors of objects that are too many.
    fn end(self) {
        ROW.with(|rows| forget(&rows[self.id.row()], self.id));
        LAST.with(|last| forget(last, self.id));
        if let Some(pool) = self.pool.upgrade() {
            pool.end(self.magazine);
        }
    }
}

/// Forgets a pool, if it stands here.
fn forget(row: &Row, id: Id) {
    if row.get().0 == id {
        row.set(NOTHING);
    }
}

impl Drop for Pools {
    /// From now on `POOLS` cannot be had, so no magazine is leased; what comes later goes to the depots.
    fn drop(&mut self) {
        for entry in self.0.take() {
            entry.end();
        }
    }
}
