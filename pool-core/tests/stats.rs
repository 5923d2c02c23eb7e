//! Counters are exact.

use pool_core::{Heap, PageError, PageSource, Request, Run, Stats};
use std::thread;

#[test]
fn every_call_is_counted_once() {
    let source = Heap::new().counted();
    let granule = source.granule();
    let first = (&source).pages(3 * granule).unwrap();
    let second = (&source).pages(1).unwrap();
    drop(first);
    let third = (&source).pages(2 * granule).unwrap();
    (&source).pages(0).unwrap_err();
    let traffic = source.traffic();
    assert_eq!((traffic.acquired, traffic.released, traffic.refused), (3, 1, 1));
    assert_eq!((traffic.live_runs(), traffic.live_bytes), (2, 3 * granule));
    assert_eq!(traffic.peak_bytes, 4 * granule);
    drop((second, third));
    let traffic = source.traffic();
    assert_eq!((traffic.live_runs(), traffic.live_bytes), (0, 0));
    assert_eq!(source.snapshot().traffic, Some(traffic));
}

/// `Heap` with a decommit that says yes to runs of an even number of granules.
struct Decommits(Heap);

// SAFETY: every call goes to `Heap`; what `decommit` says to have zeroed, it has zeroed.
unsafe impl PageSource for Decommits {
    fn granule(&self) -> usize {
        self.0.granule()
    }
    fn acquire(&self, request: Request) -> Result<Run, PageError> {
        self.0.acquire(request)
    }
    unsafe fn release(&self, run: Run) {
        // SAFETY: the caller's promise.
        unsafe { self.0.release(run) }
    }
    unsafe fn decommit(&self, run: &mut Run) -> bool {
        let even = run.len() / self.granule() % 2 == 0;
        if even {
            // SAFETY: the caller owns the run.
            unsafe { run.ptr().write_bytes(0, run.len()) };
            *run = Run::new(run.ptr(), run.len()).with_zeroed(true);
        }
        even
    }
}

#[test]
fn only_what_was_returned_counts_as_decommitted() {
    let source = Stats::new(Decommits(Heap::new()));
    let granule = source.granule();
    let mut two = (&source).pages(2 * granule).unwrap();
    let mut three = (&source).pages(3 * granule).unwrap();
    assert!(two.decommit() && two.decommit() && !three.decommit());
    assert_eq!(source.traffic().decommitted_bytes, 4 * granule as u64);
    assert!(two.into_bytes().iter().all(|&byte| byte == 0));
}

#[test]
fn threads_lose_no_count() {
    let rounds = if cfg!(miri) { 20 } else { 2000 };
    let source = Heap::new().counted();
    let granule = source.granule();
    thread::scope(|scope| {
        for thread in 0..3 {
            let source = &source;
            scope.spawn(move || {
                for _ in 0..rounds {
                    let pages = source.pages((thread + 1) * granule).unwrap();
                    let traffic = source.traffic();
                    assert!((pages.len()..=6 * granule).contains(&traffic.live_bytes));
                    assert!(traffic.peak_bytes <= 6 * granule);
                }
            });
        }
    });
    let traffic = source.traffic();
    assert_eq!((traffic.acquired, traffic.released), (3 * rounds as u64, 3 * rounds as u64));
    assert_eq!(traffic.live_bytes, 0);
    assert!((3 * granule..=6 * granule).contains(&traffic.peak_bytes));
}
