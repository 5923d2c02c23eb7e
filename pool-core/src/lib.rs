//! Page sources for memory pools.
#![cfg_attr(not(feature = "std"), no_std)]

#[cfg(feature = "alloc")]
extern crate alloc;

mod buddy;
mod bytes;
mod error;
mod pages;
#[cfg(feature = "std")]
pub mod process;
mod run;
mod snapshot;
mod source;
mod sys;

pub use error::{Cause, OsError, OverBudget, PageError};
pub use pages::{PageBytes, Pages};
pub use run::{PageKind, Request, Run};
pub use snapshot::{BudgetUse, CacheUse, Snapshot, Traffic};
pub use source::PageSource;
pub use source::buddy::Buddy;
pub use source::fixed::Fixed;
#[cfg(feature = "alloc")]
pub use source::heap::Heap;
#[cfg(feature = "mirror")]
pub use source::mirror::Mirror;
