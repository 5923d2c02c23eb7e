//! A `Vec` behind a mutex: what most servers begin with.

use crate::engine::{Block, Chunk, Engine, Item, Setup, Shared, Store};
use std::sync::Mutex;

/// `Mutex<Vec<ptr>>`, pop and push.
pub struct MutexVec;

/// The vector and the memory of its chunks.
pub struct MutexVecStore {
    free: Mutex<Vec<Chunk>>,
    _memory: Block,
}

impl Engine for MutexVec {
    const NAME: &'static str = "Mutex<Vec<ptr>>";
    type Store = MutexVecStore;

    fn build(setup: Setup) -> MutexVecStore {
        let memory = Block::new(setup.capacity);
        MutexVecStore { free: Mutex::new(memory.items(setup).collect()), _memory: memory }
    }
}

impl MutexVecStore {
    #[inline(always)]
    fn pop(&self) -> Chunk {
        self.free.lock().expect("nobody panicked").pop().expect("a chunk is there")
    }

    #[inline(always)]
    fn push(&self, chunk: Chunk) {
        self.free.lock().expect("nobody panicked").push(chunk);
    }
}

impl Store for MutexVecStore {
    type Chunk = Chunk;

    #[inline(always)]
    fn take(&mut self, _: usize) -> Chunk {
        self.pop()
    }

    #[inline(always)]
    fn put(&mut self, chunk: Chunk) {
        self.push(chunk);
    }

    #[inline(always)]
    fn address(chunk: &Chunk) -> *mut u8 {
        chunk.address()
    }
}

impl Store for &MutexVecStore {
    type Chunk = <MutexVecStore as Store>::Chunk;

    #[inline(always)]
    fn take(&mut self, _: usize) -> Self::Chunk {
        self.pop()
    }

    #[inline(always)]
    fn put(&mut self, chunk: Self::Chunk) {
        self.push(chunk);
    }

    #[inline(always)]
    fn address(chunk: &Self::Chunk) -> *mut u8 {
        chunk.address()
    }
}

impl Shared for MutexVecStore {
    type View<'a> = &'a Self;

    fn view(&self) -> &Self {
        self
    }
}
