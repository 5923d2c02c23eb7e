//! `SyncArena`: disjoint memory for threads that meet, refusals, cleanups, what a reset keeps, and
//! futures that hold its `&` across `.await`.

mod noted;

use self::noted::{Log, noted, panicking, take};
use pool_arena::{AllocError, ArenaBuilder, SyncArena, arena_format};
use pool_core::{Failing, Fixed, Global, Heap, PageError, PageSource, Request, Run, Stats};
use static_assertions::{assert_impl_all, assert_not_impl_any};
use std::alloc::Layout;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

assert_impl_all!(SyncArena: Send, Sync, Default);
assert_not_impl_any!(SyncArena: Clone);
assert_impl_all!(SyncArena<Fixed<'static>>: Send);
assert_not_impl_any!(SyncArena<Fixed<'static>>: Sync);
assert_impl_all!(SyncArena<Arc<Heap>>: Send, Sync);
assert_not_impl_any!(SyncArena<Rc<Heap>>: Send, Sync);
assert_not_impl_any!(SyncArena<&'static Fixed<'static>>: Send, Sync);

const THREADS: usize = if cfg!(miri) { 3 } else { 4 };

/// An object, what its bytes are filled with, and what is asked of its place.
struct Block {
    bytes: &'static mut [u8],
    seed: u8,
    align: usize,
}

/// Numbers that differ.
fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
    *seed >> 33
}

fn layout(seed: &mut u64) -> Layout {
    let size = match random(seed) % 16 {
        0 => 70_000,
        1 => 0,
        2..5 => random(seed) % 5_000,
        _ => random(seed) % 100,
    };
    let align = match random(seed) % 32 {
        0 => 1 << (random(seed) % 17),
        _ => 1 << (random(seed) % 5),
    };
    Layout::from_size_align(size as usize, align).unwrap()
}

/// Places an object and fills it.
fn block<S: PageSource>(
    arena: &SyncArena<S>,
    layout: Layout,
    seed: u8,
) -> Result<Block, AllocError> {
    let place = arena.try_alloc_layout(layout)?;
    // SAFETY: ours until the arena is reset, which the tests do when they have dropped all blocks.
    unsafe { place.write_bytes(seed, layout.size()) };
    // SAFETY: as above, initialised just now.
    let bytes = unsafe { std::slice::from_raw_parts_mut(place.as_ptr(), layout.size()) };
    Ok(Block { bytes, seed, align: layout.align() })
}

/// By `memcmp`, which is fast under Miri, too.
fn is_full_of(bytes: &[u8], byte: u8) -> bool {
    bytes == vec![byte; bytes.len()]
}

/// All are aligned, as they were filled, and disjoint.
fn verify(blocks: &[Block]) {
    let mut ends = Vec::new();
    for block in blocks {
        let start = block.bytes.as_ptr().addr();
        assert_eq!(start % block.align, 0);
        assert!(is_full_of(block.bytes, block.seed));
        if !block.bytes.is_empty() {
            ends.push((start, start + block.bytes.len()));
        }
    }
    ends.sort_unstable();
    assert!(ends.windows(2).all(|pair| pair[0].1 <= pair[1].0), "two objects overlap");
}

/// Threads that all allocate at once; all that they got.
fn crowd<S: PageSource + Sync>(arena: &SyncArena<S>, each: usize) -> Vec<Block> {
    let barrier = Barrier::new(THREADS);
    thread::scope(|scope| {
        let work = |thread: usize| {
            let barrier = &barrier;
            move || {
                let mut seed = thread as u64 * 977;
                barrier.wait();
                let place = |number| {
                    let filling = (thread * 50 + number % 50) as u8;
                    block(arena, layout(&mut seed), filling)
                };
                (0..each).map(place).collect::<Result<Vec<_>, _>>()
            }
        };
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(work(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap().unwrap()).collect()
    })
}

#[test]
fn threads_get_disjoint_memory() {
    let source = Heap::new().counted();
    let mut arena = SyncArena::new_in(&source);
    for _ in 0..3 {
        let blocks = crowd(&arena, if cfg!(miri) { 25 } else { 2_000 });
        verify(&blocks);
        let stats = arena.stats();
        assert_eq!(stats.held, stats.chunk_bytes + stats.spare_bytes + stats.large_bytes);
        assert_eq!(stats.held, source.traffic().live_bytes);
        drop(blocks);
        arena.reset();
        let stats = arena.stats();
        assert_eq!((stats.held, stats.large), (stats.chunk_bytes + stats.spare_bytes, 0));
        assert!(stats.held <= 1 << 20);
    }
    drop(arena);
    assert_eq!(source.traffic().live_bytes, 0);
}

#[test]
fn small_objects_of_threads_fill_chunks_without_holes() {
    let arena = SyncArena::builder().first_chunk(1 << 20).build_sync_in(Heap::new());
    arena.alloc(0u64);
    let free = arena.chunk_capacity();
    let each = if cfg!(miri) { 30 } else { 5_000 };
    let addresses = Mutex::new(BTreeSet::new());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mine: Vec<_> = (0..each).map(|number| arena.alloc(number)).collect();
                assert!(mine.iter().enumerate().all(|(index, value)| **value == index));
                let mine = mine.into_iter().map(|value| std::ptr::from_mut(value).addr());
                addresses.lock().unwrap().extend(mine);
            });
        }
    });
    let total = each * THREADS;
    assert_eq!(arena.chunk_capacity(), free - 8 * total);
    let addresses = addresses.into_inner().unwrap();
    assert_eq!(addresses.len(), total);
    assert_eq!(addresses.last().unwrap() - addresses.first().unwrap(), 8 * (total - 1));
}

/// A heap in which a request of `slow` bytes or more stays until the gate is open.
struct Gate {
    heap: Heap,
    slow: usize,
    inside: AtomicBool,
    open: AtomicBool,
}

// SAFETY: passes everything on.
unsafe impl PageSource for Gate {
    fn granule(&self) -> usize {
        self.heap.granule()
    }
    fn acquire(&self, request: Request) -> Result<Run, PageError> {
        if request.len >= self.slow {
            self.inside.store(true, SeqCst);
            while !self.open.load(SeqCst) {
                thread::yield_now();
            }
        }
        self.heap.acquire(request)
    }
    unsafe fn release(&self, run: Run) {
        // SAFETY: the caller's promise, about the same source.
        unsafe { self.heap.release(run) };
    }
}

/// Opens the gate, also when the test fails: the thread behind it is waited for.
struct Opens<'a>(&'a Gate);

impl Drop for Opens<'_> {
    fn drop(&mut self) {
        self.0.open.store(true, SeqCst);
    }
}

#[test]
fn nobody_waits_for_a_thread_that_is_stopped_in_growth() {
    let (inside, open) = (AtomicBool::new(false), AtomicBool::new(false));
    let gate = Gate { heap: Heap::new(), slow: 1 << 16, inside, open };
    let arena = SyncArena::builder().first_chunk(1 << 16).build_sync_in(&gate);
    thread::scope(|scope| {
        let opens = Opens(&gate);
        let stopped = scope.spawn(|| arena.alloc(7u64));
        while !gate.inside.load(SeqCst) {
            thread::yield_now();
        }
        // One thread is in the source, and stays there: chunks of a page each, as they are needed.
        let mut values: Vec<_> = (0..1_000u64).map(|number| arena.alloc(number)).collect();
        assert!(values.iter_mut().enumerate().all(|(index, value)| **value == index as u64));
        let stats = arena.stats();
        assert_eq!(stats.chunk_bytes, stats.chunks * gate.granule());
        assert!(stats.chunks <= 8_000 / 4_000 + 1);
        drop(opens);
        assert_eq!(*stopped.join().unwrap(), 7);
    });
    assert!(arena.chunk_capacity() > 60_000, "the long chunk is the tip now");
}

#[test]
fn a_crowd_does_not_multiply_the_memory() {
    let rounds = if cfg!(miri) { 2 } else { 200 };
    for _ in 0..rounds {
        let arena = SyncArena::builder().first_chunk(1 << 18).build_sync_in(Heap::new());
        let barrier = Barrier::new(THREADS);
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let (arena, barrier) = (&arena, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    assert_eq!(*arena.alloc(thread), thread);
                });
            }
        });
        // One long chunk at most, and a short one for each other thread.
        let page = Heap::new().granule();
        assert!(arena.allocated_bytes_including_metadata() <= (1 << 18) + (THREADS - 1) * page);
    }
}

#[test]
fn the_limit_is_never_passed_and_refusals_say_so() {
    let limit = 256 << 10;
    let arena = SyncArena::builder().limit(limit).build_sync_in(Heap::new());
    let refused = AtomicUsize::new(0);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (arena, refused) = (&arena, &refused);
            scope.spawn(move || {
                let mut blocks = Vec::new();
                let mut seed = thread as u64;
                let number = if cfg!(miri) { 30 } else { 1_000 };
                for _ in 0..number {
                    match block(arena, layout(&mut seed), thread as u8) {
                        Ok(block) => blocks.push(block),
                        Err(AllocError::Limit { asked, used, limit: allowed }) => {
                            assert_eq!(allowed, limit);
                            assert!(used <= limit && asked > limit - used);
                            refused.fetch_add(1, SeqCst);
                        }
                        Err(other) => panic!("{other}"),
                    }
                    assert!(arena.allocated_bytes_including_metadata() <= limit);
                }
                verify(&blocks);
            });
        }
    });
    assert!(refused.into_inner() > 0);
    let stats = arena.stats();
    assert_eq!(stats.held, stats.chunk_bytes + stats.large_bytes);
    assert_eq!(arena.allocation_limit_remaining(), Some(limit - stats.held));
    arena.set_allocation_limit(None);
    assert_eq!(
        (arena.allocation_limit(), arena.alloc_slice_fill_copy(limit, 1u8).len()),
        (None, limit)
    );
}

#[test]
fn what_is_left_beneath_a_limit_is_used_to_the_last_page() {
    let page = Heap::new().granule();
    let arena = SyncArena::builder().first_chunk(16 * page).limit(page).build_sync_in(Heap::new());
    assert_eq!(*arena.alloc(1u8), 1);
    let error = arena.try_alloc([0u8; 5_000]).unwrap_err();
    assert!(
        matches!(error, AllocError::Limit { used, limit, .. } if used == page && limit == page)
    );
    let error = arena.try_alloc_slice_fill_copy(1 << 20, 0u8).unwrap_err();
    assert!(matches!(error, AllocError::Limit { asked, .. } if asked > 1 << 20));
    assert_eq!((*arena.alloc(2u8), arena.stats().chunks), (2, 1));
}

/// A heap whose runs all begin at a multiple of 64 KiB: whether an aligned object has room in a chunk,
/// and so how often the source is asked, would depend on the addresses that a process happens to have.
struct Even(Heap);

// SAFETY: passes everything on, with a stronger alignment.
unsafe impl PageSource for Even {
    fn granule(&self) -> usize {
        self.0.granule()
    }
    fn acquire(&self, request: Request) -> Result<Run, PageError> {
        self.0.acquire(Request { align: request.align.max(64 << 10), ..request })
    }
    unsafe fn release(&self, run: Run) {
        // SAFETY: the caller's promise, about the same source.
        unsafe { self.0.release(run) };
    }
}

/// Something of everything that may ask the source.
fn everything<S: PageSource>(arena: &SyncArena<S>, log: &Log) -> Result<(), AllocError> {
    let number = arena.try_alloc(7u64)?;
    let text = arena.try_alloc_str("text")?;
    arena.try_alloc_drop(noted(1, log))?;
    let medium = arena.try_alloc_slice_copy(&[3u8; 10_000])?;
    let large = arena.try_alloc_slice_copy(&[4u8; 100_000])?;
    let refused = noted(2, log);
    arena.try_defer(move || drop(refused))?;
    let aligned = arena.try_alloc_layout(Layout::from_size_align(10, 64 << 10).unwrap())?;
    let zeros = arena.try_alloc_layout_zeroed(Layout::new::<[u64; 20_000]>())?;
    // In two pieces, not in 40,000, for which Miri takes too long.
    let blanks = " ".repeat(40_000);
    let long = arena.try_alloc_fmt(format_args!("{blanks}{}", "x"))?;
    assert_eq!((*number, &*text, aligned.addr().get() % (64 << 10)), (7, "text", 0));
    assert!(is_full_of(medium, 3) && is_full_of(large, 4));
    // SAFETY: placed for this type, and zeros are numbers.
    assert!(is_full_of(unsafe { zeros.cast::<[u8; 160_000]>().as_ref() }, 0));
    assert!(long.ends_with(" x") && long.len() == blanks.len() + 1);
    Ok(())
}

#[test]
fn a_refusal_at_each_step_leaves_all_as_it_was() {
    let counting = Failing::never(Even(Heap::new()));
    everything(&SyncArena::new_in(&counting), &Log::default()).unwrap();
    assert!(counting.calls() >= 5);
    for call in 0..counting.calls() {
        let log = Log::default();
        let source = Failing::after(Even(Heap::new()).counted(), call);
        let arena = SyncArena::new_in(&source);
        let before = block(&arena, Layout::new::<[u64; 9]>(), 5).ok();
        let error = everything(&arena, &log).unwrap_err();
        assert!(matches!(error, AllocError::Source(PageError::Injected { .. })), "{error}");
        let stats = arena.stats();
        assert_eq!(stats.held, stats.chunk_bytes + stats.large_bytes, "nothing stays charged");
        assert_eq!(stats.held, source.inner().traffic().live_bytes);
        if let Some(before) = before {
            verify(&[before]);
        }
        drop(arena);
        assert_eq!(source.inner().traffic().live_bytes, 0);
        // Whatever was made was dropped, once.
        assert_eq!(Arc::strong_count(&log), 1);
        let dropped = take(&log);
        assert!(matches!(dropped[..], [] | [1] | [2, 1]), "{dropped:?}");
    }
    // One refusal, and what was asked for comes the next time.
    for call in 0..counting.calls() {
        let (source, log) = (Failing::nth(Even(Heap::new()), call), Log::default());
        let arena = SyncArena::new_in(&source);
        let first = everything(&arena, &log);
        assert!(first.is_err() || source.injected() == 1, "the shorter chunk will do");
        everything(&arena, &log).unwrap();
    }
}

#[test]
fn the_last_cleanup_goes_first_and_each_goes_once() {
    let log = Log::default();
    let mut arena = SyncArena::new_in(Heap::new());
    for id in 0..4 {
        let value = arena.alloc_drop(noted(id, &log));
        assert_eq!(value.id, id);
        let noted = noted(id + 10, &log);
        arena.defer(move || drop(noted));
    }
    assert!(take(&log).is_empty());
    arena.reset();
    assert_eq!(take(&log), [13, 3, 12, 2, 11, 1, 10, 0]);
    arena.reset();
    drop(arena);
    assert!(take(&log).is_empty());
}

#[test]
fn cleanups_of_threads_all_run_each_thread_in_reverse() {
    let log = Log::default();
    let each = if cfg!(miri) { 10 } else { 1_000 };
    let arena = SyncArena::new_in(Heap::new());
    thread::scope(|scope| {
        for thread in 0..THREADS as u32 {
            let (arena, log) = (&arena, &log);
            scope.spawn(move || {
                for number in 0..each {
                    let value = arena.alloc_drop(noted(0, log));
                    value.id = thread * each + number;
                }
            });
        }
    });
    // On another thread than those that registered them.
    thread::spawn(move || drop(arena)).join().unwrap();
    let ran = take(&log);
    assert_eq!(ran.len(), THREADS * each as usize);
    for thread in 0..THREADS as u32 {
        let mine: Vec<_> = ran.iter().filter(|&&id| id / each == thread).copied().collect();
        assert!(mine.iter().copied().eq((thread * each..(thread + 1) * each).rev()));
    }
}

#[test]
fn a_panic_in_a_cleanup_skips_nothing_and_goes_on() {
    let source = Heap::new().counted();
    let log = Log::default();
    let mut arena = SyncArena::new_in(&source);
    for round in 0..2 {
        arena.alloc_slice_copy(&[0u8; 100_000]);
        arena.alloc_drop(noted(0, &log));
        arena.alloc_drop(panicking(1, &log));
        arena.alloc_drop(panicking(2, &log));
        let panic = if round == 0 {
            catch_unwind(AssertUnwindSafe(|| arena.reset())).unwrap_err()
        } else {
            let arena = std::mem::replace(&mut arena, SyncArena::new_in(&source));
            catch_unwind(AssertUnwindSafe(|| drop(arena))).unwrap_err()
        };
        assert_eq!(*panic.downcast::<String>().unwrap(), "noted 2");
        assert_eq!(take(&log), [2, 1, 0]);
        assert_eq!(arena.stats().large, 0);
    }
    drop(arena);
    assert_eq!(source.traffic().live_bytes, 0);
}

#[test]
fn panics_while_values_are_made_drop_what_was_made() {
    let log = Log::default();
    let arena = SyncArena::new_in(Heap::new());
    let fill = |stop: usize, panics: bool| {
        arena.alloc_slice_try_fill_with(5, |index| {
            assert!(!(panics && index == stop), "closure");
            if index == stop { Err(index) } else { Ok(noted(index as u32, &log)) }
        })
    };
    assert_eq!(fill(3, false).err(), Some(3));
    assert_eq!(take(&log), [0, 1, 2]);
    assert!(catch_unwind(AssertUnwindSafe(|| fill(2, true).is_ok())).is_err());
    assert_eq!(take(&log), [0, 1]);
    assert!(catch_unwind(AssertUnwindSafe(|| arena.alloc_with(|| -> u8 { panic!() }))).is_err());
    assert_eq!(arena.alloc_try_with(|| Err::<u8, _>(9)).err(), Some(9));
    let boxed = arena.alloc_box_slice((0..3).map(|id| noted(id, &log)));
    drop(boxed);
    assert_eq!(take(&log), [0, 1, 2]);
    // An iterator that lies about its length gets what it yields, or no more than it said.
    struct Lies(usize, usize);
    impl Iterator for Lies {
        type Item = usize;
        fn next(&mut self) -> Option<usize> {
            self.1 = self.1.checked_sub(1)?;
            Some(self.1)
        }
        fn size_hint(&self) -> (usize, Option<usize>) {
            (self.0, Some(self.0))
        }
    }
    impl ExactSizeIterator for Lies {}
    assert_eq!(arena.alloc_slice_fill_iter(Lies(5, 2)), &[1, 0]);
    assert_eq!(arena.alloc_slice_fill_iter(Lies(2, 5)), &[4, 3]);
}

#[test]
fn a_reset_keeps_what_it_may_and_uses_it_again() {
    let source = Failing::never(Heap::new().counted());
    let mut arena = ArenaBuilder::new().retain(100 << 10).build_sync_in(&source);
    let fill = |arena: &SyncArena<_>| {
        for _ in 0..20 {
            arena.alloc([0u8; 1_000]);
        }
        arena.alloc_slice_copy(&[0u8; 200_000]);
    };
    fill(&arena);
    let chunks = arena.stats().chunks;
    assert!(chunks >= 3);
    arena.reset();
    let stats = arena.stats();
    assert_eq!((stats.chunks, stats.spare, stats.large), (1, chunks - 1, 0));
    assert!(stats.chunk_bytes * 2 > stats.held, "the longest comes first");
    assert_eq!(stats.held, source.inner().traffic().live_bytes);
    // The second time only the large object asks the source.
    let calls = source.calls();
    fill(&arena);
    assert_eq!(source.calls(), calls + 1);
    // More than may be kept.
    for _ in 0..300 {
        arena.alloc_slice_copy(&[0u8; 1_000]);
    }
    assert!(arena.allocated_bytes() > 300_000);
    arena.reset();
    assert!(arena.allocated_bytes_including_metadata() <= 100 << 10);
    assert!(arena.chunk_capacity() > 0);

    let mut arena = ArenaBuilder::new().retain(0).build_sync_in(&source);
    fill(&arena);
    arena.reset();
    assert_eq!((arena.stats().held, arena.chunk_capacity()), (0, 0));
    assert_eq!(*arena.alloc(1), 1);
}

#[test]
fn spare_chunks_are_shared_out_once() {
    let source = Heap::new().counted();
    let mut arena = SyncArena::new_in(&source);
    for _ in 0..3 {
        let blocks: Vec<_> = thread::scope(|scope| {
            let work = |thread: u8| {
                let arena = &arena;
                move || {
                    let layout = Layout::new::<[u64; 120]>();
                    (0..20).map(|_| block(arena, layout, thread).unwrap()).collect::<Vec<_>>()
                }
            };
            let threads: Vec<_> = (0..THREADS as u8).map(|t| scope.spawn(work(t))).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        verify(&blocks);
        drop(blocks);
        let held = arena.stats().held;
        arena.reset();
        assert_eq!(arena.stats().held, held, "all of it may be kept");
        assert!(arena.stats().spare > 0);
    }
}

#[test]
fn zeroed_on_reset_is_zero_for_the_next() {
    let mut arena = SyncArena::builder().zero_on_reset(true).build_sync_in(Heap::new());
    let secret = arena.alloc([0xAAu8; 500]).as_ptr();
    arena.reset();
    let again = arena.alloc_layout(Layout::new::<[u8; 500]>());
    assert_eq!(again.as_ptr().cast_const(), secret);
    // SAFETY: placed for this type, and overwritten with zeros by the reset.
    assert_eq!(unsafe { again.cast::<[u8; 500]>().read() }, [0; 500]);
}

#[test]
fn nothing_takes_nothing() {
    #[derive(Debug, PartialEq)]
    #[repr(align(4096))]
    struct Aligned;
    let arena = SyncArena::new_in(Failing::after(Heap::new(), 0));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                assert_eq!(std::ptr::from_mut(arena.alloc(Aligned)).addr() % 4096, 0);
                assert_eq!(arena.alloc_slice_copy::<u64>(&[]), &[0u64; 0]);
                assert_eq!(arena.alloc_str(""), "");
                assert_eq!(arena.alloc_slice_fill_with(1_000, |_| ()).len(), 1_000);
                assert_eq!(arena_format!(arena, ""), "");
            });
        }
    });
    assert_eq!(arena.source().calls(), 0);
    // One that is dropped still takes a node, and is dropped.
    let log = Log::default();
    std::thread_local!(static DROPS: RefCell<Option<Log>> = const { RefCell::new(None) });
    struct Empty;
    impl Drop for Empty {
        fn drop(&mut self) {
            DROPS.with_borrow(|log| log.as_ref().unwrap().lock().unwrap().push(0));
        }
    }
    DROPS.set(Some(Arc::clone(&log)));
    let arena = SyncArena::new_in(Heap::new());
    arena.alloc_drop(Empty);
    arena.alloc_drop(Empty);
    drop(arena);
    assert_eq!(take(&log), [0, 0]);
}

#[test]
fn every_alignment_is_kept_small_and_large() {
    let arena = SyncArena::new_in(Heap::new());
    let mut blocks = Vec::new();
    for log2 in 0..=16 {
        for size in [1, 24, 1_000, 70_000] {
            for _ in 0..2 {
                let layout = Layout::from_size_align(size, 1 << log2).unwrap();
                blocks.push(block(&arena, layout, log2).unwrap());
            }
        }
    }
    verify(&blocks);
}

#[test]
fn what_no_memory_can_hold_is_too_large() {
    let arena = SyncArena::new_in(Heap::new());
    let error = arena.try_alloc_slice_fill_copy(usize::MAX, 0u64).unwrap_err();
    assert_eq!(error, AllocError::TooLarge { items: usize::MAX, size: 8 });
    let most = isize::MAX as usize;
    // Miri stops at what no machine has.
    let huge: &[_] = if cfg!(miri) { &[] } else { &[(most, 1), (8, most / 2 + 1)] };
    for &(size, align) in huge {
        let layout = Layout::from_size_align(size, align).unwrap();
        assert!(arena.try_alloc_layout(layout).is_err());
        assert!(arena.try_alloc_layout_zeroed(layout).is_err());
    }
    assert_eq!(arena.stats().held, 0);
    assert!(SyncArena::try_with_capacity_in(usize::MAX, Heap::new()).is_err());
    let roomy = SyncArena::try_with_capacity_in(3 << 20, Failing::after(Heap::new(), 1)).unwrap();
    for _ in 0..48 {
        assert!(roomy.try_alloc_slice_copy(&[0u8; 65_000]).is_ok());
    }
}

#[test]
fn texts_of_all_lengths_are_formatted() {
    let arena = SyncArena::new_in(Heap::new());
    let longest = if cfg!(miri) { 1_500 } else { 65_000 };
    for width in [1, 255, 256, 257, 511, 512, 513, longest] {
        let expected = format!("{}{:>width$}{}", 1, "é", 2);
        assert_eq!(*arena_format!(arena, "{}{:>width$}{}", 1, "é", 2), *expected);
    }
    let free = arena.chunk_capacity();
    arena.alloc_fmt(format_args!("{}", 12345));
    assert_eq!(arena.chunk_capacity(), free - 8, "a short text takes what it needs");
    arena.set_allocation_limit(Some(0));
    let refused = arena.try_alloc_fmt(format_args!("{:>60000}", 1));
    assert!(matches!(refused, Err(AllocError::Limit { limit: 0, .. })));
}

#[test]
fn values_that_stay_on_their_thread_may_go_in() {
    let arena = SyncArena::new_in(Heap::new());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let shared = Rc::new(Cell::new(1));
                let boxed = arena.alloc_box(Rc::clone(&shared));
                boxed.set(2);
                assert_eq!((shared.get(), Rc::strong_count(&shared)), (2, 2));
                drop(boxed);
                assert_eq!(Rc::strong_count(&shared), 1);
            });
        }
    });
}

/// Gives way to others once.
struct Yield(bool);

impl Future for Yield {
    type Output = ();

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return std::task::Poll::Ready(());
        }
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    }
}

/// What a request handler does: it is lent the arena, and returns what lies in it.
async fn handle<S: PageSource + Sync>(arena: &SyncArena<S>, request: usize) -> &mut [String] {
    let first = arena.alloc(request);
    Yield(false).await;
    let words: Vec<&mut str> = (0..3).map(|word| arena_format!(arena, "{first}.{word}")).collect();
    Yield(false).await;
    *first += 1;
    let reply = arena.alloc_slice_fill_iter(words.iter().map(|word| format!("{word}+{first}")));
    Yield(false).await;
    reply
}

fn expected(request: usize) -> [String; 3] {
    [0, 1, 2].map(|word| format!("{request}.{word}+{}", request + 1))
}

#[test]
fn a_future_may_hold_it_between_threads() {
    let arena = SyncArena::new_in(Heap::new());
    let mut future: std::pin::Pin<Box<dyn Future<Output = &mut [String]> + Send + '_>> =
        Box::pin(handle(&arena, 5));
    // Each poll on a thread of its own, and others allocate meanwhile.
    let reply = loop {
        let polled = thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..20 {
                    arena.alloc(number);
                }
            });
            let poll = || {
                let mut context = std::task::Context::from_waker(std::task::Waker::noop());
                future.as_mut().poll(&mut context)
            };
            scope.spawn(poll).join().unwrap()
        });
        if let std::task::Poll::Ready(reply) = polled {
            break reply;
        }
    };
    assert_eq!(*reply, expected(5));
    for word in reply {
        drop(std::mem::take(word));
    }
}

#[test]
#[cfg_attr(miri, ignore = "the runtime waits in system calls that Miri does not have")]
fn tasks_of_a_runtime_share_it() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(3).build().unwrap();
    let mut arena = Arc::new(SyncArena::new());
    for _ in 0..3 {
        let tasks: Vec<_> = (0..200)
            .map(|request| {
                let arena = Arc::clone(&arena);
                runtime.spawn(async move {
                    let reply = handle(&arena, request).await;
                    tokio::task::yield_now().await;
                    assert_eq!(*reply, expected(request));
                    reply.iter_mut().for_each(|word| drop(std::mem::take(word)));
                })
            })
            .collect();
        for task in tasks {
            runtime.block_on(task).unwrap();
        }
        // The tasks are through, and so are their handles.
        Arc::get_mut(&mut arena).unwrap().reset();
    }
}

#[test]
fn it_may_be_a_static() {
    static ARENA: SyncArena = SyncArena::new();
    let name: &'static str = ARENA.alloc_str("name");
    assert_eq!(thread::spawn(move || name.len()).join().unwrap(), 4);
    let counted: SyncArena<Stats<Global>> = SyncArena::new_in(Global.counted());
    counted.alloc(1);
    assert_eq!(format!("{:?}", counted.stats().chunks), "1");
    assert!(format!("{counted:?}").starts_with("SyncArena { held: "));
}
