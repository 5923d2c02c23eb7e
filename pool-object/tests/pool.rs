//! `Pool`: random programs with refusals and panics at any moment, and its edges.

#[path = "model/pool.rs"]
mod model;
mod support;

use model::Op;
use pool_core::{Failing, Heap, PageError, PageSource};
use pool_object::{Guard, Pool, PoolError, RcPooled, Recycle};
use proptest::prelude::*;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::{Rc, Weak};
use support::{config, quietly};

fn op() -> impl Strategy<Value = Op> {
    let pick = any::<u8>();
    prop_oneof![
        12 => Just(Op::Get),
        8 => pick.prop_map(Op::Put),
        1 => pick.prop_map(Op::Detach),
        1 => Just(Op::Attach),
        1 => pick.prop_map(Op::Forget),
        1 => (0u8..20).prop_map(Op::Prefill),
        1 => (0u8..20).prop_map(Op::MaxIdle),
        1 => Just(Op::Clear),
        1 => Just(Op::Trim),
        2 => Just(Op::WorkingSet),
        4 => (pick, 0u8..4).prop_map(|(hook, after)| Op::Panic(hook, after)),
    ]
}

fn program() -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(op(), 0..if cfg!(miri) { 12 } else { 120 })
}

proptest! {
    #![proptest_config(config(100, 1))]
    #[test]
    fn programs_lose_nothing(program in program()) {
        quietly(|| {
            model::run::<0, false>(&model::source(None), &program);
            model::run::<9000, true>(&model::source(None), &program);
        });
    }
}

proptest! {
    #![proptest_config(config(10, 1))]
    #[test]
    fn programs_survive_a_refusal_at_every_step(program in program()) {
        quietly(|| {
            let counting = model::source(None);
            model::run::<9000, false>(&counting, &program);
            for call in 0..counting.calls().min(if cfg!(miri) { 2 } else { 20 }) {
                model::run::<9000, false>(&model::source(Some(call)), &program);
            }
        });
    }
}

#[test]
fn the_last_one_back_is_the_first_one_out_and_nothing_moves() {
    let pool = Pool::with_in(|| [0u64; 32], Heap::new());
    let (mut one, other) = (pool.get(), pool.get());
    one[0] = 7;
    let place: *const _ = &*one;
    drop(other);
    drop(one);
    let again = pool.get();
    assert_eq!(again[0], 7);
    assert!(std::ptr::eq(place, &*again));
}

#[test]
fn a_refusal_says_why_and_the_constructor_does_not_run_for_it() {
    for call in 0..2 {
        let created = Cell::new(0);
        let create = || created.set(created.get() + 1);
        let pool = Pool::with_in(create, Failing::nth(Heap::new(), call));
        let error = PoolError::Source(PageError::Injected { call });
        assert_eq!(pool.try_get().map(drop), Err(error));
        assert!(created.get() <= 1);
        assert_eq!(pool.stats().live, 0);
        drop(pool.get());
        assert_eq!(pool.stats().idle, 1);
    }
}

#[test]
fn objects_without_size_and_with_large_alignment() {
    #[derive(Default)]
    #[repr(align(4096))]
    struct Aligned(u8);
    let pool = Pool::with_in(Aligned::default, Heap::new());
    let guards: Vec<_> = (0..40).map(|_| pool.get()).collect();
    assert!(guards.iter().all(|guard| (&raw const **guard).addr() % 4096 == 0 && guard.0 == 0));
    drop(guards);
    assert_eq!(pool.stats().idle, 40);

    let dropped = Rc::new(Cell::new(0));
    struct Empty<'a>(std::marker::PhantomData<&'a ()>);
    thread_local!(static DROPPED: Cell<u32> = const { Cell::new(0) });
    impl Drop for Empty<'_> {
        fn drop(&mut self) {
            DROPPED.set(DROPPED.get() + 1);
        }
    }
    let pool = Pool::with_in(|| Empty(std::marker::PhantomData), Heap::new());
    drop((0..100).map(|_| pool.get()).collect::<Vec<_>>());
    assert_eq!(pool.stats().idle, 100);
    drop(pool);
    assert_eq!(DROPPED.get(), 100);
    drop(dropped);
}

/// Hooks that use the pool they belong to.
struct Nosy(RefCell<Weak<Pool<Chatty, Nosy, Heap>>>);
struct Chatty(Weak<Pool<Chatty, Nosy, Heap>>);

impl Nosy {
    fn poke(weak: &Weak<Pool<Chatty, Nosy, Heap>>) {
        thread_local!(static DEPTH: Cell<u32> = const { Cell::new(0) });
        if DEPTH.get() < 2 {
            DEPTH.set(DEPTH.get() + 1);
            if let Some(pool) = weak.upgrade() {
                drop((pool.get(), pool.get()));
                pool.trim_to_working_set();
                pool.set_max_idle(3);
            }
            DEPTH.set(DEPTH.get() - 1);
        }
    }
}

impl Recycle<Chatty> for Nosy {
    fn create(&self) -> Chatty {
        Self::poke(&self.0.borrow());
        Chatty(self.0.borrow().clone())
    }
    fn keep(&self, _: &Chatty) -> bool {
        Self::poke(&self.0.borrow());
        true
    }
    fn reset(&self, _: &mut Chatty) {
        Self::poke(&self.0.borrow());
    }
}

impl Drop for Chatty {
    fn drop(&mut self) {
        Nosy::poke(&self.0);
    }
}

#[test]
fn every_hook_may_use_the_pool() {
    let pool = Rc::new(Pool::with_in(Nosy(RefCell::default()), Heap::new()));
    *pool.recycle().0.borrow_mut() = Rc::downgrade(&pool);
    for round in 0..if cfg!(miri) { 6 } else { 20 } {
        let held: Vec<_> = (0..round % 7).map(|_| pool.get()).collect();
        drop(held);
        if round % 5 == 0 {
            pool.trim();
        }
        assert_eq!(pool.stats().live, 0);
    }
    let last = pool.get_rc();
    drop(pool);
    drop(last);
}

#[test]
fn a_guard_with_a_share_keeps_the_pool() {
    let source = Heap::new().counted();
    let pool = Rc::new(Pool::with_in(String::new, &source));
    let mut guard = pool.get_rc();
    guard.push_str("text");
    drop(pool);
    assert_eq!(Guard::detach(guard), "text");
    assert_eq!(source.traffic().live_bytes, 0);
}

#[test]
fn what_a_rush_needed_goes_and_what_is_in_use_stays() {
    let source = Heap::new().counted();
    let pool = Pool::with_in(|| [0u8; 1000], &source);
    drop((0..1000).map(|_| pool.get()).collect::<Vec<_>>());
    let rush = source.traffic().live_bytes;
    assert_eq!(pool.trim_to_working_set(), 0, "all of them were needed");
    for _ in 0..10 {
        drop((0..5).map(|_| pool.get()).collect::<Vec<_>>());
    }
    assert!(pool.trim_to_working_set() > rush / 2);
    assert_eq!(pool.stats().idle, 5);
    assert_eq!(pool.stats().peak, 1000);
    pool.trim_to_working_set();
    assert_eq!(pool.stats().idle, 0, "nothing was needed meanwhile");
}

#[test]
fn one_fat_object_is_not_kept() {
    let small = |buffer: &Vec<u8>| buffer.capacity() < 1000;
    let pool = Pool::with_in((Vec::new, Vec::clear, small), Heap::new());
    pool.get().reserve(10);
    pool.get().reserve(10_000);
    assert_eq!((pool.stats().created, pool.stats().dropped, pool.stats().idle), (1, 1, 0));
}

#[test]
fn raising_the_idle_limit_keeps_what_is_out_then() {
    let pool = Pool::with_in(|| 1u64, Heap::new()).max_idle(0);
    let all: Vec<_> = (0..100).map(|_| pool.get()).collect();
    pool.set_max_idle(90);
    drop(all);
    assert_eq!((pool.stats().idle, pool.stats().dropped), (90, 10));
}

/// Counts its drops, and may panic in one.
struct Dropped<'a>(&'a Cell<u32>, bool);
impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
        assert!(!self.1, "a destructor's");
    }
}

#[test]
fn all_beyond_a_new_limit_go_though_a_destructor_panics() {
    let (drops, made) = (Cell::new(0), Cell::new(0));
    let create = || Dropped(&drops, made.replace(made.get() + 1) == 3);
    let pool = Pool::with_in(create, Heap::new());
    pool.prefill(5).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| pool.set_max_idle(1))).is_err());
    assert_eq!((drops.get(), pool.stats().idle), (4, 1));
    drop([pool.get(), pool.get()]);
    assert_eq!((drops.get(), pool.stats().idle), (5, 1), "it is the limit");
}

#[test]
fn trimming_gives_the_places_of_objects_back_as_well() {
    let source = Heap::new().counted();
    let pool = Pool::with_in(|| 1u64, &source);
    let rush: Vec<_> = (0..if cfg!(miri) { 2_000 } else { 100_000 }).map(|_| pool.get()).collect();
    let held = pool.get();
    drop(rush);
    let before = source.traffic().live_bytes;
    let given = pool.trim();
    assert_eq!(before - given, source.traffic().live_bytes);
    assert!(source.traffic().live_bytes <= 128 << 10, "a span, and few places");
    drop(held);
    assert_eq!((pool.stats().idle, pool.trim() > 0), (1, true));
    assert_eq!(source.traffic().live_bytes, 0);
    drop(pool.get());
    assert_eq!(pool.stats().idle, 1);
}

/// A destructor takes objects out while the limit is being lowered: it holds all the same.
#[test]
fn a_lower_limit_holds_whatever_happens_meanwhile() {
    type Takers = Pool<Taker, fn() -> Taker>;
    type Held = Vec<RcPooled<Taker, fn() -> Taker>>;
    thread_local! {
        static TAKEN: RefCell<Vec<Rc<Takers>>> = const { RefCell::new(Vec::new()) };
        static HELD: RefCell<Held> = const { RefCell::new(Vec::new()) };
    }
    struct Taker;
    impl Drop for Taker {
        fn drop(&mut self) {
            if let Some(pool) = TAKEN.take().pop() {
                let held = (0..9).map(|_| pool.get_rc()).collect();
                HELD.set(held);
            }
        }
    }
    let pool = Rc::new(Takers::with(|| Taker));
    pool.prefill(10).unwrap();
    TAKEN.set(vec![Rc::clone(&pool)]);
    pool.set_max_idle(1);
    drop(HELD.take());
    assert_eq!(pool.stats().idle, 1);
}

#[test]
fn filling_a_pool_in_advance_is_no_need_to_shrink_it() {
    let pool: Pool<u64> = Pool::new();
    let many = if cfg!(miri) { 20 } else { 100 };
    drop((0..many).map(|_| pool.get()).collect::<Vec<_>>());
    pool.prefill(10).unwrap();
    pool.trim_to_working_set();
    assert_eq!(pool.stats().idle, many);
}
