//! Other crates' traits and types, each behind a feature.

#[cfg(feature = "bytes")]
pub(crate) mod bytes;
#[cfg(all(feature = "io-uring", target_os = "linux"))]
pub(crate) mod io_uring;
#[cfg(feature = "tokio")]
pub(crate) mod tokio;
