//! The stacks of free runs that one thread keeps, by power-of-two class. Constructible in a `const`
//! and without a destructor: `LocalCache` owns one, `Global` has one a thread.

use crate::bytes::{MIN_PAGE_LOG2, is_aligned, log2_ceil};
use crate::run::{Facts, Request, Run};
use crate::snapshot::CacheUse;
use core::cell::Cell;
use core::ptr::{self, NonNull};

/// Classes that can be kept: runs of 2^12 to 2^23 bytes, as far as the granule reaches down.
const CLASSES: usize = 12;
/// The most runs that one class keeps.
const DEPTH: usize = 16;
/// Bins are found by log2 of the length, as `Run::class` has it; most are never in use.
const BINS: usize = 32;

/// LIFO stacks of free runs. Out of band: the runs themselves are not touched, so a run that was
/// never written costs no page fault here, and a stale write into a free run corrupts no list.
pub(crate) struct Shelf {
    bins: [Bin; BINS],
    /// Kept runs, `DEPTH` for each class; below the class's `top` the pointers are non-null and the
    /// facts those of a run of the class. Two arrays, as the processor scales an index by 8 for
    /// nothing, and by 16 not.
    ptrs: [Cell<*mut u8>; CLASSES * DEPTH],
    facts: [Cell<Facts>; CLASSES * DEPTH],
    hits: Cell<u64>,
    misses: Cell<u64>,
}

// SAFETY: the pointers are runs that the shelf's owner owns; they move to another thread with it, if
// their source may (the owner asks for that).
unsafe impl Send for Shelf {}

/// A stack within `Shelf::ptrs`: from `first(log2)` up to `top`.
struct Bin {
    /// Where the next run goes. For a class: `first(log2) <= top <= end`. For others 0.
    top: Cell<u32>,
    /// Where there is no more room: at most `first(log2) + DEPTH`. For others 0, so they are full.
    end: Cell<u32>,
}

/// Where the stack of a class begins.
const fn first(log2: usize) -> u32 {
    ((log2 - MIN_PAGE_LOG2 as usize) * DEPTH) as u32
}

/// Whether runs of this length have a stack.
const fn is_class(log2: usize) -> bool {
    log2 >= MIN_PAGE_LOG2 as usize && log2 < MIN_PAGE_LOG2 as usize + CLASSES
}

impl Shelf {
    /// A shelf that keeps nothing until it is opened: both paths miss.
    pub(crate) const fn new() -> Self {
        const fn bin(log2: usize) -> Bin {
            let top = if is_class(log2) { first(log2) } else { 0 };
            Bin { top: Cell::new(top), end: Cell::new(top) }
        }
        let mut bins = [const { bin(0) }; BINS];
        let mut log2 = 0;
        while log2 < BINS {
            bins[log2] = bin(log2);
            log2 += 1;
        }
        Self {
            bins,
            ptrs: [const { Cell::new(ptr::null_mut()) }; CLASSES * DEPTH],
            facts: [const { Cell::new(Facts::NONE) }; CLASSES * DEPTH],
            hits: Cell::new(0),
            misses: Cell::new(0),
        }
    }

    /// Begins to keep runs of a power-of-two length, `max_bytes` in all at the most: each class
    /// gets an equal share.
    pub(crate) fn open(&self, granule: usize, max_bytes: usize) {
        let lowest = granule.trailing_zeros().max(MIN_PAGE_LOG2) as usize;
        let end = MIN_PAGE_LOG2 as usize + CLASSES;
        let share = max_bytes / end.saturating_sub(lowest).max(1);
        for (log2, bin) in self.bins.iter().enumerate().take(end).skip(lowest) {
            bin.end.set(first(log2) + (share >> log2).min(DEPTH) as u32);
        }
    }

    /// Keeps nothing from now on. What it still holds can be taken out with `pop_any`.
    #[allow(dead_code, reason = "used with std")]
    pub(crate) fn close(&self) {
        for (log2, bin) in self.bins.iter().enumerate().filter(|(log2, _)| is_class(*log2)) {
            bin.end.set(first(log2));
        }
    }

    /// Takes the topmost run of a class that has one and whose alignment suits.
    #[inline(always)]
    fn pop(&self, log2: usize, align: usize) -> Option<Run> {
        if !is_class(log2) {
            return None;
        }
        let bin = &self.bins[log2];
        let top = bin.top.get();
        if top == first(log2) {
            return None;
        }
        let index = top as usize - 1;
        // SAFETY: `first(log2) < top <= first(log2) + DEPTH`, so `index` is in the class's part.
        let ptr = unsafe { self.ptrs.get_unchecked(index) }.get();
        // SAFETY: pointers below `top` are non-null, put there by `keep`.
        let ptr = unsafe { NonNull::new_unchecked(ptr) };
        if !align.is_power_of_two() || !is_aligned(ptr.addr().get(), align) {
            return None;
        }
        bin.top.set(index as u32);
        // SAFETY: `index` as above; both arrays are equally long.
        let facts = unsafe { self.facts.get_unchecked(index) }.get();
        Some(Run::from_parts(ptr, facts))
    }

    /// A run for a request of at least a page, contents indeterminate. `None` for shorter ones and
    /// for what is not in order, too: the cold path rounds and refuses.
    #[inline(always)]
    pub(crate) fn take(&self, len: usize, align: usize) -> Option<Run> {
        let run = self.pop(log2_ceil(len) as usize, align)?;
        self.hits.set(self.hits.get() + 1);
        Some(run)
    }

    /// Keeps `run`, or gives it back if its length is of no class or the class is full.
    #[inline(always)]
    pub(crate) fn keep(&self, run: Run) -> Result<(), Run> {
        let bin = &self.bins[run.class() as usize % BINS];
        let top = bin.top.get();
        if top >= bin.end.get() {
            return Err(run);
        }
        // SAFETY: `top < end`, so this is the bin of a class, and `top` is in its part.
        unsafe { self.ptrs.get_unchecked(top as usize) }.set(run.ptr().as_ptr());
        // SAFETY: as above; both arrays are equally long.
        unsafe { self.facts.get_unchecked(top as usize) }.set(run.facts());
        bin.top.set(top + 1);
        Ok(())
    }

    /// Takes out any run, the longest class first.
    pub(crate) fn pop_any(&self) -> Option<Run> {
        (0..BINS).rev().find_map(|log2| self.pop(log2, 1))
    }

    /// What to ask the tier below for, given a request that is rounded to the granule: the whole
    /// class, so that the run can be kept later; the request itself where it has no class.
    pub(crate) fn widen(&self, request: Request) -> Request {
        match log2_ceil(request.len) as usize {
            log2 if is_class(log2) => Request { len: 1 << log2, ..request },
            _ => request,
        }
    }

    pub(crate) fn count_miss(&self) {
        self.misses.set(self.misses.get() + 1);
    }

    pub(crate) fn usage(&self) -> CacheUse {
        let (hits, misses) = (self.hits.get(), self.misses.get());
        let classes = self.bins.iter().enumerate().filter(|(log2, _)| is_class(*log2));
        let idle = classes.map(|(log2, bin)| ((bin.top.get() - first(log2)) as usize) << log2);
        CacheUse { hits, misses, idle_bytes: idle.sum(), decayed_bytes: 0 }
    }
}
