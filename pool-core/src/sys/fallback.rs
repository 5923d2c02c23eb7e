//! No operating system: memory comes from the allocator, and every option is reported unsupported.

use crate::bytes::MIN_PAGE_LOG2;

/// Bytes a page is taken to have: a power of two.
#[inline]
pub(crate) fn page_size() -> usize {
    1 << MIN_PAGE_LOG2
}
