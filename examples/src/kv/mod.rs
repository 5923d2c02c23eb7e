//! `kv`: a key-value server that speaks RESP2, on one thread.
#![forbid(unsafe_code)]

pub mod buffer;
pub mod memory;
pub mod reply;
pub mod resp;
pub mod store;
