//! Heaps that live at their source's limit: what one class needs comes from what idles in another, at a
//! cost in proportion, and nothing is refused that would fit.
#![cfg(not(miri))]

use core::alloc::Layout;
use core::ptr::NonNull;
use pool_core::{Heap, Limit, PageSource, Stats, Traffic};
use pool_object::{AllocError, HeapStats, SharedAlloc, SizeClass, SmallAlloc};

type Source = Stats<Limit<Heap>>;

const SPAN: usize = 64 << 10;
const HOT: Layout = Layout::new::<[u64; 5]>();
/// They have one span in turn.
const TURNS: [Layout; 2] = [Layout::new::<[u64; 24]>(), Layout::new::<[u64; 32]>()];
const ROUNDS: usize = 200;

fn source(bytes: usize) -> Source {
    Heap::new().limited(bytes).counted()
}

/// What the tests need of either heap.
trait AtLimit {
    fn try_new(&self, layout: Layout) -> Result<NonNull<u8>, AllocError>;
    fn free(&self, block: NonNull<u8>, layout: Layout);
    fn look(&self) -> (HeapStats, Traffic);
    fn give_all(&self);

    /// Free blocks of a layout that need not be looked for in a span.
    fn cached(&self, layout: Layout) -> usize {
        self.look().0.classes[SizeClass::of(layout).unwrap().index()].cached
    }

    fn calls(&self) -> u64 {
        let traffic = self.look().1;
        traffic.acquired + traffic.refused + traffic.released
    }

    fn fill(&self, layout: Layout, count: usize) -> Vec<NonNull<u8>> {
        (0..count).map_while(|_| self.try_new(layout).ok()).collect()
    }

    fn free_all(&self, layout: Layout, blocks: impl IntoIterator<Item = NonNull<u8>>) {
        blocks.into_iter().for_each(|block| self.free(block, layout));
    }
}

macro_rules! at_limit {
    ($heap:ty) => {
        impl AtLimit for $heap {
            fn try_new(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
                self.try_allocate(layout)
            }
            fn free(&self, block: NonNull<u8>, layout: Layout) {
                // SAFETY: the tests free each block once, with its layout.
                unsafe { self.deallocate(block, layout) };
            }
            fn look(&self) -> (HeapStats, Traffic) {
                (self.stats(), self.source().traffic())
            }
            fn give_all(&self) {
                self.trim();
            }
        }
    };
}
at_limit!(SmallAlloc<Source>);
at_limit!(SharedAlloc<Source>);

/// A heap in which nearly everything is used for good, and the rest changes class all the time.
fn live_at_the_limit(heap: &impl AtLimit) {
    let mut kept = heap.fill(HOT, usize::MAX);
    let few = kept.len() - 3 * SPAN / HOT.size();
    heap.free_all(HOT, kept.drain(few..));
    let round = |number: usize| {
        let layout = TURNS[number % 2];
        let count = SPAN / layout.size() - 1;
        let mut blocks = Vec::new();
        for _ in 0..count {
            blocks.push(heap.try_new(layout).expect("it fits"));
            let hot = heap.try_new(HOT).expect("it fits");
            heap.free(hot, HOT);
        }
        heap.free_all(layout, blocks);
        3 * count
    };
    let warm: usize = (0..10).map(round).sum();
    assert!(warm > 0);
    let (calls, mut operations, mut cold) = (heap.calls(), 0, 0);
    for number in 0..ROUNDS {
        operations += round(number);
        cold += usize::from(heap.cached(HOT) == 0);
    }
    let calls = heap.calls() - calls;
    // A refusal, a span back, a span; and now and then a try to have an array.
    assert!(calls as usize <= 3 * ROUNDS + operations / 32, "{calls} in {operations} operations");
    assert!(calls as usize >= ROUNDS, "they do not need each other's span: {calls}");
    assert_eq!(cold, 0, "of {ROUNDS}: the others' need cost this class its free blocks");
    heap.free_all(HOT, kept);
}

#[test]
fn small_heaps_live_at_their_limit() {
    live_at_the_limit(&SmallAlloc::new_in(source(12 * SPAN)));
}

#[test]
fn shared_heaps_live_at_their_limit() {
    live_at_the_limit(&SharedAlloc::new_in(source(24 * SPAN)));
}

/// What cannot be had, whatever is given back, costs nobody anything.
fn refuse_the_impossible(heap: &impl AtLimit) {
    let blocks = heap.fill(HOT, 3000);
    let (kept, freed) = blocks.split_at(1500);
    heap.free_all(HOT, freed.iter().copied());
    let impossible = Layout::new::<[u8; 20 * SPAN]>();
    // The table of large blocks is there from now on.
    assert!(heap.try_new(impossible).is_err());
    let (cached, before) = (heap.cached(HOT), heap.look().1);
    for _ in 0..100 {
        assert!(heap.try_new(impossible).is_err());
    }
    let after = heap.look().1;
    assert!(cached > 0 && heap.cached(HOT) == cached);
    assert_eq!((after.acquired, after.released), (before.acquired, before.released));
    heap.free_all(HOT, kept.iter().copied());
}

#[test]
fn small_heaps_give_nothing_for_what_is_impossible() {
    refuse_the_impossible(&SmallAlloc::new_in(source(12 * SPAN)));
}

#[test]
fn shared_heaps_give_nothing_for_what_is_impossible() {
    refuse_the_impossible(&SharedAlloc::new_in(source(12 * SPAN)));
}

/// Everything idles, in all ways that there are; then one block needs all of it.
fn give_everything(heap: &impl AtLimit, most: usize) {
    for round in 0..3 {
        for class in SizeClass::all().filter(|class| class.span_len() == SPAN).step_by(7) {
            let layout = Layout::from_size_align(class.size(), 8).unwrap();
            let blocks = heap.fill(layout, class.blocks() / 2 * (round + 1));
            assert!(!blocks.is_empty());
            // Not in their order, so that spans become empty late.
            let (even, odd): (Vec<_>, Vec<_>) = (0..).zip(blocks).partition(|(at, _)| at % 2 == 0);
            heap.free_all(layout, even.into_iter().chain(odd).map(|(_, block)| block));
        }
        let large = Layout::from_size_align(most, 8).unwrap();
        let block = heap.try_new(large).expect("all the rest idles");
        heap.free(block, large);
    }
}

#[test]
fn small_heaps_give_everything() {
    // A page is the table's of large blocks.
    give_everything(&SmallAlloc::new_in(source(12 * SPAN)), 12 * SPAN - (4 << 10));
}

#[test]
fn shared_heaps_give_everything() {
    // And what this thread's cache and the shared half stand in.
    give_everything(&SharedAlloc::new_in(source(24 * SPAN)), 22 * SPAN);
}

/// Whatever is refused would be refused by a heap that has given back all that idles, too.
fn refuse_nothing_that_fits(heap: &impl AtLimit) {
    let mut seed = 5u64;
    let mut random = move |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize % below
    };
    let (mut live, mut refused) = (Vec::new(), 0);
    for step in 0..30_000 {
        // It fills up, then less is used, and again.
        let grow = if step / 3_000 % 2 == 0 { 6 } else { 3 };
        if live.is_empty() || random(10) < grow {
            let most = [64, 512, 4096, 40_000, 200_000][random(50) * random(50) / 501];
            let layout = Layout::from_size_align(1 + random(most), 8).unwrap();
            match heap.try_new(layout) {
                Ok(block) => live.push((block, layout)),
                Err(error) => {
                    refused += 1;
                    heap.give_all();
                    assert!(heap.try_new(layout).is_err(), "{step}: {error}, but it fits");
                }
            }
        } else {
            let (block, layout) = live.swap_remove(random(live.len()));
            heap.free(block, layout);
        }
    }
    assert!(refused > 50, "{refused}");
    live.into_iter().for_each(|(block, layout)| heap.free(block, layout));
}

#[test]
fn small_heaps_refuse_nothing_that_fits() {
    for spans in [5, 20, 60] {
        refuse_nothing_that_fits(&SmallAlloc::new_in(source(spans * SPAN)));
    }
}

#[test]
fn shared_heaps_refuse_nothing_that_fits() {
    for spans in [10, 20, 60] {
        refuse_nothing_that_fits(&SharedAlloc::new_in(source(spans * SPAN)));
    }
}
