//! Why an arena refused.
#![forbid(unsafe_code)]

use core::convert::Infallible;
use pool_core::PageError;
use thiserror::Error;

/// Why no memory could be had. Nothing has changed then: what was allocated stays, and the same
/// call may succeed later.
///
/// ```
/// use pool_arena::{AllocError, Arena};
/// let arena = Arena::new();
/// arena.set_allocation_limit(Some(0));
/// let error = arena.try_alloc(1).unwrap_err();
/// assert!(matches!(error, AllocError::Limit { used: 0, limit: 0, .. }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AllocError {
    /// A slice of so many items, or a layout so large, has more than `isize::MAX` bytes.
    #[error("more than isize::MAX bytes were asked for ({items} items of {size} bytes)")]
    TooLarge {
        /// Items asked for; 1 for a single layout.
        items: usize,
        /// Bytes of one item.
        size: usize,
    },
    /// The arena's own limit would be passed.
    #[error("{asked} bytes asked of an arena that holds {used} bytes and may hold {limit}")]
    Limit {
        /// Bytes that the arena needed from its source.
        asked: usize,
        /// Bytes that it held at that moment.
        used: usize,
        /// Bytes that it may hold.
        limit: usize,
    },
    /// The page source beneath refused.
    #[error("the arena's page source refused: {0}")]
    Source(#[source] PageError),
}

impl From<PageError> for AllocError {
    fn from(error: PageError) -> Self {
        Self::Source(error)
    }
}

/// Either the memory could not be had, or the closure that should fill it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AllocOrInitError<E> {
    /// The memory could not be had; the closure was not called.
    #[error("{0}")]
    Alloc(AllocError),
    /// The closure failed.
    #[error("the closure that makes the value failed: {0}")]
    Init(E),
}

impl<E> From<AllocError> for AllocOrInitError<E> {
    fn from(error: AllocError) -> Self {
        Self::Alloc(error)
    }
}

/// Where the closure cannot fail.
#[inline(always)]
pub(crate) fn only_alloc(error: AllocOrInitError<Infallible>) -> AllocError {
    match error {
        AllocOrInitError::Alloc(error) => error,
        AllocOrInitError::Init(never) => match never {},
    }
}

/// In methods without `try_`, which pass on only what the closure says.
#[inline(always)]
#[track_caller]
pub(crate) fn only_init<E>(error: AllocOrInitError<E>) -> E {
    match error {
        AllocOrInitError::Init(error) => error,
        AllocOrInitError::Alloc(error) => refuse(error),
    }
}

/// What methods without `try_` do with an error.
#[cold]
#[inline(never)]
#[track_caller]
pub(crate) fn refuse(error: AllocError) -> ! {
    panic!("out of memory: {error}")
}
