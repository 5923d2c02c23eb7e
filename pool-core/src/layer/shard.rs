//! One shard of the shared cache: stacks of free runs by class, with the figures for decay. Only
//! ever used by one thread at a time: the cache's `TryLock` sees to that.

use crate::bytes::{MIN_PAGE_LOG2, is_aligned};
use crate::run::{Facts, Run};
use crate::sys::mapping::{Mapping, Spec};
use core::ptr::NonNull;

/// Classes that are kept: runs of 2^12 to 2^23 bytes.
pub(crate) const CLASSES: usize = 12;

/// Runs that [`Shard::surplus_into`] hands out at once.
pub(crate) const BATCH: usize = 32;

/// Fields in this order: what is read and written together stands apart from what would tempt the
/// compiler to join two counters in one wide access, which stalls behind the narrow store before.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Shard {
    bins: [Bin; CLASSES],
    /// Bytes that may still be kept: `max_bytes` less the bytes of all runs kept.
    room: usize,
    /// A hit whose number has none of these bits is one that looks at the clock.
    pub(crate) look_mask: u64,
    /// The most bytes that may be idle here; it fixes how many slots each bin has. Only lowered while
    /// there is no table.
    max_bytes: usize,
    pub(crate) hits: u64,
    pub(crate) decayed_bytes: u64,
    /// The slots of all bins, mapped when the first run is kept.
    table: Option<Mapping>,
}

#[derive(Clone, Copy, Debug)]
struct Bin {
    /// The bin's slots within the table: `cap` of them, the first `len` initialised.
    slots: NonNull<Slot>,
    /// Runs kept, at most `cap`.
    len: u32,
    /// 0 until the table is mapped, then one slot for every run that fits into `max_bytes`.
    cap: u32,
    /// The least that `len` was since the last [`Shard::age`]: runs that nobody needed.
    low: u32,
    /// Runs that are to be given back, as far as nobody needs them meanwhile: `min(surplus, low)`.
    surplus: u32,
}

// SAFETY: the slots that the bins point to belong to the shard's own table, and the runs noted
// there are owned by the shard.
unsafe impl Send for Shard {}

/// Hits of a shard between two looks at the clock; a power of two.
pub(crate) const HITS_PER_LOOK: u64 = 64;

#[derive(Clone, Copy)]
struct Slot {
    ptr: NonNull<u8>,
    facts: Facts,
}

/// The most bytes that a shard keeps, where addresses reach so far: 1 TiB. A bin's slots, one for
/// every 4 KiB, fit in a `u32` then.
const MOST_BYTES: usize = if usize::BITS > 40 { 1 << (usize::BITS - 24) } else { usize::MAX / 2 };

/// Slots that a class has: one for every run of it that fits into `max_bytes`.
const fn slots(max_bytes: usize, class: usize) -> usize {
    max_bytes >> (class + MIN_PAGE_LOG2 as usize)
}

impl Shard {
    pub(crate) const fn new(max_bytes: usize) -> Self {
        let max_bytes = if max_bytes > MOST_BYTES { MOST_BYTES } else { max_bytes };
        let bin = Bin { slots: NonNull::dangling(), len: 0, cap: 0, low: 0, surplus: 0 };
        Self {
            bins: [bin; CLASSES],
            room: max_bytes,
            look_mask: HITS_PER_LOOK - 1,
            max_bytes,
            hits: 0,
            decayed_bytes: 0,
            table: None,
        }
    }

    /// Takes the topmost run of `class`, if there is one and its alignment suits.
    #[inline(always)]
    pub(crate) fn pop(&mut self, class: usize, align: usize) -> Option<Run> {
        let bin = self.bins.get_mut(class)?;
        let index = bin.len.checked_sub(1)?;
        // SAFETY: `index < len <= cap`, so the slot lies in the bin's part of the table.
        let slot = unsafe { bin.slots.add(index as usize) };
        // SAFETY: slots below `len` are initialised, and the table is mapped while the shard lives.
        let Slot { ptr, facts } = unsafe { slot.read() };
        if !is_aligned(ptr.addr().get(), align) {
            return None;
        }
        bin.len = index;
        if index < bin.low {
            bin.low = index;
        }
        self.room += len_of(class);
        Some(Run::from_parts(ptr, facts))
    }

    /// Keeps a run of `class`; `false` when there is no room (or no memory for the table).
    #[inline(always)]
    pub(crate) fn push(&mut self, class: usize, ptr: NonNull<u8>, facts: Facts) -> bool {
        let Some(bin) = self.bins.get_mut(class) else { return false };
        let Some(room) = self.room.checked_sub(len_of(class)) else { return false };
        if bin.len >= bin.cap {
            return self.push_first(class, ptr, facts);
        }
        let index = bin.len;
        // SAFETY: `index < cap`, so the slot lies in the bin's part of the table.
        let slot = unsafe { bin.slots.add(index as usize) };
        // SAFETY: as above; the table is ours, writable, and aligned to a page.
        unsafe { slot.write(Slot { ptr, facts }) };
        bin.len = index + 1;
        self.room = room;
        true
    }

    /// Maps the table if it is missing, and tries again. A bin that has slots but no free one does
    /// not occur while there is room, and is refused.
    #[cold]
    #[inline(never)]
    fn push_first(&mut self, class: usize, ptr: NonNull<u8>, facts: Facts) -> bool {
        self.table.is_none() && self.map_table() && self.push(class, ptr, facts)
    }

    /// Maps the table, if that is refused that of a smaller shard: nothing is kept yet, so all is room. A
    /// shard for which no table can be had keeps nothing, and does not try again.
    fn map_table(&mut self) -> bool {
        while self.max_bytes > 0 && !self.map_table_once() {
            self.max_bytes /= 2;
            self.room = self.max_bytes;
        }
        self.table.is_some()
    }

    fn map_table_once(&mut self) -> bool {
        let all: usize = (0..CLASSES).map(|class| slots(self.max_bytes, class)).sum();
        let len = all.saturating_mul(size_of::<Slot>());
        let Ok(table) = Mapping::anonymous(Spec { len, align: 1, huge: None }) else {
            return false;
        };
        let mut next = table.ptr().cast::<Slot>();
        for (class, bin) in self.bins.iter_mut().enumerate() {
            let slots = slots(self.max_bytes, class);
            (bin.slots, bin.cap) = (next, slots as u32);
            // SAFETY: the table has the slots of all classes, one after another.
            next = unsafe { next.add(slots) };
        }
        self.table = Some(table);
        true
    }

    pub(crate) fn idle_bytes(&self) -> usize {
        self.max_bytes - self.room
    }

    /// Ends a window of time: what nobody needed in it becomes surplus. Says whether there is any.
    pub(crate) fn age(&mut self) -> bool {
        for bin in &mut self.bins {
            bin.surplus = bin.low;
            bin.low = bin.len;
        }
        self.has_surplus()
    }

    /// Makes everything surplus.
    pub(crate) fn expire(&mut self) {
        self.bins.iter_mut().for_each(|bin| (bin.surplus, bin.low) = (bin.len, bin.len));
    }

    pub(crate) fn has_surplus(&self) -> bool {
        self.bins.iter().any(|bin| bin.surplus.min(bin.low) > 0)
    }

    /// Takes surplus runs out, at most a batch, counted as decayed.
    pub(crate) fn surplus_into(&mut self, batch: &mut [Option<Run>; BATCH]) {
        let mut rest = batch.iter_mut();
        for class in (0..CLASSES).rev() {
            loop {
                let bin = &mut self.bins[class];
                bin.surplus = bin.surplus.min(bin.low);
                if bin.surplus == 0 {
                    break;
                }
                let Some(place) = rest.next() else { return };
                bin.surplus -= 1;
                let Some(run) = self.pop(class, 1) else { return };
                self.decayed_bytes += len_of(class) as u64;
                *place = Some(run);
            }
        }
    }
}

/// Bytes of a run of `class`.
#[inline(always)]
pub(crate) const fn len_of(class: usize) -> usize {
    1 << (class + MIN_PAGE_LOG2 as usize)
}
