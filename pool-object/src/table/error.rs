//! Why a table refused.
#![forbid(unsafe_code)]

use core::fmt;
use pool_core::PageError;
use thiserror::Error;

/// Why a [`SlotTable`](crate::SlotTable) has no room. Nothing has changed then.
///
/// ```
/// use pool_object::{SlotTable, TableError};
/// let mut table = SlotTable::new().with_limit(1);
/// table.insert('a');
/// let refusal = table.try_insert('b').unwrap_err();
/// assert_eq!(refusal.error, TableError::Full { live: 1, limit: 1 });
/// assert_eq!(refusal.value, 'b');
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TableError {
    /// All slots that the table may have are taken: remove something, or raise the limit.
    #[error("{live} values are in the table, which may have {limit}")]
    Full {
        /// Values in the table.
        live: usize,
        /// The most it may have.
        limit: usize,
    },
    /// The page source beneath refused.
    #[error("the table has no room, and the page source refused: {0}")]
    Source(#[from] PageError),
}

/// A value that found no room, and why.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct InsertError<T> {
    /// The value, unchanged.
    pub value: T,
    /// Why there is no room.
    pub error: TableError,
}

impl<T> fmt::Debug for InsertError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InsertError").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for InsertError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<T> core::error::Error for InsertError<T> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// What methods without `try_` do with an error.
#[cold]
#[inline(never)]
#[track_caller]
pub(crate) fn refuse(error: TableError) -> ! {
    panic!("no room: {error}")
}
