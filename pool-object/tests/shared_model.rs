//! A model test of `SharedAlloc` with several threads: each block is filled with its identity and
//! verified whenever it changes hands; threads come and go, heaps trim and flush in between.

use pool_core::{Heap, Stats};
use pool_object::{SharedAlloc, usable_size};
use std::alloc::Layout;
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex};
use std::thread;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 11) as usize % bound
    }
}

/// A live block, which its identity fills.
struct Block {
    place: NonNull<u8>,
    layout: Layout,
    identity: u64,
}

// SAFETY: a block belongs to whoever has this value.
unsafe impl Send for Block {}

/// Addresses of live blocks, by start, with their ends: no two may overlap.
type Map = Mutex<BTreeMap<usize, usize>>;

impl Block {
    /// The byte that stands at `at`.
    fn byte(&self, at: usize) -> u8 {
        (self.identity.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(at as u32 % 64)) as u8
    }

    /// Where it is looked at: all of a short block, the ends and some of a long one.
    fn places(&self) -> impl Iterator<Item = usize> + use<> {
        let size = self.layout.size();
        let step = (size / 64).max(1);
        (0..size).step_by(step).chain(size.checked_sub(1))
    }

    fn fill(&self) {
        for at in self.places() {
            // SAFETY: within the block, which is ours.
            let place = unsafe { self.place.add(at) };
            // SAFETY: as above.
            unsafe { place.write(self.byte(at)) };
        }
    }

    fn check(&self, len: usize) {
        for at in self.places().filter(|at| *at < len) {
            // SAFETY: within the block, which is ours.
            let place = unsafe { self.place.add(at) };
            // SAFETY: as above, and written by `fill`.
            let byte = unsafe { place.read() };
            assert_eq!(byte, self.byte(at), "{:?} at {at} of block {}", self.layout, self.identity);
        }
    }

    fn enter(&self, map: &Map) {
        let start = self.place.addr().get();
        let end = start + self.layout.size().max(1);
        let mut map = map.lock().unwrap();
        let before = map.range(..end).next_back();
        assert!(before.is_none_or(|(_, end)| *end <= start), "{:?} overlaps another", self.layout);
        map.insert(start, end);
    }

    fn leave(&self, map: &Map) {
        assert!(map.lock().unwrap().remove(&self.place.addr().get()).is_some());
    }
}

struct World {
    heap: SharedAlloc<Stats<Heap>>,
    map: Map,
    /// Blocks on their way from one thread to another.
    post: Mutex<Vec<Block>>,
}

impl World {
    fn layout(random: &mut Random) -> Layout {
        let size = match random.below(20) {
            0 => random.below(100_000),
            1..=3 => random.below(8_000),
            _ => random.below(300),
        };
        let align = 1 << if random.below(8) == 0 { random.below(13) } else { random.below(4) };
        Layout::from_size_align(size, align).unwrap()
    }

    fn allocate(&self, random: &mut Random, identity: u64) -> Block {
        let layout = Self::layout(random);
        let zeroed = random.below(4) == 0;
        let place =
            if zeroed { self.heap.allocate_zeroed(layout) } else { self.heap.allocate(layout) };
        assert_eq!(place.addr().get() % layout.align(), 0);
        let block = Block { place, layout, identity };
        if zeroed {
            for at in block.places() {
                // SAFETY: within the block, which is zeroed.
                let place = unsafe { block.place.add(at) };
                // SAFETY: as above.
                assert_eq!(unsafe { place.read() }, 0);
            }
        }
        block.enter(&self.map);
        block.fill();
        block
    }

    fn free(&self, block: &Block) {
        block.check(block.layout.size());
        block.leave(&self.map);
        // SAFETY: allocated from this heap for this layout; it left the model, so this is the end.
        unsafe { self.heap.deallocate(block.place, block.layout) };
    }

    fn resize(&self, block: &mut Block, random: &mut Random) {
        let old = block.layout;
        let new = Self::layout(random);
        block.check(old.size());
        block.leave(&self.map);
        // SAFETY: live, of this heap and layout; only the result is used from here on.
        block.place = unsafe { self.heap.try_relayout(block.place, old, new) }.unwrap();
        block.layout = new;
        assert!(usable_size(new) >= new.size());
        block.enter(&self.map);
        let kept = old.size().min(new.size());
        let looked = Block { layout: old, ..*block };
        looked.check(kept);
        block.fill();
    }

    /// What one thread does.
    fn work(&self, seed: u64, steps: usize) {
        let mut random = Random(seed.wrapping_mul(2).wrapping_add(0x1234_5677));
        let mut mine: Vec<Block> = Vec::new();
        for step in 0..steps {
            let identity = (seed << 32) + step as u64;
            let picked = (!mine.is_empty()).then(|| random.below(mine.len().max(1)));
            match (random.below(16), picked) {
                (0..=5, _) | (_, None) => mine.push(self.allocate(&mut random, identity)),
                (6..=9, Some(at)) => self.free(&mine.swap_remove(at)),
                (10, Some(at)) => self.resize(&mut mine[at], &mut random),
                (11..=12, Some(at)) => self.post.lock().unwrap().push(mine.swap_remove(at)),
                (13..=14, _) => mine.extend(self.post.lock().unwrap().pop()),
                _ if step % 50 == 0 => {
                    self.heap.trim();
                }
                _ if step % 50 == 1 => self.heap.flush_thread(),
                _ => {}
            }
        }
        mine.iter().for_each(|block| self.free(block));
    }
}

fn run(
    threads: u64,
    rounds: u64,
    steps: usize,
    configure: impl Fn(SharedAlloc<Stats<Heap>>) -> SharedAlloc<Stats<Heap>>,
) {
    let heap = configure(SharedAlloc::new_in(Stats::new(Heap::new())));
    let world = Arc::new(World { heap, map: Map::default(), post: Mutex::default() });
    for round in 0..rounds {
        let threads: Vec<_> = (0..threads)
            .map(|n| {
                let world = world.clone();
                thread::spawn(move || world.work(round * threads + n + 1, steps))
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        world.heap.check().unwrap();
        assert_eq!(world.heap.stats().live(), world.post.lock().unwrap().len());
    }
    let post = std::mem::take(&mut *world.post.lock().unwrap());
    post.iter().for_each(|block| world.free(block));
    assert_eq!(world.heap.stats().live(), 0);
    world.heap.trim();
    // The span in which this thread's cache keeps its ledger, and none that is empty: not even one
    // that was brought for a class which needed none in the end.
    let stats = world.heap.stats();
    assert!(stats.held_bytes() <= stats.table_bytes + (64 << 10), "{stats}");
}

const STEPS: usize = if cfg!(miri) { 60 } else { 20_000 };
const ROUNDS: u64 = if cfg!(miri) { 1 } else { 3 };

#[test]
fn four_threads_and_their_successors() {
    run(4, ROUNDS, STEPS, |heap| heap);
}

#[test]
fn little_may_be_kept() {
    run(3, ROUNDS, STEPS, |heap| heap.with_thread_bytes(20_000).with_spare_bytes(0));
}

#[test]
fn nothing_may_be_kept() {
    run(3, ROUNDS, STEPS / 2, |heap| heap.with_cache_bytes(0).with_spare_bytes(0));
}

#[test]
fn many_short_threads() {
    run(8, ROUNDS * 4, STEPS / 40, |heap| heap);
}
