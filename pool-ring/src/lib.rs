//! Bytes that are not a whole message yet: one packet ring for all connections of a worker, byte rings,
//! a ring between two threads, reassembly of segments and fragments, and framing, all over the page sources of `pool_core`
//! and within budgets.
//!
//! ```
//! use pool_ring::frame::LengthPrefix;
//! use pool_ring::PacketRing;
//!
//! let mut ring = PacketRing::try_new()?;            // one a worker
//! let mut conn = ring.open(7);                      // 16 bytes a connection
//! let mut frames = LengthPrefix::u16(1024);         // the maximum is not optional
//!
//! for read in [&b"\x00\x05hel"[..], b"lo\x00\x05world\x00"] {
//!     let mut batch = ring.feed(&mut conn, &mut frames, &mut &read[..]).unwrap();
//!     while let Some(frame) = batch.next().unwrap() {
//!         assert!(frame == b"hello" || frame == b"world");
//!     }
//! }
//! assert_eq!(ring.stats().bytes, 1);                // half a header waits
//! ring.close(&mut conn);
//! # Ok::<(), pool_core::PageError>(())
//! ```
//!
//! # When to use what
//!
//! | you have | use |
//! |---|---|
//! | a worker with many connections, most of them idle or between messages | [`PacketRing`]: an idle connection holds no bytes |
//! | one stream to read from and write to as it likes | [`RingBuf`] |
//! | two threads, one writes and one reads | `spsc`, or [`RingBuf::split`] |
//! | segments of a stream, out of order, duplicated, overlapping | [`Reassembler`] |
//! | fragments of many datagrams | `DatagramReassembler` |
//! | messages to cut out of any of them | [`frame`] |
//! | frames that live longer than the buffer | `BytesPool` (feature `bytes`) |
//! | sockets under `io_uring` | `UringReceiver` (feature `io-uring`), and a [`PacketRing`] behind it |
//! | **not this crate**: values of other types than bytes | `rtrb`, `crossbeam` |
//! | **not this crate**: several producers | a queue |
//!
//! # What it costs
//!
//! | operation | cost |
//! |---|---|
//! | read by `PacketRing` | what is left over is copied into the store and out again, once each, unless the same connection is read next; O(1) besides |
//! | a partial of n bytes in it | 26 + ceil(n / 256) × 260 bytes; an idle connection: 0 |
//! | eviction | O(1), at most one for each chunk needed |
//! | a frame that trickles in | O(n) in all |
//! | `RingBuf` | O(bytes); linear ones move what is left when they reach the end, mirrored ones never |
//! | `spsc` | a copy in, none out; one atomic store a message and side |
//! | `Reassembler` in order | one copy |
//!
//! # Safety and threads
//!
//! Everything is safe to use but [`RingBuf::advance`] and `spsc::Grant::commit`, which are told that bytes were
//! written. What is lent borrows its ring: it ends before the ring changes. A decoder, a `Read`, a hasher may
//! lie or panic: bytes may be lost, memory not. [`PacketRing`], [`RingBuf`], [`Reassembler`] are `Send` and `Sync` as their source
//! is; [`Conn`] stays on one thread; the halves of `spsc` go to two.
//!
//! # Limits and memory
//!
//! Decoders have a maximum length, the packet ring a budget with a policy, rings grow on request only, reassembly is limited in window,
//! pieces, bytes and age. Lengths that peers announce reserve nothing. Every structure draws pages from a `PageSource`; a budget of
//! `pool_core` beneath bounds them all. Nothing is allocated from the heap but what two halves of `spsc` share (once),
//! and, with feature `bytes`, small frames.
//!
//! # Features
//!
//! | feature | default | what it brings |
//! |---|---|---|
//! | `std` | yes | `pool_core::Global` as the source, everything over `std::io`, `DatagramReassembler` |
//! | `alloc` | with `std` | `spsc`, `pool_core::Heap` |
//! | `mirror` | | `MirrorOr`: rings whose pages are mapped twice (Linux) |
//! | `bytes` | | `Buf`, `BufMut` for [`RingBuf`]; `BytesPool` |
//! | `fd` | | `recv` of [`RingBuf`] and [`PacketRing`]: file descriptors, whose reads need no initialised bytes (Unix) |
//! | `io-uring` | | `UringReceiver`: the kernel takes buffers from a pool when bytes have come (Linux 6.0) |
//! | `tokio` | | `recv_frames`, `Codec`, `AsyncRead`, `AsyncWrite` for [`RingBuf`] |
//!
//! Mirrored rings count on a fence of no instructions (`asm!`), which stable Rust has for x86, Arm, RISC-V, LoongArch and s390x: elsewhere,
//! and under Miri, only the first view is used.
//!
//! # Examples
//!
//! `examples/mio_lines.rs`, `tokio_lines.rs` and `io_uring_echo.rs` are servers on one thread with one [`PacketRing`];
//! `defrag.rs` puts the IP fragments of a capture together.
//!
//! # Sources
//!
//! One ring for all connections is cloudwu's `mread`; chunks of one size instead of a log make every step O(1). The
//! decoders' parameters are Netty's, the overlap policies Novak's and Sturges', for fragments and for streams. A skip at the end of a lap is `bbqueue`'s
//! (and Simon Cooke's bip buffer).
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
#[cfg(all(feature = "fd", unix))]
mod sys;
mod table;
mod touch;

#[cfg(feature = "bytes")]
pub use adapters::bytes::BytesPool;
#[cfg(all(feature = "io-uring", target_os = "linux"))]
pub use adapters::io_uring::{Received, UringError, UringEvent, UringReceiver};
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

/// The examples of the crate's first page.
#[cfg(all(doctest, feature = "std"))]
#[doc = include_str!("../README.md")]
struct Readme;
