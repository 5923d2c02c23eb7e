//! Homes for small objects, each with an end of its own: allocators for keys, values, nodes and session data of
//! any size, a [table](SlotTable) for connections, [pools](Pool) for what is costly to make.
//!
//! ```
//! use pool_object::{PoolBox, SmallAlloc};
//! let heap = SmallAlloc::new();
//! let boxed = PoolBox::new_in([1u64, 2, 3, 4, 5], &heap);
//! assert_eq!(boxed[4], 5);
//! drop(boxed);
//! assert_eq!(heap.stats().live(), 0);
//! ```
//!
//! # When to use it
//!
//! | you have | use |
//! |---|---|
//! | objects of many sizes, one thread | [`SmallAlloc`] |
//! | the same, kept beside what lies in it | `LocalHeap` |
//! | objects of many sizes that threads share or pass on | `SharedAlloc`, `SharedHeap` |
//! | a whole program on one such heap | `#[global_allocator] static A: GlobalHeap = GlobalHeap;` |
//! | one value, slice or string in a block of its own | [`PoolBox`] |
//! | memory back after a spike, though some of it stays | [`SmallAlloc::mark_sparse`], [`Relocate`] |
//! | vectors, hash maps, boxes of trait objects | `&SmallAlloc`, with the feature `allocator-api2` |
//! | objects with one common end: a request, a parse | not this crate: an arena, which frees all at once |
//! | pages, buffers of some KiB | not this crate: `pool_core` |
//!
//! # Blocks and spans
//!
//! Blocks come in [size classes](SizeClass), cut from *spans*: runs of pages from a
//! [`PageSource`](pool_core::PageSource), 64 KiB to 512 KiB long, that are aligned to their length. The
//! layout that comes back on free tells the class, the block's address tells the span: no block has a
//! header, and no operation searches.
//!
//! ```text
//!   allocate ▲ │ free          one list of free blocks a class: 32 to 64 KiB of them
//!            │ ▼
//!       magazine ◄─► older magazine ◄─► spans ◄─► reserve of empty spans ◄─► page source
//!        every call    every 32 KiB     every other time     when much changes
//! ```
//!
//! # What it costs
//!
//! | operation | cost |
//! |---|---|
//! | allocate and free a constant layout, in a loop | <!-- record: ir block-hot SmallAlloc -->19.0<!-- record: end --> instructions, of which the loop has <!-- record: ir block-hot (loop) -->5.0<!-- record: end --> |
//! | the same of a layout known at run time | <!-- record: ir block-hot-any SmallAlloc -->38.0<!-- record: end -->, of which the loop has <!-- record: ir block-hot-any (loop) -->7.0<!-- record: end --> |
//! | both in `SharedAlloc`, on any thread | <!-- record: ir block-hot SharedAlloc -->21.0<!-- record: end --> and <!-- record: ir block-hot-any SharedAlloc -->44.0<!-- record: end -->; in `GlobalHeap` <!-- record: ir block-hot GlobalHeap -->19.0<!-- record: end --> and <!-- record: ir block-hot-any GlobalHeap -->40.0<!-- record: end --> |
//! | a batch (every 32 KiB of blocks that come back, or every sixteen) | some instructions a block |
//! | block above 32 KiB | a run of the source, and a look into a table |
//! | `try_relayout`, [`BlockAlloc::reallocate`] | nothing within a class, or within a large block's run; else a move |
//! | drop, [`SmallAlloc::clear`] | O(spans + large blocks): nothing a block |
//! | waste inside blocks | 7 bytes at most up to 128, then 11.2 % at most |
//! | waste outside | 64 bytes a span, and what is left at its end: 6.3 % at most, for powers of two |
//!
//! # Safety and threads
//!
//! Owners ([`PoolBox`], collections) need no `unsafe`; blocks by pointer do, as with any allocator.
//! [`SmallAlloc`] is `Send`, not `Sync`: a thread that owns one may hand it over, with all that lies in
//! it, but not share it. `SharedAlloc` is `Sync`, if its source is; a block may be freed on any thread,
//! without a lock. A free that comes too early, twice or with a wrong layout is undefined
//! behaviour, as everywhere; `Checked` finds such in tests.
//!
//! # Loki's services
//!
//! | Loki | here |
//! |---|---|
//! | `FixedAllocator`, `Chunk` of 255 blocks | a class, its spans of any number of blocks |
//! | `SmallObjAllocator::Allocate`, `Deallocate` with the size | [`SmallAlloc::allocate`], [`SmallAlloc::deallocate`]; a class instead of a division, a mask instead of a walk over chunks |
//! | sizes above the maximum fall through to `new` | runs of the page source |
//! | `TrimExcessMemory` | [`SmallAlloc::trim`] |
//! | `FixedAllocator` by itself, for one size | a heap as well: a constant layout's class is folded, so that nothing is looked up; [`Pool`] for objects that stay constructed |
//! | `IsCorrupt` | [`SmallAlloc::check`] |
//! | `SmallObject` with its own `new` and `delete` | [`PoolBox`] |
//!
//! # Features
//!
//! | feature | default | what it brings |
//! |---|---|---|
//! | `std` | yes | [`SmallAlloc::new`] over `pool_core::Global`; `SharedAlloc`, `SharedHeap`, `GlobalHeap` |
//! | `alloc` | with `std` | `LocalHeap`; `pool_core::Heap` as a source |
//! | `allocator-api2`, `allocator-api2-04` | | the `Allocator` traits of versions 0.2 (`hashbrown`) and 0.4 |
//! | `checked` | | `Checked`: misuse is reported with the block |
//! | `trace` | | `Traced`: who holds memory, by call stack |
//! | `metrics` | | `PoolStats::publish`, `TableStats::publish`: figures for the `metrics` facade |
//! | `poison` | | AddressSanitizer and valgrind's memcheck know which blocks are free, all but a block's first eight bytes |
//!
//! Objects of one type have homes of their own:
//!
//! | you have | take |
//! |---|---|
//! | connections, timers: named by a number that a poller hands back, perhaps late | [`SlotTable`] |
//! | contexts, buffers: costly to make, used again and again by one thread | [`Pool`] |
//! | the same, by any thread | `SharedPool`, or a `PoolHandle` on one for each worker |
//! | no more of them than so many: error, wait or free something when all are out | `BoundedPool` |
//!
//! # Sources
//!
//! How the heaps are built, and what lost, is in `docs/SMALL.md` and `docs/SHARED.md` beside this crate's sources.
//!
//! A class for each size and the layout handed back on free are Loki's (`SmallObjAllocator`); the spacing
//! of the classes is jemalloc's; spans aligned to their length and taking a whole free list at once are
//! mimalloc's; two magazines a class are Bonwick's; thread caches over a transfer cache over spans are
//! TCMalloc's and Go's.
#![cfg_attr(not(feature = "std"), no_std)]

#[cfg(feature = "alloc")]
extern crate alloc;

#[cfg(any(feature = "allocator-api2", feature = "allocator-api2-04"))]
mod alloc_api;
mod block_alloc;
mod book;
mod boxed;
mod check;
#[cfg(any(feature = "checked", feature = "trace"))]
mod debug;
mod defrag;
mod error;
#[cfg(all(feature = "std", not(loom)))]
mod global_alloc;
mod handle;
mod large;
mod magazine;
mod pool;
mod relocate;
#[cfg(feature = "std")]
mod shared;
mod size_class;
mod small;
mod span;
mod spans;
mod sparse;
mod stats;
mod store;
#[cfg(feature = "std")]
mod sync;
mod table;
mod yielding;

pub use block_alloc::BlockAlloc;
pub use boxed::{BoxError, PoolBox};
#[cfg(feature = "checked")]
pub use debug::checked::Checked;
#[cfg(feature = "trace")]
pub use debug::trace::{ReportOnDrop, TraceReport, Traced};
pub use error::AllocError;
#[cfg(all(feature = "std", not(loom)))]
pub use global_alloc::GlobalHeap;
#[cfg(feature = "alloc")]
pub use handle::LocalHeap;
pub use relocate::Relocate;
#[cfg(loom)]
#[doc(hidden)]
pub use shared::model;
#[cfg(all(feature = "std", not(loom)))]
pub use shared::{ProcessStats, SharedAlloc, SharedHeap};
pub use size_class::SizeClass;
pub use small::{DefaultSource, SmallAlloc, usable_size};
pub use stats::{ClassStats, Corruption, HeapStats, SpanUse};

#[cfg(feature = "std")]
pub use pool::bounded::{BoundedPool, BoundedPooled, OwnedBoundedPooled};
pub use pool::error::{AttachError, GetError, PoolError};
pub use pool::guard::{Guard, Home};
#[cfg(feature = "std")]
pub use pool::handle::{HandlePooled, PoolHandle};
#[cfg(feature = "alloc")]
pub use pool::local::RcPooled;
pub use pool::local::{Pool, Pooled};
pub use pool::recycle::{ByDefault, Recycle, ResetOn};
#[cfg(feature = "std")]
pub use pool::shared::{OwnedPooled, SharedPool, SharedPooled};
pub use pool::stats::PoolStats;
#[cfg(feature = "std")]
pub use pool::waiting::Get;
pub use table::error::{InsertError, TableError};
pub use table::iter::{Drain, Iter, IterMut};
pub use table::key::Key;
pub use table::slot_table::{SlotTable, VacantEntry};
pub use table::stats::TableStats;

/// The example of the crate's first page.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
