//! Why a pool gave nothing out.
#![forbid(unsafe_code)]

use core::convert::Infallible;
use core::fmt;
use pool_core::PageError;
use thiserror::Error;

/// Why a pool gave no object out. Nothing has changed then, and the same call may succeed later.
///
/// ```
/// use pool_object::{BoundedPool, PoolError};
/// let pool: BoundedPool<u8> = BoundedPool::new(1);
/// let _held = pool.get()?;
/// assert_eq!(pool.try_get().unwrap_err(), PoolError::Exhausted { limit: 1 });
/// # Ok::<(), PoolError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PoolError {
    /// As many objects are out as may be: wait, or give some back.
    #[error("all {limit} objects that the pool may give out are out")]
    Exhausted {
        /// The most objects that may be out.
        limit: usize,
    },
    /// None came back within the time that was given.
    #[error("none of the pool's {limit} objects came back in time")]
    Timeout {
        /// The most objects that may be out.
        limit: usize,
    },
    /// The pool was closed.
    #[error("the pool is closed")]
    Closed,
    /// The page source beneath refused.
    #[error("no object is idle, and the page source refused memory for one more: {0}")]
    Source(#[from] PageError),
}

/// Why a pool gave no object out to who would have made one. Nothing has changed then.
///
/// ```
/// use pool_object::{GetError, Pool};
/// let pool: Pool<u16> = Pool::new();
/// let refusal = pool.get_with(|| "http".parse()).unwrap_err();
/// assert!(matches!(refusal, GetError::Create(_)));
/// assert_eq!(*pool.get_with(|| "80".parse()).unwrap(), 80);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum GetError<E> {
    /// The pool has none to give.
    #[error("{0}")]
    Pool(PoolError),
    /// The caller could make none.
    #[error("no object is idle, and none could be made: {0}")]
    Create(E),
}

impl<E> From<PoolError> for GetError<E> {
    fn from(error: PoolError) -> Self {
        Self::Pool(error)
    }
}

impl<E> From<PageError> for GetError<E> {
    fn from(error: PageError) -> Self {
        Self::Pool(error.into())
    }
}

impl From<GetError<Infallible>> for PoolError {
    fn from(error: GetError<Infallible>) -> Self {
        match error {
            GetError::Pool(error) => error,
            GetError::Create(never) => match never {},
        }
    }
}

/// A value that the pool has no room for, and why.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AttachError<T> {
    /// The value, unchanged.
    pub value: T,
    /// Why there is no room.
    pub error: PoolError,
}

impl<T> fmt::Debug for AttachError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttachError").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for AttachError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<T> core::error::Error for AttachError<T> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// What methods without `try_` do with an error.
#[cold]
#[inline(never)]
#[track_caller]
pub(crate) fn refuse(error: PoolError) -> ! {
    panic!("no object: {error}")
}
