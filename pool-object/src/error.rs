//! Why an allocator refused.
#![forbid(unsafe_code)]

use core::alloc::Layout;
use pool_core::PageError;
use thiserror::Error;

/// Why no memory could be had. Nothing has changed then: what was allocated stays, and the same
/// call may succeed later.
///
/// ```
/// use core::alloc::Layout;
/// use pool_core::PageError;
/// use pool_object::AllocError;
/// let layout = Layout::new::<[u64; 4]>();
/// let error = AllocError::Source { layout, error: PageError::ZeroLength };
/// assert!(error.to_string().starts_with("32 bytes aligned to 8"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AllocError {
    /// The layout asks for more than any object may have.
    #[error("{size} bytes aligned to {align} were asked for; an object has isize::MAX at most")]
    TooLarge {
        /// Bytes asked for.
        size: usize,
        /// The alignment asked for, in bytes.
        align: usize,
    },
    /// The page source beneath refused.
    #[error("{} bytes aligned to {} were asked for, and the page source refused: {error}",
        .layout.size(), .layout.align())]
    Source {
        /// What was asked for.
        layout: Layout,
        /// Why the source refused, with what is used and allowed.
        error: PageError,
    },
}

impl AllocError {
    /// The page source refused what `layout` needed.
    #[cold]
    pub(crate) fn source(layout: Layout, error: PageError) -> Self {
        Self::Source { layout, error }
    }
}

/// What methods without `try_` do with an error.
#[cold]
#[inline(never)]
#[track_caller]
pub(crate) fn refuse(error: AllocError) -> ! {
    panic!("out of memory: {error}")
}
