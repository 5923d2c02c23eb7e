//! Collections over every handle on a heap behave as the standard ones: random programs, in which they
//! are cloned, split, joined, shrunk and dropped.

use allocator_api2::alloc::Allocator;
use allocator_api2::boxed::Box as PoolBoxed;
use allocator_api2::vec::Vec as PoolVec;
use allocator_api2_04::alloc::Allocator as Allocator04;
use allocator_api2_04::vec::Vec as Vec04;
use hashbrown::HashMap as PoolMap;
use pool_core::{Heap, Stats};
use pool_object::{
    BlockAlloc, Checked, GlobalHeap, LocalHeap, SharedAlloc, SharedHeap, SmallAlloc, Traced,
};
use std::collections::HashMap;
use std::thread;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) as usize % bound
    }
}

const STEPS: usize = if cfg!(miri) { 60 } else { 1500 };

/// A value that owns a block itself.
type Word<A> = PoolBoxed<[u8], A>;

fn word<A: Allocator>(number: usize, heap: A) -> Word<A> {
    let mut bytes = PoolVec::new_in(heap);
    bytes.extend_from_slice(&vec![number as u8; number % 70]);
    bytes.into_boxed_slice()
}

fn vectors<A: Allocator + Clone>(heap: &A, seed: u64) {
    let mut random = Random(seed);
    let mut ours: PoolVec<Word<A>, A> = PoolVec::new_in(heap.clone());
    let mut theirs: Vec<Box<[u8]>> = Vec::new();
    let plain = |number: usize| vec![number as u8; number % 70].into_boxed_slice();
    for step in 0..STEPS {
        let at = random.below(ours.len() + 1);
        match random.below(16) {
            0..6 => {
                ours.push(word(step, heap.clone()));
                theirs.push(plain(step));
            }
            6 => {
                ours.insert(at, word(step, heap.clone()));
                theirs.insert(at, plain(step));
            }
            7 | 8 if at < ours.len() => assert_eq!(*ours.swap_remove(at), *theirs.swap_remove(at)),
            9 => {
                let (mut tail, other) = (ours.split_off(at), theirs.split_off(at));
                assert_eq!(tail.len(), other.len());
                tail.append(&mut ours);
                ours = tail;
                theirs = other.into_iter().chain(theirs).collect();
            }
            10 => {
                let copy = ours.clone();
                drop(std::mem::replace(&mut ours, copy));
            }
            11 => {
                ours.retain(|word| word.len() % 3 != 0);
                theirs.retain(|word| word.len() % 3 != 0);
                ours.shrink_to_fit();
            }
            12 => {
                drop(ours.drain(at / 2..at));
                drop(theirs.drain(at / 2..at));
            }
            13 => {
                ours.sort_by(|one, other| one.as_ref().cmp(other.as_ref()));
                theirs.sort();
            }
            14 => {
                ours.reserve(at);
                ours.dedup_by(|one, other| **one == **other);
                theirs.dedup();
            }
            _ => {
                let boxed = ours.into_boxed_slice();
                assert_eq!(boxed.len(), theirs.len());
                ours = boxed.into_vec();
            }
        }
        assert_eq!(ours.len(), theirs.len());
    }
    assert!(ours.iter().zip(&theirs).all(|(ours, theirs)| **ours == **theirs));
}

fn vectors04<A: Allocator04 + Clone>(heap: &A, seed: u64) {
    let mut random = Random(seed);
    let mut ours: Vec04<Vec04<u16, A>, A> = Vec04::new_in(heap.clone());
    let mut theirs: Vec<Vec<u16>> = Vec::new();
    for step in 0..STEPS {
        match random.below(8) {
            0..3 => {
                ours.push(Vec04::new_in(heap.clone()));
                theirs.push(Vec::new());
            }
            3 if !ours.is_empty() => assert_eq!(*ours.pop().unwrap(), theirs.pop().unwrap()),
            4 => {
                ours = ours.clone();
                ours.shrink_to_fit();
            }
            _ if !ours.is_empty() => {
                let at = random.below(ours.len());
                for number in 0..random.below(40) {
                    ours[at].push((step + number) as u16);
                    theirs[at].push((step + number) as u16);
                }
            }
            _ => {}
        }
    }
    assert!(ours.len() == theirs.len() && ours.iter().zip(&theirs).all(|(a, b)| **a == **b));
}

type Map<A> = PoolMap<usize, PoolVec<usize, A>, hashbrown::DefaultHashBuilder, A>;

/// Both maps, so that another thread may compare and drop them.
fn maps<A: Allocator + Clone>(heap: &A, seed: u64) -> (Map<A>, HashMap<usize, Vec<usize>>) {
    let mut random = Random(seed);
    let mut ours: Map<A> = PoolMap::with_hasher_in(Default::default(), heap.clone());
    let mut theirs: HashMap<usize, Vec<usize>> = HashMap::new();
    for step in 0..STEPS {
        let key = random.below(300);
        match random.below(16) {
            0..3 => {
                let removed = ours.remove(&key).map(|values| values.to_vec());
                assert_eq!(removed, theirs.remove(&key));
            }
            3 => {
                ours = ours.clone();
                theirs = theirs.clone();
            }
            4 => {
                ours.retain(|key, _| key % 7 != step % 7);
                theirs.retain(|key, _| key % 7 != step % 7);
            }
            5 => ours.shrink_to_fit(),
            6 => ours.reserve(key),
            _ => {
                ours.entry(key).or_insert_with(|| PoolVec::new_in(heap.clone())).push(step);
                theirs.entry(key).or_default().push(step);
            }
        }
    }
    (ours, theirs)
}

fn compare<A: Allocator>(ours: &Map<A>, theirs: &HashMap<usize, Vec<usize>>) {
    assert_eq!(ours.len(), theirs.len());
    assert!(theirs.iter().all(|(key, values)| *ours[key] == **values));
}

fn all<A: Allocator + Allocator04 + Clone>(heap: &A, seed: u64) {
    vectors(heap, seed);
    vectors04(heap, seed);
    let (ours, theirs) = maps(heap, seed);
    compare(&ours, &theirs);
}

#[test]
fn over_a_heap_for_one_thread() {
    let heap = LocalHeap::new_in(Stats::new(Heap::new()));
    for seed in 1..4 {
        all(&heap, seed);
        all(&&*heap, seed);
    }
    assert_eq!((heap.stats().live(), heap.check()), (0, Ok(())));
    heap.trim();
    assert_eq!(heap.source().traffic().live_bytes, 0);
}

#[test]
fn over_a_heap_for_all_threads() {
    let heap = SharedHeap::new_in(Stats::new(Heap::new()));
    let threads: Vec<_> = (1..4)
        .map(|seed| {
            let heap = heap.clone();
            thread::spawn(move || {
                all(&heap, seed);
                all(&&*heap, seed);
            })
        })
        .collect();
    // Not a scope, which does not wait for what a thread does at its end.
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!((heap.stats().live(), heap.check()), (0, Ok(())));
}

/// What one thread has made is read, changed and dropped by another, and after the first has ended.
#[test]
fn over_a_heap_for_all_threads_from_hand_to_hand() {
    let heap = SharedHeap::new_in(Stats::new(Heap::new()));
    for seed in 1..4 {
        let makers: Vec<_> = (0..2)
            .map(|number| {
                let heap = heap.clone();
                thread::spawn(move || maps(&heap, seed + 10 * number))
            })
            .collect();
        let made: Vec<_> = makers.into_iter().map(|maker| maker.join().unwrap()).collect();
        let heap = heap.clone();
        thread::spawn(move || {
            for (mut ours, mut theirs) in made {
                compare(&ours, &theirs);
                for key in 0..100 {
                    ours.entry(key).or_insert_with(|| PoolVec::new_in(heap.clone())).push(key);
                    theirs.entry(key).or_default().push(key);
                }
                ours.shrink_to_fit();
                compare(&ours.clone(), &theirs);
            }
        })
        .join()
        .unwrap();
    }
    assert_eq!((heap.stats().live(), heap.check()), (0, Ok(())));
}

#[test]
#[cfg_attr(miri, ignore = "needs the system's pages")]
fn over_the_heap_of_the_process() {
    thread::scope(|scope| {
        for seed in 1..4 {
            scope.spawn(move || all(&GlobalHeap, seed));
        }
    });
    GlobalHeap::heap().check().unwrap();
}

#[test]
#[cfg_attr(miri, ignore = "needs the system's pages")]
fn over_the_layers() {
    fn both<A: BlockAlloc>(inner: A) {
        let traced = Traced::new(Checked::new(inner));
        all(&&traced, 5);
        assert_eq!((traced.samples(), traced.inner().live()), (0, 0));
        traced.inner().check();
    }
    both(SmallAlloc::new_in(Heap::new()));
    both(SharedAlloc::new_in(Heap::new()));
}
