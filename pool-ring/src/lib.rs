//! Partial packets and reassembly.
#![cfg_attr(not(feature = "std"), no_std)]

#[cfg(feature = "alloc")]
extern crate alloc;

mod adapters;
mod block;
mod error;
pub mod frame;
mod packet;
mod reassembly;
mod ring;
mod slots;
#[cfg(feature = "alloc")]
pub mod spsc;
#[cfg(feature = "alloc")]
mod sync;
mod table;
mod touch;

#[cfg(feature = "bytes")]
pub use adapters::bytes::BytesPool;
#[cfg(feature = "tokio")]
pub use adapters::tokio::{Codec, RecvError, recv_frames};
pub use error::{ReadError, Refused};
pub use packet::{Batch, Conn, PacketRing, PacketRingBuilder, PacketStats, Policy};
pub use reassembly::{
    Conflict, Inserted, OverlapPolicy, ReassembleError, Reassembler, ReassemblerBuilder,
};
#[cfg(feature = "std")]
pub use reassembly::{
    Datagram, DatagramError, DatagramLimits, DatagramReassembler, DatagramStats, Fragment,
};
#[cfg(feature = "mirror")]
pub use ring::MirrorOr;
pub use ring::{ReserveError, RingBuf};

/// Where memory comes from unless told otherwise.
#[cfg(feature = "std")]
pub type DefaultSource = pool_core::Global;
/// Where memory comes from unless told otherwise.
#[cfg(not(feature = "std"))]
pub type DefaultSource = &'static pool_core::Fixed<'static>;
