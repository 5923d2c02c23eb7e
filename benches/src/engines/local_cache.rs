//! Ours: the cache of one thread.

use crate::engine::{Engine, Runs, Setup};

/// `LocalCache<Mmap>`.
pub struct LocalCache;

impl Engine for LocalCache {
    const NAME: &'static str = "LocalCache";
    const OURS: bool = true;
    type Store = Runs<pool_core::LocalCache<pool_core::Mmap>>;

    fn build(_: Setup) -> Self::Store {
        Runs(pool_core::LocalCache::new(pool_core::Mmap::new()))
    }
}
