//! `Locked`: a source for one thread at a time, made usable from all.

use crate::error::PageError;
use crate::run::{Request, Run};
use crate::snapshot::Snapshot;
use crate::source::PageSource;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Puts a mutex around a source that is `Send` but not `Sync`, such as [`Fixed`](crate::Fixed) or
/// `Buddy`.
///
/// ```
/// use core::mem::MaybeUninit;
/// use pool_core::{Fixed, Locked, PageSource};
/// let mut memory = vec![MaybeUninit::<u8>::uninit(); 1 << 20];
/// let source = Locked::new(Fixed::new(&mut memory));
/// std::thread::scope(|scope| {
///     for _ in 0..2 {
///         scope.spawn(|| (&source).pages(10_000).map(|pages| pages.len()));
///     }
/// });
/// ```
///
/// Every call holds the lock while the inner source works, `trim` too: beneath a
/// [`Stats`](crate::Stats), [`Limit`](crate::Limit) or shared cache it is taken where they call
/// down only. [`granule`](PageSource::granule) takes no lock.
///
/// # Why not `Mutex<S>` itself
/// A source may not be replaced while its runs are out. `Mutex<S>` lends `&mut S` to everybody who
/// has a `&Mutex<S>`, so safe code could swap another source in, and a [`Pages`](crate::Pages) would
/// then release its run into a source that never sold it.
#[derive(Debug)]
pub struct Locked<S> {
    /// Lent to no one, not even as `&S`. Never poisoned, since no source panics (clause 6).
    inner: Mutex<S>,
    /// The inner source's, which never changes (clause 11).
    granule: usize,
}

impl<S: PageSource> Locked<S> {
    /// Makes `inner` usable from several threads, one at a time.
    #[must_use]
    pub fn new(inner: S) -> Self {
        Self { granule: inner.granule(), inner: Mutex::new(inner) }
    }

    /// The source, without the lock.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.inner.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, S> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// SAFETY: runs pass unchanged between the caller and `inner`, one source for the whole life of this
// value, which keeps every clause for them; moving this value moves `inner`, which may be moved (1).
// `Mutex<S>: Sync` asks `S: Send`: the source "moves" to the thread that holds the lock, together
// with the run that comes or goes, and the lock orders the calls (3). Locking does not panic: the
// same thread cannot hold it already, as a source calls no consumer (6, 10). No clones (2).
unsafe impl<S: PageSource> PageSource for Locked<S> {
    #[inline]
    fn granule(&self) -> usize {
        self.granule
    }

    #[inline]
    fn acquire(&self, request: Request) -> Result<Run, PageError> {
        self.lock().acquire(request)
    }

    #[inline]
    unsafe fn release(&self, run: Run) {
        let inner = self.lock();
        // SAFETY: the caller's promise; the run came from `inner` unchanged.
        unsafe { inner.release(run) };
    }

    #[inline]
    unsafe fn decommit(&self, run: &mut Run) -> bool {
        let inner = self.lock();
        // SAFETY: the caller's promise; the run came from `inner` unchanged.
        unsafe { inner.decommit(run) }
    }

    fn trim(&self) -> usize {
        self.lock().trim()
    }

    fn observe(&self, snapshot: &mut Snapshot) {
        self.lock().observe(snapshot);
    }
}
