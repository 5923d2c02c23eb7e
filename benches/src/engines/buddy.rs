//! Ours: a buddy over one block.

use crate::engine::{Engine, Order, Runs, Setup};
use pool_core::Mmap;

/// `Buddy<Mmap>`.
pub struct Buddy;

impl Engine for Buddy {
    const NAME: &'static str = "Buddy";
    const OURS: bool = true;
    const ORDER: Order = Order::Any;
    type Store = Runs<pool_core::Buddy<Mmap>>;

    fn build(setup: Setup) -> Self::Store {
        Runs(pool_core::Buddy::new(Mmap::new(), setup.capacity).expect("memory for the block"))
    }
}
