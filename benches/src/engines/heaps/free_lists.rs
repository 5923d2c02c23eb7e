//! Free lists written by hand: the floor of what a heap of small objects can cost. Its blocks come out of one piece of
//! memory, go back to the list of their length and never to anybody else; nothing is checked, counted or returned.

use crate::engine::{Block, Engine, Setup};
use crate::heap::Heap;
use std::alloc::Layout;
use std::cell::Cell;
use std::ptr::{self, NonNull};

/// The lists.
pub struct FreeLists;

/// The longest block.
const MOST: usize = 4096;
/// Lists have blocks of multiples of this.
const STEP: usize = 8;
/// Memory for each byte that is asked for: blocks of one length are of no use for another.
const SPARE: usize = 8;

/// Memory that is new from `next` to `end`, and the blocks that were freed, each with the next one's address in it.
pub struct Lists {
    lists: [Cell<*mut u8>; MOST / STEP + 1],
    next: Cell<*mut u8>,
    end: *mut u8,
    _memory: Block,
}

impl Engine for FreeLists {
    const NAME: &'static str = "(free lists)";
    const FLOOR: bool = true;
    type Store = Lists;

    fn build(setup: Setup) -> Lists {
        // Pages that are not touched cost nothing.
        let len = SPARE * setup.capacity;
        let memory = Block::new(len);
        let next = memory.ptr().as_ptr();
        let lists = [const { Cell::new(ptr::null_mut()) }; MOST / STEP + 1];
        Lists { lists, next: Cell::new(next), end: next.wrapping_add(len), _memory: memory }
    }
}

impl Lists {
    #[inline(always)]
    fn list(&self, layout: Layout) -> &Cell<*mut u8> {
        debug_assert!(layout.align() <= STEP && layout.size() <= MOST);
        &self.lists[layout.size().div_ceil(STEP)]
    }

    fn cut(&self, layout: Layout) -> NonNull<u8> {
        let len = layout.size().next_multiple_of(STEP);
        assert!(self.end.addr() - self.next.get().addr() >= len, "the memory is used up");
        let block = self.next.replace(self.next.get().wrapping_add(len));
        NonNull::new(block).expect("an address within the memory")
    }
}

impl Heap for Lists {
    #[inline(always)]
    fn allocate(&self, layout: Layout) -> NonNull<u8> {
        let list = self.list(layout);
        let Some(block) = NonNull::new(list.get()) else { return self.cut(layout) };
        // SAFETY: a freed block of at least 8 bytes, of which the first ones are an address.
        list.set(unsafe { block.cast::<*mut u8>().read() });
        block
    }

    #[inline(always)]
    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        let list = self.list(layout);
        // SAFETY: the caller's promise: nobody uses its bytes, of which there are at least 8, aligned to 8.
        unsafe { block.cast::<*mut u8>().write(list.get()) };
        list.set(block.as_ptr());
    }
}
