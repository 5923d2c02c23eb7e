//! Requests for runs, and the runs themselves: plain tokens, no ownership.

use crate::bytes::{MAX_LEN, MIN_PAGE_LOG2, round_up};
use crate::error::PageError;
use core::alloc::Layout;
use core::fmt;
use core::ptr::NonNull;

/// What is asked of a [`PageSource`](crate::PageSource).
///
/// The length is in bytes and is rounded up by the source; the run says what it has. A length of
/// 0 is refused. The alignment is in bytes, a power of two, and may exceed the page; every run is
/// aligned to the source's granule anyway.
///
/// ```
/// use pool_core::Request;
/// let plain = Request::new(10_000);
/// let huge = Request::new(2 << 20).align(2 << 20).zeroed();
/// assert_eq!((plain.align, huge.zeroed), (1, true));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub struct Request {
    /// Bytes wanted; at least 1.
    pub len: usize,
    /// Alignment wanted in bytes, a power of two; 1 leaves it to the source.
    pub align: usize,
    /// Whether the run must read as zeros.
    pub zeroed: bool,
}

impl Request {
    /// `len` bytes at the source's own alignment, contents indeterminate.
    #[inline]
    pub const fn new(len: usize) -> Self {
        Self { len, align: 1, zeroed: false }
    }

    /// The same, aligned to `align` bytes, a power of two.
    #[inline]
    pub const fn align(self, align: usize) -> Self {
        Self { align, ..self }
    }

    /// The same, reading as zeros at the moment it is handed out.
    #[inline]
    pub const fn zeroed(self) -> Self {
        Self { zeroed: true, ..self }
    }

    /// The request as a source with this granule has to serve it: the length rounded up to a
    /// multiple of `granule`, the alignment at least `granule`. Every source that is not a mere
    /// wrapper begins with this.
    ///
    /// # Errors
    /// [`PageError::ZeroLength`], [`PageError::BadAlign`], or [`PageError::TooLarge`] if length and
    /// alignment together do not fit in `isize::MAX` bytes.
    #[inline]
    pub const fn round_to(self, granule: usize) -> Result<Self, PageError> {
        if self.len == 0 {
            return Err(PageError::ZeroLength);
        }
        if !self.align.is_power_of_two() {
            return Err(PageError::BadAlign { align: self.align });
        }
        let align = if self.align > granule { self.align } else { granule };
        match round_up(self.len, granule) {
            Some(len) if align <= MAX_LEN && len <= MAX_LEN - align => {
                Ok(Self { len, align, zeroed: self.zeroed })
            }
            _ => Err(PageError::TooLarge { asked: self.len, align: self.align, limit: MAX_LEN }),
        }
    }
}

impl From<usize> for Request {
    fn from(len: usize) -> Self {
        Self::new(len)
    }
}

impl From<Layout> for Request {
    fn from(layout: Layout) -> Self {
        Self::new(layout.size()).align(layout.align())
    }
}

/// What a run is made of. It tells what was *got*, which may be less than what was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PageKind {
    /// Pages of the system's base size.
    #[default]
    Base,
    /// Base pages that the system was told to back by transparent huge pages, and may.
    Transparent,
    /// Reserved huge pages (`MAP_HUGETLB`).
    Explicit,
    /// Pages of a file.
    File,
    /// Pages mapped twice back to back: `len` more bytes behind the run show the run again.
    Mirrored,
    /// Memory of an allocator or of the caller.
    Heap,
}

impl PageKind {
    /// All of them, each at its own number; filled up to eight, what three bits can say.
    const ALL: [Self; 8] = {
        use PageKind::{Base, Explicit, File, Heap, Mirrored, Transparent};
        [Base, Transparent, Explicit, File, Mirrored, Heap, Base, Base]
    };
}

/// Contiguous memory with one owner: an address token, not a borrow.
///
/// A run is neither `Copy` nor does it free itself: it is given back with
/// [`PageSource::release`](crate::PageSource::release), or owned by [`Pages`](crate::Pages). Every
/// use of its memory is `unsafe`, which is why the token itself is `Send` and `Sync`.
#[derive(PartialEq, Eq, Hash)]
#[must_use = "a run that is not released is leaked"]
pub struct Run {
    ptr: NonNull<u8>,
    facts: Facts,
}

/// All that a run says beyond its place, in one word: a run is two registers.
///
/// Small fields of their own would say the same, but the compiler writes those one by one and moves
/// a run by words: each time it does, the wide load waits until the narrow stores have left the
/// store buffer. That was most of the time of an acquire and release through a cache.
///
/// Bits 12 and up: the length, a multiple of 4 KiB as every page is. Bits 0..5: its log2 if it is a
/// power of two below 4 GiB, else 0; caches ask for that on their fast paths. Bits 5..8: the kind, by
/// its place in `PageKind::ALL`. Bit 8: whether the run reads as zeros.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Facts(usize);

impl Facts {
    const LEN: usize = !((1 << MIN_PAGE_LOG2) - 1);
    const CLASS: usize = 31;
    const KIND: usize = 7 << Self::KIND_SHIFT;
    const KIND_SHIFT: u32 = 5;
    const ZEROED: usize = 1 << 8;

    /// Of no run.
    pub(crate) const NONE: Self = Self(0);

    /// Of a run of `len` bytes, kind `Base`, contents indeterminate.
    #[inline(always)]
    const fn new(len: usize) -> Self {
        let len = len & Self::LEN;
        let log2 = len.trailing_zeros() as usize;
        let class = if len.is_power_of_two() && log2 < 32 { log2 } else { 0 };
        Self(len | class)
    }

    #[inline(always)]
    pub(crate) const fn len(self) -> usize {
        self.0 & Self::LEN
    }

    #[inline(always)]
    const fn with_zeroed(self, zeroed: bool) -> Self {
        Self(self.0 & !Self::ZEROED | if zeroed { Self::ZEROED } else { 0 })
    }

    #[inline(always)]
    const fn with_kind(self, kind: PageKind) -> Self {
        Self(self.0 & !Self::KIND | (kind as usize) << Self::KIND_SHIFT)
    }

    #[inline(always)]
    const fn kind(self) -> PageKind {
        PageKind::ALL[(self.0 & Self::KIND) >> Self::KIND_SHIFT]
    }
}

// SAFETY: a `Run` is an address and facts about it; it dereferences nothing, and whoever does
// promises in an `unsafe` block to be its only owner.
unsafe impl Send for Run {}
// SAFETY: as above; `&Run` reads plain fields.
unsafe impl Sync for Run {}

impl Run {
    /// A run of `len` bytes at `ptr`, contents indeterminate, of kind [`PageKind::Base`]. For
    /// those who implement a source: the promise is made where it is returned. What `len` has beyond
    /// a multiple of 4 KiB, which no page has, does not belong to the run.
    #[inline]
    pub const fn new(ptr: NonNull<u8>, len: usize) -> Self {
        Self { ptr, facts: Facts::new(len) }
    }

    /// The same run, said to read as zeros (or not) at this moment.
    #[inline]
    pub const fn with_zeroed(self, zeroed: bool) -> Self {
        Self { facts: self.facts.with_zeroed(zeroed), ..self }
    }

    /// The same run, said to be of `kind`.
    #[inline]
    pub const fn with_kind(self, kind: PageKind) -> Self {
        Self { facts: self.facts.with_kind(kind), ..self }
    }

    /// Its first byte; it carries provenance for the whole run.
    #[inline]
    #[must_use]
    pub const fn ptr(&self) -> NonNull<u8> {
        self.ptr
    }

    /// Its length in bytes, a multiple of its source's granule.
    #[inline]
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "no run is empty")]
    pub const fn len(&self) -> usize {
        self.facts.len()
    }

    /// Whether it was known to read as zeros *when it was handed out* (or decommitted). Nobody
    /// clears this when the memory is written, so only the first owner may rely on it.
    #[inline]
    #[must_use]
    pub const fn is_zeroed(&self) -> bool {
        self.facts.0 & Facts::ZEROED != 0
    }

    /// What it is made of.
    #[inline]
    #[must_use]
    pub const fn kind(&self) -> PageKind {
        self.facts.kind()
    }

    /// log2 of the length if that is a power of two below 4 GiB, else 0; below 32.
    #[inline]
    pub(crate) const fn class(&self) -> u8 {
        (self.facts.0 & Facts::CLASS) as u8
    }

    /// The run in parts, for a store of free runs: what it says, its zeros forgotten.
    #[inline(always)]
    pub(crate) const fn facts(&self) -> Facts {
        self.facts.with_zeroed(false)
    }

    /// A run from its parts.
    #[inline(always)]
    pub(crate) const fn from_parts(ptr: NonNull<u8>, facts: Facts) -> Self {
        Self { ptr, facts }
    }

    /// Says that it reads as zeros now, or is not known to: for sources that implement
    /// [`decommit`](crate::PageSource::decommit).
    #[inline]
    pub const fn set_zeroed(&mut self, zeroed: bool) {
        self.facts = self.facts.with_zeroed(zeroed);
    }

    /// Its bytes as a raw slice.
    #[inline]
    #[must_use]
    pub const fn as_slice_ptr(&self) -> NonNull<[u8]> {
        NonNull::slice_from_raw_parts(self.ptr, self.len())
    }

    /// A second token for the same memory, for an owner that has one field and two lives.
    #[inline]
    pub(crate) const fn token(&self) -> Self {
        Self { ..*self }
    }

    /// Fills the run with zeros unless it is known to be zero, and says so.
    ///
    /// # Safety
    /// The caller owns the run, and nobody holds a reference into it. `zeroed` speaks the truth.
    pub(crate) unsafe fn zero(&mut self) {
        if !self.is_zeroed() {
            // SAFETY: the caller owns `len` bytes at `ptr`; u8 needs no alignment.
            unsafe { self.ptr.write_bytes(0, self.len()) };
            self.facts = self.facts.with_zeroed(true);
        }
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("ptr", &self.ptr)
            .field("len", &self.len())
            .field("zeroed", &self.is_zeroed())
            .field("kind", &self.kind())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_two_words() {
        assert_eq!(size_of::<Option<Run>>(), 2 * size_of::<usize>());
    }

    #[test]
    fn facts_do_not_disturb_each_other() {
        for len in [0, 3 << 12, 4096, 1 << 23, 1 << (usize::BITS - 1), usize::MAX & !4095] {
            for (number, kind) in PageKind::ALL[..6].iter().copied().enumerate() {
                assert_eq!(kind as usize, number);
                for zeroed in [false, true] {
                    let run =
                        Run::new(NonNull::dangling(), len).with_zeroed(zeroed).with_kind(kind);
                    let same = Run::new(NonNull::dangling(), len).with_kind(kind);
                    assert_eq!(run, same.with_zeroed(!zeroed).with_zeroed(zeroed));
                    assert_eq!((run.len(), run.kind(), run.is_zeroed()), (len, kind, zeroed));
                    let small = len.is_power_of_two() && len.trailing_zeros() < 32;
                    let class = if small { len.ilog2() as u8 } else { 0 };
                    assert_eq!(run.class(), class);
                }
            }
        }
    }

    #[test]
    fn round_to_checks_everything() {
        let granule = 1 << 14;
        assert_eq!(Request::new(0).round_to(granule), Err(PageError::ZeroLength));
        assert_eq!(
            Request::new(1).align(0).round_to(granule),
            Err(PageError::BadAlign { align: 0 })
        );
        assert_eq!(
            Request::new(1).align(3).round_to(granule),
            Err(PageError::BadAlign { align: 3 })
        );
        let rounded = Request::new(1).zeroed().round_to(granule).unwrap();
        assert_eq!(rounded, Request { len: granule, align: granule, zeroed: true });
        for (len, align) in [
            (usize::MAX, 1),
            (MAX_LEN, 1),
            (1, 1 << (usize::BITS - 1)),
            (MAX_LEN / 2 + 1, MAX_LEN / 2 + 1),
        ] {
            let error = Request::new(len).align(align).round_to(granule).unwrap_err();
            assert!(matches!(error, PageError::TooLarge { .. }), "{len} {align}");
        }
    }
}
