//! The packet ring: one scratch to read into, one store for what is not whole yet.
#![forbid(unsafe_code)]

mod batch;
mod chunks;
mod config;
mod conn;
mod decoders;
mod entries;
mod evict;
mod fill;
mod large;
mod ring;
mod settle;
mod stats;
mod store;

pub use batch::Batch;
pub(crate) use chunks::Chain;
pub use config::{PacketRingBuilder, Policy};
pub use conn::Conn;
pub use ring::PacketRing;
pub use stats::PacketStats;
