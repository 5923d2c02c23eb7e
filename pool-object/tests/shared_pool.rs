//! `SharedPool`: threads that come and go, hooks that panic, bounds, and thread-local teardown.

use pool_core::{Failing, Heap, PageSource, Stats};
use pool_object::{Guard, OwnedPooled, PoolError, Recycle, SharedPool};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;

/// How many objects of a test there are.
#[derive(Clone, Default)]
struct Alive(Arc<AtomicUsize>);

struct Object {
    number: u64,
    user: AtomicBool,
    alive: Alive,
}

impl Drop for Object {
    fn drop(&mut self) {
        self.alive.0.fetch_sub(1, Relaxed);
    }
}

impl Object {
    /// Nobody else has it.
    fn use_it(&mut self) {
        assert!(!self.user.swap(true, Relaxed));
        self.number += 1;
        assert!(self.user.swap(false, Relaxed));
    }
}

impl Recycle<Object> for Alive {
    fn create(&self) -> Object {
        self.0.fetch_add(1, Relaxed);
        Object { number: 0, user: AtomicBool::new(false), alive: self.clone() }
    }
}

type Source = Arc<Stats<Heap>>;

fn pool() -> (SharedPool<Object, Alive, Source>, Alive, Source) {
    let (alive, source) = (Alive::default(), Arc::new(Heap::new().counted()));
    (SharedPool::with_in(alive.clone(), source.clone()), alive, source)
}

fn assert_all_gone(alive: &Alive, source: &Source) {
    assert_eq!(alive.0.load(Relaxed), 0);
    assert_eq!(source.traffic().live_bytes, 0);
}

/// More than a few magazines hold.
const MANY: usize = if cfg!(miri) { 130 } else { 1000 };
/// A magazine and some.
const SOME: usize = if cfg!(miri) { 80 } else { 1000 };
const ROUNDS: usize = if cfg!(miri) { 30 } else { 20_000 };

/// Waits for threads until they have ended, thread-locals and all; a scope would wait for their
/// closures only, and their magazines might come back later.
fn join(threads: impl Iterator<Item = thread::JoinHandle<()>>) {
    let threads: Vec<_> = threads.collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// Gets and puts in a rhythm of its own.
fn use_many(pool: &SharedPool<Object, Alive, Source>, seed: usize) {
    let handle = (seed == 2).then(|| pool.handle());
    let mut held = Vec::new();
    for round in 0..ROUNDS {
        let mut guard = pool.get();
        guard.use_it();
        held.push(guard);
        if let Some(handle) = &handle {
            handle.get().use_it();
        }
        if (round / (40 * seed)) % 3 == 2 {
            held.pop();
            held.pop();
        }
        if held.len() > 200 {
            held.clear();
        }
    }
}

#[test]
fn threads_share_and_nothing_is_lost() {
    let (pool, alive, source) = pool();
    join((1..4).map(|seed| {
        let pool = pool.clone();
        thread::spawn(move || use_many(&pool, seed))
    }));
    let stats = pool.stats();
    assert_eq!((stats.live, stats.idle), (0, alive.0.load(Relaxed) as u64), "{stats:?}");
    assert_eq!(stats.hits + stats.misses, 4 * ROUNDS as u64);
    drop(pool);
    assert_all_gone(&alive, &source);
}

#[test]
fn what_is_got_here_is_put_there() {
    let (pool, alive, source) = pool();
    let (sender, receiver) = mpsc::sync_channel::<OwnedPooled<Object, Alive, Source>>(100);
    let other = thread::spawn(move || receiver.into_iter().for_each(|mut guard| guard.use_it()));
    for _ in 0..ROUNDS {
        sender.send(pool.get_owned()).unwrap();
    }
    drop(sender);
    other.join().unwrap();
    // The channel, two magazines, and what was on its way between them.
    assert!(pool.stats().created <= 400, "{}", pool.stats());
    drop(pool);
    assert_all_gone(&alive, &source);
}

#[test]
fn a_thousand_threads_leave_their_objects() {
    let (pool, alive, source) = pool();
    for _ in 0..if cfg!(miri) { 5 } else { 1000 } {
        let pool = pool.clone();
        thread::spawn(move || drop((pool.get(), pool.get()))).join().unwrap();
    }
    let stats = pool.stats();
    assert_eq!((stats.created, stats.idle, stats.live), (2, 2, 0));
    drop(pool);
    assert_all_gone(&alive, &source);
}

#[test]
fn more_threads_than_anybody_counts_on() {
    let (pool, alive, source) = pool();
    let count = if cfg!(miri) { 4 } else { 200 };
    let gate = Arc::new(Barrier::new(count));
    join((0..count).map(|_| {
        let (pool, gate) = (pool.clone(), gate.clone());
        thread::spawn(move || {
            let guard = pool.get();
            gate.wait();
            drop(guard);
        })
    }));
    assert_eq!(pool.stats().live, 0);
    drop(pool);
    assert_all_gone(&alive, &source);
}

#[test]
fn idle_objects_are_bounded() {
    let (pool, alive, source) = pool();
    let pool = pool.max_idle(10);
    drop((0..SOME).map(|_| pool.get()).collect::<Vec<_>>());
    assert!(pool.stats().idle <= 10 + 64, "{}", pool.stats());
    pool.flush_thread();
    assert_eq!(pool.stats().idle, 10);
    pool.set_max_idle(3);
    assert_eq!((pool.stats().idle, alive.0.load(Relaxed)), (3, 3));
    assert!(pool.trim() > 0);
    assert_eq!(pool.stats().idle, 0);
    drop(pool);
    assert_all_gone(&alive, &source);
}

#[test]
fn the_depot_forgets_what_was_not_needed() {
    let (pool, alive, source) = pool();
    drop((0..MANY).map(|_| pool.get()).collect::<Vec<_>>());
    pool.flush_thread();
    pool.trim_to_working_set();
    assert_eq!(pool.stats().idle, MANY as u64);
    drop((0..100).map(|_| pool.get()).collect::<Vec<_>>());
    pool.flush_thread();
    pool.trim_to_working_set();
    assert!((100..=128).contains(&pool.stats().idle), "{}", pool.stats());
    drop(pool);
    assert_all_gone(&alive, &source);
}

#[test]
fn guards_and_handles_keep_the_pool() {
    let (pool, alive, source) = pool();
    let (guard, handle) = (pool.get_owned(), pool.handle());
    drop(pool);
    drop(handle.get());
    drop(handle);
    assert_eq!(Guard::detach(guard).number, 0);
    assert_all_gone(&alive, &source);
}

#[test]
#[cfg_attr(miri, ignore = "leaks on purpose")]
fn forgotten_guards_and_handles_only_leak() {
    let (pool, alive, source) = pool();
    std::mem::forget(pool.get());
    assert_eq!(pool.stats().live, 1);
    let handle = pool.handle();
    drop(handle.get());
    // The handle keeps the pool, so that leaks, too; without it the forgotten object would.
    let again = pool.clone();
    std::mem::forget(handle);
    assert_eq!(again.stats().idle, 1);
    assert_eq!(alive.0.load(Relaxed), 2);
    assert!(source.traffic().live_bytes > 0);
}

#[test]
fn a_magazine_is_used_again_by_the_next_thread() {
    let (pool, _, source) = pool();
    drop(pool.get());
    let before = source.traffic().live_bytes;
    for _ in 0..10 {
        let other = pool.clone();
        thread::spawn(move || drop(other.get())).join().unwrap();
        drop(pool.handle().get());
    }
    assert_eq!(source.traffic().live_bytes, before);
}

#[test]
fn many_pools_in_one_thread() {
    let pools: Vec<_> = (0..20).map(|_| pool()).collect();
    for round in 0..5 {
        for (pool, ..) in &pools {
            let mut guard = pool.get();
            assert_eq!(guard.number, round);
            guard.use_it();
        }
    }
    for (pool, alive, source) in pools {
        drop(pool);
        assert_all_gone(&alive, &source);
    }
}

/// What a thread has to the last.
type Late = (OwnedPooled<Object, Alive, Source>, SharedPool<Object, Alive, Source>);

thread_local!(static LATE: RefCell<Option<Late>> = const { RefCell::new(None) });

#[test]
fn the_pool_works_while_thread_locals_are_destroyed() {
    struct UseIt(SharedPool<Object, Alive, Source>);
    impl Drop for UseIt {
        fn drop(&mut self) {
            drop((self.0.get(), self.0.get()));
        }
    }
    thread_local!(static LATER: RefCell<Option<UseIt>> = const { RefCell::new(None) });
    let (pool, alive, source) = pool();
    for first in [false, true] {
        let pool = pool.clone();
        thread::spawn(move || {
            // Registered before or after the thread's list of pools: destroyed after or before.
            if first {
                LATER.with_borrow_mut(|later| *later = Some(UseIt(pool.clone())));
            }
            drop((pool.get(), pool.get()));
            LATER.with_borrow_mut(|later| *later = Some(UseIt(pool.clone())));
            LATE.with_borrow_mut(|late| *late = Some((pool.get_owned(), pool)));
        })
        .join()
        .unwrap();
    }
    let stats = pool.stats();
    assert_eq!((stats.live, stats.idle), (0, alive.0.load(Relaxed) as u64), "{stats}");
    drop(pool);
    assert_all_gone(&alive, &source);
}

#[test]
fn a_thread_that_ends_may_drop_the_last_handle() {
    let (pool, alive, source) = pool();
    thread::spawn(move || {
        drop((0..SOME).map(|_| pool.get()).collect::<Vec<_>>());
        LATE.with_borrow_mut(|late| *late = Some((pool.get_owned(), pool)));
    })
    .join()
    .unwrap();
    assert_all_gone(&alive, &source);
}

#[test]
fn a_pool_that_goes_before_its_threads() {
    let (pool, alive, source) = pool();
    let (sender, receiver) = mpsc::channel::<()>();
    let other = pool.clone();
    let (done, ready) = mpsc::channel();
    let thread = thread::spawn(move || {
        drop((other.get(), other.get()));
        drop(other);
        done.send(()).unwrap();
        // Its magazine is the dead pool's now.
        assert!(receiver.recv().is_err());
        drop(SharedPool::with_in(Alive::default(), Heap::new()).get());
    });
    ready.recv().unwrap();
    drop(pool);
    assert_all_gone(&alive, &source);
    drop(sender);
    thread.join().unwrap();
}

/// Panics when it is told to.
struct Faulty {
    created: AtomicU64,
    hook: AtomicUsize,
    alive: Alive,
}

struct Fragile(Arc<Faulty>, bool, Alive);

impl Faulty {
    fn call(&self, hook: usize) {
        // Once: a second panic, in the cleanup after the first, would abort.
        let told = self.hook.compare_exchange(hook, 0, Relaxed, Relaxed).is_ok();
        assert!(!told, "on purpose");
    }
}

struct Hooks(Arc<Faulty>);

impl Recycle<Fragile> for Hooks {
    fn create(&self) -> Fragile {
        self.0.call(1);
        self.0.created.fetch_add(1, Relaxed);
        self.0.alive.0.fetch_add(1, Relaxed);
        Fragile(self.0.clone(), false, self.0.alive.clone())
    }
    fn keep(&self, _: &Fragile) -> bool {
        self.0.call(2);
        self.0.hook.load(Relaxed) != 5
    }
    fn reset(&self, _: &mut Fragile) {
        self.0.call(3);
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        assert!(!std::mem::replace(&mut self.1, true), "dropped once");
        self.2.0.fetch_sub(1, Relaxed);
        self.0.call(4);
    }
}

#[test]
fn a_panic_in_any_hook_loses_nothing() {
    let faulty = Arc::new(Faulty {
        created: AtomicU64::new(0),
        hook: AtomicUsize::new(0),
        alive: Alive::default(),
    });
    let source = Arc::new(Heap::new().counted());
    let pool = SharedPool::with_in(Hooks(faulty.clone()), source.clone()).max_idle(20);
    let check = |what: &str, hook| {
        faulty.hook.store(0, Relaxed);
        let (stats, alive) = (pool.stats(), faulty.alive.0.load(Relaxed) as u64);
        assert_eq!((stats.live, stats.idle), (0, alive), "{what}, hook {hook}");
        assert_eq!(stats.created - stats.dropped, alive, "{what}, hook {hook}");
    };
    // More than a magazine holds.
    let many = if cfg!(miri) { 66 } else { 200 };
    // 1..=4 panic in create, keep, reset, drop; 5 keeps nothing.
    for hook in (1..6).filter(|hook| !cfg!(miri) || hook % 2 == 0) {
        let fault = |act: &mut dyn FnMut()| {
            faulty.hook.store(hook, Relaxed);
            drop(catch_unwind(AssertUnwindSafe(act)));
        };
        fault(&mut || drop(pool.get()));
        check("get and put", hook);
        let mut held: Vec<_> = (0..many).map(|_| pool.get()).collect();
        fault(&mut || held.clear());
        drop(held);
        check("put many", hook);
        drop((0..many).map(|_| pool.get()).collect::<Vec<_>>());
        fault(&mut || pool.flush_thread());
        check("flush", hook);
        drop((0..many).map(|_| pool.get()).collect::<Vec<_>>());
        fault(&mut || pool.clear());
        fault(&mut || {
            pool.trim_to_working_set();
        });
        check("clear and trim", hook);
        let handle = pool.handle();
        drop((0..many).map(|_| handle.get()).collect::<Vec<_>>());
        let mut handle = Some(handle);
        fault(&mut || handle = None);
        check("drop a handle", hook);
    }
    faulty.hook.store(0, Relaxed);
    drop((0..10).map(|_| pool.get()).collect::<Vec<_>>());
    faulty.hook.store(4, Relaxed);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(pool))).is_err());
    assert_eq!(faulty.alive.0.load(Relaxed), 0);
    assert_eq!(source.traffic().live_bytes, 0);
}

#[test]
fn refusals_at_every_step() {
    for call in 0..8 {
        let source = Arc::new(Failing::nth(Heap::new().counted(), call));
        let pool = SharedPool::with_in(|| [0u8; 9000], source.clone());
        let mut held = Vec::new();
        let mut refused = 0;
        for _ in 0..30 {
            match pool.try_get() {
                Ok(guard) => held.push(guard),
                Err(error) => {
                    assert!(matches!(error, PoolError::Source(_)));
                    refused += 1;
                }
            }
        }
        assert!(refused <= 1);
        assert_eq!(pool.stats().live, held.len() as u64);
        drop(held);
        assert_eq!(pool.stats().live, 0);
        drop(pool);
        assert_eq!(source.inner().traffic().live_bytes, 0);
    }
}

#[test]
fn many_at_once() {
    let (pool, alive, source) = pool();
    let mut batch = Vec::new();
    pool.get_many(100, &mut batch).unwrap();
    assert_eq!((batch.len(), pool.stats().live), (100, 100));
    SharedPool::put_many(batch);
    assert_eq!((pool.stats().live, pool.stats().idle), (0, 100));
    pool.prefill(50).unwrap();
    assert!(pool.stats().idle >= 100);
    drop(pool.attach(Recycle::create(&alive)).unwrap());
    drop(pool);
    assert_all_gone(&alive, &source);
}

#[test]
fn many_at_once_are_the_same_as_one_by_one() {
    let (pool, alive, source) = pool();
    let pool = pool.max_idle(SOME / 10);
    for round in 0..if cfg!(miri) { 2 } else { 3 } {
        let (mut batch, before) = (Vec::new(), pool.stats());
        pool.get_many(SOME, &mut batch).unwrap();
        batch.iter_mut().for_each(|guard| guard.use_it());
        let places: std::collections::HashSet<_> =
            batch.iter().map(|one| &raw const **one).collect();
        assert_eq!((batch.len(), places.len()), (SOME, SOME));
        let stats = pool.stats();
        let (hits, misses) = (stats.hits - before.hits, stats.misses - before.misses);
        assert_eq!((stats.live, hits, hits + misses), (SOME as u64, before.idle, SOME as u64));
        // The last one back is the first one out.
        let last: *const _ = &**batch.last().unwrap();
        if round == 0 {
            drop(batch);
        } else {
            SharedPool::put_many(batch);
        }
        assert!(std::ptr::eq(last, &*pool.get()));
        let idle = pool.stats().idle;
        // One by one a full magazine gives 32 to the depot, which may drop them.
        assert!((32..=64 + SOME as u64 / 10).contains(&idle), "{idle}");
        assert_eq!(alive.0.load(Relaxed) as u64, idle);
    }
    drop(pool);
    assert_all_gone(&alive, &source);
}

/// A few go one by one, without the steps that many are taken by.
#[test]
fn a_few_are_idle_at_once() {
    for (count, live) in [(4, [4, 3, 2, 1]), (16, [16, 15, 14, 13]), (17, [17; 4])] {
        let (pool, ..) = pool();
        let mut batch = Vec::new();
        pool.get_many(count, &mut batch).unwrap();
        let mut seen = Vec::new();
        SharedPool::put_many(batch.into_iter().inspect(|_| seen.push(pool.stats().live)));
        assert_eq!((&seen[..4], pool.stats().live), (&live[..], 0));
    }
}

/// A hint that is wrong decides how it is done, not what.
#[test]
fn what_an_iterator_announces_is_not_trusted() {
    struct Hint<I>(I, usize);
    impl<I: Iterator> Iterator for Hint<I> {
        type Item = I::Item;
        fn next(&mut self) -> Option<I::Item> {
            self.0.next()
        }
        fn size_hint(&self) -> (usize, Option<usize>) {
            (self.1, None)
        }
    }
    for (count, hint) in [(0, 100), (4, usize::MAX), (100, 0), (100, 4)] {
        let (pool, alive, source) = pool();
        let batch: Vec<_> = (0..count).map(|_| pool.get()).collect();
        SharedPool::put_many(Hint(batch.into_iter(), hint));
        assert_eq!((pool.stats().live, pool.stats().idle), (0, count));
        drop(pool);
        assert_all_gone(&alive, &source);
    }
}

#[test]
fn guards_of_several_pools_go_back_to_their_own() {
    // By twos.
    for each in [4, 10] {
        let pools: Vec<_> = (0..3).map(|_| pool()).collect();
        let of = |number: u64| &pools[number as usize / 2 % 3].0;
        let guards: Vec<_> = (0..3 * each).map(|number| of(number).get()).collect();
        assert!(pools.iter().all(|(pool, ..)| pool.stats().live == each));
        SharedPool::put_many(guards);
        for (pool, alive, source) in pools {
            assert_eq!((pool.stats().live, pool.stats().idle), (0, each));
            drop(pool);
            assert_all_gone(&alive, &source);
        }
    }
}

/// Takes so many, then panics.
struct Short<G>(Vec<G>, usize);
impl<G> Extend<G> for Short<G> {
    fn extend<I: IntoIterator<Item = G>>(&mut self, guards: I) {
        for guard in guards {
            self.0.push(guard);
            assert!(self.0.len() < self.1, "on purpose");
        }
    }
}

#[test]
fn what_is_not_taken_of_many_stays() {
    for (all, taken, back) in [(50, 20, 10), (16, 8, 3)] {
        let (pool, alive, source) = pool();
        drop((0..all).map(|_| pool.get()).collect::<Vec<_>>());
        let hits = pool.stats().hits;
        let mut short = Short(Vec::new(), taken);
        let result = catch_unwind(AssertUnwindSafe(|| pool.get_many(all, &mut short)));
        assert!(result.is_err());
        let (stats, out) = (pool.stats(), taken as u64);
        assert_eq!((stats.live, stats.idle, stats.hits - hits), (out, all as u64 - out, out));
        let guards = std::mem::take(&mut short.0).into_iter().enumerate().map(|(number, guard)| {
            assert!(number < back, "on purpose");
            guard
        });
        assert!(catch_unwind(AssertUnwindSafe(move || SharedPool::put_many(guards))).is_err());
        assert_eq!((pool.stats().live, pool.stats().idle), (0, all as u64));
        drop(short);
        drop(pool);
        assert_all_gone(&alive, &source);
    }
}

/// An `out` that takes fewer than it is given drops none.
#[test]
fn what_is_not_wanted_of_many_stays() {
    struct Full<G>(Vec<G>, usize);
    impl<G> Extend<G> for Full<G> {
        fn extend<I: IntoIterator<Item = G>>(&mut self, guards: I) {
            let left = self.1 - self.0.len();
            self.0.extend(guards.into_iter().take(left));
        }
    }
    for all in [10, 50] {
        let (pool, alive, source) = pool();
        let mut full = Full(Vec::new(), 7);
        pool.get_many(all, &mut full).unwrap();
        assert_eq!((full.0.len(), pool.stats().live), (7, 7));
        drop(full);
        assert_eq!(pool.stats().idle, alive.0.load(Relaxed) as u64);
        drop(pool);
        assert_all_gone(&alive, &source);
    }
}

/// Counts its drops, and may panic in one.
struct Dropped(Arc<AtomicUsize>, bool);
impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
        assert!(!self.1, "a destructor's");
    }
}

#[test]
fn all_that_should_go_do_though_a_destructor_panics() {
    for left in [0, 1] {
        let (drops, made) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
        let counter = drops.clone();
        let create = move || Dropped(counter.clone(), made.fetch_add(1, Relaxed) == 3);
        let pool = SharedPool::with_in(create, Heap::new());
        pool.prefill(5).unwrap();
        let result = catch_unwind(AssertUnwindSafe(|| match left {
            0 => pool.clear(),
            most => pool.set_max_idle(most),
        }));
        assert!(result.is_err());
        assert_eq!((drops.load(Relaxed), pool.stats().idle), (5 - left, left as u64));
    }
}

#[test]
fn trimming_gives_the_places_of_objects_back_as_well() {
    let source = Arc::new(Heap::new().counted());
    let pool = SharedPool::with_in(|| 1u64, source.clone());
    drop((0..if cfg!(miri) { 500 } else { 50_000 }).map(|_| pool.get()).collect::<Vec<_>>());
    pool.trim();
    assert!(source.traffic().live_bytes <= 64 << 10, "the magazines' span");
    assert_eq!((pool.stats().idle, *pool.get()), (0, 1));
}

#[test]
fn magazines_that_are_given_up_are_used_again() {
    let source = Arc::new(Heap::new().counted());
    let pool = SharedPool::with_in(|| 1u64, source.clone());
    let mut held = 0;
    for round in 0..3 {
        drop((0..if cfg!(miri) { 9 } else { 300 }).map(|_| pool.handle()).collect::<Vec<_>>());
        assert!(round == 0 || source.traffic().live_bytes == held);
        held = source.traffic().live_bytes;
    }
    assert_eq!(pool.stats().live, 0);
}

#[test]
fn a_destructor_that_panics_when_a_thread_ends_ends_nothing_else() {
    let (drops, made) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
    let counter = drops.clone();
    let create = move || Dropped(counter.clone(), made.fetch_add(1, Relaxed) == 1);
    let source = Arc::new(Heap::new().counted());
    let pool = SharedPool::with_in(create, source.clone()).max_idle(0);
    let other = pool.clone();
    thread::spawn(move || drop([other.get(), other.get(), other.get()])).join().unwrap();
    assert_eq!((drops.load(Relaxed), pool.stats().live, pool.stats().idle), (3, 0, 0));
    drop(pool);
    assert_eq!(source.traffic().live_bytes, 0);
}

#[test]
fn pools_that_come_and_go_in_one_thread_are_told_apart() {
    // Addresses come again: what the thread knows of a pool that is gone must not be taken for another's.
    for round in 0..if cfg!(miri) { 20 } else { 2000 } {
        let source = Arc::new(Heap::new().counted());
        let pool = SharedPool::with_in(move || round, source.clone());
        assert_eq!(*pool.get(), round);
        assert_eq!(*pool.get(), round);
        assert_eq!((pool.stats().created, pool.stats().hits), (1, 1));
        if round % 3 == 0 {
            pool.flush_thread();
        }
        drop(pool);
        assert_eq!(source.traffic().live_bytes, 0);
    }
}

/// Numbers that are good if they are even.
struct Even;
impl Recycle<u32> for Even {
    fn create(&self) -> u32 {
        0
    }
    fn check(&self, number: &mut u32) -> bool {
        *number % 2 == 0
    }
}

#[test]
fn what_is_no_longer_good_does_not_go_out() {
    let pool = SharedPool::with_in(Even, Heap::new());
    let handle = pool.handle();
    for (place, mut guard) in
        (0..100).map(|_| pool.get()).collect::<Vec<_>>().into_iter().enumerate()
    {
        *guard = place as u32;
    }
    pool.flush_thread();
    let all: Vec<_> = (0..50).map(|_| handle.get()).collect();
    assert!(all.iter().all(|number| **number % 2 == 0));
    assert_eq!((pool.stats().dropped, pool.stats().hits, pool.stats().misses), (50, 50, 100));
    *pool.get() = 1;
    assert_eq!(
        *pool.get_with(|| Err(3)).unwrap_err().to_string(),
        *"no object is idle, and none could be made: 3"
    );
}
