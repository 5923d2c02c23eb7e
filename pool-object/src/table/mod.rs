//! `SlotTable` and what it is made of: pure arithmetic (`key`, `shape`), storage (`live`, `page`,
//! `directory`, `cursor`, `store`, `upkeep`, `iter`), the public type.

pub(crate) mod cursor;
pub(crate) mod directory;
pub(crate) mod error;
pub(crate) mod iter;
pub(crate) mod key;
pub(crate) mod live;
pub(crate) mod page;
pub(crate) mod shape;
pub(crate) mod slot_table;
pub(crate) mod stats;
pub(crate) mod store;
mod upkeep;

/// Where tables and pools get their pages from unless told otherwise.
#[cfg(all(feature = "std", not(loom)))]
pub(crate) type DefaultSource = pool_core::Global;
/// Where tables and pools get their pages from unless told otherwise.
#[cfg(all(feature = "std", loom))]
pub(crate) type DefaultSource = pool_core::Heap;
/// Where tables and pools get their pages from unless told otherwise.
#[cfg(not(feature = "std"))]
pub(crate) type DefaultSource = pool_core::Fixed<'static>;
