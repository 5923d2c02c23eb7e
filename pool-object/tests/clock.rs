//! A cache beneath a pool or heap reads a clock, and that may be any code: here one that uses the pool and
//! the heap above. While those ask the cache for pages they are in the midst of something, and so the
//! clock is not asked.
#![forbid(unsafe_code)]

use core::cell::{Cell, OnceCell};
use core::time::Duration;
use pool_core::{Cache, Heap};
use pool_object::{ByDefault, Pool, PoolBox, SmallAlloc};
use std::rc::Rc;

type Source = Rc<Cache<Heap, fn() -> Duration>>;

std::thread_local! {
    static POOL: OnceCell<Rc<Pool<u64, ByDefault, Source>>> = const { OnceCell::new() };
    static HEAP: OnceCell<Rc<SmallAlloc<Source>>> = const { OnceCell::new() };
    static READS: Cell<usize> = const { Cell::new(0) };
}

/// Has more objects idle than the pool had room for, and more blocks.
fn use_what_is_above() -> Duration {
    READS.set(READS.get() + 1);
    if let Some(pool) = POOL.with(|pool| pool.get().cloned()) {
        drop((0..600).map(|_| pool.get_rc()).collect::<Vec<_>>());
    }
    if let Some(heap) = HEAP.with(|heap| heap.get().cloned()) {
        drop((0..600).map(|number| PoolBox::new_in(number, &*heap)).collect::<Vec<_>>());
    }
    Duration::MAX
}

#[test]
fn a_clock_that_uses_what_is_above_finds_it_whole() {
    // Nothing is kept, so that every release would be a reason to look at the clock.
    let clock: fn() -> Duration = use_what_is_above;
    let source = Rc::new(Cache::with_clock(Heap::new(), clock).with_max_bytes(0));
    let pool = POOL.with(|pool| {
        pool.get_or_init(|| Rc::new(Pool::with_in(ByDefault, source.clone()))).clone()
    });
    let heap =
        HEAP.with(|heap| heap.get_or_init(|| Rc::new(SmallAlloc::new_in(source.clone()))).clone());
    let many = if cfg!(miri) { 600 } else { 5000 };
    for _ in 0..2 {
        drop((0..many).map(|_| pool.get_rc()).collect::<Vec<_>>());
        drop((0..many).map(|number| PoolBox::new_in(number, &*heap)).collect::<Vec<_>>());
        assert!(pool.trim() > 0 && heap.trim() > 0);
        assert_eq!(READS.get(), 0);
    }
    source.tick();
    assert_eq!((READS.get(), pool.stats().live, heap.stats().live()), (1, 0, 0));
    heap.check().unwrap();
}
