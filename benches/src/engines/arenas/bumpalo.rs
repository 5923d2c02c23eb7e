//! bumpalo, the yardstick.

use crate::engine::{Engine, Setup};
use crate::region::{Holds, Lists, Places, Region, Regions, Texts, Values};
use bumpalo::Bump;
use std::alloc::Layout;
use std::ops::Range;
use std::ptr::NonNull;

/// `bumpalo::Bump`; its vectors are bumpalo's own.
pub struct Bumpalo;

/// `bumpalo::Bump<8>`: every object is aligned to 8 bytes, as those of ours are.
pub struct BumpaloAligned;

impl Engine for Bumpalo {
    const NAME: &'static str = "bumpalo";
    type Store = Setup;

    fn build(setup: Setup) -> Setup {
        setup
    }
}

impl Regions for Bumpalo {
    type Region<'a> = Bump;

    #[inline(always)]
    fn open(setup: &Setup) -> Bump {
        Bump::with_capacity(setup.chunk)
    }
}

impl Engine for BumpaloAligned {
    const NAME: &'static str = "bumpalo<8>";
    type Store = Setup;

    fn build(setup: Setup) -> Setup {
        setup
    }
}

impl Regions for BumpaloAligned {
    type Region<'a> = Bump<8>;

    #[inline(always)]
    fn open(setup: &Setup) -> Bump<8> {
        Bump::with_min_align_and_capacity(setup.chunk)
    }
}

impl<const ALIGN: usize> Region for Bump<ALIGN> {
    #[inline(always)]
    fn reset(&mut self) {
        self.reset();
    }
}

impl<const ALIGN: usize, T> Values<T> for Bump<ALIGN> {
    #[inline(always)]
    fn value(&self, value: T) -> &mut T {
        self.alloc(value)
    }
}

impl<const ALIGN: usize> Places for Bump<ALIGN> {
    #[inline(always)]
    fn place(&self, layout: Layout) -> NonNull<u8> {
        self.alloc_layout(layout)
    }
}

impl<const ALIGN: usize> Texts for Bump<ALIGN> {
    #[inline(always)]
    fn text<'a>(&'a self, text: &'a str) -> &'a str {
        self.alloc_str(text)
    }
}

impl Lists for Bump {
    #[inline(always)]
    fn list(&self, items: Range<u32>) -> &[u32] {
        let mut list = bumpalo::collections::Vec::new_in(self);
        for item in items {
            list.push(item);
        }
        list.into_bump_slice()
    }
}

impl<const ALIGN: usize> Holds for Bump<ALIGN> {
    fn held(&self) -> usize {
        self.allocated_bytes_including_metadata()
    }
}
