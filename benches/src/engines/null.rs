//! Nothing at all: what the loop itself costs.

use crate::engine::{Block, Engine, Setup, Store};

/// Always the same chunk.
pub struct Null;

impl Engine for Null {
    const NAME: &'static str = "(loop)";
    type Store = Block;

    fn build(setup: Setup) -> Block {
        Block::new(setup.capacity)
    }
}

impl Store for Block {
    type Chunk = *mut u8;

    #[inline(always)]
    fn take(&mut self, _: usize) -> *mut u8 {
        self.ptr().as_ptr()
    }

    #[inline(always)]
    fn put(&mut self, _: *mut u8) {}

    #[inline(always)]
    fn address(chunk: &*mut u8) -> *mut u8 {
        *chunk
    }
}
