//! Layers: sources that draw from another source and add one thing.

#[cfg(all(feature = "std", not(loom)))]
pub(crate) mod background;
#[cfg(feature = "std")]
pub(crate) mod cache;
pub(crate) mod failing;
#[cfg(feature = "alloc")]
pub(crate) mod limit;
pub(crate) mod local_cache;
#[cfg(feature = "std")]
pub(crate) mod locked;
#[cfg(feature = "std")]
pub(crate) mod shard;
pub(crate) mod shelf;
pub(crate) mod stats;
#[cfg(feature = "std")]
pub(crate) mod try_lock;
