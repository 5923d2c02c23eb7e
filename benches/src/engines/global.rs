//! Ours: the process-wide stack.

use crate::engine::{Engine, Runs, Setup};

/// `Global`.
pub struct Global;

impl Engine for Global {
    const NAME: &'static str = "Global";
    const OURS: bool = true;
    type Store = Runs<pool_core::Global>;

    fn build(_: Setup) -> Self::Store {
        Runs(pool_core::Global)
    }
}
