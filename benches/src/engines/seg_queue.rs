//! crossbeam's unbounded queue.

use crate::engine::{Block, Chunk, Engine, Item, Order, Setup, Shared, Store};
use crossbeam_queue::SegQueue;
use std::marker::PhantomData;

/// `SegQueue<T>`, pop and push.
pub struct SegQueueOf<T>(PhantomData<T>);

/// The queue and the memory of its chunks.
pub struct SegQueueStore<T> {
    free: SegQueue<T>,
    _memory: Block,
}

fn build<T: Item>(setup: Setup) -> SegQueueStore<T> {
    let memory = Block::new(setup.capacity);
    let free = SegQueue::new();
    for item in memory.items(setup) {
        free.push(item);
    }
    SegQueueStore { free, _memory: memory }
}

impl Engine for SegQueueOf<Chunk> {
    const NAME: &'static str = "SegQueue<ptr>";
    const ORDER: Order = Order::Fifo;
    type Store = SegQueueStore<Chunk>;
    fn build(setup: Setup) -> Self::Store {
        build(setup)
    }
}

impl<T: Item> Store for &SegQueueStore<T> {
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

impl<T: Item> Shared for SegQueueStore<T> {
    type View<'a> = &'a Self;

    fn view(&self) -> &Self {
        self
    }
}
