//! The suite is tested by sources that each break the contract in one way.

use pool_core::testing::Contract;
use pool_core::{Heap, PageError, PageSource, Request, Run, Snapshot, Traffic};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    OddGranule,
    TinyGranule,
    ShortRun,
    UnroundedRun,
    IgnoresAlign,
    SoldTwice,
    DirtyWhenFresh,
    TrustsTheFlagOfRelease,
    ClaimsZeros,
    DecommitDoesNothing,
    DecommitForgetsTheFlag,
    TakesLengthZero,
    TakesAnyAlign,
    TakesAnyLength,
    TrimTouchesLiveRuns,
    NeverReuses,
    NeverRefuses,
    ChargesRefusals,
    ReplacesWhatIsObserved,
    FollowsItsAddress,
    SoldTwiceToThreads,
    LosesRunsOfOtherThreads,
    DiesWithRunsOut,
}

/// A free list over `Heap`, right but for its fault. It owns all memory it ever had until it is
/// dropped, so that a suite that panics leaks nothing.
struct Faulty {
    fault: Fault,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Every run from `Heap`.
    all: Vec<Run>,
    free: Vec<Run>,
    live: Vec<Run>,
    live_bytes: usize,
    address: usize,
    /// Who acquired each live run, in the order of `live`.
    buyers: Vec<ThreadId>,
}

impl State {
    fn scribble(&self) {
        for run in &self.live {
            // SAFETY: the first byte of a run that is out, of memory that `all` owns.
            unsafe { run.ptr().write(0) };
        }
    }
}

impl Faulty {
    fn new(fault: Fault) -> Self {
        Self { fault, state: Mutex::default() }
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The request as it is served, malformed or not.
    fn round(&self, request: Request) -> Result<Request, PageError> {
        let granule = Heap::new().granule();
        match request.round_to(granule) {
            Err(PageError::ZeroLength) if self.is(Fault::TakesLengthZero) => {
                Request::new(1).round_to(granule)
            }
            Err(PageError::BadAlign { .. }) if self.is(Fault::TakesAnyAlign) => {
                Request::new(1).round_to(granule)
            }
            Err(PageError::TooLarge { .. }) if self.is(Fault::TakesAnyLength) => {
                Request::new(1).round_to(granule)
            }
            other => other,
        }
    }
}

/// The same run once more.
fn token(run: &Run) -> Run {
    Run::new(run.ptr(), run.len()).with_zeroed(run.is_zeroed())
}

const CAPACITY: usize = 4 << 20;

// SAFETY: it is not true, and that is the point; only the suite uses it, which touches nothing
// outside of the runs. All memory stays owned until the drop.
unsafe impl PageSource for Faulty {
    fn granule(&self) -> usize {
        match self.fault {
            Fault::OddGranule => 3 * Heap::new().granule(),
            Fault::TinyGranule => 64,
            // A run is always whole pages; half of this granule is one.
            Fault::UnroundedRun => 2 * Heap::new().granule(),
            _ => Heap::new().granule(),
        }
    }

    fn acquire(&self, request: Request) -> Result<Run, PageError> {
        let mut state = self.state();
        let address = std::ptr::from_ref(self).addr();
        if self.is(Fault::FollowsItsAddress) && address != state.address {
            state.scribble();
        }
        state.address = address;
        let mut asked = self.round(request)?;
        if self.is(Fault::UnroundedRun) {
            asked.align = asked.align.max(self.granule());
        }
        let fits = state.live_bytes + asked.len.max(asked.align) <= CAPACITY;
        if !fits && !self.is(Fault::NeverRefuses) {
            if self.is(Fault::ChargesRefusals) {
                state.live_bytes += 1;
            }
            let free = CAPACITY - state.live_bytes.min(CAPACITY);
            return Err(PageError::Exhausted { asked: asked.len, free, capacity: CAPACITY });
        }
        let me = std::thread::current().id();
        let other = state.buyers.last().is_some_and(|&buyer| buyer != me);
        if self.is(Fault::SoldTwice) || (self.is(Fault::SoldTwiceToThreads) && other) {
            let fits = |run: &&Run| run.len() >= asked.len && asked.align <= run.len();
            if let Some(run) = state.live.last().filter(fits) {
                return Ok(Run::new(run.ptr(), run.len()));
            }
        }

        let serves =
            |run: &Run| run.len() == asked.len && run.ptr().addr().get() % asked.align == 0;
        let recycled = state.free.iter().position(serves);
        let run = match recycled {
            Some(index) if !self.is(Fault::NeverReuses) => state.free.swap_remove(index),
            _ => {
                let run = Heap::new().acquire(asked.zeroed())?;
                state.all.push(token(&run));
                Run::new(run.ptr(), asked.len).with_zeroed(true)
            }
        };
        let dirty = match self.fault {
            Fault::DirtyWhenFresh => recycled.is_none(),
            Fault::ClaimsZeros => true,
            _ => false,
        };
        if request.zeroed && !(self.is(Fault::TrustsTheFlagOfRelease) && run.is_zeroed()) {
            // SAFETY: this run is not out.
            unsafe { run.ptr().write_bytes(0, run.len()) };
        }
        if dirty {
            // SAFETY: as above; every run is at least a granule.
            unsafe { run.ptr().write(1) };
        }
        state.live.push(token(&run));
        state.buyers.push(me);
        state.live_bytes += run.len();
        let (start, len) = (run.ptr(), run.len());
        let half = len / 2;
        let run = match self.fault {
            Fault::ShortRun if request.len > half => Run::new(start, half),
            // SAFETY: the run has at least one granule, which is longer than 64 bytes.
            Fault::IgnoresAlign => Run::new(unsafe { start.add(64) }, len),
            _ => Run::new(start, len),
        };
        Ok(run.with_zeroed(request.zeroed || self.is(Fault::ClaimsZeros)))
    }

    unsafe fn release(&self, run: Run) {
        let mut state = self.state();
        if let Some(index) = state.live.iter().position(|live| live.ptr() == run.ptr()) {
            let live = state.live.remove(index);
            let other = state.buyers.remove(index) != std::thread::current().id();
            if self.is(Fault::LosesRunsOfOtherThreads) && other {
                return;
            }
            if !self.is(Fault::NeverReuses) {
                state.live_bytes = state.live_bytes.saturating_sub(live.len());
            }
            state.free.push(live.with_zeroed(run.is_zeroed()));
        }
    }

    unsafe fn decommit(&self, run: &mut Run) -> bool {
        if !self.is(Fault::DecommitDoesNothing) {
            // SAFETY: the caller owns the run.
            unsafe { run.ptr().write_bytes(0, run.len()) };
        }
        *run = token(run).with_zeroed(!self.is(Fault::DecommitForgetsTheFlag));
        true
    }

    fn trim(&self) -> usize {
        if self.is(Fault::TrimTouchesLiveRuns) {
            self.state().scribble();
        }
        0
    }

    fn observe(&self, snapshot: &mut Snapshot) {
        if self.is(Fault::ReplacesWhatIsObserved) {
            *snapshot = Snapshot::default();
        }
        let live_bytes = self.state().live_bytes;
        snapshot.traffic.get_or_insert_with(|| {
            let mut traffic = Traffic::default();
            traffic.live_bytes = live_bytes;
            traffic
        });
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        let mut state = self.state();
        for run in std::mem::take(&mut state.all) {
            // SAFETY: it came from `Heap` with this length, and no one uses it any more.
            unsafe { Heap::new().release(run) };
        }
        let outlived = self.is(Fault::DiesWithRunsOut) && !state.live.is_empty();
        assert!(!outlived || std::thread::panicking(), "runs were out");
    }
}

fn verdict(fault: Fault) -> Result<(), String> {
    let small = Contract::new().most_bytes(CAPACITY).max_align(1 << 16).finite(true);
    let suite = small.ops(if cfg!(miri) { 60 } else { 500 }).outstanding(true);
    catch_unwind(AssertUnwindSafe(|| suite.check_shared(|| Faulty::new(fault)))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("").to_owned()
    })
}

#[test]
fn a_source_without_fault_passes() {
    assert_eq!(verdict(Fault::None), Ok(()));
}

macro_rules! catches {
    ($($test:ident: $fault:ident => $expected:literal,)*) => {$(
        #[test]
        fn $test() {
            let message = verdict(Fault::$fault).expect_err("the fault went unnoticed");
            assert!(message.contains($expected), "caught for another reason: {message}");
        }
    )*};
}

catches! {
    odd_granule: OddGranule => "clause 11 of PageSource: the granule",
    tiny_granule: TinyGranule => "is below the page size",
    short_run: ShortRun => "clause 11 of PageSource: Request",
    unrounded_run: UnroundedRun => "where the granule is",
    ignored_align: IgnoresAlign => "is not aligned to the granule",
    run_sold_twice: SoldTwice => "clause 1 of PageSource",
    dirty_fresh_run: DirtyWhenFresh => "clause 4 of PageSource",
    dirty_recycled_run: TrustsTheFlagOfRelease => "clause 4 of PageSource",
    false_claim_of_zeros: ClaimsZeros => "clause 4 of PageSource",
    decommit_that_does_nothing: DecommitDoesNothing => "does not read as zeros after decommit",
    decommit_without_flag: DecommitForgetsTheFlag => "disagree",
    length_zero: TakesLengthZero => "clause 11 of PageSource: Request { len: 0",
    odd_align: TakesAnyAlign => "clause 11 of PageSource: Request { len: 1, align: 0",
    overflowing_length: TakesAnyLength => "} gave Run",
    trim_that_touches_live_runs: TrimTouchesLiveRuns => "somebody wrote into",
    lost_memory: NeverReuses => "when all were back",
    endless_finite_source: NeverRefuses => "is said to be finite",
    charged_refusal: ChargesRefusals => "clause 8 of PageSource",
    observe_that_replaces: ReplacesWhatIsObserved => "observe: the figures",
    memory_inside_the_source: FollowsItsAddress => "somebody wrote into",
    run_sold_twice_to_threads: SoldTwiceToThreads => "clause 1 of PageSource",
    lost_runs_of_other_threads: LosesRunsOfOtherThreads => "back from other threads",
    death_with_runs_out: DiesWithRunsOut => "runs were out",
}
