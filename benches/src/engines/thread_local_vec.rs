//! A `Vec` in a thread-local, as many servers keep their buffers.

use crate::engine::{Block, Chunk, Engine, Item, Setup, Shared, Store};
use std::cell::{Cell, RefCell};

/// `thread_local! { RefCell<Vec<ptr>> }`.
pub struct ThreadLocalVec;

/// A handle on the calling thread's vector.
pub struct ThreadLocalStore(Setup);

thread_local! {
    static MEMORY: Cell<Option<Block>> = const { Cell::new(None) };
    static FREE: RefCell<Vec<Chunk>> = const { RefCell::new(Vec::new()) };
}

fn fill(setup: Setup) {
    let memory = Block::new(setup.capacity);
    FREE.with_borrow_mut(|free| {
        free.clear();
        free.extend(memory.items::<Chunk>(setup));
    });
    MEMORY.set(Some(memory));
}

impl Engine for ThreadLocalVec {
    const NAME: &'static str = "thread-local Vec";
    type Store = ThreadLocalStore;

    fn build(setup: Setup) -> ThreadLocalStore {
        fill(setup);
        ThreadLocalStore(setup)
    }
}

impl Shared for ThreadLocalStore {
    type View<'a> = Self;

    fn view(&self) -> Self {
        fill(self.0);
        Self(self.0)
    }
}

impl Store for ThreadLocalStore {
    type Chunk = Chunk;

    #[inline(always)]
    fn take(&mut self, _: usize) -> Chunk {
        FREE.with_borrow_mut(Vec::pop).expect("a chunk is there")
    }

    #[inline(always)]
    fn put(&mut self, chunk: Chunk) {
        FREE.with_borrow_mut(|free| free.push(chunk));
    }

    #[inline(always)]
    fn address(chunk: &Chunk) -> *mut u8 {
        chunk.address()
    }
}
