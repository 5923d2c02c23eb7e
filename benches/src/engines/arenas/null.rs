//! Nothing at all: always the same bytes.

use crate::engine::Block;
use crate::engines::Null;
use crate::region::{Places, Region, Regions, Texts, Values};
use std::alloc::Layout;
use std::ptr::NonNull;

impl Regions for Null {
    type Region<'a> = &'a Block;

    #[inline(always)]
    fn open(store: &Block) -> &Block {
        store
    }
}

impl Region for &Block {
    #[inline(always)]
    fn reset(&mut self) {}
}

impl Places for &Block {
    #[inline(always)]
    fn place(&self, _: Layout) -> NonNull<u8> {
        self.ptr()
    }
}

impl<T> Values<T> for &Block {
    #[inline(always)]
    fn value(&self, value: T) -> &mut T {
        let place = self.ptr().cast::<T>();
        // SAFETY: the block is longer than any value of the workloads, and aligned to 2 MiB.
        unsafe { place.write(value) };
        // SAFETY: written just now; workloads use a value before they ask for the next one.
        unsafe { &mut *place.as_ptr() }
    }
}

impl Texts for &Block {
    #[inline(always)]
    fn text<'a>(&'a self, text: &'a str) -> &'a str {
        text
    }
}
