//! One shard of the shared cache: stacks of free runs by class, with the figures for decay. Only
//! ever used by one thread at a time: the cache's `TryLock` sees to that.

use crate::bytes::{MIN_PAGE_LOG2, is_aligned};
use crate::run::{PageKind, Run};
use crate::sys::mapping::{Mapping, Spec};
use core::ptr::NonNull;

/// Classes that are kept: runs of 2^12 to 2^23 bytes.
pub(crate) const CLASSES: usize = 12;

/// Runs that [`Shard::surplus_into`] hands out at once.
pub(crate) const BATCH: usize = 32;

#[derive(Debug)]
pub(crate) struct Shard {
    bins: [Bin; CLASSES],
    /// The slots of all bins, mapped when the first run is kept.
    table: Option<Mapping>,
    /// The most bytes that may be idle here; it fixes how many slots each bin has.
    max_bytes: usize,
    /// Bytes of all runs kept, at most `max_bytes`.
    idle_bytes: usize,
    pub(crate) hits: u64,
    pub(crate) decayed_bytes: u64,
    /// Operations since the clock was last looked at.
    pub(crate) operations: u32,
}

#[derive(Clone, Copy, Debug)]
struct Bin {
    /// Slots of all classes below: where this one's begin. It has `max_bytes >> log2` of its own.
    first: usize,
    /// Runs kept: that many slots from `first` on are initialised; at most the bin's own slots,
    /// since `len << log2 <= idle_bytes <= max_bytes`.
    len: u32,
    /// The least that `len` was since the last [`Shard::age`]: runs that nobody needed.
    low: u32,
    /// Runs that are to be given back.
    surplus: u32,
}

#[derive(Clone, Copy)]
struct Slot {
    ptr: NonNull<u8>,
    kind: PageKind,
}

/// Slots that a class has: one for every run of it that fits into `max_bytes`.
const fn slots(max_bytes: usize, class: usize) -> usize {
    max_bytes >> (class + MIN_PAGE_LOG2 as usize)
}

impl Shard {
    pub(crate) const fn new(max_bytes: usize) -> Self {
        // The counters of a bin are `u32`: 2^32 pages are more than anybody's idle memory.
        let cap = (u32::MAX as usize) << (MIN_PAGE_LOG2 - 1);
        let max_bytes = if max_bytes > cap { cap } else { max_bytes };
        let mut bins = [Bin { first: 0, len: 0, low: 0, surplus: 0 }; CLASSES];
        let mut class = 1;
        while class < CLASSES {
            bins[class].first = bins[class - 1].first + slots(max_bytes, class - 1);
            class += 1;
        }
        let (idle_bytes, hits, decayed_bytes, operations) = (0, 0, 0, 0);
        Self { bins, table: None, max_bytes, idle_bytes, hits, decayed_bytes, operations }
    }

    /// Where the `index`th run of `class` is noted.
    ///
    /// # Safety
    /// `table` is this shard's, and the class has more than `index` slots.
    #[inline]
    unsafe fn slot(&self, table: &Mapping, class: usize, index: u32) -> NonNull<Slot> {
        let at = self.bins[class].first + index as usize;
        // SAFETY: the table was mapped with the slots of all classes, this one's begin at `first`,
        // and the caller keeps within them.
        unsafe { table.ptr().cast::<Slot>().add(at) }
    }

    /// Takes the topmost run of `class`, if there is one and its alignment suits.
    #[inline]
    pub(crate) fn pop(&mut self, class: usize, align: usize) -> Option<Run> {
        let bin = self.bins.get(class)?;
        let index = bin.len.checked_sub(1)?;
        let table = self.table.as_ref()?;
        // SAFETY: a table is there; `index < len`, and `len` is at most the slots of the class.
        let slot = unsafe { self.slot(table, class, index) };
        // SAFETY: slots below `len` are initialised.
        let Slot { ptr, kind } = unsafe { slot.read() };
        if !is_aligned(ptr.addr().get(), align) {
            return None;
        }
        let bin = &mut self.bins[class];
        bin.len = index;
        bin.low = bin.low.min(index);
        bin.surplus = bin.surplus.min(index);
        let len = 1 << (class + MIN_PAGE_LOG2 as usize);
        self.idle_bytes -= len;
        Some(Run::new(ptr, len).with_kind(kind))
    }

    /// Keeps `run` of `class`, or gives it back when there is no room (or no memory for the table).
    #[inline]
    pub(crate) fn push(&mut self, class: usize, run: Run) -> Result<(), Run> {
        let idle_bytes = self.idle_bytes.saturating_add(run.len());
        if idle_bytes > self.max_bytes || class >= CLASSES {
            return Err(run);
        }
        if self.table.is_none() && self.map_table().is_err() {
            return Err(run);
        }
        let index = self.bins[class].len;
        let Some(table) = self.table.as_ref() else { return Err(run) };
        // SAFETY: a table is there; `(index + 1) << log2 <= idle_bytes <= max_bytes`, so the class
        // has more than `index` slots.
        let slot = unsafe { self.slot(table, class, index) };
        // SAFETY: the slot lies within the table, which is ours, writable, and aligned to a page.
        unsafe { slot.write(Slot { ptr: run.ptr(), kind: run.kind() }) };
        self.bins[class].len = index + 1;
        self.idle_bytes = idle_bytes;
        Ok(())
    }

    #[cold]
    fn map_table(&mut self) -> Result<(), ()> {
        let last = CLASSES - 1;
        let len = (self.bins[last].first + slots(self.max_bytes, last)) * size_of::<Slot>();
        let spec = Spec { len, align: 1, huge: None };
        self.table = Some(Mapping::anonymous(spec).map_err(drop)?);
        Ok(())
    }

    pub(crate) fn idle_bytes(&self) -> usize {
        self.idle_bytes
    }

    /// Ends a window of time: what nobody needed in it becomes surplus. Says whether there is any.
    pub(crate) fn age(&mut self) -> bool {
        for bin in &mut self.bins {
            bin.surplus = bin.surplus.max(bin.low);
            bin.low = bin.len;
        }
        self.has_surplus()
    }

    /// Makes everything surplus.
    pub(crate) fn expire(&mut self) {
        self.bins.iter_mut().for_each(|bin| bin.surplus = bin.len);
    }

    pub(crate) fn has_surplus(&self) -> bool {
        self.bins.iter().any(|bin| bin.surplus > 0)
    }

    /// Takes surplus runs out, at most a batch, counted as decayed.
    pub(crate) fn surplus_into(&mut self, batch: &mut [Option<Run>; BATCH]) {
        let mut rest = batch.iter_mut();
        for class in (0..CLASSES).rev() {
            while self.bins[class].surplus > 0 {
                let Some(place) = rest.next() else { return };
                let surplus = self.bins[class].surplus - 1;
                let Some(run) = self.pop(class, 1) else { return };
                self.bins[class].surplus = surplus;
                self.decayed_bytes += run.len() as u64;
                *place = Some(run);
            }
        }
    }
}
