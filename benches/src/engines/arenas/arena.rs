//! Ours: the arena over the process-wide source.

use crate::engine::{Engine, Setup};
use crate::region::{FIRST, Holds, Lists, Places, Region, Regions, Texts, Values};
use pool_arena::ArenaBuilder;
use pool_core::PageSource;
use std::alloc::Layout;
use std::ops::Range;
use std::ptr::NonNull;

/// `Arena`; its vectors are `TailVec`.
pub struct Arena;

/// `Arena`; its vectors are those of `allocator-api2`.
pub struct ArenaVec;

/// Options; none where the defaults do.
pub type Options = Option<ArenaBuilder>;

fn options(setup: Setup) -> Options {
    // A run has room for the chunk's header as well.
    let chunk = setup.chunk + FIRST;
    let builder = || pool_arena::Arena::builder().max_chunk(2 * chunk).first_chunk(chunk);
    (setup.chunk != FIRST).then(|| builder().retain(2 * chunk))
}

#[inline(always)]
fn open(options: &Options) -> pool_arena::Arena {
    match options {
        None => pool_arena::Arena::new(),
        Some(builder) => builder.build(),
    }
}

impl Engine for Arena {
    const NAME: &'static str = "Arena";
    const OURS: bool = true;
    type Store = Options;

    fn build(setup: Setup) -> Options {
        options(setup)
    }
}

impl Regions for Arena {
    type Region<'a> = pool_arena::Arena;

    #[inline(always)]
    fn open(store: &Options) -> pool_arena::Arena {
        open(store)
    }
}

impl<S: PageSource> Region for pool_arena::Arena<S> {
    #[inline(always)]
    fn reset(&mut self) {
        self.reset();
    }
}

impl<S: PageSource, T> Values<T> for pool_arena::Arena<S> {
    #[inline(always)]
    fn value(&self, value: T) -> &mut T {
        self.alloc(value)
    }
}

impl<S: PageSource> Places for pool_arena::Arena<S> {
    #[inline(always)]
    fn place(&self, layout: Layout) -> NonNull<u8> {
        self.alloc_layout(layout)
    }
}

impl<S: PageSource> Texts for pool_arena::Arena<S> {
    #[inline(always)]
    fn text<'a>(&'a self, text: &'a str) -> &'a str {
        self.alloc_str(text)
    }
}

impl<S: PageSource> Lists for pool_arena::Arena<S> {
    #[inline(always)]
    fn list(&self, items: Range<u32>) -> &[u32] {
        let mut list = self.tail_vec();
        for item in items {
            list.push(item);
        }
        list.finish()
    }
}

impl<S: PageSource> Holds for pool_arena::Arena<S> {
    fn held(&self) -> usize {
        self.allocated_bytes_including_metadata()
    }
}

/// An arena, used through the `Allocator` trait.
pub struct ByTrait(pool_arena::Arena);

impl Engine for ArenaVec {
    const NAME: &'static str = "Arena, Vec";
    const OURS: bool = true;
    type Store = Options;

    fn build(setup: Setup) -> Options {
        options(setup)
    }
}

impl Regions for ArenaVec {
    type Region<'a> = ByTrait;

    #[inline(always)]
    fn open(store: &Options) -> ByTrait {
        ByTrait(open(store))
    }
}

impl Region for ByTrait {
    #[inline(always)]
    fn reset(&mut self) {
        self.0.reset();
    }
}

impl Lists for ByTrait {
    #[inline(always)]
    fn list(&self, items: Range<u32>) -> &[u32] {
        let mut list = allocator_api2::vec::Vec::new_in(&self.0);
        for item in items {
            list.push(item);
        }
        list.leak()
    }
}
