//! The C library's allocator, as Rust programs have it unless they choose another.

use crate::engine::{Engine, Setup};
use crate::heap::Global;
use std::alloc::System;

/// `std::alloc::System`.
pub struct GlibcHeap;

impl Engine for GlibcHeap {
    const NAME: &'static str = "glibc";
    type Store = Global<System>;

    fn build(_: Setup) -> Self::Store {
        Global(System)
    }
}
