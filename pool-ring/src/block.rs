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

/// Bytes on pages of a source.
pub(crate) struct Block<S: PageSource> {
    /// Nobody else refers to its memory; it is lent by the methods below only.
    pages: Pages<S>,
    /// The first byte of `pages`.
    base: NonNull<u8>,
    /// Bytes of the ring: `pages.len()`.
    len: usize,
    /// Bytes from `base` that may be used: `len`, or twice that when the pages show twice.
    span: usize,
    /// Bytes from `base` that are initialised; at most `len`. When all `len` are, all `span` are.
    init: usize,
}

// SAFETY: `base` points to what `pages` owns alone and moves together with it.
unsafe impl<S: PageSource + Send> Send for Block<S> {}
// SAFETY: through `&Block` bytes are only read, and `Pages<S>` is `Sync` if `S` is.
unsafe impl<S: PageSource + Sync> Sync for Block<S> {}

impl<S: PageSource> Block<S> {
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
        let mirrored = pages.kind() == PageKind::Mirrored;
        let span = if mirrored { 2 * len } else { len };
        Self { pages, base, len, span, init: if zeroed { len } else { 0 } }
    }

    /// Its bytes, each counted once.
    #[inline(always)]
    pub(crate) const fn len(&self) -> usize {
        self.len
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

    /// The source that its pages go back to.
    pub(crate) fn source(&self) -> &S {
        self.pages.source()
    }

    /// The end of what may be read: all of both views when every byte is initialised.
    #[inline(always)]
    const fn readable(&self) -> usize {
        if self.init == self.len { self.span } else { self.init }
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
        self.init = self.init.max(end.min(self.len));
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
        self.uninit_mut(start..end).fill(MaybeUninit::new(0));
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

    /// Moves initialised bytes to the front.
    pub(crate) fn move_to_front(&mut self, range: Range<usize>) {
        let len = range.end - range.start;
        let from: *const u8 = self.bytes(range).as_ptr();
        // SAFETY: both places are initialised bytes of the block, borrowed exclusively; they may
        // overlap. `from` was made from a shared borrow that has ended, and is only read.
        unsafe { self.base.as_ptr().copy_from(from, len) };
    }
}

impl<S: PageSource> fmt::Debug for Block<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { len, init, .. } = self;
        f.debug_struct("Block").field("len", len).field("init", init).finish_non_exhaustive()
    }
}
