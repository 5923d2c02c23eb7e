//! What a workload asks of an allocator of small objects.
//!
//! A block comes for a layout and goes back with it, as everywhere in Rust: no engine has to find
//! out how long a block was that it gets back.

use crate::engine::{Engine, Setup};
use std::alloc::{GlobalAlloc, Layout};
use std::ptr::NonNull;

/// Hands out blocks and takes them back.
pub trait Heap {
    /// A block for this layout; panics if there is none.
    fn allocate(&self, layout: Layout) -> NonNull<u8>;

    /// Takes a block back.
    ///
    /// # Safety
    /// It came from this heap for this layout, and nobody uses it any more.
    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout);
}

/// An engine of small objects.
pub trait Heaps: Engine<Store: Heap> {}

impl<E: Engine<Store: Heap>> Heaps for E {}

/// An engine of small objects that several threads use at once.
pub trait SharedHeaps: Engine<Store: Heap + Send + Sync> {}

impl<E: Engine<Store: Heap + Send + Sync>> SharedHeaps for E {}

/// What a heap is built for whose blocks have at most so many bytes together. Few care: most have
/// the system to ask.
#[must_use]
pub fn room(bytes: usize) -> Setup {
    let chunk = 64 << 10;
    Setup { chunk, capacity: bytes.next_multiple_of(chunk) }
}

/// A heap that speaks `GlobalAlloc`.
#[derive(Debug)]
pub struct Global<A>(pub A);

impl<A: GlobalAlloc> Heap for Global<A> {
    #[inline(always)]
    fn allocate(&self, layout: Layout) -> NonNull<u8> {
        debug_assert!(layout.size() > 0);
        // SAFETY: no workload asks for nothing.
        let block = unsafe { self.0.alloc(layout) };
        NonNull::new(block).expect("there is memory")
    }

    #[inline(always)]
    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { self.0.dealloc(block.as_ptr(), layout) };
    }
}
