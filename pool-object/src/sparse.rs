//! The spans that a defragmenter is to empty: a set of addresses, in a run of its own. A storage file.
//!
//! A mark in the span's header would do for whoever has the block's own pointer. But most owners lend
//! their values by reference, and a reference leads to its value alone. An address can be asked about
//! by anybody.

use core::cell::Cell;
use core::ptr::NonNull;
use pool_core::{PageError, PageSource, Request, Run};

/// Addresses: open addressing, at most half full.
pub(crate) struct SparseSet {
    /// The first of `slots` slots, all initialised, in the run `memory`; dangling if there are none.
    first: Cell<NonNull<Slot>>,
    /// 0 or a power of two.
    slots: Cell<usize>,
    memory: Cell<Option<Run>>,
    /// Addresses in it.
    len: Cell<usize>,
}

/// An address, or one of those two.
type Slot = Cell<usize>;
const FREE: usize = 0;
/// Somebody was here: the search goes on. No span is at that address.
const LEFT: usize = 1;

// SAFETY: the memory that it points to is its own, and reached through it alone.
unsafe impl Send for SparseSet {}

impl SparseSet {
    pub(crate) const fn new() -> Self {
        Self {
            first: Cell::new(NonNull::dangling()),
            slots: Cell::new(0),
            memory: Cell::new(None),
            len: Cell::new(0),
        }
    }

    /// Makes it empty, with room for so many addresses.
    ///
    /// # Errors
    /// If the source refuses; then it is empty and has none.
    ///
    /// # Safety
    /// What it had before came from this source.
    pub(crate) unsafe fn reset<S: PageSource>(
        &self,
        most: usize,
        source: &S,
    ) -> Result<(), PageError> {
        // SAFETY: the caller's promise.
        unsafe { self.release(source) };
        if most == 0 {
            return Ok(());
        }
        let slots = (2 * most).next_power_of_two();
        let memory = source.acquire(Request::new(slots * size_of::<Slot>()))?;
        let first: NonNull<Slot> = memory.ptr().cast();
        for index in 0..slots {
            // SAFETY: so many slots fit into the run.
            let slot = unsafe { first.add(index) };
            // SAFETY: in the run, which is ours, and aligned, since the run is to more.
            unsafe { slot.write(Cell::new(FREE)) };
        }
        self.first.set(first);
        self.slots.set(slots);
        self.memory.set(Some(memory));
        Ok(())
    }

    /// Empties it, and gives its memory back.
    ///
    /// # Safety
    /// It came from this source.
    pub(crate) unsafe fn release<S: PageSource>(&self, source: &S) {
        self.first.set(NonNull::dangling());
        self.slots.set(0);
        self.len.set(0);
        if let Some(memory) = self.memory.take() {
            // SAFETY: from this source, ours, released once, and no slot is used any more.
            unsafe { source.release(memory) };
        }
    }

    /// Bytes of its memory.
    pub(crate) fn own_bytes(&self) -> usize {
        let memory = self.memory.take();
        let bytes = memory.as_ref().map_or(0, Run::len);
        self.memory.set(memory);
        bytes
    }

    fn all(&self) -> &[Slot] {
        // SAFETY: by the fields' invariant so many initialised slots stand there, or none; they are
        // changed through their cells only, and stay as long as nobody resets or releases, which the
        // callers here do not while they hold the slice.
        unsafe { core::slice::from_raw_parts(self.first.get().as_ptr(), self.slots.get()) }
    }

    /// The slot of an address, if it is in the set; else the first free one.
    fn find(&self, address: usize) -> &Slot {
        let slots = self.all();
        // Fibonacci hashing of the number of the shortest span there.
        let mixed = ((address >> 16) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let mut index = mixed as usize & (slots.len() - 1);
        while ![FREE, address].contains(&slots[index].get()) {
            index = (index + 1) & (slots.len() - 1);
        }
        &slots[index]
    }

    /// Adds an address, which is not in it. There was room for it.
    pub(crate) fn insert(&self, address: usize) {
        self.find(address).set(address);
        self.len.set(self.len.get() + 1);
    }

    #[inline]
    pub(crate) fn contains(&self, address: usize) -> bool {
        self.len.get() > 0 && self.find(address).get() == address
    }

    /// Takes an address out, if it is in it.
    #[inline]
    pub(crate) fn remove(&self, address: usize) {
        if self.contains(address) {
            self.find(address).set(LEFT);
            self.len.set(self.len.get() - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pool_core::Heap;
    use std::collections::BTreeSet;

    #[test]
    fn it_has_what_was_inserted_and_not_removed() {
        let (set, source, mut model) = (SparseSet::new(), Heap::new(), BTreeSet::new());
        assert!(!set.contains(1 << 16));
        set.remove(1 << 16);
        for most in [1, 2, 7, if cfg!(miri) { 20 } else { 300 }] {
            // SAFETY: always the same source.
            unsafe { set.reset(most, &source) }.unwrap();
            model.clear();
            // Neighbours, and many with the same lower bits.
            for number in 1..=most {
                let address = number << if number % 2 == 0 { 16 } else { 36 };
                assert!(!set.contains(address));
                set.insert(address);
                model.insert(address);
                if number % 3 == 0 {
                    set.remove(address);
                    model.remove(&address);
                }
            }
            for number in 1..=2 * most {
                for address in [number << 16, number << 36] {
                    assert_eq!(set.contains(address), model.contains(&address), "{address:x}");
                }
            }
            assert_eq!(set.len.get(), model.len());
        }
        // SAFETY: as above.
        unsafe { set.release(&source) };
        assert_eq!((set.own_bytes(), set.contains(1 << 16)), (0, false));
    }
}
