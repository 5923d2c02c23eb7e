//! `buddy_system_allocator`, the buddy that Rust kernels use.

use crate::engine::{Block, Engine, Order, Setup, Store};
use buddy_system_allocator::{FrameAllocator, Heap};
use std::alloc::Layout;
use std::ptr::NonNull;

/// Its `Heap`: lists in the free memory itself.
pub struct BuddySystemHeap;

/// A heap and its memory.
pub struct HeapStore {
    heap: Heap<32>,
    _memory: Block,
}

impl Engine for BuddySystemHeap {
    const NAME: &'static str = "buddy_system Heap";
    const ORDER: Order = Order::Any;
    type Store = HeapStore;

    fn build(setup: Setup) -> HeapStore {
        let memory = Block::new(setup.capacity);
        let mut heap = Heap::empty();
        // SAFETY: the block is as long, not used by anybody else, and stays as long as the heap.
        unsafe { heap.init(memory.ptr().as_ptr().expose_provenance(), setup.capacity) };
        HeapStore { heap, _memory: memory }
    }
}

impl Store for HeapStore {
    type Chunk = (NonNull<u8>, Layout);

    #[inline(always)]
    fn take(&mut self, len: usize) -> Self::Chunk {
        let layout = Layout::from_size_align(len, 4096).expect("a sane length");
        (self.heap.alloc(layout).expect("the heap has a block"), layout)
    }

    #[inline(always)]
    fn put(&mut self, (ptr, layout): Self::Chunk) {
        // SAFETY: stores get back only what they gave, once.
        unsafe { self.heap.dealloc(ptr, layout) };
    }

    #[inline(always)]
    fn address((ptr, _): &Self::Chunk) -> *mut u8 {
        ptr.as_ptr()
    }
}

/// Its `FrameAllocator`: a `BTreeSet` an order, out of band as ours.
pub struct BuddySystemFrames;

/// A frame allocator and the frames' memory.
pub struct FrameStore {
    frames: FrameAllocator<32>,
    memory: Block,
}

const FRAME: usize = 4096;

impl Engine for BuddySystemFrames {
    const NAME: &'static str = "buddy_system Frames";
    const ORDER: Order = Order::Any;
    type Store = FrameStore;

    fn build(setup: Setup) -> FrameStore {
        let mut frames = FrameAllocator::new();
        frames.add_frame(0, setup.capacity / FRAME);
        FrameStore { frames, memory: Block::new(setup.capacity) }
    }
}

impl Store for FrameStore {
    /// First frame, frames, address.
    type Chunk = (usize, usize, *mut u8);

    #[inline(always)]
    fn take(&mut self, len: usize) -> Self::Chunk {
        let count = len / FRAME;
        let first = self.frames.alloc(count).expect("frames are left");
        (first, count, self.memory.ptr().as_ptr().wrapping_add(first * FRAME))
    }

    #[inline(always)]
    fn put(&mut self, (first, count, _): Self::Chunk) {
        self.frames.dealloc(first, count);
    }

    #[inline(always)]
    fn address((_, _, ptr): &Self::Chunk) -> *mut u8 {
        *ptr
    }
}
