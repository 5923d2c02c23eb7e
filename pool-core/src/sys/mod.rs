//! The operating system: nothing else in this crate calls it.
//!
//! `mapping` maps memory (memmap2, or the allocator where that does not reach); `unix` has the
//! calls that memmap2 lacks; `fallback` stands in for it where there is no such system: without
//! `std`, on other platforms, under Miri and loom, where every option is reported unsupported.

#[cfg(all(feature = "std", not(all(unix, not(miri), not(loom)))))]
mod fallback;
#[cfg(all(feature = "std", not(all(unix, not(miri), not(loom)))))]
pub(crate) use fallback::*;
#[cfg(all(feature = "std", unix, not(miri), not(loom)))]
mod unix;
#[cfg(all(feature = "std", unix, not(miri), not(loom)))]
pub(crate) use unix::*;

#[cfg(feature = "std")]
pub(crate) mod mapping;
#[cfg(feature = "std")]
pub(crate) mod table;

#[cfg(all(feature = "std", not(loom)))]
pub(crate) mod thread;

/// Bytes a page is taken to have where no system can be asked: a power of two.
#[cfg(not(all(feature = "std", unix, not(miri), not(loom))))]
#[inline]
pub(crate) fn page_size() -> usize {
    1 << crate::bytes::MIN_PAGE_LOG2
}

/// Advice on a range of memory; what it is good for stands at the system's `madvise`.
#[cfg(feature = "std")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "not every platform takes all of it")]
pub(crate) enum Advice {
    /// Back the range with transparent huge pages where possible.
    HugePages,
    /// Never do that.
    NoHugePages,
    /// Leave the range out of core dumps.
    DontDump,
    /// A forked child finds zeros here.
    WipeOnFork,
    /// Fault all pages in for writing, now.
    Populate,
    /// Give the pages back; the range reads as zeros.
    DontNeed,
    /// Punch a hole into the file behind the range; it reads as zeros.
    Remove,
}
#[cfg(feature = "mirror")]
pub(crate) mod mirror;
#[cfg(feature = "std")]
pub(crate) mod process;
