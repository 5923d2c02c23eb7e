//! Nothing at all: always the same block.

use crate::engine::Block;
use crate::heap::Heap;
use std::alloc::Layout;
use std::ptr::NonNull;

impl Heap for Block {
    #[inline(always)]
    fn allocate(&self, _: Layout) -> NonNull<u8> {
        self.ptr()
    }

    #[inline(always)]
    unsafe fn deallocate(&self, _: NonNull<u8>, _: Layout) {}
}
