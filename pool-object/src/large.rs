//! Blocks above the largest class: each is a run, and a table finds the run by the block's address.
//! A storage file.
//!
//! A header in the run would find it without a table, but an object of exactly a power of two would
//! then need a run of twice that.

use core::alloc::Layout;
use core::cell::Cell;
use core::ptr::NonNull;
use pool_core::{PageError, PageSource, Request, Run, poison};

/// The run that a large block needs.
pub(crate) fn request(layout: Layout, zeroed: bool) -> Request {
    let request = Request::from(layout);
    Request { zeroed, len: request.len.max(1), ..request }
}

/// The block for this layout that a run is; the memory behind it is forbidden.
pub(crate) fn block(run: &Run, layout: Layout) -> NonNull<u8> {
    let end = run.ptr().as_ptr().wrapping_add(layout.size());
    poison::forbid(end, run.len() - layout.size());
    run.ptr()
}

/// Allows all of the run of a block that is free now.
pub(crate) fn show(run: &Run) {
    poison::allow(run.ptr().as_ptr(), run.len());
}

/// Runs by address: open addressing, at most half full.
pub(crate) struct LargeTable {
    /// The first of `slots` slots, all initialised, in the run `memory`; dangling if there are none.
    first: Cell<NonNull<Slot>>,
    /// 0 or a power of two.
    slots: Cell<usize>,
    memory: Cell<Option<Run>>,
    /// Slots that are taken.
    len: Cell<usize>,
    /// Bytes of the runs in it.
    bytes: Cell<usize>,
}

type Slot = Cell<Option<Run>>;

// SAFETY: the memory that it points to is its own, and reached through it alone.
unsafe impl Send for LargeTable {}

impl LargeTable {
    pub(crate) const fn new() -> Self {
        Self {
            first: Cell::new(NonNull::dangling()),
            slots: Cell::new(0),
            memory: Cell::new(None),
            len: Cell::new(0),
            bytes: Cell::new(0),
        }
    }

    /// Runs in it.
    pub(crate) fn len(&self) -> usize {
        self.len.get()
    }

    /// Bytes of the runs in it.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.get()
    }

    /// Bytes of the table itself.
    pub(crate) fn own_bytes(&self) -> usize {
        peek(&self.memory, |run| run.as_ref().map_or(0, Run::len))
    }

    /// Makes sure that one more run can be inserted. What `acquire` gives is of `source`.
    pub(crate) fn reserve<S: PageSource>(
        &self,
        acquire: impl FnOnce(Request) -> Result<Run, PageError>,
        source: &S,
    ) -> Result<(), PageError> {
        let Some(bytes) = self.wants() else { return Ok(()) };
        if let Some(old) = self.install(acquire(Request::new(bytes))?) {
            // SAFETY: from this source, released once, and no slot of it is used any more.
            unsafe { source.release(old) };
        }
        Ok(())
    }

    /// Bytes of memory that it needs before one more run can be inserted, if it does.
    pub(crate) fn wants(&self) -> Option<usize> {
        let full = 2 * (self.len.get() + 1) > self.slots.get();
        full.then(|| (2 * self.slots.get() * size_of::<Slot>()).max(1))
    }

    /// Moves into new memory, at least twice as long as the old, which is returned.
    pub(crate) fn install(&self, memory: Run) -> Option<Run> {
        let slots = 1 << (memory.len() / size_of::<Slot>()).ilog2();
        let first: NonNull<Slot> = memory.ptr().cast();
        for index in 0..slots {
            // SAFETY: so many slots fit into the run.
            let slot = unsafe { first.add(index) };
            // SAFETY: in the run, which is ours, and aligned, since the run is to more.
            unsafe { slot.write(Cell::new(None)) };
        }
        let old = Self {
            first: Cell::new(self.first.replace(first)),
            slots: Cell::new(self.slots.replace(slots)),
            memory: Cell::new(self.memory.replace(Some(memory))),
            ..Self::new()
        };
        self.len.set(0);
        self.bytes.set(0);
        for slot in old.all() {
            if let Some(run) = slot.take() {
                self.insert(run);
            }
        }
        old.memory.take()
    }

    /// Gives the table's own memory back.
    ///
    /// # Safety
    /// It was reserved from `source`.
    pub(crate) unsafe fn release<S: PageSource>(&self, source: &S) {
        debug_assert_eq!(self.len(), 0);
        self.first.set(NonNull::dangling());
        self.slots.set(0);
        if let Some(memory) = self.memory.take() {
            // SAFETY: from this source, ours, released once, and no slot is used any more.
            unsafe { source.release(memory) };
        }
    }

    fn all(&self) -> &[Slot] {
        // SAFETY: by the fields' invariant so many initialised slots stand there, or none; they
        // are changed through their cells only, and stay as long as nobody reserves or releases,
        // which the callers here do not while they hold the slice.
        unsafe { core::slice::from_raw_parts(self.first.get().as_ptr(), self.slots.get()) }
    }

    /// Where the search for a run begins.
    fn home(&self, address: usize) -> usize {
        // Fibonacci hashing of the page's number; the upper half has the mixed bits.
        let mixed = ((address >> 12) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        mixed as usize & (self.slots.get() - 1)
    }

    /// Adds a run; there is a slot for it, see [`reserve`](Self::reserve).
    pub(crate) fn insert(&self, run: Run) {
        self.len.set(self.len.get() + 1);
        self.bytes.set(self.bytes.get() + run.len());
        let slots = self.all();
        let mut index = self.home(run.ptr().addr().get());
        while peek(&slots[index], Option::is_some) {
            index = (index + 1) & (slots.len() - 1);
        }
        slots[index].set(Some(run));
    }

    /// The slot of the run that begins at `block`.
    fn find(&self, block: NonNull<u8>) -> Option<usize> {
        let slots = self.all();
        if slots.is_empty() {
            return None;
        }
        let mut index = self.home(block.addr().get());
        loop {
            match peek(&slots[index], |run| run.as_ref().map(Run::ptr)) {
                Some(start) if start == block => return Some(index),
                Some(_) => index = (index + 1) & (slots.len() - 1),
                None => return None,
            }
        }
    }

    /// Bytes of the run that begins at `block`.
    pub(crate) fn run_len(&self, block: NonNull<u8>) -> Option<usize> {
        let index = self.find(block)?;
        peek(&self.all()[index], |run| run.as_ref().map(Run::len))
    }

    /// Whether the block may serve a large layout where it is.
    pub(crate) fn stays(&self, block: NonNull<u8>, new: Layout) -> bool {
        let len = self.run_len(block).unwrap_or(0);
        let aligned = block.addr().get() % new.align() == 0;
        aligned && new.size() <= len && new.size() >= len / 2
    }

    /// Takes the run that begins at `block` out.
    pub(crate) fn remove(&self, block: NonNull<u8>) -> Option<Run> {
        let mut hole = self.find(block)?;
        let slots = self.all();
        let mask = slots.len() - 1;
        let run = slots[hole].take()?;
        self.len.set(self.len.get() - 1);
        self.bytes.set(self.bytes.get() - run.len());
        // Whoever stands behind the hole, and would be looked for at or before it, moves into it.
        let mut index = (hole + 1) & mask;
        while let Some(start) = peek(&slots[index], |run| run.as_ref().map(Run::ptr)) {
            let home = self.home(start.addr().get());
            if index.wrapping_sub(home) & mask >= index.wrapping_sub(hole) & mask {
                slots[hole].set(slots[index].take());
                hole = index;
            }
            index = (index + 1) & mask;
        }
        Some(run)
    }

    /// Takes all runs out.
    pub(crate) fn drain(&self) -> impl Iterator<Item = Run> {
        self.len.set(0);
        self.bytes.set(0);
        self.all().iter().filter_map(Cell::take)
    }
}

/// Looks at what a cell holds.
fn peek<R>(slot: &Slot, look: impl FnOnce(&Option<Run>) -> R) -> R {
    let run = slot.take();
    let result = look(&run);
    slot.set(run);
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use pool_core::Heap;
    use std::collections::BTreeMap;

    #[test]
    fn runs_are_found_until_they_are_removed() {
        let source = Heap::new();
        let table = LargeTable::new();
        let (mut model, mut seed) = (BTreeMap::new(), 7u64);
        let steps = if cfg!(miri) { 100 } else { 4000 };
        for step in 0..steps {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let grow = if step < steps / 2 { 6 } else { 2 };
            if seed >> 61 < grow || model.is_empty() {
                table.reserve(|request| source.acquire(request), &source).unwrap();
                let run = source.acquire(Request::new((seed >> 50) as usize % 3 + 1)).unwrap();
                model.insert(run.ptr(), run.len());
                table.insert(run);
            } else {
                let at = (seed >> 33) as usize % model.len();
                let (&block, &len) = model.iter().nth(at).unwrap();
                model.remove(&block);
                assert_eq!(table.run_len(block), Some(len));
                let run = table.remove(block).unwrap();
                assert_eq!((run.ptr(), run.len()), (block, len));
                assert_eq!(table.run_len(block), None);
                // SAFETY: from this source, and out of the table.
                unsafe { source.release(run) };
            }
            assert_eq!((table.len(), table.bytes()), (model.len(), model.values().sum()));
        }
        for (&block, &len) in &model {
            assert_eq!(table.run_len(block), Some(len));
        }
        for run in table.drain() {
            assert_eq!(model.remove(&run.ptr()), Some(run.len()));
            // SAFETY: from this source, and out of the table.
            unsafe { source.release(run) };
        }
        assert!(model.is_empty());
        // SAFETY: the table's memory came from this source.
        unsafe { table.release(&source) };
    }
}
