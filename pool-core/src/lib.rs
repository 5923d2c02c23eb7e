//! Page sources for memory pools.
#![cfg_attr(not(feature = "std"), no_std)]

#[cfg(feature = "alloc")]
extern crate alloc;

mod buddy;
#[cfg(feature = "alloc")]
mod budget;
mod bytes;
#[cfg(feature = "std")]
mod clock;
mod error;
#[cfg(all(feature = "std", not(loom)))]
mod global;
mod layer;
#[cfg(feature = "alloc")]
mod level;
mod mix;
mod pages;
#[cfg(feature = "std")]
pub mod process;
#[cfg(feature = "metrics")]
mod publish;
mod run;
mod snapshot;
mod source;
mod sync;
mod sys;
#[cfg(feature = "testing")]
pub mod testing;

#[cfg(feature = "alloc")]
pub use budget::{Budget, Charge};
#[cfg(feature = "std")]
pub use clock::{Clock, Monotonic};
pub use error::{Cause, OsError, OverBudget, PageError};
#[cfg(all(feature = "std", not(loom)))]
pub use global::{AlreadyInUse, Global, GlobalBuilder};
#[cfg(all(feature = "std", not(loom)))]
pub use layer::background::Background;
#[cfg(feature = "std")]
pub use layer::cache::Cache;
pub use layer::failing::Failing;
#[cfg(feature = "alloc")]
pub use layer::limit::Limit;
pub use layer::local_cache::LocalCache;
#[cfg(feature = "std")]
pub use layer::locked::Locked;
pub use layer::stats::Stats;
pub use pages::{PageBytes, Pages};
pub use run::{PageKind, Request, Run};
pub use snapshot::{BudgetUse, CacheUse, HeldUse, Snapshot, Traffic};
pub use source::PageSource;
pub use source::buddy::Buddy;
pub use source::fixed::Fixed;
#[cfg(feature = "alloc")]
pub use source::heap::Heap;
#[cfg(feature = "mirror")]
pub use source::mirror::Mirror;
#[cfg(feature = "std")]
pub use source::mmap::Mmap;
#[cfg(feature = "std")]
pub use source::mmap::options::{HugePages, MmapBuilder, Outcome, Report};
