//! blink-alloc.

use crate::engine::{Engine, Setup};
use crate::region::{Lists, Places, Region, Regions, Texts, Values};
use std::alloc::Layout;
use std::ops::Range;
use std::ptr::NonNull;

/// `blink_alloc::Blink`; its vectors are those of `allocator-api2`.
pub struct Blink;

impl Engine for Blink {
    const NAME: &'static str = "blink-alloc";
    type Store = Setup;

    fn build(setup: Setup) -> Setup {
        setup
    }
}

impl Regions for Blink {
    type Region<'a> = blink_alloc::Blink;

    #[inline(always)]
    fn open(setup: &Setup) -> blink_alloc::Blink {
        blink_alloc::Blink::with_chunk_size(setup.chunk)
    }
}

impl Region for blink_alloc::Blink {
    #[inline(always)]
    fn reset(&mut self) {
        self.reset();
    }
}

impl<T> Values<T> for blink_alloc::Blink {
    #[inline(always)]
    fn value(&self, value: T) -> &mut T {
        self.put_no_drop(value)
    }
}

impl Places for blink_alloc::Blink {
    #[inline(always)]
    fn place(&self, layout: Layout) -> NonNull<u8> {
        self.allocator().allocate(layout).expect("there is memory").cast()
    }
}

impl Texts for blink_alloc::Blink {
    #[inline(always)]
    fn text<'a>(&'a self, text: &'a str) -> &'a str {
        self.copy_str(text)
    }
}

impl Lists for blink_alloc::Blink {
    #[inline(always)]
    fn list(&self, items: Range<u32>) -> &[u32] {
        let mut list = allocator_api2_04::vec::Vec::new_in(self.allocator());
        for item in items {
            list.push(item);
        }
        list.leak()
    }
}
