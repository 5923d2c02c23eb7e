//! What the cache keeps, for how long, and what clocks may do to it.
#![forbid(unsafe_code)]

use super::*;
use crate::Heap;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Enough to see a pattern.
const MANY: usize = if cfg!(miri) { 200 } else { 2000 };

fn seconds(now: &AtomicU64) -> impl Clock {
    || Duration::from_secs(now.load(Relaxed))
}

#[test]
fn idle_bytes_stay_within_the_bound() {
    let granule = Heap::new().granule();
    // No decay: on a slow machine it would have its say here.
    let cache = Heap::new().cached().with_max_bytes(8 * granule).with_decay(Duration::MAX);
    let pages: Vec<_> = (0..100).map(|_| (&cache).pages(1).unwrap()).collect();
    drop(pages);
    assert_eq!(cache.usage().idle_bytes, 8 * granule);
    assert_eq!(cache.usage().misses, 100);
    let pages: Vec<_> = (0..8).map(|_| (&cache).pages(1).unwrap()).collect();
    assert_eq!((cache.usage().hits, cache.usage().idle_bytes), (8, 0));
    drop(pages);
}

#[test]
fn what_nobody_needs_is_gone_within_the_decay_time() {
    let now = AtomicU64::new(100);
    let cache = Cache::with_clock(Heap::new(), seconds(&now)).with_decay(Duration::from_secs(40));
    let granule = cache.granule();
    let mut pages: Vec<_> = (0..90).map(|_| (&cache).pages(1).unwrap()).collect();
    cache.tick();
    pages.truncate(10);
    assert_eq!(cache.usage().idle_bytes, 80 * granule);
    for _ in 0..3 {
        now.fetch_add(10, Relaxed);
        // Three runs are used all the time; they are not idle, though they rest in between.
        let hot: Vec<_> = (0..3).map(|_| (&cache).pages(1).unwrap()).collect();
        drop(hot);
        cache.tick();
    }
    assert_eq!(cache.usage().idle_bytes, 3 * granule);
    assert_eq!(cache.usage().decayed_bytes, 77 * granule as u64);
}

#[test]
fn operations_alone_make_it_decay_in_batches() {
    let now = AtomicU64::new(0);
    let mut cache =
        Cache::with_clock(Heap::new(), seconds(&now)).with_decay(Duration::from_secs(4));
    // As if it were the system's clock.
    cache.always = true;
    let granule = cache.granule();
    drop((0..MANY / 2).map(|_| (&cache).pages(1).unwrap()).collect::<Vec<_>>());
    let mut largest = 0;
    for _ in 0..400.max(MANY / 2) {
        now.fetch_add(1, Relaxed);
        let before = cache.usage().idle_bytes;
        drop((&cache).pages(granule * 2).unwrap());
        largest = largest.max(before.saturating_sub(cache.usage().idle_bytes));
    }
    assert!(cache.usage().idle_bytes <= 2 * granule, "{:?}", cache.usage());
    assert!(largest <= (BATCH + 1) * granule, "{largest} bytes went back in one operation");
}

/// It could use what stands above and is in the midst of an `acquire` or `release`.
#[test]
fn a_clock_of_the_users_is_read_by_tick_alone() {
    let reads = AtomicU64::new(0);
    let clock = || Duration::from_secs(reads.fetch_add(1, Relaxed));
    for max_bytes in [0, 64 << 10, usize::MAX >> 12] {
        let cache = Cache::with_clock(Heap::new(), clock).with_max_bytes(max_bytes);
        for _ in 0..200 {
            let pages = (&cache).pages(1).unwrap();
            drop((pages, (&cache).pages(100 << 10).unwrap(), (&cache).pages(9 << 20)));
        }
        cache.trim();
        assert_eq!(reads.swap(0, Relaxed), 0);
        cache.tick();
        assert_eq!(reads.swap(0, Relaxed), 1);
    }
}

#[test]
fn a_clock_that_panics_harms_nobody() {
    let cache = Cache::with_clock(Heap::new(), || -> Duration { panic!("no time") });
    for _ in 0..200 {
        drop((&cache).pages(1).unwrap());
    }
    assert_eq!(cache.tick(), 0);
    assert_eq!(cache.usage().hits, 199);
}

/// Something that panics when it is dropped, too.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("dropped");
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "leaks what is thrown by a drop, as it must")]
fn what_a_clock_throws_may_throw_again() {
    let clock = || -> Duration { std::panic::panic_any(Bomb) };
    let cache = Cache::with_clock(Heap::new(), clock);
    for _ in 0..200 {
        drop((&cache).pages(1).unwrap());
    }
    assert_eq!(cache.tick(), 0);
}

#[test]
fn a_clock_may_use_its_cache_and_gets_no_deeper() {
    use std::sync::OnceLock;
    type Reentrant = Cache<Heap, fn() -> Duration>;
    static CACHE: OnceLock<Reentrant> = OnceLock::new();
    fn clock() -> Duration {
        if let Some(cache) = CACHE.get() {
            drop(cache.pages(1).unwrap());
            assert_eq!(cache.tick(), 0);
        }
        Duration::MAX
    }
    let cache = CACHE.get_or_init(|| Cache::with_clock(Heap::new(), clock as fn() -> Duration));
    drop((0..MANY).map(|_| cache.pages(1).unwrap()).collect::<Vec<_>>());
    cache.tick();
    for _ in 0..MANY {
        drop(cache.pages(1).unwrap());
    }
    assert!(cache.usage().hits >= MANY as u64);
}

#[test]
#[cfg_attr(miri, ignore = "has no memory that costs nothing until it is touched")]
fn an_absurd_bound_keeps_what_a_table_can_be_had_for() {
    let cache = Heap::new().cached().with_max_bytes(usize::MAX).with_decay(Duration::MAX);
    for _ in 0..10 {
        drop((&cache).pages(1).unwrap());
    }
    assert_eq!(cache.usage().hits, 9);
}
