//! stoolap-jemalloc: jemalloc's design, written in Rust.

use crate::engine::{Engine, Setup};
use crate::heap::Global;
use stoolap_jemalloc::Jemalloc;

/// `stoolap_jemalloc::Jemalloc`.
pub struct Stoolap;

impl Engine for Stoolap {
    const NAME: &'static str = "stoolap-jemalloc";
    type Store = Global<Jemalloc>;

    fn build(_: Setup) -> Self::Store {
        Global(Jemalloc::new())
    }
}
