//! `kv`: a key-value server that speaks RESP2 and RESP3, on one thread or on several.
//!
//! ```text
//!  socket ─► Inbox ─► resp::parse ─► Call::execute ─► Batch's replies ─► socket
//!            │  bytes that are no        │                     │
//!            │  whole request yet      Store                 Outbox: what the
//!            └─ stay here              (keys, values)        socket did not take
//! ```
//!
//! Everything is generic over one parameter, [`memory::Memory`]. To run a server in process:
//!
//! ```
//! use examples::kv::{memory::Std, server::Server, settings::Settings};
//! use std::{io::{Read, Write}, net::TcpStream, thread};
//!
//! let (send, receive) = std::sync::mpsc::channel();
//! let server = thread::spawn(move || {
//!     let server = Server::<Std>::bind(Settings::on_a_free_port())?;
//!     send.send((server.address(), server.stopper())).unwrap();
//!     server.run()
//! });
//! let (address, stopper) = receive.recv().unwrap();
//! let mut client = TcpStream::connect(address)?;
//! client.write_all(b"PING\r\n")?;
//! let mut reply = [0; 7];
//! client.read_exact(&mut reply)?;
//! assert_eq!(&reply, b"+PONG\r\n");
//! stopper.stop();
//! assert_eq!(server.join().unwrap()?.commands, 1);
//! # Ok::<(), std::io::Error>(())
//! ```

pub mod buffer;
pub mod calls;
pub mod cli;
mod clients;
pub mod command;
pub mod compare;
pub mod connection;
pub mod crew;
pub mod descriptors;
mod glob;
mod info;
pub mod memory;
pub mod metrics;
pub mod numbers;
pub mod outbox;
pub mod patience;
pub mod reply;
pub mod resp;
mod seldom;
mod sending;
pub mod server;
pub mod settings;
pub mod stats;
pub mod store;
pub mod values;

/// How often a property is tried: with the same values each time, so that a test fails or does not.
#[cfg(test)]
fn same_each_time(cases: u32) -> proptest::prelude::ProptestConfig {
    let rng_seed = proptest::test_runner::RngSeed::Fixed(7);
    proptest::prelude::ProptestConfig { cases, rng_seed, ..Default::default() }
}
