//! Unix: rustix and libc for what memmap2 lacks.

/// Bytes a page of this system has: a power of two.
#[inline]
pub(crate) fn page_size() -> usize {
    rustix::param::page_size()
}
