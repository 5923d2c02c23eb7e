//! rlsf: the two-level segregated fit, in a block of memory that it is given.

use crate::engine::{Block, Engine, Setup};
use crate::heap::Heap;
use std::alloc::Layout;
use std::cell::UnsafeCell;
use std::ptr::NonNull;

/// `rlsf::Tlsf`, for blocks up to 512 MiB.
pub struct Rlsf;

type Tlsf = rlsf::Tlsf<'static, u32, u16, 24, 16>;

/// The allocator and its memory.
pub struct TlsfStore {
    /// Not borrowed while none of the methods runs, none of which calls another.
    tlsf: UnsafeCell<Tlsf>,
    _memory: Block,
}

impl Engine for Rlsf {
    const NAME: &'static str = "rlsf";
    type Store = TlsfStore;

    fn build(setup: Setup) -> TlsfStore {
        // Its headers take 16 bytes a block, and gaps may be as long as blocks.
        let memory = Block::new(3 * setup.capacity);
        let mut tlsf = Tlsf::new();
        let all = NonNull::slice_from_raw_parts(memory.ptr(), 3 * setup.capacity);
        // SAFETY: the memory is the store's, is used by nobody else, and stays as long as the
        // allocator.
        let len = unsafe { tlsf.insert_free_block_ptr(all) };
        assert!(len.is_some(), "the memory is too short");
        TlsfStore { tlsf: UnsafeCell::new(tlsf), _memory: memory }
    }
}

impl Heap for TlsfStore {
    #[inline(always)]
    fn allocate(&self, layout: Layout) -> NonNull<u8> {
        // SAFETY: nobody else borrows it now: the store is `!Sync`.
        let tlsf = unsafe { &mut *self.tlsf.get() };
        tlsf.allocate(layout).expect("there is memory")
    }

    #[inline(always)]
    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: as above.
        let tlsf = unsafe { &mut *self.tlsf.get() };
        // SAFETY: the caller's promise.
        unsafe { tlsf.deallocate(block, layout.align()) };
    }
}
