//! `Traced`: who holds memory, by call stack. A storage file.

use super::address_map::AddressMap;
use crate::block_alloc::BlockAlloc;
use crate::error::AllocError;
use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::ffi::c_void;
use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::thread::LocalKey;

/// A layer that remembers by which calls the blocks were allocated that are still in use: the job of
/// `memleak` and of valgrind's leak summary, in a program that runs.
///
/// ```
/// use core::alloc::Layout;
/// use pool_object::{SmallAlloc, Traced};
/// let heap = Traced::new(SmallAlloc::new());
/// let block = heap.inner().allocate(Layout::new::<u64>()); // past the layer: not seen
/// let leak = pool_object::PoolBox::leak(pool_object::PoolBox::new_in([1u8; 40], &heap));
/// let report = heap.report().to_string();
/// assert!(report.contains("1 block of 40 bytes"), "{report}");
/// # let _ = (block, leak);
/// ```
///
/// With [`every`](Self::every) it remembers only one allocation in so many bytes, and costs little
/// more than a counter for the others; without, every allocation takes a stack trace and a lock.
/// A report can be had at any time, and at the end of `main` by [`report_on_drop`](Self::report_on_drop).
/// The lock is not held for a `fork`: a child of a process with several threads should `exec`. Feature
/// `trace`.
///
/// It is a [`BlockAlloc`] over any other, an `Allocator` of `allocator-api2` by reference, and over an
/// allocator for all threads a `GlobalAlloc`: what it needs itself it takes from pages, and what the
/// unwinder or the printing of a report allocates is not remembered.
pub struct Traced<A: BlockAlloc> {
    inner: A,
    /// Bytes between two samples; 0: all are remembered.
    every: usize,
    /// Bytes until the next one.
    left: AtomicUsize,
    /// Samples in `state`: frees need not look if there are none.
    samples: AtomicUsize,
    state: Mutex<State>,
}

struct State {
    live: AddressMap<Sample>,
    /// By hash.
    stacks: AddressMap<Stack>,
    /// Samples that no memory could be had for.
    missed: usize,
}

/// A block in use.
#[derive(Clone, Copy, Default)]
struct Sample {
    size: usize,
    /// The key of its stack.
    stack: usize,
}

/// Frames kept of a stack, the innermost first.
const DEPTH: usize = 24;

#[derive(Clone, Copy, Default, PartialEq)]
struct Stack {
    frames: [Option<NonNull<c_void>>; DEPTH],
}

/// Blocks of one size from one stack.
#[derive(Clone, Copy, Default)]
struct Group {
    size: usize,
    stack: Stack,
    blocks: usize,
}

// SAFETY: the pointers are return addresses, which nobody dereferences.
unsafe impl Send for State {}

// No destructors: they can be used at any moment of the thread's life.
std::thread_local! {
    /// Whether this thread is in here already: what the unwinder allocates is not remembered. What it
    /// frees is forgotten all the same, as it may have been remembered before.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    /// Whether this thread has the lock of a layer.
    static LOCKED: Cell<bool> = const { Cell::new(false) };
}

/// As long as it lives, a flag of this thread is set.
struct Flagged(&'static LocalKey<Cell<bool>>);

impl Flagged {
    /// `None` if it is set already.
    fn set(flag: &'static LocalKey<Cell<bool>>) -> Option<Self> {
        // Not `then_some`: that would make the value in any case, whose drop clears the flag.
        (!flag.replace(true)).then(|| Self(flag))
    }
}

impl Drop for Flagged {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl Stack {
    fn capture() -> Self {
        let (mut stack, mut depth) = (Self::default(), 0);
        backtrace::trace(|frame| {
            // The innermost frames are this crate's own; how many is not known here.
            stack.frames[depth] = NonNull::new(frame.ip());
            depth += 1;
            depth < DEPTH
        });
        stack
    }

    /// A key for it, not 0.
    fn key(&self) -> usize {
        let mut hash = 0xCBF2_9CE4_8422_2325u64;
        for frame in self.frames.iter().flatten() {
            hash = (hash ^ frame.addr().get() as u64).wrapping_mul(0x0100_0000_01B3);
            hash ^= hash >> 29;
        }
        hash as usize | 1
    }

    /// Writes a line a frame, without those of the layers themselves.
    fn print(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut result, mut ours) = (Ok(()), true);
        for frame in self.frames.iter().flatten() {
            backtrace::resolve(frame.as_ptr(), |symbol| {
                let Some(name) = symbol.name() else { return };
                ours = ours && is_ours(name.as_str().unwrap_or(""));
                if ours || result.is_err() {
                    return;
                }
                result = match (symbol.filename(), symbol.lineno()) {
                    (Some(file), Some(line)) => {
                        writeln!(out, "    {name:#} ({}:{line})", file.display())
                    }
                    _ => writeln!(out, "    {name:#}"),
                };
            });
        }
        result
    }
}

/// Whether a (mangled) symbol is of this crate or of the unwinder.
fn is_ours(name: &str) -> bool {
    // A trait's method for one of our types has both names; tests of the crate are in others.
    name.contains("pool_object") || name.contains("backtrace") || name.contains("__rust")
}

impl<A: BlockAlloc> Traced<A> {
    /// Remembers every block that is allocated from `inner` through this layer.
    #[must_use]
    pub const fn new(inner: A) -> Self {
        Self::every(0, inner)
    }

    /// Remembers about one block in so many `bytes` allocated, the long ones rather than the short.
    #[must_use]
    pub const fn every(bytes: usize, inner: A) -> Self {
        let state = State { live: AddressMap::new(), stacks: AddressMap::new(), missed: 0 };
        Self {
            inner,
            every: bytes,
            left: AtomicUsize::new(bytes),
            samples: AtomicUsize::new(0),
            state: Mutex::new(state),
        }
    }

    /// The allocator beneath.
    #[must_use]
    pub const fn inner(&self) -> &A {
        &self.inner
    }

    /// `None` if this thread has a layer's lock already: what is under it takes memory from pages, and
    /// should that ever come back here it must not wait for itself.
    fn with_state<U>(&self, f: impl FnOnce(&mut State) -> U) -> Option<U> {
        let _locked = Flagged::set(&LOCKED)?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Some(f(&mut state))
    }

    /// Whether an allocation of so many bytes is to be remembered.
    fn is_due(&self, bytes: usize) -> bool {
        if self.every == 0 {
            return true;
        }
        let left = self.left.fetch_sub(bytes, Relaxed);
        // Wrapped, or about to: whoever sees that first begins anew.
        let due = left <= bytes || left > self.every;
        if due {
            self.left.store(self.every, Relaxed);
        }
        due
    }

    /// Remembers a block.
    #[cold]
    #[inline(never)]
    fn remember(&self, block: NonNull<u8>, size: usize) {
        let Some(_inside) = Flagged::set(&INSIDE) else { return };
        let stack = Stack::capture();
        let key = stack.key();
        self.with_state(|state| {
            let known = state.stacks.get(key).is_some() || state.stacks.insert(key, stack).is_ok();
            self.keep(state, block, Sample { size, stack: key }, known);
        });
    }

    fn keep(&self, state: &mut State, block: NonNull<u8>, sample: Sample, known: bool) {
        if known && state.live.insert(block.addr().get(), sample).is_ok() {
            self.samples.store(state.live.len(), Relaxed);
        } else {
            state.missed += 1;
        }
    }

    /// Forgets a block that is to end.
    fn forget(&self, block: NonNull<u8>) -> Option<Sample> {
        if self.samples.load(Relaxed) == 0 {
            return None;
        }
        self.with_state(|state| {
            let sample = state.live.remove(block.addr().get());
            self.samples.store(state.live.len(), Relaxed);
            sample
        })?
    }

    /// What is in use, to be printed: grouped by size and stack, the most bytes first, and at most 32
    /// groups of them. O(blocks remembered).
    pub const fn report(&self) -> TraceReport<'_, A> {
        TraceReport(self)
    }

    /// A guard that prints the [report](Self::report) to the standard error stream when it is dropped,
    /// if anything is in use then: for the end of `main`, or of a test.
    #[must_use = "it reports when it is dropped"]
    pub const fn report_on_drop(&self) -> ReportOnDrop<'_, A> {
        ReportOnDrop(self)
    }

    /// Blocks in use that are remembered.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.samples.load(Relaxed)
    }
}

/// Blocks in use by call stack; see [`Traced::report`].
pub struct TraceReport<'a, A: BlockAlloc>(&'a Traced<A>);

/// Reports when it is dropped; see [`Traced::report_on_drop`].
pub struct ReportOnDrop<'a, A: BlockAlloc>(&'a Traced<A>);

impl<A: BlockAlloc> Drop for ReportOnDrop<'_, A> {
    fn drop(&mut self) {
        if self.0.samples() > 0 {
            let _ = write!(std::io::stderr(), "{}", self.0.report());
        }
    }
}

/// Groups printed at most.
const MOST: usize = 32;

impl<A: BlockAlloc> TraceReport<'_, A> {
    /// Blocks in use by size and stack, and how many were missed.
    fn groups(&self) -> (AddressMap<Group>, usize) {
        self.0.with_state(Self::group).unwrap_or((AddressMap::new(), 0))
    }

    fn group(state: &mut State) -> (AddressMap<Group>, usize) {
        let mut groups = AddressMap::<Group>::new();
        let State { live, stacks, missed } = state;
        let mut missed = *missed;
        for (_, sample) in live.iter() {
            let key = (sample.stack ^ sample.size.wrapping_mul(0x9E37_79B9)) | 1;
            let Some(stack) = stacks.get(sample.stack) else { continue };
            let new = Group { size: sample.size, stack: *stack, blocks: 1 };
            match groups.get(key) {
                Some(group) => group.blocks += 1,
                None => missed += usize::from(groups.insert(key, new).is_err()),
            }
        }
        (groups, missed)
    }
}

impl<A: BlockAlloc> fmt::Display for TraceReport<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _inside = Flagged::set(&INSIDE);
        let (mut groups, missed) = self.groups();
        let (mut blocks, mut bytes) = (0, 0);
        for (_, group) in groups.iter() {
            blocks += group.blocks;
            bytes += group.blocks * group.size;
        }
        writeln!(f, "pool-object: {blocks} blocks in use, {bytes} bytes")?;
        if self.0.every > 0 {
            writeln!(f, "  (samples: about one in {} bytes)", self.0.every)?;
        }
        for _ in 0..MOST {
            let most = groups.iter().max_by_key(|(_, group)| group.blocks * group.size);
            let Some((key, group)) = most else { break };
            let Group { size, stack, blocks } = *group;
            groups.remove(key);
            let plural = if blocks == 1 { "" } else { "s" };
            writeln!(f, "  {blocks} block{plural} of {size} bytes from")?;
            stack.print(f)?;
        }
        match groups.len() {
            0 => {}
            others => writeln!(f, "  and {others} other groups")?,
        }
        if missed > 0 {
            writeln!(f, "  {missed} blocks could not be remembered")?;
        }
        Ok(())
    }
}

// SAFETY: blocks pass unchanged between the caller and the inner allocator, which keeps the contract;
// what the layer knows of them stands elsewhere, under a lock. Nothing here unwinds.
unsafe impl<A: BlockAlloc> BlockAlloc for Traced<A> {
    fn try_allocate(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        let block = self.inner.try_allocate(layout)?;
        if self.is_due(layout.size()) {
            self.remember(block, layout.size());
        }
        Ok(block)
    }

    fn try_allocate_zeroed(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        let block = self.inner.try_allocate_zeroed(layout)?;
        if self.is_due(layout.size()) {
            self.remember(block, layout.size());
        }
        Ok(block)
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        self.forget(block);
        // SAFETY: the caller's promise; the block is the inner allocator's.
        unsafe { self.inner.deallocate(block, layout) };
    }

    /// Keeps the stack of the first allocation; growth of a block that is not remembered counts as an
    /// allocation of so many bytes.
    unsafe fn try_relayout(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<u8>, AllocError> {
        // Before the address may be somebody else's.
        let sample = self.forget(block);
        // SAFETY: the caller's promise; the block is the inner allocator's.
        let result = unsafe { self.inner.try_relayout(block, old, new) };
        let (place, size) = match result {
            Ok(place) => (place, new.size()),
            Err(_) => (block, old.size()),
        };
        if let Some(sample) = sample {
            self.with_state(|state| self.keep(state, place, Sample { size, ..sample }, true));
        } else if self.every > 0 && self.is_due(size.saturating_sub(old.size())) {
            self.remember(place, size);
        }
        result
    }

    unsafe fn try_relocate(&self, block: NonNull<u8>, layout: Layout) -> Option<NonNull<u8>> {
        let sample = self.forget(block);
        // SAFETY: the caller's promise; the block is the inner allocator's.
        let moved = unsafe { self.inner.try_relocate(block, layout) };
        if let Some(sample) = sample {
            self.with_state(|state| self.keep(state, moved.unwrap_or(block), sample, true));
        }
        moved
    }
}

// SAFETY: the contract of `BlockAlloc` with null for errors; nothing unwinds. The layer takes its own
// memory from pages; what the unwinder allocates comes back here and is passed on untraced.
unsafe impl<A: BlockAlloc> GlobalAlloc for Traced<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.try_allocate(layout).map_or(core::ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.try_allocate_zeroed(layout).map_or(core::ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(block) = NonNull::new(block) {
            // SAFETY: the caller's promise.
            unsafe { self.deallocate(block, layout) };
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let new = Layout::from_size_align(size, layout.align());
        let (Some(block), Ok(new)) = (NonNull::new(block), new) else {
            return core::ptr::null_mut();
        };
        // SAFETY: the caller's promise.
        let place = unsafe { self.try_relayout(block, layout, new) };
        place.map_or(core::ptr::null_mut(), NonNull::as_ptr)
    }
}

impl<A: BlockAlloc> fmt::Debug for Traced<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traced").field("samples", &self.samples()).finish_non_exhaustive()
    }
}
