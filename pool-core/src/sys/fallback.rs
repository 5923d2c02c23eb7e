//! No operating system: memory comes from the allocator, and every option is reported unsupported.

/// The granule where no page size can be asked for: the smallest that any supported machine has.
const SMALLEST_PAGE: usize = 1 << 12;

/// Bytes a page is taken to have: a power of two.
#[inline]
pub(crate) fn page_size() -> usize {
    SMALLEST_PAGE
}
