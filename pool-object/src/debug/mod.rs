//! Layers around an allocator that watch its users.
//!
//! They are layers, and not modes of one allocator, so that they work over each of them and cost
//! nothing where they are not used.

mod address_map;
#[cfg(feature = "checked")]
pub(crate) mod checked;
#[cfg(feature = "trace")]
pub(crate) mod trace;
