//! A cursor in one block, written by hand: the floor of what an arena can cost. It cannot grow,
//! knows no large objects and drops nothing.

use crate::engine::{Block, Engine, Setup};
use crate::region::{Places, Region, Regions, Texts, Values};
use std::alloc::Layout;
use std::cell::Cell;
use std::ptr::NonNull;

/// The cursor.
pub struct Cursor;

/// A block and its length.
pub struct Memory {
    block: Block,
    len: usize,
}

/// The block's bytes from `start` up to `cursor` are free.
pub struct Cursored {
    start: NonNull<u8>,
    len: usize,
    cursor: Cell<*mut u8>,
}

impl Engine for Cursor {
    const NAME: &'static str = "(cursor)";
    const FLOOR: bool = true;
    type Store = Memory;

    fn build(setup: Setup) -> Memory {
        Memory { block: Block::new(setup.capacity), len: setup.capacity }
    }
}

impl Regions for Cursor {
    type Region<'a> = Cursored;

    #[inline(always)]
    fn open(store: &Memory) -> Cursored {
        let start = store.block.ptr();
        let cursor = Cell::new(start.as_ptr().wrapping_add(store.len));
        Cursored { start, len: store.len, cursor }
    }
}

impl Region for Cursored {
    #[inline(always)]
    fn reset(&mut self) {
        self.cursor.set(self.start.as_ptr().wrapping_add(self.len));
    }
}

/// The cursor stays a multiple of this, so that most layouts need no more.
const LEAST: usize = 8;

impl Cursored {
    /// Moves the cursor down to `place`, which is below it.
    #[inline(always)]
    fn cut(&self, place: *mut u8) -> NonNull<u8> {
        assert!(place >= self.start.as_ptr(), "the block is full");
        self.cursor.set(place);
        // SAFETY: not below `start`, which is not null.
        unsafe { NonNull::new_unchecked(place) }
    }
}

impl Places for Cursored {
    #[inline(always)]
    fn place(&self, layout: Layout) -> NonNull<u8> {
        let mask = !(layout.align().max(LEAST) - 1);
        self.cut(self.cursor.get().wrapping_sub(layout.size()).map_addr(|place| place & mask))
    }
}

impl<T> Values<T> for Cursored {
    #[inline(always)]
    fn value(&self, value: T) -> &mut T {
        const { assert!(align_of::<T>() <= LEAST) };
        let len = size_of::<T>().next_multiple_of(LEAST);
        let place = self.cut(self.cursor.get().wrapping_sub(len)).cast::<T>();
        // SAFETY: aligned bytes of the block, enough for a `T`, that nobody else has.
        unsafe { place.write(value) };
        // SAFETY: written just now; its own until the region is reset, which needs `&mut`.
        unsafe { &mut *place.as_ptr() }
    }
}

impl Texts for Cursored {
    #[inline(always)]
    fn text<'a>(&'a self, text: &'a str) -> &'a str {
        super::copied(self.place(Layout::for_value(text)), text)
    }
}
