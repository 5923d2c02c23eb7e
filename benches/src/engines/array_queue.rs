//! crossbeam's bounded queue.

use crate::engine::{Block, Chunk, Engine, Item, Order, Setup, Shared, Store};
use crossbeam_queue::ArrayQueue;
use pool_core::Run;
use std::marker::PhantomData;

/// `ArrayQueue<T>`, pop and push.
pub struct ArrayQueueOf<T>(PhantomData<T>);

/// The queue and the memory of its chunks.
pub struct ArrayQueueStore<T> {
    free: ArrayQueue<T>,
    _memory: Block,
}

fn build<T: Item>(setup: Setup) -> ArrayQueueStore<T> {
    let memory = Block::new(setup.capacity);
    let free = ArrayQueue::new(setup.capacity / setup.chunk);
    for item in memory.items(setup) {
        assert!(free.push(item).is_ok());
    }
    ArrayQueueStore { free, _memory: memory }
}

impl Engine for ArrayQueueOf<Chunk> {
    const NAME: &'static str = "ArrayQueue<ptr>";
    const ORDER: Order = Order::Fifo;
    type Store = ArrayQueueStore<Chunk>;
    fn build(setup: Setup) -> Self::Store {
        build(setup)
    }
}

impl Engine for ArrayQueueOf<Run> {
    const NAME: &'static str = "ArrayQueue<Run>";
    const ORDER: Order = Order::Fifo;
    type Store = ArrayQueueStore<Run>;
    fn build(setup: Setup) -> Self::Store {
        build(setup)
    }
}

impl<T: Item> ArrayQueueStore<T> {
    #[inline(always)]
    fn pop(&self) -> T {
        self.free.pop().expect("a chunk is there")
    }

    #[inline(always)]
    fn push(&self, chunk: T) {
        assert!(self.free.push(chunk).is_ok());
    }
}

impl<T: Item> Store for ArrayQueueStore<T> {
    type Chunk = T;

    #[inline(always)]
    fn take(&mut self, _: usize) -> T {
        self.pop()
    }

    #[inline(always)]
    fn put(&mut self, chunk: T) {
        self.push(chunk);
    }

    #[inline(always)]
    fn address(chunk: &T) -> *mut u8 {
        chunk.address()
    }
}

impl<T: Item> Store for &ArrayQueueStore<T> {
    type Chunk = <ArrayQueueStore<T> as Store>::Chunk;

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

impl<T: Item> Shared for ArrayQueueStore<T> {
    type View<'a> = &'a Self;

    fn view(&self) -> &Self {
        self
    }
}
