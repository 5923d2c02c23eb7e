//! Ours: regions cut by buddies, without a cache above.

use crate::engine::{Engine, Order, Runs, Setup};

/// `Mmap`.
pub struct Mmap;

impl Engine for Mmap {
    const NAME: &'static str = "Mmap";
    const OURS: bool = true;
    const ORDER: Order = Order::Any;
    type Store = Runs<pool_core::Mmap>;

    fn build(_: Setup) -> Self::Store {
        Runs(pool_core::Mmap::new())
    }
}
