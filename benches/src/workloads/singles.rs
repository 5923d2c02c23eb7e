//! `buddy-singles-1k`, `-8k`, `-64k`: so many free pages, none of which can merge.
//!
//! All pages are taken one by one, then every other one is freed: 1,024, 8,192 or 65,536 free
//! singles. An operation allocates one and frees one of 64 held, at random. Where the cost grows
//! with the number of singles, something is linear.
//! *Answers*: every page freed at first was another one; the pages held at the end differ, and were
//! free at first.

use crate::case::Case;
use crate::engine::{Engine, Setup, Store};
use crate::engines::{Buddy, BuddySystemFrames, BuddySystemHeap, Mmap};
use crate::opaque::escape;
use crate::workloads::{PAGE, POOL_CORE, Random};
use std::collections::BTreeSet;
use std::time::Instant;

const HELD: usize = 64;
const STEPS: usize = 4096;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, singles) in SIZES {
        cases.push(case::<Buddy>(name, singles));
        cases.push(case::<Mmap>(name, singles));
        // Its lists stand in the free pages and are searched: 64 Ki would be minutes of page faults.
        if singles <= 8192 {
            cases.push(case::<BuddySystemHeap>(name, singles).sample(256));
        }
        cases.push(case::<BuddySystemFrames>(name, singles));
    }
    cases
}

/// The workloads and their free singles.
pub const SIZES: [(&str, usize); 3] =
    [("buddy-singles-1k", 1 << 10), ("buddy-singles-8k", 8 << 10), ("buddy-singles-64k", 64 << 10)];

fn case<E: Engine>(name: &'static str, singles: usize) -> Case
where
    E::Store: Store,
{
    Case::new::<E>(POOL_CORE, name, move || {
        let store = E::build(Setup { chunk: PAGE, capacity: 2 * singles * PAGE });
        let mut work = Singles::new(store, singles);
        Box::new(move |n| {
            let start = Instant::now();
            work.run(n);
            let elapsed = start.elapsed();
            work.check();
            elapsed
        })
    })
}

struct Singles<S: Store> {
    store: S,
    held: Vec<S::Chunk>,
    /// Never put back: the buddies of the free ones.
    _between: Vec<S::Chunk>,
    /// Pages that were free at first.
    free: BTreeSet<usize>,
    steps: Vec<u8>,
    next: usize,
}

impl<S: Store> Singles<S> {
    fn new(mut store: S, singles: usize) -> Self {
        let all: Vec<_> = (0..2 * singles).map(|_| store.take(PAGE)).collect();
        let (mut odd, mut even): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|chunk| S::address(chunk).addr() / PAGE % 2 == 1);
        assert_eq!((odd.len(), even.len()), (singles, singles));
        let free: BTreeSet<_> = even.iter().map(|chunk| S::address(chunk).addr()).collect();
        assert_eq!(free.len(), singles, "a page was sold twice");
        let mut random = Random::new();
        for index in (1..singles).rev() {
            even.swap(index, random.below(index + 1));
        }
        even.drain(..).for_each(|chunk| store.put(chunk));
        odd.shrink_to_fit();
        let held = (0..HELD).map(|_| store.take(PAGE)).collect();
        let steps = (0..STEPS).map(|_| random.below(HELD) as u8).collect();
        Self { store, held, _between: odd, free, steps, next: 0 }
    }

    /// What is measured.
    #[inline(never)]
    fn run(&mut self, n: u64) {
        for _ in 0..n {
            let place = usize::from(self.steps[self.next % STEPS]);
            self.next += 1;
            let new = self.store.take(PAGE);
            escape(S::address(&new));
            let old = std::mem::replace(&mut self.held[place], new);
            self.store.put(old);
        }
    }

    fn check(&self) {
        let held: BTreeSet<_> = self.held.iter().map(|chunk| S::address(chunk).addr()).collect();
        assert_eq!(held.len(), HELD, "a page was sold twice");
        assert!(held.is_subset(&self.free), "a page was sold that was not free");
    }
}
