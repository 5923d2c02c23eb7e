//! `--metrics`: what the server's memory is doing, for Prometheus (`/metrics`), for programs
//! (`/figures.json`) and for people (`/`, a page that needs nothing from the internet).
//!
//! ```text
//!  event loop ── once a second ──► Board ◄── for each request ── a thread that speaks HTTP
//!              Publisher::publish        Board::read
//! ```
//!
//! The loop fills a snapshot that is kept for it, under a lock that it never waits for: while a reader
//! has it, the loop goes on and publishes a round later. Gathering looks at every connection and every
//! span, so its own duration is taken, and the next follows a thousand times that later at the
//! earliest: watching costs a thousandth of the loop's time at most.
#![forbid(unsafe_code)]

mod board;
mod gather;
mod http;
mod json;
mod prometheus;
mod snapshot;

pub use board::{Board, Publisher};
pub(super) use gather::gather;
pub use http::Exporter;
pub use snapshot::{AGES, ClassUse, FILLS, Snapshot};
