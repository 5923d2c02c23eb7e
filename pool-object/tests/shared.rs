//! `SharedAlloc`: caches, slots, threads that end, heaps that go, memory that goes back.

use pool_core::{Failing, Heap, PageSource, Stats};
use pool_object::{BlockAlloc, ProcessStats, SharedAlloc, SharedHeap, SizeClass, usable_size};
use std::alloc::Layout;
use std::ptr::NonNull;
use std::sync::mpsc;
use std::sync::{Arc, Barrier, PoisonError, RwLock};
use std::thread;

/// A block that may go to another thread.
struct Block(NonNull<u8>, Layout);

// SAFETY: a block belongs to whoever has this value.
unsafe impl Send for Block {}

impl Block {
    fn new<S: PageSource>(heap: &SharedAlloc<S>, size: usize) -> Self {
        let layout = Layout::from_size_align(size, 8).unwrap();
        let block = Self(heap.allocate(layout), layout);
        // SAFETY: the block has so many bytes.
        unsafe { block.0.write_bytes(size as u8, size) };
        block
    }

    fn free<S: PageSource>(self, heap: &SharedAlloc<S>) {
        let Self(block, layout) = self;
        for at in [0, layout.size() - 1] {
            // SAFETY: within the block.
            let place = unsafe { block.add(at) };
            // SAFETY: as above, and `new` wrote it.
            assert_eq!(unsafe { place.read() }, layout.size() as u8);
        }
        // SAFETY: allocated from this heap for this layout, and freed once, since `self` goes.
        unsafe { heap.deallocate(block, layout) };
    }
}

fn counted() -> Stats<Heap> {
    Stats::new(Heap::new())
}

/// A process has slots for the caches of so many heaps only, and the tests run side by side: what needs
/// one runs while no other test has a heap.
static SLOTS: RwLock<()> = RwLock::new(());

/// For a test that does not ask whether its heaps have caches.
fn any_slot() -> impl Drop {
    SLOTS.read().unwrap_or_else(PoisonError::into_inner)
}

/// A heap that has thread caches, for a test that needs that.
fn heap_with_caches() -> (Arc<SharedAlloc<Stats<Heap>>>, impl Drop) {
    let alone = SLOTS.write().unwrap_or_else(PoisonError::into_inner);
    let heap = SharedAlloc::new_in(counted());
    Block::new(&heap, 8).free(&heap);
    assert!(heap.has_thread_caches());
    (Arc::new(heap), alone)
}

const ROUNDS: usize = if cfg!(miri) { 10 } else { 20_000 };
/// Blocks that a thread has at once.
const MANY: usize = if cfg!(miri) { 25 } else { 200 };
/// Of so many sizes.
const SIZES: usize = if cfg!(miri) { 5 } else { 40 };

#[test]
fn a_thread_gets_back_what_it_freed_last() {
    let (heap, _alone) = heap_with_caches();
    let first = Block::new(&heap, 40);
    let address = first.0;
    first.free(&heap);
    let second = Block::new(&heap, 33);
    assert_eq!(second.0, address);
    second.free(&heap);
    assert_eq!(heap.stats().live(), 0);
}

#[test]
fn every_size_and_alignment_is_served() {
    let _slot = any_slot();
    let heap = SharedAlloc::new_in(counted());
    let mut blocks = Vec::new();
    let (most, step) = if cfg!(miri) { (14, 6) } else { (22, 1) };
    for align in (0..most).step_by(step).map(|log2| 1 << log2) {
        for size in [0, 1, 7, 8, 9, 63, 100, 128, 129, 4000, 4097, 32 << 10, 40 << 10, 100_000] {
            let layout = Layout::from_size_align(size, align).unwrap();
            let block = heap.allocate_zeroed(layout);
            assert_eq!(block.addr().get() % align, 0, "{layout:?}");
            for at in [0, size / 2, size.saturating_sub(1)].into_iter().filter(|at| *at < size) {
                // SAFETY: within the block.
                let place = unsafe { block.add(at) };
                // SAFETY: as above, and the block is zeroed.
                assert_eq!(unsafe { place.read() }, 0);
            }
            // SAFETY: the block has so many bytes.
            unsafe { block.write_bytes(0xA5, size) };
            blocks.push((block, layout));
        }
    }
    assert_eq!(heap.stats().live(), blocks.len());
    heap.check().unwrap();
    for (block, layout) in blocks {
        // SAFETY: allocated above, freed once.
        unsafe { heap.deallocate(block, layout) };
    }
    assert_eq!(heap.stats().live(), 0);
    heap.trim();
    // The cache's ledger and the shared half.
    assert!(heap.source().traffic().live_bytes <= 512 << 10);
}

#[test]
fn blocks_are_relaid_in_place_within_their_class_or_run() {
    let _slot = any_slot();
    let heap = SharedAlloc::new_in(counted());
    let layout = |size| Layout::from_size_align(size, 8).unwrap();
    for (old, new, stays) in [
        (50, 56, true),
        (50, 57, false),
        (130, 144, true),
        (40 << 10, 36 << 10, true),
        (100 << 10, 40 << 10, false),
        (40 << 10, 200, false),
        (200, 40 << 10, false),
    ] {
        let block = heap.allocate(layout(old));
        // SAFETY: the block has so many bytes.
        unsafe { block.write_bytes(7, old) };
        // SAFETY: allocated above; only the result is used from here on.
        let moved = unsafe { heap.reallocate(block, layout(old), new) };
        assert_eq!(moved == block, stays, "{old} to {new}");
        let kept = old.min(new);
        // SAFETY: so many bytes were copied.
        let bytes = unsafe { std::slice::from_raw_parts(moved.as_ptr(), kept) };
        assert!(bytes.iter().all(|byte| *byte == 7));
        // SAFETY: allocated above, of the new layout now.
        unsafe { heap.deallocate(moved, layout(new)) };
    }
    assert_eq!(usable_size(layout(50)), 56);
    assert_eq!(heap.stats().live(), 0);
}

#[test]
fn blocks_are_freed_by_other_threads() {
    let _slot = any_slot();
    let heap = Arc::new(SharedAlloc::new_in(counted()));
    let (send, receive) = mpsc::channel::<Block>();
    let other = heap.clone();
    let thread = thread::spawn(move || receive.into_iter().for_each(|block| block.free(&other)));
    for n in 0..ROUNDS {
        send.send(Block::new(&heap, 8 + n % 300)).unwrap();
    }
    drop(send);
    thread.join().unwrap();
    assert_eq!(heap.stats().live(), 0);
    heap.check().unwrap();
}

#[test]
fn a_thread_that_only_frees_does_not_hoard() {
    let _slot = any_slot();
    let heap = Arc::new(SharedAlloc::new_in(counted()));
    let (send, receive) = mpsc::sync_channel::<Block>(64);
    let other = heap.clone();
    let thread = thread::spawn(move || receive.into_iter().for_each(|block| block.free(&other)));
    let mut most = 0;
    for n in 0..if cfg!(miri) { 4 } else { 20 } * ROUNDS {
        send.send(Block::new(&heap, 64)).unwrap();
        if n % 1024 == 0 {
            most = most.max(heap.source().traffic().live_bytes);
        }
    }
    drop(send);
    thread.join().unwrap();
    // 64 KiB for each of the two threads, the depot's 256 KiB, a span or two, and the ledgers'.
    assert!(most <= 1 << 20, "{most} bytes for 64 live blocks");
}

#[test]
fn the_end_of_a_thread_loses_nothing() {
    let _slot = any_slot();
    let heap = Arc::new(SharedAlloc::new_in(counted()));
    let mut after_first = 0;
    for round in 0..if cfg!(miri) { 2 } else { 200 } {
        let other = heap.clone();
        let work = move || {
            let blocks: Vec<_> =
                (0..MANY).map(|n| Block::new(&other, 8 + 8 * (n % SIZES))).collect();
            blocks.into_iter().for_each(|block| block.free(&other));
        };
        thread::spawn(work).join().unwrap();
        let stats = heap.stats();
        assert_eq!(stats.live(), 0);
        if round == 0 {
            after_first = stats.held_bytes();
        }
        assert_eq!(stats.held_bytes(), after_first, "round {round}");
    }
    heap.check().unwrap();
    heap.trim();
    assert_eq!(heap.stats().held_bytes(), 0);
}

/// Three threads, each of which has blocks of the others in its cache, end in each order; what they leave
/// is found by those that are left, and by those that come after.
#[test]
fn threads_end_in_every_order() {
    let _slot = any_slot();
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let heap = Arc::new(SharedAlloc::new_in(counted()));
    for (round, order) in orders.iter().cycle().take(if cfg!(miri) { 1 } else { 24 }).enumerate() {
        let mut threads: Vec<_> = (0..3_usize)
            .map(|number| {
                let heap = heap.clone();
                let (send, receive) = mpsc::channel::<Vec<Block>>();
                let (made, mine) = mpsc::channel();
                let thread = thread::spawn(move || {
                    let size = |n| 8 + 8 * ((n + number) % SIZES);
                    made.send((0..MANY).map(|n| Block::new(&heap, size(n))).collect::<Vec<_>>())
                        .unwrap();
                    // The blocks of another thread, until the sender is gone.
                    for blocks in receive {
                        blocks.into_iter().for_each(|block| block.free(&heap));
                        made.send(Vec::new()).unwrap();
                    }
                });
                (Some(send), mine, Some(thread))
            })
            .collect();
        let made: Vec<_> = threads.iter().map(|(_, mine, _)| mine.recv().unwrap()).collect();
        for (number, blocks) in made.into_iter().enumerate() {
            let (send, answers, _) = &threads[(number + 1) % 3];
            send.as_ref().unwrap().send(blocks).unwrap();
            answers.recv().unwrap();
        }
        for number in order {
            let (send, _, thread) = &mut threads[*number];
            drop(send.take());
            thread.take().unwrap().join().unwrap();
            heap.check().unwrap();
        }
        let stats = heap.stats();
        assert_eq!(stats.live(), 0, "{order:?}");
        // Forty classes, and those of the caches' own blocks; in each a span for every thread at the
        // most, when all of them need the first at once.
        assert!(stats.held_bytes() <= 140 << 16, "{order:?}, round {round}: {stats}");
    }
    heap.trim();
    assert_eq!(heap.stats().held_bytes(), 0);
}

#[test]
fn a_heap_goes_while_threads_have_caches_of_it() {
    let _slot = any_slot();
    // Twice as many heaps as there are slots, one after the other and at once, so that slots are
    // used again by threads that had a cache of another heap in them.
    let threads = 3;
    let (ready, go) = (Arc::new(Barrier::new(threads + 1)), Arc::new(Barrier::new(threads + 1)));
    let mut senders = Vec::new();
    let mut handles = Vec::new();
    for _ in 0..threads {
        let (send, receive) = mpsc::channel::<Arc<SharedAlloc<Stats<Heap>>>>();
        let (ready, go) = (ready.clone(), go.clone());
        senders.push(send);
        handles.push(thread::spawn(move || {
            for heap in receive {
                let blocks: Vec<_> =
                    (0..SIZES.min(30)).map(|n| Block::new(&heap, 16 + 100 * n)).collect();
                blocks.into_iter().for_each(|block| block.free(&heap));
                drop(heap);
                ready.wait();
                go.wait();
            }
        }));
    }
    for round in 0..if cfg!(miri) { 2 } else { 50 } {
        let kept: Vec<_> = (0..round % 18).map(|_| SharedAlloc::new_in(counted())).collect();
        let blocks: Vec<_> = kept.iter().map(|heap| Block::new(heap, 100)).collect();
        let heap = Arc::new(SharedAlloc::new_in(counted()));
        senders.iter().for_each(|send| send.send(heap.clone()).unwrap());
        ready.wait();
        drop(Arc::into_inner(heap).expect("the threads gave theirs back"));
        go.wait();
        for (block, heap) in blocks.into_iter().zip(&kept) {
            block.free(heap);
        }
    }
    drop(senders);
    handles.into_iter().for_each(|handle| handle.join().unwrap());
}

#[test]
fn dropping_a_heap_returns_all_its_runs() {
    let _slot = any_slot();
    let source = Arc::new(counted());
    {
        let heap = SharedAlloc::new_in(source.clone());
        for n in (0..2000).step_by(if cfg!(miri) { 60 } else { 1 }) {
            let _never_freed = Block::new(&heap, 8 + 97 * n % 70_000);
        }
        assert!(source.traffic().live_bytes > if cfg!(miri) { 1 << 20 } else { 10 << 20 });
    }
    assert_eq!(source.traffic().live_bytes, 0);
}

#[test]
fn heaps_may_move() {
    let _slot = any_slot();
    let mut heaps = vec![SharedAlloc::new_in(counted()), SharedAlloc::new_in(counted())];
    let blocks: Vec<_> = heaps.iter().map(|heap| Block::new(heap, 72)).collect();
    heaps.swap(0, 1);
    let moved: Vec<_> = heaps.into_iter().rev().map(Box::new).collect();
    for (block, heap) in blocks.into_iter().zip(&moved) {
        block.free(heap);
        assert_eq!(heap.stats().live(), 0);
    }
}

#[test]
fn more_heaps_than_slots_are_served() {
    let _alone = SLOTS.write().unwrap_or_else(PoisonError::into_inner);
    // Under Miri there are four slots.
    let count = if cfg!(miri) { 6 } else { 20 };
    let heaps: Vec<_> = (0..count).map(|_| SharedAlloc::new_in(counted())).collect();
    let mut blocks = Vec::new();
    for n in 0..2 * count.max(ROUNDS / 20) {
        let heap = &heaps[n % heaps.len()];
        blocks.push((n % heaps.len(), Block::new(heap, 8 + n % 500)));
    }
    // Other tests have heaps, too.
    let cached = heaps.iter().filter(|heap| heap.has_thread_caches()).count();
    let process = ProcessStats::now();
    assert!(cached <= if cfg!(miri) { 4 } else { 14 } && cached < count);
    assert!(process.heaps >= count && process.threads >= 1);
    assert!(process.without_caches >= count - cached, "{process}");
    assert!(process.sum.live() >= blocks.len() && process.sum.live_bytes() >= 8 * blocks.len());
    for (index, block) in blocks {
        block.free(&heaps[index]);
    }
    for heap in &heaps {
        assert_eq!(heap.stats().live(), 0);
        heap.check().unwrap();
    }
}

#[test]
fn empty_spans_go_back_without_a_call() {
    let _slot = any_slot();
    let heap = SharedAlloc::new_in(counted());
    let count = if cfg!(miri) { 300 } else { 400_000 };
    let mut blocks: Vec<_> = (0..count).map(|_| Block::new(&heap, 40)).collect();
    let full = heap.source().traffic().live_bytes;
    assert!(full as f64 <= 40.6 * count as f64 + 400_000.0, "{full}");
    let mut seed = 7_u64;
    for last in (1..blocks.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        blocks.swap(last, (seed >> 33) as usize % (last + 1));
    }
    blocks.into_iter().for_each(|block| block.free(&heap));
    // Spare spans, four quiet ones of the class (or 2 MiB), the ledger's, the shared half.
    let left = heap.source().traffic().live_bytes;
    assert!(left <= 3 << 20, "{left} of {full} bytes stay");
    heap.trim();
    let left = heap.source().traffic().live_bytes;
    assert!(left <= 160 << 10, "{left} bytes stay after a trim");
}

#[test]
fn trim_reaches_other_threads_when_they_come_back() {
    let (heap, _alone) = heap_with_caches();
    let (go, done) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (other, theirs) = (heap.clone(), (go.clone(), done.clone()));
    let thread = thread::spawn(move || {
        let blocks: Vec<_> = (0..MANY.min(100)).map(|_| Block::new(&other, 1400)).collect();
        blocks.into_iter().for_each(|block| block.free(&other));
        theirs.0.wait();
        theirs.1.wait();
        // An empty bin asks the shared half.
        Block::new(&other, 2000).free(&other);
        theirs.0.wait();
        theirs.1.wait();
    });
    let class = SizeClass::of(Layout::new::<[u64; 175]>()).unwrap();
    // (No class in which the heap has blocks of its own.)
    let cached = |heap: &SharedAlloc<_>| heap.stats().classes[class.index()].cached;
    go.wait();
    heap.trim();
    assert!(cached(&heap) > 0, "the other thread still has some");
    done.wait();
    go.wait();
    heap.trim();
    assert_eq!(cached(&heap), 0);
    done.wait();
    thread.join().unwrap();
}

#[test]
fn caches_stay_within_their_bounds() {
    let _slot = any_slot();
    let bound = 256 << 10;
    let heap = SharedAlloc::new_in(counted()).with_thread_bytes(bound).with_spare_bytes(0);
    let blocks: Vec<_> = SizeClass::all()
        .filter(|class| class.size() <= 4096)
        .step_by(if cfg!(miri) { 9 } else { 1 })
        .flat_map(|class| (0..SIZES).map(move |_| class.size()))
        .map(|size| Block::new(&heap, size))
        .collect();
    blocks.into_iter().for_each(|block| block.free(&heap));
    let before = heap.stats();
    heap.flush_thread();
    let depot = |stats: &pool_object::HeapStats| -> usize {
        stats.used_classes().map(|class| class.cached * class.class.size()).sum()
    };
    // What is left is the depot's alone: the difference was in the cache, at most a block a class
    // more than allowed.
    let after = heap.stats();
    assert!(depot(&before) <= depot(&after) + bound + 64 * 4096);

    let none = SharedAlloc::new_in(counted()).with_cache_bytes(0);
    let block = Block::new(&none, 100);
    block.free(&none);
    let class = SizeClass::of(Layout::new::<[u8; 100]>()).unwrap();
    none.trim();
    assert_eq!(none.stats().classes[class.index()].cached, 0);
}

#[test]
fn every_refusal_leaves_the_heap_whole() {
    let _slot = any_slot();
    let program = |heap: &SharedAlloc<Arc<Failing<Stats<Heap>>>>| {
        let mut refused = 0;
        let mut blocks = Vec::new();
        for n in 0..if cfg!(miri) { 15 } else { 60_usize } {
            let size = [16, 500, 3000, 20_000, 50_000][n % 5];
            let layout = Layout::from_size_align(size, 8).unwrap();
            match heap.try_allocate(layout) {
                Ok(block) => blocks.push((block, layout)),
                Err(_) => refused += 1,
            }
            if n % 7 == 6 {
                let (block, layout) = blocks.swap_remove(n % blocks.len());
                // SAFETY: allocated above, freed once.
                unsafe { heap.deallocate(block, layout) };
            }
        }
        heap.check().unwrap();
        for (block, layout) in blocks {
            // SAFETY: allocated above, freed once.
            unsafe { heap.deallocate(block, layout) };
        }
        assert_eq!(heap.stats().live(), 0);
        refused
    };
    let mut call = 0;
    loop {
        let source = Arc::new(Failing::nth(counted(), call));
        let refused = program(&SharedAlloc::new_in(source.clone()));
        assert_eq!(source.inner().traffic().live_bytes, 0, "call {call}");
        // The first ones are what every block needs.
        if refused == 0 && call > 30 {
            break;
        }
        call += if cfg!(miri) { 8 } else { 1 };
    }
}

#[test]
fn what_idles_is_given_back_before_a_refusal() {
    let _slot = any_slot();
    let heap = SharedAlloc::new_in(Heap::new().limited(1 << 20)).with_spare_bytes(1 << 20);
    let (count, size) = if cfg!(miri) { (120, 4000) } else { (500, 1000) };
    let blocks: Vec<_> = (0..count).map(|_| Block::new(&heap, size)).collect();
    blocks.into_iter().for_each(|block| block.free(&heap));
    // More than what is left of the budget while those spans are kept.
    let large = Block::new(&heap, 800 << 10);
    large.free(&heap);
    assert!(heap.try_allocate(Layout::new::<[u8; 2 << 20]>()).is_err());
}

#[test]
fn a_handle_keeps_its_heap() {
    let _slot = any_slot();
    let source = Arc::new(counted());
    let heap = SharedHeap::new_in(source.clone());
    let mut list = allocator_api2::vec::Vec::new_in(heap.clone());
    list.extend(0..1000_u64);
    drop(heap);
    let sum: u64 = thread::spawn(move || list.iter().sum()).join().unwrap();
    assert_eq!(sum, 499_500);
    assert_eq!(source.traffic().live_bytes, 0);
}

/// Random programs over vectors and hash maps on several threads, beside the standard ones.
#[test]
fn collections_behave_as_the_standard_ones() {
    let _slot = any_slot();
    use allocator_api2::vec::Vec as PoolVec;
    use hashbrown::HashMap as PoolMap;
    use std::collections::HashMap;

    type Shared = SharedHeap<Arc<Stats<Heap>>>;
    type Map = PoolMap<u64, PoolVec<u64, Shared>, hashbrown::DefaultHashBuilder, Shared>;

    fn program(heap: &Shared, mut seed: u64) -> (Map, HashMap<u64, Vec<u64>>) {
        let mut map: Map = PoolMap::with_hasher_in(Default::default(), heap.clone());
        let mut model: HashMap<u64, Vec<u64>> = HashMap::new();
        for step in 0..if cfg!(miri) { 50 } else { 5_000 } {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let key = (seed >> 33) % 100;
            match (seed >> 60) % 8 {
                0 => assert_eq!(map.remove(&key).is_some(), model.remove(&key).is_some()),
                1 => {
                    if let (Some(values), Some(expected)) = (map.get_mut(&key), model.get_mut(&key))
                    {
                        values.truncate(values.len() / 2);
                        values.shrink_to_fit();
                        expected.truncate(expected.len() / 2);
                    }
                }
                2 => map = map.clone(),
                _ => {
                    map.entry(key).or_insert_with(|| PoolVec::new_in(heap.clone())).push(step);
                    model.entry(key).or_default().push(step);
                }
            }
        }
        (map, model)
    }

    let heap = SharedHeap::new_in(Arc::new(counted()));
    let threads: Vec<_> = (0..3)
        .map(|seed| {
            let heap = heap.clone();
            thread::spawn(move || program(&heap, seed))
        })
        .collect();
    for thread in threads {
        let (map, model) = thread.join().unwrap();
        assert_eq!(map.len(), model.len());
        for (key, values) in &model {
            assert_eq!(map[key].as_slice(), values.as_slice());
        }
    }
    heap.check().unwrap();
    assert_eq!(heap.stats().live(), 0);
}

#[test]
#[cfg_attr(miri, ignore = "too long")]
fn without_caches_empty_spans_go_back_as_well() {
    let _slot = any_slot();
    let heap = SharedAlloc::new_in(counted()).with_cache_bytes(0);
    let mut blocks: Vec<_> = (0..100_000).map(|_| Block::new(&heap, 64)).collect();
    // From all spans in turn.
    blocks.sort_by_key(|block| (block.0.addr().get() % (64 << 10), block.0.addr().get()));
    blocks.into_iter().for_each(|block| block.free(&heap));
    let held = heap.source().traffic().live_bytes;
    assert!(held <= 3 << 20, "{held}");
}
