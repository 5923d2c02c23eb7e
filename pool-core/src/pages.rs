//! `Pages` and `PageBytes`: runs with an owner.

use crate::bytes::is_aligned;
use crate::error::PageError;
use crate::run::{PageKind, Request, Run};
use crate::source::PageSource;
use core::fmt;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

/// A run of pages that goes back to its source when dropped.
///
/// The memory is exclusively the owner's and its contents are indeterminate, so safe code sees
/// `MaybeUninit<u8>`; [`into_bytes`](Self::into_bytes) zeroes it where needed and gives plain
/// bytes. `Pages` may be forgotten: that leaks the run and nothing else.
///
/// ```
/// use pool_core::{Heap, PageSource, Request};
/// let heap = Heap::new();
/// let mut pages = (&heap).pages(Request::new(1 << 14).align(1 << 16))?;
/// pages.as_uninit_mut()[0].write(1);
/// assert_eq!(pages.as_ptr().addr().get() % (1 << 16), 0);
/// # Ok::<(), pool_core::PageError>(())
/// ```
pub struct Pages<S: PageSource> {
    /// Acquired from `source` and not yet released; this value is its only owner.
    run: Run,
    source: ManuallyDrop<S>,
}

impl<S: PageSource> Pages<S> {
    /// Acquires a run from `source` and keeps both.
    ///
    /// # Errors
    /// As [`PageSource::acquire`]; the source is dropped then.
    pub fn new(source: S, request: Request) -> Result<Self, PageError> {
        let run = source.acquire(request)?;
        debug_assert!(run.len() >= request.len && run.len() % source.granule() == 0);
        debug_assert!(is_aligned(run.ptr().addr().get(), request.align.max(source.granule())));
        Ok(Self { run, source: ManuallyDrop::new(source) })
    }

    /// Takes over a run that was acquired by hand.
    ///
    /// # Safety
    /// `run` was acquired from `source` (by any of its handles), is live, and the caller gives its
    /// ownership up. `run.is_zeroed()` still tells the truth.
    #[inline]
    pub unsafe fn from_raw_parts(source: S, run: Run) -> Self {
        Self { run, source: ManuallyDrop::new(source) }
    }

    /// The run and its source, to be released by hand.
    #[inline]
    #[must_use = "dropping the run leaks it"]
    pub fn into_raw_parts(self) -> (Run, S) {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is never dropped nor used again, so the source is taken once.
        let source = unsafe { ManuallyDrop::take(&mut this.source) };
        (this.run.token(), source)
    }

    /// Its first byte, valid for reads of `len` bytes as long as the owner lives. Who writes calls
    /// [`as_mut_ptr`](Self::as_mut_ptr) first: from then on nobody takes the bytes for zeros.
    #[inline]
    #[must_use]
    pub const fn as_ptr(&self) -> NonNull<u8> {
        self.run.ptr()
    }

    /// Its first byte, valid for reads and writes of `len` bytes as long as the owner lives.
    #[inline]
    #[must_use]
    pub const fn as_mut_ptr(&mut self) -> NonNull<u8> {
        self.run.set_zeroed(false);
        self.run.ptr()
    }

    /// Its length in bytes.
    #[inline]
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "no run is empty")]
    pub const fn len(&self) -> usize {
        self.run.len()
    }

    /// What it is made of.
    #[inline]
    #[must_use]
    pub const fn kind(&self) -> PageKind {
        self.run.kind()
    }

    /// The source that it goes back to.
    #[inline]
    #[must_use]
    pub fn source(&self) -> &S {
        &self.source
    }

    /// Its bytes, initialised or not.
    #[inline]
    #[must_use]
    pub fn as_uninit(&self) -> &[MaybeUninit<u8>] {
        // SAFETY: the run is live, owned by `self`, `len` bytes long; `MaybeUninit<u8>` is valid
        // with any contents and needs no alignment; `&self` allows no writes for its lifetime.
        unsafe { core::slice::from_raw_parts(self.run.ptr().as_ptr().cast(), self.run.len()) }
    }

    /// Its bytes, to be written.
    #[inline]
    #[must_use]
    pub fn as_uninit_mut(&mut self) -> &mut [MaybeUninit<u8>] {
        self.run.set_zeroed(false);
        // SAFETY: as in `as_uninit`, and `&mut self` makes the borrow exclusive.
        unsafe { core::slice::from_raw_parts_mut(self.run.ptr().as_ptr().cast(), self.run.len()) }
    }

    /// Gives the memory back to the system and keeps the addresses. `true`: it was returned, and
    /// reads as zeros. See [`PageSource::decommit`].
    pub fn decommit(&mut self) -> bool {
        // SAFETY: `self` owns the run, and `&mut self` proves that no reference into it lives.
        unsafe { self.source.decommit(&mut self.run) }
    }

    /// Plain bytes, zeroed unless the run is still known to be zero.
    #[must_use]
    pub fn into_bytes(mut self) -> PageBytes<S> {
        // SAFETY: `self` owns the run and is not borrowed; the flag is cleared by every `&mut`
        // access above.
        unsafe { self.run.zero() };
        PageBytes { pages: self }
    }
}

impl<S: PageSource> Drop for Pages<S> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the run came from this source, `self` is its only owner and ends here.
        unsafe { self.source.release(self.run.token()) };
        // SAFETY: the source is not used after this; `into_raw_parts` never gets here.
        unsafe { ManuallyDrop::drop(&mut self.source) };
    }
}

impl<S: PageSource> fmt::Debug for Pages<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("run", &self.run).finish_non_exhaustive()
    }
}

/// An owned run of initialised bytes; derefs to `[u8]`.
///
/// ```
/// use pool_core::{Heap, PageSource};
/// let mut buffer = Heap::new().pages(1)?.into_bytes();
/// buffer.fill(b'x');
/// assert!(buffer.iter().all(|&byte| byte == b'x'));
/// # Ok::<(), pool_core::PageError>(())
/// ```
pub struct PageBytes<S: PageSource> {
    /// All `len` bytes are initialised: made so by `into_bytes`, kept so because only `[u8]` is
    /// lent.
    pages: Pages<S>,
}

impl<S: PageSource> PageBytes<S> {
    /// The run as it was before: the contents stay, safe code no longer sees them as initialised.
    #[must_use]
    pub fn into_pages(self) -> Pages<S> {
        let mut pages = self.pages;
        pages.run.set_zeroed(false);
        pages
    }

    /// What it is made of.
    #[must_use]
    pub fn kind(&self) -> PageKind {
        self.pages.kind()
    }

    /// Gives the memory back to the system; afterwards all bytes are zero, whether the system took
    /// them (`true`) or they were overwritten (`false`).
    pub fn decommit(&mut self) -> bool {
        let returned = self.pages.decommit();
        // SAFETY: owned and exclusively borrowed; `decommit` has set the flag truthfully.
        unsafe { self.pages.run.zero() };
        returned
    }
}

impl<S: PageSource> Deref for PageBytes<S> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: owned, live and initialised, by the invariant of `pages`.
        unsafe { self.pages.run.as_slice_ptr().as_ref() }
    }
}

impl<S: PageSource> DerefMut for PageBytes<S> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `&mut self` makes the borrow exclusive.
        unsafe { self.pages.run.as_slice_ptr().as_mut() }
    }
}

impl<S: PageSource> AsRef<[u8]> for PageBytes<S> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl<S: PageSource> AsMut<[u8]> for PageBytes<S> {
    fn as_mut(&mut self) -> &mut [u8] {
        self
    }
}

impl<S: PageSource> fmt::Debug for PageBytes<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageBytes").field("run", &self.pages.run).finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use crate::{Heap, PageSource, Request};

    #[test]
    fn what_was_written_by_pointer_is_not_taken_for_zeros() {
        let mut pages = Heap::new().pages(Request::new(1).zeroed()).unwrap();
        // SAFETY: the first byte of a live run, exclusively borrowed.
        unsafe { pages.as_mut_ptr().write(7) };
        assert!(pages.into_bytes().iter().all(|&byte| byte == 0));
    }
}
