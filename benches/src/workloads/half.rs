//! `buddy-half`: 64 MiB, half of it out, runs of 4 KiB to 256 KiB come and go at random.
//!
//! 451 places hold a run each, of 2^0 to 2^6 pages with equal chance: 18.1 pages on average, so
//! half of the 16,384 pages are out, give or take 3 %. An operation takes one place at random,
//! allocates a run for it of any of the lengths, and frees what it held. The 4,096 operations are drawn before, and
//! repeated. This is the buddy's daily work: splits and merges of a few orders.
//! *Answers*: runs are aligned to their length, and disjoint.

use crate::case::Case;
use crate::engine::{Engine, Setup, Store};
use crate::engines::{Buddy, BuddySystemFrames, BuddySystemHeap, Mmap};
use crate::opaque::escape;
use crate::workloads::{PAGE, POOL_CORE, Random};
use std::time::Instant;

const PAGES: usize = 16_384;
const ORDERS: usize = 7;
const PLACES: usize = PAGES / 2 * ORDERS / ((1 << ORDERS) - 1);
const STEPS: usize = 4096;

pub(super) fn cases() -> Vec<Case> {
    vec![case::<Buddy>(), case::<Mmap>(), case::<BuddySystemHeap>(), case::<BuddySystemFrames>()]
}

fn case<E: Engine>() -> Case
where
    E::Store: Store,
{
    Case::new::<E>(POOL_CORE, "buddy-half", || {
        let mut half = Half::new(E::build(Setup { chunk: PAGE, capacity: PAGES * PAGE }));
        // Once round, so that the order of the free lists is that of daily work.
        half.run(STEPS as u64);
        half.check();
        Box::new(move |n| {
            let start = Instant::now();
            half.run(n);
            let elapsed = start.elapsed();
            half.check();
            elapsed
        })
    })
}

#[derive(Clone, Copy)]
struct Step {
    place: u16,
    order: u8,
}

struct Half<S: Store> {
    store: S,
    places: Vec<(S::Chunk, u8)>,
    steps: Vec<Step>,
    next: usize,
}

impl<S: Store> Half<S> {
    fn new(mut store: S) -> Self {
        let mut random = Random::new();
        let mut order = || random.below(ORDERS) as u8;
        let orders: Vec<_> = (0..PLACES).map(|_| order()).collect();
        let places = orders.into_iter().map(|order| (store.take(PAGE << order), order)).collect();
        let mut random = Random::new();
        let mut step =
            || Step { place: random.below(PLACES) as u16, order: random.below(ORDERS) as u8 };
        let steps = (0..STEPS).map(|_| step()).collect();
        Self { store, places, steps, next: 0 }
    }

    /// What is measured. The new run is taken before the old one is put back, so that the place is
    /// never vacant.
    #[inline(never)]
    fn run(&mut self, n: u64) {
        for _ in 0..n {
            let Step { place, order } = self.steps[self.next % STEPS];
            self.next += 1;
            let new = self.store.take(PAGE << order);
            escape(S::address(&new));
            let place = &mut self.places[usize::from(place)];
            let (old, _) = std::mem::replace(place, (new, order));
            self.store.put(old);
        }
    }

    fn check(&self) {
        let mut runs: Vec<_> = self
            .places
            .iter()
            .map(|(chunk, order)| (S::address(chunk).addr(), PAGE << order))
            .collect();
        runs.sort_unstable();
        assert!(runs.iter().all(|(address, len)| address % len == 0), "a run is not aligned");
        let disjoint = runs.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0);
        assert!(disjoint, "two runs overlap");
    }
}
