//! Layers: sources that draw from another source and add one thing.

pub(crate) mod failing;
#[cfg(feature = "alloc")]
pub(crate) mod limit;
#[cfg(feature = "std")]
pub(crate) mod locked;
pub(crate) mod stats;
