//! Why a connection's bytes could not be read or kept.
#![forbid(unsafe_code)]

use thiserror::Error;

/// Why nothing was read for a connection.
///
/// `E` is the error of what was read from: `std::io::Error`, or [`Infallible`](core::convert::Infallible)
/// for slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReadError<E> {
    /// The partial of this connection was evicted or found no room: its stream has a hole, so the
    /// connection is to be closed. Nothing was read.
    #[error("the connection's partial was evicted: close it")]
    Evicted,
    /// What was read just now found no room beside what was kept, and both are lost; the
    /// connection is to be closed.
    #[error("a partial of {asked} bytes found no room; {used} of {budget} bytes are in use")]
    NoRoom {
        /// What it would have cost.
        asked: usize,
        /// What all partials cost.
        used: usize,
        /// What they may cost.
        budget: usize,
    },
    /// As many reports of lost partials wait as there is room for: take them by
    /// [`PacketRing::evicted`](crate::PacketRing::evicted), then read again. Nothing was read.
    #[error("{reports} reports of evicted connections wait: take them first")]
    Unreported {
        /// How many.
        reports: usize,
    },
    /// The stream has ended. Whole frames that were not taken were lent before, once: what is left is part of a frame, unless nobody has looked at
    /// it then, either.
    #[error("the stream has ended, with {partial} bytes of a frame that is not whole")]
    Ended {
        /// Bytes of the frame that will never be whole; they are freed.
        partial: usize,
    },
    /// Reading failed, or would block. Nothing has changed.
    #[error("reading failed: {0}")]
    Io(E),
}

#[cfg(feature = "std")]
impl ReadError<std::io::Error> {
    /// Whether there is nothing to be read now, and another time there may be.
    #[must_use]
    pub fn is_would_block(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    }
}

/// What was left over of a batch found no room and is lost. The connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{bytes} bytes of a frame that is not whole found no room: close the connection")]
pub struct Refused {
    /// Bytes that are lost.
    pub bytes: usize,
}
