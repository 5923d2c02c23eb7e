//! Layers: sources that draw from another source and add one thing.

pub(crate) mod failing;
pub(crate) mod stats;
