//! Allocators for small objects, each with an end of its own: keys, values, nodes, session data.
//!
//! Blocks come in [size classes](SizeClass), cut from *spans*: runs of pages from a
//! [`PageSource`](pool_core::PageSource) that are aligned to their length.
//!
//! # Sources
//!
//! A class for each size and the layout handed back on free, so that no block has a header, are
//! Loki's (`SmallObjAllocator`); the spacing of the classes is jemalloc's.
#![cfg_attr(not(feature = "std"), no_std)]

#[cfg(feature = "alloc")]
extern crate alloc;

#[cfg(any(feature = "allocator-api2", feature = "allocator-api2-04"))]
mod alloc_api;
mod block_alloc;
mod boxed;
#[cfg(any(feature = "checked", feature = "trace"))]
mod debug;
mod defrag;
mod error;
#[cfg(all(feature = "std", not(loom)))]
mod global_alloc;
mod handle;
mod large;
mod magazine;
#[cfg(all(feature = "std", not(loom)))]
mod shared;
mod size_class;
mod small;
mod span;
mod stats;
mod store;
#[cfg(feature = "std")]
mod sync;
mod table;

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
#[cfg(all(feature = "std", not(loom)))]
pub use shared::{SharedAlloc, SharedHeap};
pub use size_class::SizeClass;
pub use small::{DefaultSource, SmallAlloc, usable_size};
pub use stats::{ClassStats, Corruption, SmallStats, SpanUse};
pub use table::error::{InsertError, TableError};
pub use table::iter::{Drain, Iter, IterMut};
pub use table::key::Key;
pub use table::slot_table::{SlotTable, VacantEntry};
