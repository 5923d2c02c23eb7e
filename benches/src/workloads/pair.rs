//! `pair-16k`, `pair-64k`, `burst-16k`: acquire a run and release it, one thread, eight runs at hand.
//!
//! The length is a constant, as it is where a pool draws its chunks. The memory is not touched.
//! *Answers*: the sum of all addresses, which for a stack is that of one chunk each time,
//! and for a queue that of all chunks in turn.

use crate::case::Case;
use crate::engine::{Chunk, Engine, Order, Setup, Shared, Store};
use crate::engines::{
    ArrayQueueOf, Buddy, Cache, Global, LocalCache, Mmap, MutexVec, Null, SegQueueOf,
    ThreadLocalVec, Unmap, VecOf,
};
use crate::opaque::escape;
use crate::workloads::{PAGE, POOL_CORE};
use pool_core::Run;
use std::time::Instant;

/// Chunks that every engine has at hand.
pub const AT_HAND: usize = 8;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    length::<{ 16 << 10 }>("pair-16k", &mut cases);
    length::<{ 64 << 10 }>("pair-64k", &mut cases);
    bursts(&mut cases);
    cases
}

fn length<const LEN: usize>(name: &'static str, cases: &mut Vec<Case>) {
    cases.extend([
        alone::<Null, LEN>(name),
        alone::<LocalCache, LEN>(name),
        alone::<Global, LEN>(name),
        alone::<Cache, LEN>(name),
        alone::<Buddy, LEN>(name),
        alone::<Mmap, LEN>(name),
        alone::<VecOf<Chunk>, LEN>(name),
        alone::<VecOf<Run>, LEN>(name),
        alone::<ThreadLocalVec, LEN>(name),
        shared::<ArrayQueueOf<Chunk>, LEN>(name),
        shared::<ArrayQueueOf<Run>, LEN>(name),
        shared::<SegQueueOf<Chunk>, LEN>(name),
        shared::<MutexVec, LEN>(name),
        alone::<Unmap, LEN>(name).sample(256),
    ]);
}

/// Cases of `burst-16k`: eight chunks are taken, then put back; an operation is one of each.
///
/// In `pair` one slot is written and read over and over, which a processor that renames memory does
/// in no time at all, if only the code is simple enough for it: that of an owned `Vec` is. Here each
/// slot rests for a while.
fn bursts(cases: &mut Vec<Case>) {
    const NAME: &str = "burst-16k";
    const LEN: usize = 16 << 10;
    cases.extend([
        burst::<Null, LEN>(NAME),
        burst::<LocalCache, LEN>(NAME),
        burst::<Global, LEN>(NAME),
        burst::<Cache, LEN>(NAME),
        burst::<Buddy, LEN>(NAME),
        burst::<Mmap, LEN>(NAME),
        burst::<VecOf<Chunk>, LEN>(NAME),
        burst::<VecOf<Run>, LEN>(NAME),
        burst::<ThreadLocalVec, LEN>(NAME),
        burst::<ArrayQueueOf<Chunk>, LEN>(NAME),
        burst::<ArrayQueueOf<Run>, LEN>(NAME),
        burst::<MutexVec, LEN>(NAME),
    ]);
}

fn burst<E: Engine, const LEN: usize>(name: &'static str) -> Case
where
    E::Store: Store,
{
    Case::new::<E>(POOL_CORE, name, || {
        let mut store = E::build(setup(LEN));
        let all: usize = warm(&mut store, LEN).iter().fold(0, |sum, at| sum.wrapping_add(*at));
        Box::new(move |n| {
            let rounds = n.div_ceil(AT_HAND as u64);
            let start = Instant::now();
            let sum = burst_rounds::<_, LEN>(&mut store, rounds);
            let elapsed = start.elapsed();
            assert_eq!(sum, all.wrapping_mul(rounds as usize), "these are not the eight chunks");
            elapsed
        })
    })
}

#[inline(never)]
fn burst_rounds<S: Store, const LEN: usize>(store: &mut S, rounds: u64) -> usize {
    let mut sum = 0_usize;
    // Kept across rounds: an array that is built, moved and taken apart costs more than the store.
    let mut held: [Option<S::Chunk>; AT_HAND] = [const { None }; AT_HAND];
    for _ in 0..rounds {
        for place in &mut held {
            let chunk = store.take(LEN);
            escape(S::address(&chunk));
            sum = sum.wrapping_add(S::address(&chunk).addr());
            *place = Some(chunk);
        }
        for place in &mut held {
            if let Some(chunk) = place.take() {
                store.put(chunk);
            }
        }
    }
    sum
}

/// What an engine is built for: so much that a buddy is not full.
#[must_use]
pub fn setup(chunk: usize) -> Setup {
    Setup { chunk, capacity: chunk * AT_HAND }
}

fn alone<E: Engine, const LEN: usize>(name: &'static str) -> Case
where
    E::Store: Store,
{
    Case::new::<E>(POOL_CORE, name, || {
        let mut store = E::build(setup(LEN));
        let answers = Answers::new(E::ORDER, warm(&mut store, LEN));
        Box::new(move |n| {
            let start = Instant::now();
            let sum = pairs::<_, LEN>(&mut store, n);
            let elapsed = start.elapsed();
            answers.check(sum, n);
            elapsed
        })
    })
}

fn shared<E: Engine, const LEN: usize>(name: &'static str) -> Case
where
    E::Store: Shared,
{
    Case::new::<E>(POOL_CORE, name, || {
        let store = E::build(setup(LEN));
        let answers = Answers::new(E::ORDER, warm(&mut store.view(), LEN));
        Box::new(move |n| {
            let mut view = store.view();
            let start = Instant::now();
            let sum = pairs::<_, LEN>(&mut view, n);
            let elapsed = start.elapsed();
            answers.check(sum, n);
            elapsed
        })
    })
}

/// Takes [`AT_HAND`] chunks and puts them back; their addresses in that order.
pub fn warm<S: Store>(store: &mut S, len: usize) -> Vec<usize> {
    let chunks: Vec<_> = (0..AT_HAND).map(|_| store.take(len)).collect();
    let addresses = chunks.iter().map(|chunk| S::address(chunk).addr()).collect();
    chunks.into_iter().for_each(|chunk| store.put(chunk));
    addresses
}

/// What is measured.
#[inline(never)]
fn pairs<S: Store, const LEN: usize>(store: &mut S, n: u64) -> usize {
    let mut sum = 0_usize;
    for _ in 0..n {
        let chunk = store.take(LEN);
        let address = S::address(&chunk);
        escape(address);
        sum = sum.wrapping_add(address.addr());
        store.put(chunk);
    }
    sum
}

/// Sums of addresses that are right.
struct Answers {
    order: Order,
    addresses: Vec<usize>,
}

impl Answers {
    fn new(order: Order, addresses: Vec<usize>) -> Self {
        Self { order, addresses }
    }

    fn check(&self, sum: usize, n: u64) {
        let (n, sum_of) = (n as usize, |part: &[usize]| {
            part.iter().fold(0_usize, |sum, address| sum.wrapping_add(*address))
        });
        let right = match self.order {
            Order::Lifo => self.addresses.iter().any(|top| sum == n.wrapping_mul(*top)),
            Order::Fifo => {
                let rounds = sum_of(&self.addresses).wrapping_mul(n / AT_HAND);
                let twice = [&self.addresses[..], &self.addresses].concat();
                let rest = |from| sum_of(&twice[from..from + n % AT_HAND]);
                (0..AT_HAND).any(|from| sum == rounds.wrapping_add(rest(from)))
            }
            Order::Any => sum % PAGE == 0 && (n == 0 || sum != 0),
        };
        assert!(right, "{n} pairs came to {sum:x} of {:x?}", self.addresses);
    }
}
