//! `Failing`: a source that refuses on purpose.

use crate::error::PageError;
use crate::mix::splitmix64;
use crate::run::{Request, Run};
use crate::snapshot::Snapshot;
use crate::source::PageSource;
use crate::sync::Counter;

/// Refuses chosen calls of `acquire` with [`PageError::Injected`] and passes the others on: for
/// the tests of everything that draws from a source.
///
/// To fail an operation at every step it takes, count its calls and then fail each in turn:
///
/// ```
/// use pool_core::{Failing, Heap, PageError, PageSource};
/// fn operation(source: &impl PageSource) -> Result<(), PageError> {
///     let _first = source.pages(1)?;
///     let _second = source.pages(2)?;
///     Ok(())
/// }
/// let counting = Failing::never(Heap::new());
/// operation(&counting)?;
/// for call in 0..counting.calls() {
///     let source = Failing::nth(Heap::new(), call);
///     assert_eq!(operation(&source), Err(PageError::Injected { call }));
/// }
/// # Ok::<(), PageError>(())
/// ```
///
/// Calls are numbered from 0, in the order in which they come, malformed requests included. Which
/// calls are refused is a function of their numbers alone; with several threads, which *thread*
/// gets which number is not.
#[derive(Debug)]
pub struct Failing<S> {
    inner: S,
    plan: Plan,
    /// Calls of `acquire`; the next one's number.
    calls: Counter,
    injected: Counter,
}

/// Which calls are refused.
#[derive(Clone, Copy, Debug)]
enum Plan {
    Never,
    Nth(u64),
    After(u64),
    Seeded { seed: u64, one_in: u32 },
}

impl Plan {
    const fn refuses(self, call: u64) -> bool {
        match self {
            Self::Never => false,
            Self::Nth(n) => call == n,
            Self::After(n) => call >= n,
            Self::Seeded { one_in: 0, .. } => false,
            Self::Seeded { seed, one_in } => splitmix64(seed, call) % one_in as u64 == 0,
        }
    }
}

impl<S> Failing<S> {
    fn new(inner: S, plan: Plan) -> Self {
        Self { inner, plan, calls: Counter::new(), injected: Counter::new() }
    }

    /// Refuses nothing and counts the calls.
    #[must_use]
    pub fn never(inner: S) -> Self {
        Self::new(inner, Plan::Never)
    }

    /// Refuses call `n` only; the first is 0.
    #[must_use]
    pub fn nth(inner: S, n: u64) -> Self {
        Self::new(inner, Plan::Nth(n))
    }

    /// Refuses call `n` and all later ones; 0 refuses every call.
    #[must_use]
    pub fn after(inner: S, n: u64) -> Self {
        Self::new(inner, Plan::After(n))
    }

    /// Refuses about one call in `one_in`, the same ones for the same seed. 0 refuses none, 1 all.
    #[must_use]
    pub fn seeded(inner: S, seed: u64, one_in: u32) -> Self {
        Self::new(inner, Plan::Seeded { seed, one_in })
    }

    /// Calls of `acquire` since it was made or [`reset`](Self::reset), refused ones included.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls.get()
    }

    /// Calls refused on purpose; what the source below refused is not among them.
    #[must_use]
    pub fn injected(&self) -> u64 {
        self.injected.get()
    }

    /// Numbers the calls from 0 again.
    pub fn reset(&self) {
        self.calls.reset();
        self.injected.reset();
    }

    /// The source below, which does not fail.
    #[must_use]
    pub const fn inner(&self) -> &S {
        &self.inner
    }

    /// The source below.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.inner
    }

    #[cold]
    fn inject(&self, call: u64) -> PageError {
        self.injected.add(1);
        PageError::Injected { call }
    }
}

// SAFETY: runs pass unchanged between the caller and `inner`, which keeps every clause for them;
// a refusal happens before `inner` is asked and changes a test's counter only (8). Atomics may be
// changed by any thread (3), nothing panics (6; `one_in` is not 0 where it divides), no clones (2).
unsafe impl<S: PageSource> PageSource for Failing<S> {
    #[inline]
    fn granule(&self) -> usize {
        self.inner.granule()
    }

    #[inline]
    fn acquire(&self, request: Request) -> Result<Run, PageError> {
        let call = self.calls.add(1);
        if self.plan.refuses(call) {
            return Err(self.inject(call));
        }
        self.inner.acquire(request)
    }

    #[inline]
    unsafe fn release(&self, run: Run) {
        // SAFETY: the caller's promise; the run came from `inner` unchanged.
        unsafe { self.inner.release(run) };
    }

    #[inline]
    unsafe fn decommit(&self, run: &mut Run) -> bool {
        // SAFETY: the caller's promise; the run came from `inner` unchanged.
        unsafe { self.inner.decommit(run) }
    }

    fn trim(&self) -> usize {
        self.inner.trim()
    }

    fn observe(&self, snapshot: &mut Snapshot) {
        self.inner.observe(snapshot);
    }
}
