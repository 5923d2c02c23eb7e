//! Streams and datagrams whose pieces come in any order.
#![forbid(unsafe_code)]

mod config;
#[cfg(feature = "std")]
mod datagram;
mod policy;
mod quick;
mod reassembler;
mod room;
mod spans;

pub use config::ReassemblerBuilder;
#[cfg(feature = "std")]
pub use datagram::{
    Datagram, DatagramError, DatagramLimits, DatagramReassembler, DatagramStats, Fragment,
};
pub use policy::OverlapPolicy;
pub use reassembler::{Conflict, Inserted, ReassembleError, Reassembler};
