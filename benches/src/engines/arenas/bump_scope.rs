//! bump-scope, by the settings that take the fewest instructions.

use crate::engine::{Engine, Setup};
use crate::region::{Holds, Lists, Places, Region, Regions, Texts, Values};
use bump_scope::alloc::Global;
use bump_scope::settings::{BumpAllocatorSettings, BumpSettings, True};
use bump_scope::traits::BumpAllocatorTyped;
use bump_scope::{Bump, BumpBox, BumpVec};
use std::alloc::Layout;
use std::ops::Range;
use std::ptr::NonNull;

/// Least alignment 8, downwards, a chunk from the beginning, nothing taken back, not claimable.
type Down = BumpSettings<8, false, true, false, false, false>;
/// The same, upwards: a vector that is the last object grows in place.
type Up = BumpSettings<8, true, true, false, false, false>;

/// `bump_scope::Bump`, downwards.
pub struct BumpScope;

/// `bump_scope::Bump`, upwards.
pub struct BumpScopeUp;

impl Engine for BumpScope {
    const NAME: &'static str = "bump-scope";
    type Store = Setup;

    fn build(setup: Setup) -> Setup {
        setup
    }
}

impl Regions for BumpScope {
    type Region<'a> = Bump<Global, Down>;

    #[inline(always)]
    fn open(setup: &Setup) -> Self::Region<'_> {
        open(setup)
    }
}

impl Engine for BumpScopeUp {
    const NAME: &'static str = "bump-scope, up";
    type Store = Setup;

    fn build(setup: Setup) -> Setup {
        setup
    }
}

impl Regions for BumpScopeUp {
    type Region<'a> = Bump<Global, Up>;

    #[inline(always)]
    fn open(setup: &Setup) -> Self::Region<'_> {
        open(setup)
    }
}

#[inline(always)]
fn open<S: BumpAllocatorSettings<GuaranteedAllocated = True>>(setup: &Setup) -> Bump<Global, S> {
    let layout = Layout::from_size_align(setup.chunk, 8).expect("a sane length");
    Bump::with_capacity(layout)
}

impl<S: BumpAllocatorSettings<GuaranteedAllocated = True>> Region for Bump<Global, S> {
    #[inline(always)]
    fn reset(&mut self) {
        self.reset();
    }
}

impl<S: BumpAllocatorSettings<GuaranteedAllocated = True>, T> Values<T> for Bump<Global, S> {
    #[inline(always)]
    fn value(&self, value: T) -> &mut T {
        BumpBox::leak(self.alloc(value))
    }
}

impl<S: BumpAllocatorSettings<GuaranteedAllocated = True>> Places for Bump<Global, S> {
    #[inline(always)]
    fn place(&self, layout: Layout) -> NonNull<u8> {
        self.allocate_layout(layout)
    }
}

impl<S: BumpAllocatorSettings<GuaranteedAllocated = True>> Texts for Bump<Global, S> {
    #[inline(always)]
    fn text<'a>(&'a self, text: &'a str) -> &'a str {
        BumpBox::leak(self.alloc_str(text))
    }
}

impl<S: BumpAllocatorSettings<GuaranteedAllocated = True>> Lists for Bump<Global, S> {
    #[inline(always)]
    fn list(&self, items: Range<u32>) -> &[u32] {
        let mut list = BumpVec::new_in(self);
        for item in items {
            list.push(item);
        }
        BumpBox::leak(list.into_boxed_slice())
    }
}

impl<S: BumpAllocatorSettings<GuaranteedAllocated = True>> Holds for Bump<Global, S> {
    fn held(&self) -> usize {
        self.stats().size()
    }
}
