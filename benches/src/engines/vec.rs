//! A `Vec` that one owner has for himself: the floor of what a pool can cost.

use crate::engine::{Block, Chunk, Engine, Item, Setup, Store};
use pool_core::Run;
use std::marker::PhantomData;

/// `Vec<T>`, pop and push.
pub struct VecOf<T>(PhantomData<T>);

/// The vector and the memory of its chunks.
pub struct VecStore<T> {
    free: Vec<T>,
    _memory: Block,
}

fn build<T: Item>(setup: Setup) -> VecStore<T> {
    let memory = Block::new(setup.capacity);
    VecStore { free: memory.items(setup).collect(), _memory: memory }
}

impl Engine for VecOf<Chunk> {
    const NAME: &'static str = "Vec<ptr>";
    const FLOOR: bool = true;
    type Store = VecStore<Chunk>;
    fn build(setup: Setup) -> Self::Store {
        build(setup)
    }
}

impl Engine for VecOf<Run> {
    const NAME: &'static str = "Vec<Run>";
    type Store = VecStore<Run>;
    fn build(setup: Setup) -> Self::Store {
        build(setup)
    }
}

impl<T: Item> Store for VecStore<T> {
    type Chunk = T;

    #[inline(always)]
    fn take(&mut self, _: usize) -> T {
        self.free.pop().expect("a chunk is there")
    }

    #[inline(always)]
    fn put(&mut self, chunk: T) {
        self.free.push(chunk);
    }

    #[inline(always)]
    fn address(chunk: &T) -> *mut u8 {
        chunk.address()
    }
}
