//! The allocator for all threads.
//!
//! ```text
//!   alloc      SharedAlloc: allocate, deallocate, relayout         handle   SharedHeap, BlockAlloc
//!   upkeep     statistics, checks, trim       large   blocks above the largest class
//!   home       where it gets its memory, how it begins and ends
//!   yielding   what it gives back when the source refuses
//!   registry   whose cache is whose: threads, heaps, forks
//!   ledger     the slow half of a thread's cache                   }  what loom looks at
//!   cache      the fast half     central   what threads share      }
//! ```

#[cfg(not(loom))]
mod alloc;
#[cfg_attr(loom, allow(dead_code, reason = "the models use a part of it"))]
mod cache;
#[cfg_attr(loom, allow(dead_code, reason = "the models use a part of it"))]
mod central;
#[cfg(not(loom))]
mod handle;
#[cfg(not(loom))]
mod home;
#[cfg(not(loom))]
mod large;
#[cfg_attr(loom, allow(dead_code, reason = "the models use a part of it"))]
mod ledger;
#[cfg(loom)]
pub mod model;
#[cfg(not(loom))]
mod registry;
#[cfg_attr(loom, allow(dead_code, reason = "the models use a part of it"))]
mod store;
#[cfg(not(loom))]
mod upkeep;
#[cfg(not(loom))]
mod yielding;

#[cfg(not(loom))]
pub use alloc::SharedAlloc;
#[cfg(not(loom))]
pub use handle::SharedHeap;
#[cfg(not(loom))]
pub(crate) use registry::Slot;
#[cfg(not(loom))]
pub use upkeep::ProcessStats;
