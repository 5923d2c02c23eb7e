//! `SyncArena` in every interleaving: objects are disjoint, chunks are there to be read by whoever
//! finds them, nothing is lost, and no limit is passed.
#![cfg(loom)]
#![forbid(unsafe_code)]

use loom::sync::Arc;
use loom::thread;
use pool_arena::{AllocError, ArenaBuilder, SyncArena};
use pool_core::Heap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

const PAGE: usize = 4 << 10;

type Shared = Arc<SyncArena<Heap>>;

/// Options under which a chunk is a page.
fn pages() -> ArenaBuilder {
    ArenaBuilder::new().max_chunk(PAGE).large_from(PAGE)
}

fn shared(builder: ArenaBuilder) -> Shared {
    Arc::new(builder.build_sync_in(Heap::with_granule(PAGE)))
}

/// Runs `f` on an arena in two threads at once, which start with an arena from `make`, then looks
/// at it with `then`.
fn together<R: 'static>(
    preemptions: usize,
    make: impl Fn() -> Shared + Send + Sync + 'static,
    f: impl Fn(&SyncArena<Heap>, u8) -> R + Copy + Send + Sync + 'static,
    then: impl Fn(SyncArena<Heap>, [R; 2]) + Send + Sync + 'static,
) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.check(move || {
        let arena = make();
        let other = Arc::clone(&arena);
        let thread = thread::spawn(move || f(&other, 1));
        let here = f(&arena, 2);
        let there = thread.join().unwrap();
        let arena = Arc::try_unwrap(arena).unwrap_or_else(|_| panic!("the thread is through"));
        then(arena, [here, there]);
    });
}

/// An object of `len` bytes, filled. (Not by value: loom's threads have little stack.)
fn fill(arena: &SyncArena<Heap>, len: usize, byte: u8) -> &[u8] {
    arena.alloc_slice_fill_copy(len, byte)
}

fn is_full_of(object: &[u8], byte: u8) -> bool {
    object.iter().all(|&other| other == byte)
}

/// Fills two objects, and finds them as they were when both are there.
fn two<const N: usize>(arena: &SyncArena<Heap>, byte: u8) {
    let (first, second) = (fill(arena, N, byte), fill(arena, N, byte + 10));
    assert!(is_full_of(first, byte) && is_full_of(second, byte + 10));
}

#[test]
fn objects_of_one_chunk_are_disjoint() {
    let make = || {
        let arena = shared(pages());
        arena.alloc(0u64);
        arena
    };
    together(4, make, two::<16>, |arena, _| {
        assert_eq!(arena.chunk_capacity() % 8, 0);
        assert_eq!(arena.stats().chunks, 1);
        // Four objects and the first, and nothing in between.
        assert_eq!(arena.allocated_bytes() - arena.chunk_capacity(), 4 * 16 + 8);
    });
}

#[test]
fn three_threads_make_the_first_chunk() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let arena = shared(pages().first_chunk(4 * PAGE));
        let spawn = |byte: u8| {
            let arena = Arc::clone(&arena);
            thread::spawn(move || assert_eq!(*arena.alloc([byte; 24]), [byte; 24]))
        };
        let threads = [spawn(1), spawn(2)];
        assert_eq!(*arena.alloc([3u8; 24]), [3; 24]);
        for thread in threads {
            thread.join().unwrap();
        }
        let stats = arena.stats();
        assert!((1..=3).contains(&stats.chunks));
        assert_eq!(stats.held, stats.chunk_bytes);
    });
}

#[test]
fn two_threads_grow_and_see_each_others_chunks() {
    together(
        3,
        || shared(pages()),
        two::<2000>,
        |mut arena, _| {
            let stats = arena.stats();
            assert!((2..=4).contains(&stats.chunks), "{stats:?}");
            assert_eq!((stats.held, stats.spare), (stats.chunk_bytes, 0));
            arena.reset();
            let after = arena.stats();
            assert_eq!((after.chunks, after.spare), (1, stats.chunks - 1));
        },
    );
}

#[test]
fn one_thread_walks_the_chunks_that_others_make() {
    let walk = |arena: &SyncArena<Heap>, byte| {
        assert!(is_full_of(fill(arena, 3000, byte), byte));
        let stats = arena.stats();
        assert!(stats.chunks >= 1 && stats.chunk_bytes >= PAGE);
    };
    together(3, || shared(pages()), walk, |arena, _| assert_eq!(arena.stats().chunks, 2));
}

#[test]
fn a_spare_chunk_has_one_taker() {
    let make = || {
        let mut arena = pages().build_sync_in(Heap::with_granule(PAGE));
        for byte in 0..3 {
            fill(&arena, 3000, byte);
        }
        arena.reset();
        Arc::new(arena)
    };
    let one = |arena: &SyncArena<Heap>, byte: u8| {
        assert!(is_full_of(fill(arena, 3000, byte), byte));
    };
    together(4, make, one, |arena, _| {
        let stats = arena.stats();
        assert_eq!((stats.held, stats.chunks + stats.spare), (3 * PAGE, 3), "none was asked for");
        assert_eq!(stats.chunks, 2);
    });
}

#[test]
fn large_objects_are_all_listed() {
    let large = |arena: &SyncArena<Heap>, byte: u8| {
        assert!(is_full_of(fill(arena, PAGE, byte), byte));
    };
    together(
        4,
        || shared(pages()),
        large,
        |mut arena, _| {
            assert_eq!(arena.stats().large, 2);
            arena.reset();
            assert_eq!(arena.stats().held, 0);
        },
    );
}

#[test]
fn cleanups_of_both_run_once_each() {
    struct Counts(std::sync::Arc<AtomicUsize>, usize);
    impl Drop for Counts {
        fn drop(&mut self) {
            self.0.fetch_add(self.1, Relaxed);
        }
    }
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(4);
    model.check(|| {
        let sum = std::sync::Arc::new(AtomicUsize::new(0));
        let arena = shared(pages());
        arena.alloc(0u64);
        let register = |arena: &Shared, by: usize| {
            arena.alloc_drop(Counts(sum.clone(), by));
            let counts = Counts(sum.clone(), 10 * by);
            arena.defer(move || drop(counts));
        };
        let thread = thread::spawn({
            let arena = Arc::clone(&arena);
            let (one, ten) = (Counts(sum.clone(), 1), Counts(sum.clone(), 10));
            move || {
                arena.alloc_drop(one);
                arena.defer(move || drop(ten));
            }
        });
        register(&arena, 100);
        thread.join().unwrap();
        assert_eq!(sum.load(Relaxed), 0);
        drop(arena);
        assert_eq!(sum.load(Relaxed), 1111);
    });
}

#[test]
fn the_limit_holds_and_one_of_two_is_served() {
    let try_one = |arena: &SyncArena<Heap>, byte: u8| {
        let result = arena.try_alloc_slice_fill_copy(3000, byte);
        assert!(arena.allocated_bytes_including_metadata() <= PAGE);
        match result {
            Ok(object) => {
                assert!(is_full_of(object, byte));
                true
            }
            Err(AllocError::Limit { used, limit, .. }) => {
                assert_eq!((used, limit), (PAGE, PAGE));
                false
            }
            Err(other) => panic!("{other}"),
        }
    };
    together(
        4,
        || shared(pages().limit(PAGE)),
        try_one,
        |arena, served| {
            assert!(served[0] ^ served[1]);
            assert_eq!(arena.stats().held, PAGE);
        },
    );
}
