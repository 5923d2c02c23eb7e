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
//! # By task
//!
//! A cap on one arena, and a budget that tenants share: both refuse with a typed error, and nothing
//! is lost.
//!
//! ```
//! use pool_arena::{AllocError, Arena};
//! use pool_core::{Budget, Limit, Mmap, PageError};
//! use std::sync::Arc;
//!
//! let capped = Arena::builder().limit(64 << 10).build();
//! let refusal = capped.try_alloc_slice_fill_copy(1 << 20, 0u8).unwrap_err();
//! assert!(matches!(refusal, AllocError::Limit { limit: 65536, .. }));
//!
//! let process = Budget::named("process", 1 << 20);
//! let tenant = Limit::with_budget(Arc::new(Mmap::new()), process.child("tenant", 256 << 10));
//! let arena = Arena::new_in(&tenant);
//! let refusal = arena.try_alloc_slice_fill_copy(512 << 10, 0u8).unwrap_err();
//! assert!(matches!(refusal, AllocError::Source(PageError::OverBudget(over)) if over.level == "tenant"));
//! assert_eq!(arena.alloc_str("still usable"), "still usable");
//! ```
//!
//! A large object has a run of its own: the next chunk is no longer for it, and a reset gives it back
//! however much is retained.
//!
//! ```
//! use pool_arena::Arena;
//! let mut arena = Arena::new();
//! arena.alloc_str("a request as usual");
//! let usual = arena.stats().held;
//! arena.alloc_slice_fill_copy(64 << 20, 0u8); // one in ten thousand
//! assert_eq!(arena.stats().large, 1);
//! arena.reset();
//! assert_eq!(arena.stats().held, usual);
//! ```
#![cfg_attr(
    feature = "allocator-api2",
    doc = r#"
Collections with an allocator. A vector that grows moves to the lower end of what is free when it
first grows, and extends in place from then on; what a map leaves behind when it grows is free again
at the reset.

```
use allocator_api2::vec::Vec;
use hashbrown::{DefaultHashBuilder, HashMap};
use pool_arena::Arena;

let mut arena = Arena::new();
{
    let mut headers = HashMap::with_hasher_in(DefaultHashBuilder::default(), &arena);
    headers.insert("host", "example.org");
    let mut order: Vec<&str, &Arena> = Vec::new_in(&arena);
    order.extend(headers.keys());
    assert_eq!((headers["host"], &order[..]), ("example.org", &["host"][..]));
}
arena.reset();
```
"#
)]
//!
//! Values that must be dropped, and what is to be done at the end of the request:
//!
//! ```
//! use pool_arena::Arena;
//! use std::sync::Arc;
//!
//! let session = Arc::new("session");
//! let mut arena = Arena::new();
//! let held = arena.alloc_drop(Arc::clone(&session)); // dropped by the reset
//! arena.defer(|| println!("the request is over")); // called by the reset, before that
//! assert_eq!(Arc::strong_count(held), 2);
//! arena.reset();
//! assert_eq!(Arc::strong_count(&session), 1);
//! ```
//!
//! What is parsed on one thread and handled on another: [`Sealed`]. What is awaited: above.
//!
//! # Features
//!
//! `std` (default): [`Arena::new`] over `pool_core::Global`, and cleanups that all run though several
//! panic. `alloc`: `pool_core::Heap` as a source. `allocator-api2` and `allocator-api2-04`: the
//! `Allocator` traits of versions 0.2 (`hashbrown`) and 0.4. `poison`: AddressSanitizer and valgrind's
//! memcheck are told what is free, and report whoever uses an object after a reset.
//!
//! # Sources
//!
//! Large objects beside the chunks and cleanups are nginx's (`ngx_pool_t`), hand-over without a copy
//! is Doris' (`MemPool`), the names and the downward bump are bumpalo's.
#![cfg_attr(not(feature = "std"), no_std)]

/// How an example of what both arenas have begins: `let arena = Arena::new();`, or with `mut`.
macro_rules! new {
    (mut $arena:ident) => {
        new!(@ "let mut arena = ", $arena)
    };
    ($arena:ident) => {
        new!(@ "let arena = ", $arena)
    };
    (@ $binding:literal, $arena:ident) => {
        concat!(
            "# use pool_arena::",
            stringify!($arena),
            ";
",
            $binding,
            stringify!($arena),
            "::new();"
        )
    };
}

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
mod filling;
mod growing;
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
#[doc(hidden)]
pub use boxed::Lifetime;
pub use config::ArenaBuilder;
pub use error::{AllocError, AllocOrInitError};
pub use root::{CovariantRoot, Root};
pub use scope::{Checkpoint, Scope};
pub use sealed::{AdoptError, SealCause, SealError, Sealed};
pub use shared::SyncArena;
pub use stats::ArenaStats;
pub use string::TailString;
pub use tail::TailVec;
