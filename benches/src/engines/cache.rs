//! Ours: the cache that all threads share.

use crate::engine::{Engine, Runs, Setup};

/// `Cache<Mmap>`.
pub struct Cache;

impl Engine for Cache {
    const NAME: &'static str = "Cache";
    const OURS: bool = true;
    type Store = Runs<pool_core::Cache<pool_core::Mmap>>;

    fn build(_: Setup) -> Self::Store {
        Runs(pool_core::Cache::new(pool_core::Mmap::new()))
    }
}
