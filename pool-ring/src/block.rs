//! `Block`: a run of pages that is filled with bytes, and the one place where its memory becomes
//! slices.
//!
//! A block knows how far its bytes have ever been initialised, so that what a safe `Read` must be
//! given is zeroed once and not with every read. Pages that show twice (`PageKind::Mirrored`) are
//! used over both views.

use core::fmt;
use core::mem::MaybeUninit;
use core::ops::Range;
use core::ptr::NonNull;
use pool_core::{PageError, PageKind, PageSource, Pages, Request};

/// Whether the compiler can be told that bytes have changed behind its back; without that, only the
/// first view of pages that show twice is used.
const HAS_FENCE: bool = cfg!(all(
    not(miri),
    any(
        target_arch = "x86_64",
        target_arch = "x86",
        target_arch = "aarch64",
        target_arch = "arm",
        target_arch = "riscv32",
        target_arch = "riscv64",
        target_arch = "loongarch64",
        target_arch = "s390x"
    )
));

/// Bytes on pages of a source.
pub(crate) struct Block<S: PageSource> {
    /// Nobody else refers to its memory; it is lent by the methods below only. `None`: no bytes.
    _pages: Option<Pages<S>>,
    /// The first byte of `_pages`; anything without.
    base: NonNull<u8>,
    /// The pages' length; 0 without.
    len: usize,
    /// Bytes from `base` that may be used: `len`, or twice that when the pages show twice.
    span: usize,
    /// Bytes from `base` that are initialised; at most `len`. When all `len` are, all `span` are.
    init: usize,
    /// `span` when `init` is `len`, else `init`: the end of what may be read.
    readable: usize,
}

// SAFETY: `base` points to what `_pages` owns alone and moves together with it.
unsafe impl<S: PageSource + Send> Send for Block<S> {}
// SAFETY: through `&Block` bytes are only read, and `Pages<S>` is `Sync` if `S` is.
unsafe impl<S: PageSource + Sync> Sync for Block<S> {}

impl<S: PageSource> Block<S> {
    /// A block of no bytes, and without memory.
    pub(crate) const fn empty() -> Self {
        Self { _pages: None, base: NonNull::dangling(), len: 0, span: 0, init: 0, readable: 0 }
    }

    /// A block of at least `len` bytes.
    pub(crate) fn new(source: S, len: usize) -> Result<Self, PageError> {
        let (run, source) = Pages::new(source, Request::new(len))?.into_raw_parts();
        let zeroed = run.is_zeroed();
        // SAFETY: run and source are those of a moment ago, which this owner had alone.
        let pages = unsafe { Pages::from_raw_parts(source, run) };
        Ok(Self::from_pages(pages, zeroed))
    }

    fn from_pages(mut pages: Pages<S>, zeroed: bool) -> Self {
        let (base, len) = (pages.as_mut_ptr(), pages.len());
        let mirrored = HAS_FENCE && pages.kind() == PageKind::Mirrored;
        let span = if mirrored { 2 * len } else { len };
        let (init, readable) = if zeroed { (len, span) } else { (0, 0) };
        Self { _pages: Some(pages), base, len, span, init, readable }
    }

    /// Its bytes, each counted once.
    #[inline(always)]
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Bytes from its first one on that can be used: all, or all twice.
    #[cfg(feature = "alloc")]
    pub(crate) const fn span(&self) -> usize {
        self.span
    }

    /// Whether its pages show twice.
    #[inline(always)]
    pub(crate) const fn is_mirrored(&self) -> bool {
        self.span != self.len
    }

    /// Bytes from the front that are initialised.
    #[inline(always)]
    pub(crate) const fn init(&self) -> usize {
        self.init
    }

    /// Its first byte, good for reads and writes of all bytes as long as the block lives.
    #[cfg(feature = "alloc")]
    pub(crate) const fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// The end of what may be read: all of both views when every byte is initialised.
    #[inline(always)]
    pub(crate) const fn readable(&self) -> usize {
        self.readable
    }

    /// Bytes that were initialised.
    ///
    /// # Panics
    /// If they were not, or if they are not bytes of the block.
    #[inline(always)]
    pub(crate) fn bytes(&self, range: Range<usize>) -> &[u8] {
        assert!(range.start <= range.end && range.end <= self.readable(), "not initialised");
        // SAFETY: within `span`, for `readable` is at most that.
        let start = unsafe { self.base.add(range.start) };
        let slice = NonNull::slice_from_raw_parts(start, range.end - range.start);
        // SAFETY: owned, initialised up to `readable` by the invariant of `init` (the second view
        // shows the same bytes), and not written as long as `&self` lives.
        unsafe { slice.as_ref() }
    }

    /// `len` bytes from byte `start` on.
    ///
    /// # Safety
    /// They lie within the block, in both views of one that shows twice, and are initialised.
    #[inline(always)]
    pub(crate) unsafe fn bytes_unchecked(&self, start: usize, len: usize) -> &[u8] {
        debug_assert!(start + len <= self.readable());
        // SAFETY: within the block, by the caller's promise.
        let start = unsafe { self.base.add(start) };
        let slice = NonNull::slice_from_raw_parts(start, len);
        // SAFETY: owned, initialised by the caller's promise, and not written as long as `&self`
        // lives.
        unsafe { slice.as_ref() }
    }

    /// Bytes that can be written behind `tail` while `filled` bytes before it must stay: up to the end
    /// of the last view, and no byte twice.
    #[inline(always)]
    pub(crate) fn spare(&self, tail: usize, filled: usize) -> usize {
        (self.span - tail).min(self.len - filled)
    }

    /// Where what is initialised ends that is not filled a second time, if the filled bytes begin at `head`.
    #[cfg(feature = "std")]
    #[inline(always)]
    pub(crate) fn ready_end(&self, head: usize) -> usize {
        if self.is_mirrored() { self.readable.min(head + self.len) } else { self.readable }
    }

    /// `len` bytes from byte `start` on, to be written.
    ///
    /// # Safety
    /// As [`bytes_unchecked`](Self::bytes_unchecked), and no byte is among them twice.
    #[cfg(feature = "std")]
    #[inline(always)]
    pub(crate) unsafe fn bytes_mut_unchecked(&mut self, start: usize, len: usize) -> &mut [u8] {
        debug_assert!(start + len <= self.readable() && len <= self.len);
        // SAFETY: within the block, by the caller's promise.
        let start = unsafe { self.base.add(start) };
        let mut slice = NonNull::slice_from_raw_parts(start, len);
        // SAFETY: owned, borrowed exclusively, initialised and without twins by the caller's
        // promise.
        unsafe { slice.as_mut() }
    }

    /// Bytes to be written, initialised or not.
    ///
    /// # Panics
    /// If they are not bytes of the block, or are more than it has (in two views).
    #[inline(always)]
    pub(crate) fn uninit_mut(&mut self, range: Range<usize>) -> &mut [MaybeUninit<u8>] {
        assert!(range.start <= range.end && range.end <= self.span, "beyond the block");
        assert!(range.end - range.start <= self.len, "a byte twice");
        // SAFETY: within `span`.
        let start = unsafe { self.base.add(range.start) };
        let mut slice = NonNull::slice_from_raw_parts(start.cast(), range.end - range.start);
        // SAFETY: owned, exclusively borrowed with `&mut self`, no byte of it shows twice within
        // the slice, and `MaybeUninit<u8>` may have any contents.
        unsafe { slice.as_mut() }
    }

    /// Says that all bytes below `end` are initialised; what lies beyond the first view counts as
    /// its whole.
    ///
    /// # Safety
    /// They are.
    #[inline(always)]
    pub(crate) unsafe fn assume_init(&mut self, end: usize) {
        if end > self.init && self.init < self.len {
            self.init = end.min(self.len);
            self.readable = if self.init == self.len { self.span } else { self.init };
        }
    }

    /// Takes bytes from `end` on for uninitialised, of pages that show once.
    #[inline(always)]
    pub(crate) fn forget_init(&mut self, end: usize) {
        debug_assert!(!self.is_mirrored());
        if end < self.init {
            (self.init, self.readable) = (end, end);
        }
    }

    /// The bytes from `range.start` on, zeroed where they were not initialised yet. What lies between
    /// the initialised bytes and the range is zeroed, too.
    #[inline]
    pub(crate) fn zeroed_mut(&mut self, range: Range<usize>) -> &mut [u8] {
        if range.end.min(self.len) > self.init {
            self.zero(range.end.min(self.len));
        }
        let slice: *mut [MaybeUninit<u8>] = self.uninit_mut(range);
        // SAFETY: borrowed exclusively as above, and initialised: all bytes below `init` are, and
        // those of the second view if `init` is `len`, to which `zero` has just raised it.
        unsafe { &mut *(slice as *mut [u8]) }
    }

    #[cold]
    fn zero(&mut self, end: usize) {
        let start = self.init;
        let fresh = self.uninit_mut(start..end);
        // SAFETY: these bytes are borrowed exclusively, and may have any contents. (By one call: a loop over them is slow
        // where it is interpreted, or not optimised.)
        unsafe { fresh.as_mut_ptr().write_bytes(0, fresh.len()) };
        // SAFETY: initialised up to `start` before, and from there to `end` just now.
        unsafe { self.assume_init(end) };
    }

    /// Copies `from` to byte `at`. There are no uninitialised bytes before it.
    ///
    /// # Panics
    /// If there are, or if it does not fit.
    #[inline(always)]
    pub(crate) fn write(&mut self, at: usize, from: &[u8]) {
        assert!(at <= self.readable(), "a gap");
        let place = self.uninit_mut(at..at + from.len()).as_mut_ptr();
        // SAFETY: `place` is as long as `from`, was borrowed exclusively, and so does not overlap.
        unsafe { place.cast::<u8>().copy_from_nonoverlapping(from.as_ptr(), from.len()) };
        // SAFETY: all up to `at` was, and what follows has just been written.
        unsafe { self.assume_init(at + from.len()) };
    }

    /// Copies `from` to byte `at` of the first view. There are no uninitialised bytes before it. Few checks, for those
    /// who have made them already.
    ///
    /// # Panics
    /// If there are, or if it does not fit.
    #[inline(always)]
    pub(crate) fn write_once(&mut self, at: usize, from: &[u8]) {
        assert!(at <= self.init && from.len() <= self.len - at, "a gap, or beyond the block");
        // SAFETY: `at` is at most `init`, which is at most `len`.
        let place = unsafe { self.base.add(at) };
        // SAFETY: `from` is no longer than what follows `place` in the block, which is borrowed exclusively.
        unsafe { place.as_ptr().copy_from_nonoverlapping(from.as_ptr(), from.len()) };
        // SAFETY: all up to `at` was initialised, and what follows has just been written.
        unsafe { self.assume_init(at + from.len()) };
    }

    /// Copies `from` to byte `at`; what lies before it and was never written is zeroed.
    pub(crate) fn write_at(&mut self, at: usize, from: &[u8]) {
        if at > self.init {
            self.zero(at);
        }
        self.write(at, from);
    }

    /// Makes writes by one view of a byte visible by the other: to be called after writing, before
    /// reading what was written, and before writing over what was read. It is no instruction. The compiler takes addresses that
    /// differ for bytes that differ, and may otherwise answer a read with what was there before; in
    /// its story this is a function that copies all bytes to their twins. Nothing borrowed from
    /// the block lives across it, because it takes `&mut self`.
    #[inline(always)]
    pub(crate) fn fence(&mut self) {
        if self.is_mirrored() {
            fence(self.base);
        }
    }

    /// Moves initialised bytes to the front.
    pub(crate) fn move_to_front(&mut self, range: Range<usize>) {
        let len = range.end - range.start;
        let from: *const u8 = self.bytes(range).as_ptr();
        // SAFETY: both places are initialised bytes of the block, borrowed exclusively; they may
        // overlap. `from` was made from a shared borrow that has ended, and is only read.
        unsafe { self.base.as_ptr().copy_from(from, len) };
    }
}

macro_rules! fence {
    ($($arch:literal),*) => {
        /// See [`Block::fence`].
        #[inline(always)]
        pub(crate) fn fence(base: NonNull<u8>) {
            #[cfg(all(not(miri), any($(target_arch = $arch),*)))]
            {
                // SAFETY: there is no instruction in it. What it is said to do, to change memory that
                // the pointer leads to, may be said of the bytes of a block that is borrowed
                // exclusively.
                unsafe {
                    core::arch::asm!("/* {0} */", in(reg) base.as_ptr(), options(nostack, preserves_flags));
                }
            }
            #[cfg(not(all(not(miri), any($(target_arch = $arch),*))))]
            let _ = base;
        }
    };
}
fence!("x86_64", "x86", "aarch64", "arm", "riscv32", "riscv64", "loongarch64", "s390x");

impl<S: PageSource> fmt::Debug for Block<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { len, init, .. } = self;
        f.debug_struct("Block").field("len", len).field("init", init).finish_non_exhaustive()
    }
}
