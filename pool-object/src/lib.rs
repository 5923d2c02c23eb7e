//! Allocators for small objects, each with an end of its own: keys, values, nodes, session data.
//!
//! Blocks come in [size classes](SizeClass), cut from *spans*: runs of pages from a
//! [`PageSource`](pool_core::PageSource) that are aligned to their length.
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
//! A class for each size and the layout handed back on free, so that no block has a header, are
//! Loki's (`SmallObjAllocator`); the spacing of the classes is jemalloc's.
#![cfg_attr(not(feature = "std"), no_std)]

#[cfg(feature = "alloc")]
extern crate alloc;

#[allow(dead_code, reason = "the allocators that refuse come next")]
mod error;
mod pool;
mod size_class;
mod table;

pub use error::AllocError;
#[cfg(feature = "std")]
pub use pool::bounded::{BoundedPool, BoundedPooled, OwnedBoundedPooled};
pub use pool::error::{AttachError, PoolError};
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
pub use size_class::SizeClass;
pub use table::error::{InsertError, TableError};
pub use table::iter::{Drain, Iter, IterMut};
pub use table::key::Key;
pub use table::slot_table::{SlotTable, VacantEntry};
