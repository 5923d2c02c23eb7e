//! Other crates' traits and types, each behind a feature.

#[cfg(feature = "bytes")]
pub(crate) mod bytes;
#[cfg(feature = "tokio")]
pub(crate) mod tokio;
