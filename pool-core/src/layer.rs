//! Layers: sources that draw from another source and add one thing.

pub(crate) mod local_cache;
pub(crate) mod shelf;
