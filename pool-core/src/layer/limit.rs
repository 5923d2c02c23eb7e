//! `Limit`: a budget over a source.

use crate::budget::Budget;
use crate::error::{OverBudget, PageError};
use crate::run::{Request, Run};
use crate::snapshot::Snapshot;
use crate::source::PageSource;

/// Charges every run to a [`Budget`] and refuses those that do not fit.
///
/// ```
/// use pool_core::{Budget, Heap, Limit, PageError, PageSource};
/// let tenant = Budget::named("tenant", 1 << 20);
/// let source = Limit::with_budget(Heap::new(), tenant.clone());
/// let pages = (&source).pages(600 << 10)?;
/// assert_eq!(tenant.used(), pages.len());
/// let refusal = (&source).pages(600 << 10).unwrap_err();
/// assert!(matches!(refusal, PageError::OverBudget(over) if over.level == "tenant"));
/// # Ok::<(), PageError>(())
/// ```
///
/// # What is counted
/// It counts the runs that pass it, so its place in the stack says what the limit means:
///
/// ```text
/// Limit ► Cache ► Mmap     bytes live: what the owners above have now
/// Cache ► Limit ► Mmap     bytes held: live, and idle in the cache; a full budget empties no cache
/// ```
///
/// A run is charged with its real length. First the request, rounded up to the granule, is charged,
/// so that one over the limit is refused before the inner source is asked; a run that turns out
/// longer is charged the rest, or goes straight back if that does not fit. The budget's peak counts
/// what was charged for a moment for a run that could not be had.
///
/// # Outstanding runs
/// A run that is never released stays charged, and so do the runs that are out when the `Limit` is
/// dropped, in a budget that others hold: nobody here can know whether the inner source leaked them.
/// Clones (where the inner source has them) charge the same budget and may release each other's runs.
#[derive(Clone, Debug)]
pub struct Limit<S> {
    inner: S,
    budget: Budget,
    /// The inner source's, which never changes (clause 11) and may take a lock to ask.
    granule: usize,
}

impl<S: PageSource> Limit<S> {
    /// At most `bytes` bytes of `inner`'s runs at once, by a budget of its own. 0 refuses all.
    #[must_use]
    pub fn new(inner: S, bytes: usize) -> Self {
        Self::with_budget(inner, Budget::new(bytes))
    }

    /// Charges `inner`'s runs to `budget`, which may have a parent and may be charged by others.
    #[must_use]
    pub fn with_budget(inner: S, budget: Budget) -> Self {
        Self { granule: inner.granule(), inner, budget }
    }

    /// Where the runs are charged.
    #[must_use]
    pub const fn budget(&self) -> &Budget {
        &self.budget
    }

    /// The source below. Runs acquired from it directly are not charged, and must go back to it
    /// directly.
    #[must_use]
    pub const fn inner(&self) -> &S {
        &self.inner
    }

    /// The source below, without the limit. Runs still out stay charged.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.inner
    }

    /// Brings a charge of `charged` bytes to the length that the run has; if that is refused, the
    /// run goes back and nothing is charged.
    #[cold]
    fn settle(&self, run: Run, charged: usize) -> Result<Run, PageError> {
        let Some(more) = run.len().checked_sub(charged) else {
            self.budget.give_back(charged - run.len());
            return Ok(run);
        };
        if let Err(over) = self.budget.try_charge(more) {
            let asked = run.len();
            // SAFETY: acquired from `inner` a moment ago by the caller, who gave it up; nobody has
            // seen its memory.
            unsafe { self.inner.release(run) };
            self.budget.give_back(charged);
            // As if the whole had been asked in one: the refusing level has `charged` already.
            let used = over.used.saturating_sub(charged);
            return Err(OverBudget { asked, used, ..over }.into());
        }
        Ok(run)
    }
}

// SAFETY: runs pass unchanged between the caller and `inner`, which keeps clauses 1, 4, 5, 7, 8
// and 11 for them. A clone holds a clone of `inner` and of the budget's handle, and there is no
// other state (2). All of that state is `inner`, an immutable number and atomics, so thread rules
// are `inner`'s (3). Nothing here panics, not even where
// others refunded what they never charged (6).
// A refusal gives back the charge and the run (8). No allocation, no calls upwards (10).
unsafe impl<S: PageSource> PageSource for Limit<S> {
    #[inline]
    fn granule(&self) -> usize {
        self.granule
    }

    #[inline]
    fn acquire(&self, request: Request) -> Result<Run, PageError> {
        let charged = request.round_to(self.granule)?.len;
        self.budget.try_charge(charged)?;
        match self.inner.acquire(request) {
            Ok(run) if run.len() == charged => Ok(run),
            Ok(run) => self.settle(run, charged),
            Err(error) => {
                self.budget.give_back(charged);
                Err(error)
            }
        }
    }

    #[inline]
    unsafe fn release(&self, run: Run) {
        let len = run.len();
        // SAFETY: the caller's promise; the run came from `inner` unchanged.
        unsafe { self.inner.release(run) };
        // After the release, so that the bytes of a run that is still out are never free to others.
        self.budget.give_back(len);
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
        snapshot.budget.get_or_insert_with(|| self.budget.usage());
        self.inner.observe(snapshot);
    }
}
