//! typed-arena: values of one type, and no reset.

use crate::engine::{Engine, Setup};
use crate::region::{Region, Regions, Values};

/// `typed_arena::Arena<u64>`. As it cannot be emptied, a new one of the same capacity takes its place.
pub struct TypedArena;

/// The arena, and how many values it is made for.
pub struct Typed {
    arena: typed_arena::Arena<u64>,
    capacity: usize,
}

impl Engine for TypedArena {
    const NAME: &'static str = "typed-arena";
    type Store = Setup;

    fn build(setup: Setup) -> Setup {
        setup
    }
}

impl Regions for TypedArena {
    type Region<'a> = Typed;

    fn open(setup: &Setup) -> Typed {
        let capacity = setup.capacity / size_of::<u64>();
        Typed { arena: typed_arena::Arena::with_capacity(capacity), capacity }
    }
}

impl Region for Typed {
    #[inline(always)]
    fn reset(&mut self) {
        self.arena = typed_arena::Arena::with_capacity(self.capacity);
    }
}

impl Values<u64> for Typed {
    #[inline(always)]
    fn value(&self, value: u64) -> &mut u64 {
        self.arena.alloc(value)
    }
}
