//! Objects without size and objects of large alignment, in the pools for all threads; see `pool.rs` for the
//! one for one thread.

use pool_core::{Heap, PageSource};
use pool_object::{BoundedPool, Guard, OwnedBoundedPooled, OwnedPooled, SharedPool};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

/// Aligned as `A`; there are `alive` of its kind.
struct Object<A> {
    content: A,
    alive: Arc<AtomicUsize>,
}

impl<A> Drop for Object<A> {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Relaxed);
    }
}

#[derive(Clone)]
#[repr(align(4096))]
struct Page {
    _bytes: [u8; 5000],
}

#[derive(Clone)]
#[repr(align(64))]
struct Line {
    _byte: u8,
}

const PAGE: Page = Page { _bytes: [1; 5000] };
const LINE: Line = Line { _byte: 1 };

fn at<T>(object: &T) -> usize {
    let at = std::ptr::from_ref(object).addr();
    assert_eq!(at % align_of::<T>(), 0);
    at
}

/// More than a magazine has room for.
const MANY: usize = if cfg!(miri) { 70 } else { 200 };

fn in_a_shared_pool<A: Clone + Send + Sync + 'static>(content: A) {
    let alive = Arc::new(AtomicUsize::new(0));
    let source = Arc::new(Heap::new().counted());
    let counted = alive.clone();
    let create = move || {
        counted.fetch_add(1, Relaxed);
        Object { content: content.clone(), alive: counted.clone() }
    };
    let pool = SharedPool::with_in(create, source.clone());
    let guards: Vec<_> = (0..MANY).map(|_| pool.get()).collect();
    let mut places: Vec<_> = guards.iter().map(|guard| at(&guard.content)).collect();
    drop(guards);
    places.sort_unstable();
    places.dedup();
    assert_eq!(places.len(), MANY, "each has a place of its own");
    let handle = pool.handle();
    at(&handle.get().content);
    drop(handle);
    let owned = pool.get_owned();
    thread::spawn(move || {
        at(&owned.content);
        drop(OwnedPooled::detach(owned));
    })
    .join()
    .unwrap();
    assert_eq!(pool.stats().created as usize, MANY);
    assert_eq!(alive.load(Relaxed), MANY - 1);
    drop(pool);
    assert_eq!((alive.load(Relaxed), source.traffic().live_bytes), (0, 0));
}

fn in_a_bounded_pool<A: Clone + Send + Sync + 'static>(content: A) {
    let alive = Arc::new(AtomicUsize::new(0));
    let source = Arc::new(Heap::new().counted());
    let counted = alive.clone();
    let create = move || {
        counted.fetch_add(1, Relaxed);
        Object { content: content.clone(), alive: counted.clone() }
    };
    let pool = Arc::new(BoundedPool::with_in(MANY, create, source.clone()));
    let guards: Vec<_> = (0..MANY).map(|_| pool.get().unwrap()).collect();
    let mut places: Vec<_> = guards.iter().map(|guard| at(&guard.content)).collect();
    assert!(pool.try_get().is_err());
    drop(guards);
    places.sort_unstable();
    places.dedup();
    assert_eq!(places.len(), MANY, "each has a place of its own");
    let owned = pool.get_owned().unwrap();
    thread::spawn(move || {
        at(&owned.content);
        drop(OwnedBoundedPooled::detach(owned));
    })
    .join()
    .unwrap();
    assert_eq!(alive.load(Relaxed), MANY - 1);
    drop(pool);
    assert_eq!((alive.load(Relaxed), source.traffic().live_bytes), (0, 0));
}

#[test]
fn objects_of_large_alignment() {
    in_a_shared_pool(LINE);
    in_a_shared_pool(PAGE);
    in_a_bounded_pool(LINE);
    in_a_bounded_pool(PAGE);
}

/// How often it was dropped must be counted elsewhere: it has no room for that.
struct Nothing;

static NOTHINGS: AtomicUsize = AtomicUsize::new(0);

impl Nothing {
    fn new() -> Self {
        NOTHINGS.fetch_add(1, Relaxed);
        Self
    }
}

impl Drop for Nothing {
    fn drop(&mut self) {
        NOTHINGS.fetch_sub(1, Relaxed);
    }
}

#[repr(align(64))]
struct AlignedNothing;

#[test]
fn objects_without_size() {
    let (create, source): (fn() -> Nothing, _) = (Nothing::new, Arc::new(Heap::new().counted()));
    let pool = SharedPool::with_in(create, source.clone());
    let guards: Vec<_> = (0..MANY).map(|_| pool.get()).collect();
    assert_eq!((NOTHINGS.load(Relaxed), pool.stats().live as usize), (MANY, MANY));
    drop(guards);
    drop(Guard::detach(pool.get()));
    assert_eq!((NOTHINGS.load(Relaxed), pool.stats().idle as usize), (MANY - 1, MANY - 1));
    drop(pool);
    assert_eq!((NOTHINGS.load(Relaxed), source.traffic().live_bytes), (0, 0));

    let pool = BoundedPool::with_in(MANY, create, source.clone());
    let guards: Vec<_> = (0..MANY).map(|_| pool.get().unwrap()).collect();
    assert_eq!((NOTHINGS.load(Relaxed), pool.try_get().is_err()), (MANY, true));
    drop(guards);
    assert_eq!((pool.stats().idle as usize, pool.stats().created as usize), (MANY, MANY));
    drop(pool);
    assert_eq!((NOTHINGS.load(Relaxed), source.traffic().live_bytes), (0, 0));

    at(&*SharedPool::with_in(|| AlignedNothing, Heap::new()).get());
    at(&*BoundedPool::with_in(1, || AlignedNothing, Heap::new()).get().unwrap());
}
