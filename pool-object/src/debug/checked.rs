//! `Checked`: crimes against an allocator, reported where they are seen. A storage file.

use super::address_map::AddressMap;
use crate::block_alloc::{BlockAlloc, move_block};
use crate::error::AllocError;
use core::alloc::{GlobalAlloc, Layout};
use core::fmt;
use core::ptr::NonNull;
use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A layer that ends the process, with a report that names the block, when a block is misused:
///
/// | crime | seen |
/// |---|---|
/// | freed twice | at the second free |
/// | freed, but never allocated here | at the free |
/// | freed or relaid with another layout | at the free |
/// | written beyond its end, or before its beginning | at its free, or at [`check`](Self::check) |
/// | written after it was freed | when its memory is to be used again, or at `check` |
/// | read before it was written, or after it was freed | the bytes are `0xA5`, or `0xDE` |
///
/// ```
/// use pool_object::{Checked, PoolBox, SmallAlloc};
/// let heap = Checked::new(SmallAlloc::new());
/// let boxed = PoolBox::new_in([1u8; 40], &heap);
/// drop(boxed);
/// assert_eq!((heap.live(), heap.check()), (0, 1)); // looked at the one freed block
/// ```
///
/// Freed blocks wait, filled with `0xDE`, until 256 blocks or 1 MiB were freed after them; so each
/// block is 32 bytes longer at least, memory is used again later, and every call takes a lock and looks
/// an address up: for tests. The lock is not held for a `fork`: a child of a process with several threads
/// should `exec`. Feature `checked`.
///
/// It is a [`BlockAlloc`] over any other, an `Allocator` of `allocator-api2` by reference, and over an
/// allocator for all threads a `GlobalAlloc`. It allocates nothing from the global allocator itself.
pub struct Checked<A: BlockAlloc> {
    inner: A,
    state: Mutex<State>,
}

/// Bytes before and after each block that nobody may write.
const GUARD: usize = 16;
const GUARD_BYTE: u8 = 0xC4;
/// What a block is filled with when it is handed out, and when it came back.
const FRESH: u8 = 0xA5;
const FREED: u8 = 0xDE;
/// Freed blocks that wait, and their bytes, at most.
const WAITING: usize = 256;
const WAITING_BYTES: usize = 1 << 20;

/// What is known of a block.
#[derive(Clone, Copy, Debug, Default)]
struct Record {
    /// The block; the key has its address alone.
    block: Option<NonNull<u8>>,
    size: usize,
    align: usize,
    /// The allocation's number; the first is 1.
    number: u64,
    freed: bool,
}

struct State {
    /// Blocks in use, and those that wait.
    records: AddressMap<Record>,
    /// Freed blocks in the order they came, in a ring: `count` from `first` on.
    waiting: [Option<NonNull<u8>>; WAITING],
    first: usize,
    count: usize,
    bytes: usize,
    allocations: u64,
}

// SAFETY: the pointers are to blocks that nobody else uses, and only taken as addresses and given
// back to the allocator, which `Checked` is `Send` or `Sync` no more than.
unsafe impl Send for State {}

/// A crime, to be reported.
enum Crime {
    Foreign,
    Twice(Record),
    Layout(Record, Layout),
    Guard(Record, isize),
    AfterFree(Record, usize),
}

impl fmt::Display for Crime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let record = match self {
            Self::Foreign => return write!(f, "foreign pointer: no block of this allocator"),
            Self::Twice(record) => {
                write!(f, "double free")?;
                record
            }
            Self::Layout(record, layout) => {
                let (size, align) = (layout.size(), layout.align());
                write!(f, "wrong layout: {size} bytes aligned to {align} at its end")?;
                record
            }
            Self::Guard(record, at) if *at < 0 => {
                write!(f, "underrun: byte {at} was written")?;
                record
            }
            Self::Guard(record, at) => {
                write!(f, "overrun: byte {at} was written")?;
                record
            }
            Self::AfterFree(record, at) => {
                write!(f, "use after free: byte {at} was written")?;
                record
            }
        };
        let Record { size, align, number, .. } = record;
        write!(f, "; it is {size} bytes aligned to {align}, allocation number {number}")
    }
}

/// Says what was seen and ends the process. Allocates nothing.
#[cold]
fn report(block: NonNull<u8>, crime: &Crime) -> ! {
    let _ = writeln!(std::io::stderr(), "pool-object: block {block:p}: {crime}");
    std::process::abort()
}

impl Record {
    /// The guards before and after it: what is allocated beneath.
    fn outer(&self) -> Result<Layout, AllocError> {
        let error = AllocError::TooLarge { size: self.size, align: self.align };
        let size =
            front(self.align).checked_add(self.size).and_then(|size| size.checked_add(GUARD));
        Layout::from_size_align(size.ok_or(error)?, self.align).map_err(|_| error)
    }

    /// Checks the guards of a block.
    ///
    /// # Safety
    /// The block was allocated by `Checked` for this record.
    unsafe fn check_guards(&self, block: NonNull<u8>) -> Result<(), Crime> {
        // SAFETY: at least `GUARD` bytes stand before the block.
        let before = unsafe { block.sub(GUARD) };
        // SAFETY: they were written when it was allocated.
        if let Some(at) = unsafe { find_other(before, GUARD, GUARD_BYTE) } {
            return Err(Crime::Guard(*self, at as isize - GUARD as isize));
        }
        // SAFETY: `GUARD` bytes stand behind it.
        let after = unsafe { block.add(self.size) };
        // SAFETY: as before.
        match unsafe { find_other(after, GUARD, GUARD_BYTE) } {
            Some(at) => Err(Crime::Guard(*self, (self.size + at) as isize)),
            None => Ok(()),
        }
    }

    /// Checks that nobody wrote into a freed block.
    ///
    /// # Safety
    /// As [`check_guards`](Self::check_guards), and the block waits.
    unsafe fn check_freed(&self, block: NonNull<u8>) -> Result<(), Crime> {
        // SAFETY: it has so many bytes, written when it came back.
        match unsafe { find_other(block, self.size, FREED) } {
            Some(at) => Err(Crime::AfterFree(*self, at)),
            // SAFETY: the caller's promise.
            None => unsafe { self.check_guards(block) },
        }
    }
}

/// Bytes from the beginning of what is allocated beneath to the block.
const fn front(align: usize) -> usize {
    if align < GUARD { GUARD } else { align }
}

/// The first of `len` bytes that is not `byte`.
///
/// # Safety
/// So many initialised bytes stand at `start`, and nobody writes them meanwhile.
unsafe fn find_other(start: NonNull<u8>, len: usize, byte: u8) -> Option<usize> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { core::slice::from_raw_parts(start.as_ptr(), len) };
    // A chunk at a time, which is a `memcmp`: also for an interpreter.
    let same = [byte; 256];
    let from =
        same.len() * bytes.chunks(same.len()).position(|chunk| chunk != &same[..chunk.len()])?;
    bytes[from..].iter().position(|&other| other != byte).map(|at| from + at)
}

impl<A: BlockAlloc> Checked<A> {
    /// Watches what is allocated from `inner` through this layer.
    #[must_use]
    pub const fn new(inner: A) -> Self {
        let state = State {
            records: AddressMap::new(),
            waiting: [None; WAITING],
            first: 0,
            count: 0,
            bytes: 0,
            allocations: 0,
        };
        Self { inner, state: Mutex::new(state) }
    }

    /// The allocator beneath.
    #[must_use]
    pub const fn inner(&self) -> &A {
        &self.inner
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks in use.
    #[must_use]
    pub fn live(&self) -> usize {
        let state = self.state();
        state.records.len() - state.count
    }

    /// Looks at all blocks, those in use and those that were freed and wait; how many. Ends the process
    /// if one of them was written to where it should not. O(bytes of those that wait + blocks).
    #[allow(clippy::must_use_candidate, reason = "called for its effect")]
    pub fn check(&self) -> usize {
        let mut state = self.state();
        let mut seen = 0;
        for (_, record) in state.records.iter() {
            let Some(block) = record.block else { continue };
            seen += 1;
            let result = if record.freed {
                // SAFETY: it waits, so it was allocated for its record.
                unsafe { record.check_freed(block) }
            } else {
                // SAFETY: it has a record, so it was allocated for it.
                unsafe { record.check_guards(block) }
            };
            if let Err(crime) = result {
                report(block, &crime);
            }
        }
        seen
    }

    /// The record of a block that is to end; no return if there is something wrong with it.
    ///
    /// # Safety
    /// If the address is that of a block, nobody writes to it meanwhile.
    unsafe fn expect(state: &mut State, block: NonNull<u8>, layout: Layout) -> Record {
        let Some(record) = state.records.get(block.addr().get()) else {
            report(block, &Crime::Foreign)
        };
        if record.freed {
            report(block, &Crime::Twice(*record));
        }
        if (record.size, record.align) != (layout.size(), layout.align()) {
            report(block, &Crime::Layout(*record, layout));
        }
        // SAFETY: it has a record, so it was allocated for it.
        if let Err(crime) = unsafe { record.check_guards(block) } {
            report(block, &crime);
        }
        *record
    }

    /// Gives the block back that waits longest; its bytes.
    fn release_oldest(&self, state: &mut State) -> usize {
        let Some(block) = state.waiting[state.first].take() else { return 0 };
        state.first = (state.first + 1) % WAITING;
        state.count -= 1;
        let Some(record) = state.records.remove(block.addr().get()) else { return 0 };
        state.bytes -= record.size;
        // SAFETY: it waited, so it was allocated for its record.
        if let Err(crime) = unsafe { record.check_freed(block) } {
            report(block, &crime);
        }
        let Ok(outer) = record.outer() else { return 0 };
        // SAFETY: the block stands so far behind the start of what was allocated.
        let start = unsafe { block.sub(front(record.align)) };
        // SAFETY: allocated below with this layout, and nobody uses it any more.
        unsafe { self.inner.deallocate(start, outer) };
        record.size
    }
}

// SAFETY: blocks are parts of the inner allocator's, which keeps the contract, and are given back to
// it with the layout they came with. What the layer knows of them stands elsewhere, under a lock.
// `report` ends the process instead of unwinding.
unsafe impl<A: BlockAlloc> BlockAlloc for Checked<A> {
    fn try_allocate(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        let (size, align) = (layout.size(), layout.align());
        let record = Record { size, align, ..Record::default() };
        let outer = record.outer()?;
        let start = self.inner.try_allocate(outer)?;
        // SAFETY: what was allocated is longer than that.
        let block = unsafe { start.add(front(align)) };
        // SAFETY: `GUARD` bytes stand before the block: `front` is not less.
        let before = unsafe { block.sub(GUARD) };
        // SAFETY: so many bytes are there, and ours: the guards and the block between.
        unsafe { before.write_bytes(GUARD_BYTE, size + 2 * GUARD) };
        // SAFETY: the block has so many bytes.
        unsafe { block.write_bytes(FRESH, size) };
        let mut state = self.state();
        state.allocations += 1;
        let number = state.allocations;
        let record = Record { block: Some(block), number, ..record };
        if let Err(error) = state.records.insert(block.addr().get(), record) {
            drop(state);
            // SAFETY: just allocated with this layout.
            unsafe { self.inner.deallocate(start, outer) };
            return Err(AllocError::source(layout, error));
        }
        Ok(block)
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        let mut state = self.state();
        // SAFETY: the caller gives the block up; this is where that is not believed.
        let record = unsafe { Self::expect(&mut state, block, layout) };
        // SAFETY: the block has so many bytes, and is ours now.
        unsafe { block.write_bytes(FREED, record.size) };
        let state = &mut *state;
        if let Some(record) = state.records.get(block.addr().get()) {
            record.freed = true;
        }
        if state.count == WAITING {
            self.release_oldest(state);
        }
        state.waiting[(state.first + state.count) % WAITING] = Some(block);
        state.count += 1;
        state.bytes += record.size;
        while state.bytes > WAITING_BYTES && state.count > 0 {
            self.release_oldest(state);
        }
    }

    /// Always moves: who kept the old pointer is found.
    unsafe fn try_relayout(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<u8>, AllocError> {
        // SAFETY: the caller gives the block up; this is where that is not believed.
        unsafe { Self::expect(&mut self.state(), block, old) };
        // SAFETY: the caller's promise.
        unsafe { move_block(self, block, old, new) }
    }
}

// SAFETY: the contract of `BlockAlloc` with null for errors; `report` aborts, nothing unwinds. The
// layer allocates nothing from the global allocator, which it may be.
unsafe impl<A: BlockAlloc> GlobalAlloc for Checked<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.try_allocate(layout).map_or(core::ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(block) = NonNull::new(block) {
            // SAFETY: the caller's promise.
            unsafe { self.deallocate(block, layout) };
        }
    }
}

impl<A: BlockAlloc> Drop for Checked<A> {
    fn drop(&mut self) {
        let mut state = self.state();
        while state.count > 0 {
            self.release_oldest(&mut state);
        }
    }
}

impl<A: BlockAlloc> fmt::Debug for Checked<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checked").field("live", &self.live()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_other_byte_is_found_wherever_it_is() {
        for len in [0, 1, 255, 256, 257, 600] {
            let mut bytes = vec![7_u8; len];
            let start = NonNull::from(&mut bytes[..]).cast();
            // SAFETY: so many bytes, all initialised, and nobody writes them meanwhile.
            assert_eq!(unsafe { find_other(start, len, 7) }, None);
            for at in [0, 1, 100, 255, 256, 257, 511, 512, 599] {
                if at < len {
                    bytes[at..].fill(8);
                    let start = NonNull::from(&mut bytes[..]).cast();
                    // SAFETY: as above.
                    assert_eq!(unsafe { find_other(start, len, 7) }, Some(at));
                    bytes[at..].fill(7);
                }
            }
        }
    }
}
