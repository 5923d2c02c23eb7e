//! A region pool for requests: everything that lives for one request is cut from chunks, one object
//! after another, and leaves at once.
//!
//! ```
//! use pool_arena::{Arena, arena_format};
//! let mut arena = Arena::new();
//! for line in ["get a b", "get c"] {
//!     let mut words = arena.tail_vec();
//!     words.extend(line.split(' '));
//!     let reply = arena_format!(arena, "{} words", words.finish().len());
//!     assert!(reply.ends_with("words"));
//!     arena.reset();
//! }
//! ```
//!
//! # When to use it
//!
//! | you have | use |
//! |---|---|
//! | many objects with one common end: a request, a batch, a parse | [`Arena`] |
//! | some of them with an earlier end | [`Arena::scope`], or [`ArenaBox`] for the values |
//! | values that must be dropped | [`Arena::alloc_drop`], [`Arena::alloc_box`], [`Arena::defer`] |
//! | a vector or a text of unknown length | [`Arena::tail_vec`], [`arena_format!`] |
//! | collections with an allocator (`hashbrown`) | `&Arena`, with the feature `allocator-api2` |
//! | a result that another thread goes on with | [`Sealed`], [`Arena::adopt`] |
//! | several threads or tasks that fill one arena, `&` held across `.await` | [`SyncArena`] |
//! | objects each with an end of its own | not this crate: an arena frees its newest object at most |
//!
//! # What it costs
//!
//! | operation | cost |
//! |---|---|
//! | allocate | a subtraction, a branch; O(1) calls of the source where a chunk is full |
//! | large object (from 64 KiB) | one call of the source to make it, one to give it back |
//! | reset | O(1) with one chunk, else O(chunks + large objects + cleanups) |
//! | open a scope, adopt | O(1), no memory |
//! | idle arena | nothing, until the first allocation |
//!
//! # Safety and threads
//!
//! References borrow the arena: it cannot be reset, dropped or sent away while one lives. An arena
//! is `Send`, not `Sync`: a future that *owns* its arena may go from thread to thread with all that
//! borrows from it.
//!
//! ```
//! # use pool_arena::Arena;
//! fn sendable(future: impl Future<Output = usize> + Send) -> impl Future<Output = usize> + Send {
//!     future
//! }
//! sendable(async {
//!     let arena = Arena::new();
//!     let text = arena.alloc_str("across an await");
//!     std::future::ready(()).await;
//!     text.len()
//! });
//! ```
//!
//! # Limits and memory
//!
//! An arena draws runs of pages from a [`PageSource`](pool_core::PageSource), [`Arena::new`] from the
//! process-wide one; a budget of `pool_core` beneath, or [`ArenaBuilder::limit`], bounds it, and
//! every method has a twin `try_` that says what was asked, used and allowed. A reset keeps at most
//! [`ArenaBuilder::retain`] bytes.
//!
//! # Features
//!
//! `std` (default): [`Arena::new`] over `pool_core::Global`, and cleanups that all run though several
//! panic. `alloc`: `pool_core::Heap` as a source. `allocator-api2` and `allocator-api2-04`: the
//! `Allocator` traits of versions 0.2 (`hashbrown`) and 0.4.
//!
//! # Sources
//!
//! Large objects beside the chunks and cleanups are nginx's (`ngx_pool_t`), hand-over without a copy
//! is Doris' (`MemPool`), the names and the downward bump are bumpalo's.
#![cfg_attr(not(feature = "std"), no_std)]

#[cfg(any(feature = "allocator-api2", feature = "allocator-api2-04"))]
mod alloc_api;
mod arena;
mod blocks;
mod boxed;
mod chunk;
mod cleanup;
mod cleanups;
mod config;
mod error;
mod iter;
mod large;
mod root;
mod scope;
mod sealed;
mod shared;
mod slices;
mod stats;
mod storage;
mod string;
mod sync;
mod tail;
mod tip;
mod values;

pub use arena::{Arena, DefaultSource};
pub use boxed::ArenaBox;
pub use config::ArenaBuilder;
pub use error::{AllocError, AllocOrInitError};
pub use root::{CovariantRoot, Root};
pub use scope::{Checkpoint, Scope};
pub use sealed::{AdoptError, SealCause, SealError, Sealed};
pub use shared::SyncArena;
pub use stats::ArenaStats;
pub use string::TailString;
pub use tail::TailVec;
