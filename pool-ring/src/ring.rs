//! Byte rings of single connections.

#[cfg(feature = "std")]
mod io;
#[cfg(feature = "mirror")]
mod mirrored;
mod ring_buf;

#[cfg(feature = "mirror")]
pub use mirrored::MirrorOr;
pub use ring_buf::{ReserveError, RingBuf};
