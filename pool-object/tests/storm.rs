//! Hooks, destructors and wakers that use the pool they belong to, in any way and at any moment, or panic: a storm of
//! all that pools for several threads can do, in which no object is out twice, lost, or dropped twice.
#![forbid(unsafe_code)]

use core::cell::{Cell, RefCell};
use core::future::Future;
use core::iter::from_fn;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use pool_core::{Heap, PageSource, Stats};
use pool_object::{BoundedPool, Guard, Home, Recycle, ResetOn, SharedPool, SharedPooled};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::task::Wake;
use std::thread::{self, panicking};

type Source = Arc<Stats<Heap>>;
type Pool = SharedPool<Object, Hooks, Source>;
type Bounded = BoundedPool<Object, Hooks, Source>;

std::thread_local! {
    static DICE: Cell<u64> = const { Cell::new(1) };
    /// How deep hooks are within hooks.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// The pools that hooks use, as long as there are any.
    static POOLS: RefCell<Vec<Pool>> = const { RefCell::new(Vec::new()) };
    static BOUNDED: RefCell<Option<Arc<Bounded>>> = const { RefCell::new(None) };
}

fn roll(sides: u64) -> u64 {
    let next =
        DICE.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    DICE.set(next);
    (next >> 33) % sides
}

struct Object {
    number: Box<u64>,
    /// Whether somebody has it.
    out: bool,
    alive: Arc<()>,
}

impl Drop for Object {
    fn drop(&mut self) {
        assert_eq!(*self.number, 7);
        *self.number = 0;
        meddle();
    }
}

struct Hooks(Arc<()>);

impl Recycle<Object> for Hooks {
    const RESET: ResetOn = ResetOn::Get;
    fn create(&self) -> Object {
        let object = Object { number: Box::new(7), out: false, alive: self.0.clone() };
        meddle();
        object
    }
    fn keep(&self, object: &Object) -> bool {
        assert_eq!(*object.number, 7);
        meddle();
        roll(9) > 0
    }
    fn check(&self, object: &mut Object) -> bool {
        assert!(*object.number == 7 && Arc::strong_count(&object.alive) > 0);
        meddle();
        roll(9) > 0
    }
    fn reset(&self, object: &mut Object) {
        object.out = false;
        meddle();
    }
}

/// Takes what comes, puts some back at once, and may stop before the end, or panic.
struct Greedy<'p>(Vec<SharedPooled<'p, Object, Hooks, Source>>, u64);

impl<'p> Extend<SharedPooled<'p, Object, Hooks, Source>> for Greedy<'p> {
    fn extend<I>(&mut self, guards: I)
    where
        I: IntoIterator<Item = SharedPooled<'p, Object, Hooks, Source>>,
    {
        for guard in guards {
            self.0.push(claim(guard));
            match roll(self.1) {
                0 => return,
                1 => drop(self.0.swap_remove(0)),
                2 => fail(),
                3 => meddle(),
                _ => {}
            }
        }
    }
}

/// Nobody else has it.
fn claim<H: Home<Object>>(mut guard: Guard<Object, H>) -> Guard<Object, H> {
    assert!(*guard.number == 7 && !guard.out);
    guard.out = true;
    guard
}

fn fail() {
    if !panicking() {
        // Without the hook, which would tell of each.
        resume_unwind(Box::new(()));
    }
}

/// What a hook may do to a pool, now and then.
fn meddle() {
    if DEPTH.get() == 2 || roll(6) > 0 {
        return;
    }
    if roll(5) == 0 {
        return fail();
    }
    // Not at the end of a thread.
    let Ok(pools) = POOLS.try_with(|pools| pools.borrow().clone()) else { return };
    let Ok(bounded) = BOUNDED.try_with(|pool| pool.borrow().clone()) else { return };
    DEPTH.set(DEPTH.get() + 1);
    let result = catch_unwind(AssertUnwindSafe(|| {
        step(&pools);
        bounded.iter().for_each(bounded_step);
    }));
    DEPTH.set(DEPTH.get() - 1);
    if result.is_err() && roll(2) == 0 {
        fail();
    }
}

fn step(pools: &[Pool]) {
    let Some(pool) = pools.get(roll(2) as usize) else { return };
    match roll(12) {
        0..3 => {
            let mut held: Vec<_> = (0..roll(90)).map(|_| claim(pool.get())).collect();
            (0..roll(3)).for_each(|_| drop(held.pop()));
            meddle();
        }
        3..7 => {
            let mut many = Greedy(Vec::new(), 4 + roll(200));
            pool.get_many(roll(150) as usize, &mut many).unwrap();
            let (mut guards, other) = (many.0, &pools[roll(2) as usize]);
            // Of both pools, and some of them only when others are on their way.
            let some = from_fn(|| {
                meddle();
                if roll(4) == 0 { Some(claim(other.get())) } else { guards.pop() }
            });
            SharedPool::put_many(some.take(roll(200) as usize));
        }
        7 => {
            let handle = pool.handle();
            let held: Vec<_> = (0..roll(70)).map(|_| handle.get()).collect();
            assert!(held.iter().all(|object| !object.out));
        }
        8 => pool.flush_thread(),
        9 => pool.set_max_idle(roll(100) as usize),
        10 => drop((pool.trim_to_working_set(), pool.get_owned())),
        _ => drop((pool.trim(), pool.prefill(roll(40) as usize))),
    }
}

fn storm(seed: u64, rounds: u32) {
    DICE.set(seed);
    let alive = Arc::new(());
    let source: Source = Arc::new(Heap::new().counted());
    let pools = [(); 2].map(|()| SharedPool::with_in(Hooks(alive.clone()), source.clone()));
    POOLS.set(pools.to_vec());
    thread::scope(|scope| {
        // Another thread gets and puts in its own way; its hooks may panic, and do no more.
        scope.spawn(|| {
            for round in 0..rounds {
                let mut many = Greedy(Vec::new(), 1 << 40);
                let pool = &pools[round as usize % 2];
                let _ = catch_unwind(AssertUnwindSafe(|| pool.get_many(40, &mut many)));
                let _ = catch_unwind(AssertUnwindSafe(|| SharedPool::put_many(many.0)));
            }
        });
        for _ in 0..rounds {
            let _ = catch_unwind(AssertUnwindSafe(|| step(&pools)));
            assert!(Arc::strong_count(&alive) > pools.len());
        }
    });
    POOLS.take();
    for pool in &pools {
        let _ = catch_unwind(AssertUnwindSafe(|| pool.flush_thread()));
        let _ = catch_unwind(AssertUnwindSafe(|| pool.clear()));
        assert_eq!(pool.stats().live, 0, "{seed}: {:?}", pool.stats());
    }
    let _ = catch_unwind(AssertUnwindSafe(|| drop(pools)));
    assert_eq!((Arc::strong_count(&alive), source.traffic().live_bytes), (1, 0));
}

/// A task whose waker is foreign code, and so is the waker's end.
struct Task;

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        meddle();
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        meddle();
    }
}

fn bounded_step(pool: &Arc<Bounded>) {
    match roll(12) {
        0..2 => {
            let held: Vec<_> = from_fn(|| pool.try_get().ok()).take(7).map(claim).collect();
            assert!(held.len() <= pool.limit());
            meddle();
        }
        2..6 => wait_for_some(pool),
        6 => drop(pool.attach(pool.recycle().create()).map(claim)),
        7 => drop(pool.prefill(roll(9) as usize)),
        8 => drop(pool.try_get_owned().map(|guard| Guard::detach(claim(guard)))),
        9 => drop((pool.trim_to_working_set(), pool.trim())),
        10 => drop(pool.get_or_free(|| roll(3) > 0).map(claim)),
        _ if roll(30) == 0 => pool.close(),
        _ => {
            let _ = pool.drain_timeout(Duration::ZERO);
            let refuse = || {
                meddle();
                Err::<Object, _>("none")
            };
            drop(pool.try_get_with(refuse).map(claim));
        }
    }
}

/// Some futures, polled and dropped in any order.
fn wait_for_some(pool: &Bounded) {
    let waker = Waker::from(Arc::new(Task));
    let mut futures: Vec<_> = (0..roll(8)).map(|_| Box::pin(pool.get_async())).collect();
    let mut held = Vec::new();
    for _ in 0..roll(20).min(9 * futures.len() as u64) {
        if futures.is_empty() {
            break;
        }
        let at = roll(futures.len() as u64) as usize;
        if let Poll::Ready(result) = futures[at].as_mut().poll(&mut Context::from_waker(&waker)) {
            drop(futures.swap_remove(at));
            held.extend(result.map(claim));
        }
        match roll(6) {
            0 => drop(held.pop()),
            1 => drop(futures.pop()),
            2 => meddle(),
            _ => {}
        }
    }
}

fn bounded_storm(seed: u64, rounds: u32) {
    DICE.set(seed);
    let alive = Arc::new(());
    let source: Source = Arc::new(Heap::new().counted());
    let limit = 1 + seed as usize % 5;
    let pool = Arc::new(BoundedPool::with_in(limit, Hooks(alive.clone()), source.clone()));
    BOUNDED.set(Some(pool.clone()));
    for _ in 0..rounds {
        let _ = catch_unwind(AssertUnwindSafe(|| bounded_step(&pool)));
    }
    BOUNDED.take();
    let stats = pool.stats();
    assert_eq!((stats.live, stats.granted, stats.waiters), (0, 0, 0), "{seed}: {stats}");
    // All rights are there.
    let mut held = Vec::new();
    while !pool.is_closed() && held.len() < limit {
        held.extend(catch_unwind(AssertUnwindSafe(|| pool.try_get().unwrap())).map(claim));
    }
    let _ = catch_unwind(AssertUnwindSafe(|| drop((held, pool.try_get().is_err()))));
    let _ = catch_unwind(AssertUnwindSafe(|| drop(pool)));
    assert_eq!((Arc::strong_count(&alive), source.traffic().live_bytes), (1, 0), "{seed}");
}

#[test]
fn no_right_is_lost_or_doubled_in_a_storm() {
    let (seeds, rounds) = if cfg!(miri) { (2, 8) } else { (200, 40) };
    (0..seeds).for_each(|seed| bounded_storm(seed, rounds));
}

#[test]
fn no_object_is_lost_or_doubled_in_a_storm() {
    let (seeds, rounds) = if cfg!(miri) { (1, 3) } else { (20, 40) };
    (0..seeds).for_each(|seed| storm(seed, rounds));
}
