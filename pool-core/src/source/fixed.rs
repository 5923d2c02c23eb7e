//! `Fixed`: runs out of one block of memory that the caller brings.

use crate::bytes::is_aligned;
use crate::error::PageError;
use crate::run::{PageKind, Request, Run};
use crate::snapshot::Snapshot;
use crate::source::PageSource;
use core::cell::Cell;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

/// Sells one block of the caller's memory: static, on the stack, or shared with a device. Needs
/// neither an operating system nor an allocator.
///
/// It bumps: runs are cut one after another, and the block is used again from the start once
/// **all** runs are back (and at once if the last one comes back first). For runs that come back
/// in any order put a [`Buddy`](crate::Buddy) on top, which takes the whole block as one run.
/// Acquire and release are O(1) (and zeroing).
///
/// ```
/// use core::mem::MaybeUninit;
/// use pool_core::{Fixed, PageSource};
/// let mut memory = [MaybeUninit::<u8>::uninit(); 64 << 10];
/// let source = Fixed::new(&mut memory);
/// let pages = (&source).pages(10_000)?;
/// assert!((&source).pages(64 << 10).is_err());
/// # Ok::<(), pool_core::PageError>(())
/// ```
#[derive(Debug)]
pub struct Fixed<'m> {
    /// Start of the block, aligned to the granule; valid and exclusively ours for `len` bytes
    /// during `'m`.
    base: NonNull<u8>,
    /// A multiple of the granule; may be 0.
    len: usize,
    granule: usize,
    /// Offset of the first byte that no live run covers and that none will before a reset.
    next: Cell<usize>,
    /// Live runs; `next` returns to 0 with it.
    live: Cell<usize>,
    memory: PhantomData<&'m mut [MaybeUninit<u8>]>,
}

// SAFETY: it owns the block exclusively for `'m`, as a `&mut` would, and `&mut [MaybeUninit<u8>]`
// is `Send`. The cells keep it `!Sync`.
unsafe impl Send for Fixed<'_> {}

impl<'m> Fixed<'m> {
    /// Sells `memory`, less what alignment to the system's page cuts off at both ends.
    #[must_use]
    pub fn new(memory: &'m mut [MaybeUninit<u8>]) -> Self {
        Self::with_granule(memory, crate::sys::page_size())
    }

    /// As [`new`](Self::new), in multiples of `granule` bytes, rounded up to a power of two and to
    /// the system's page.
    #[must_use]
    pub fn with_granule(memory: &'m mut [MaybeUninit<u8>], granule: usize) -> Self {
        let granule = granule.checked_next_power_of_two().unwrap_or(1 << (usize::BITS - 2));
        let granule = granule.max(crate::sys::page_size());
        let start = memory.as_mut_ptr().addr().wrapping_neg() & (granule - 1);
        let (base, len) = match memory.get_mut(start..) {
            Some(rest) => (NonNull::from(&mut *rest).cast(), rest.len() & !(granule - 1)),
            None => (NonNull::from(memory).cast(), 0),
        };
        Self { base, len, granule, next: Cell::new(0), live: Cell::new(0), memory: PhantomData }
    }

    /// Bytes that can be sold in all.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.len
    }

    /// Bytes at the end of the block that no run has had since the block was last empty.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.len - self.next.get()
    }
}

// SAFETY: runs are cut from the block at rising offsets, which only return to the start of a run
// when it was the last one, or to 0 when no run is live, so live runs are disjoint; the block lies
// outside this value and lives for `'m`, and `'m` outlives the source (1, 5); there are no clones
// (2), and no `Sync` (3); zeroed runs are zeroed here (4); checked arithmetic, no panics (6, 11).
unsafe impl PageSource for Fixed<'_> {
    fn granule(&self) -> usize {
        self.granule
    }

    fn acquire(&self, request: Request) -> Result<Run, PageError> {
        let request = request.round_to(self.granule)?;
        let next = self.next.get();
        let exhausted =
            PageError::Exhausted { asked: request.len, free: self.len - next, capacity: self.len };
        let gap = (self.base.addr().get() + next).wrapping_neg() & (request.align - 1);
        let Some(start) = next.checked_add(gap) else { return Err(exhausted) };
        match start.checked_add(request.len) {
            Some(end) if end <= self.len => {
                self.next.set(end);
                self.live.set(self.live.get() + 1);
                // SAFETY: `start + len <= self.len`, so the pointer stays inside the block.
                let ptr = unsafe { self.base.add(start) };
                debug_assert!(is_aligned(ptr.addr().get(), request.align));
                let mut run = Run::new(ptr, request.len).with_kind(PageKind::Heap);
                if request.zeroed {
                    // SAFETY: the run was cut just now and nobody else has it.
                    unsafe { run.zero() };
                }
                Ok(run)
            }
            _ => Err(exhausted),
        }
    }

    unsafe fn release(&self, run: Run) {
        let live = self.live.get().saturating_sub(1);
        self.live.set(live);
        let start = run.ptr().addr().get() - self.base.addr().get();
        if live == 0 {
            self.next.set(0);
        } else if start + run.len() == self.next.get() {
            self.next.set(start);
        }
    }

    fn observe(&self, snapshot: &mut Snapshot) {
        snapshot.add_held(self.len, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unusable_block_refuses_and_does_not_panic() {
        for len in [0, 1, 100] {
            let mut memory = [MaybeUninit::uninit(); 100];
            let fixed = Fixed::with_granule(&mut memory[..len], 1 << 16);
            assert_eq!(fixed.capacity(), 0);
            assert!(matches!(
                fixed.acquire(Request::new(1)),
                Err(PageError::Exhausted { free: 0, capacity: 0, .. })
            ));
        }
    }
}
