//! Which magazine of which pool is the calling thread's.
//!
//! The way that is taken each time looks into a small table without a destructor, so that it works at
//! any moment of the thread's life; behind it stands the list of all pools that the thread has
//! used, whose destructor gives the magazines back.
#![forbid(unsafe_code)]

use core::cell::{Cell, RefCell};
use core::ptr;
use std::sync::{Mutex, PoisonError, Weak};
use std::vec::Vec;

/// A pool, to the thread that ends.
pub(crate) trait Ends {
    /// Takes this thread's magazine back, by the pointer that `magazine` was told.
    fn end(&self, magazine: *const ());
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

    #[inline(always)]
    const fn row(self) -> usize {
        self.0 as usize % ROWS
    }
}

/// Rows of the small table: so many pools made one after the other do not get into each other's way.
const ROWS: usize = 8;

/// A pool, and this thread's magazine of it.
type Row = Cell<(Id, *const ())>;

std::thread_local! {
    static ROW: [Row; ROWS] = const { [const { Cell::new((Id::NONE, ptr::null())) }; ROWS] };
    static POOLS: Pools = const { Pools(RefCell::new(Vec::new())) };
}

struct Entry {
    id: Id,
    magazine: *const (),
    pool: Weak<dyn Ends>,
}

/// The pools that this thread has magazines of.
struct Pools(RefCell<Vec<Entry>>);

/// This thread's magazine of the pool, if the small table has it.
#[inline(always)]
pub(crate) fn known(id: Id) -> Option<*const ()> {
    let (found, magazine) = ROW.with(|rows| rows[id.row()].get());
    (found == id).then_some(magazine)
}

/// This thread's magazine of the pool, if it has one; else the one that `lease` gets for it. `None`
/// if there is none to be had, or the thread is about to end.
#[cold]
#[inline(never)]
pub(crate) fn find(
    id: Id,
    pool: impl FnOnce() -> Weak<dyn Ends>,
    lease: impl FnOnce() -> Option<*const ()>,
) -> Option<*const ()> {
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
        ROW.with(|rows| {
            let row = &rows[self.id.row()];
            if row.get().0 == self.id {
                row.set((Id::NONE, ptr::null()));
            }
        });
        if let Some(pool) = self.pool.upgrade() {
            pool.end(self.magazine);
        }
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
