//! `kv`: a key-value server that speaks RESP2, on one thread.
#![forbid(unsafe_code)]

pub mod resp;
