//! Ours: the arena over a block of its owner's, without the process-wide source below it.

use crate::engine::{Engine, Setup};
use crate::region::Regions;
use pool_core::Fixed;
use std::mem::MaybeUninit;

/// `Arena<&Fixed>`.
pub struct ArenaFixed;

impl Engine for ArenaFixed {
    const NAME: &'static str = "Arena on Fixed";
    const OURS: bool = true;
    type Store = Fixed<'static>;

    fn build(setup: Setup) -> Fixed<'static> {
        // Each chunk has a header and begins at a page.
        let memory = vec![MaybeUninit::uninit(); 4 * (setup.capacity + setup.chunk)];
        Fixed::new(memory.leak())
    }
}

impl Regions for ArenaFixed {
    type Region<'a> = pool_arena::Arena<&'a Fixed<'static>>;

    #[inline(always)]
    fn open<'a>(store: &'a Fixed<'static>) -> Self::Region<'a> {
        pool_arena::Arena::new_in(store)
    }
}
