//! generational-arena: keys with generations.

use crate::slots::Value;
use generational_arena::{Arena, Index};

engine! {
    /// `generational_arena::Arena`.
    GenerationalArena, "generational-arena", false, Arena<Value>, Index, remove
}
