//! Operations on a pool, and what must be true after each.

use pool_core::{Failing, Heap, PageSource, Stats};
use pool_object::{Guard, Pool, Pooled, Recycle, ResetOn};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

#[derive(Clone, Copy, Debug)]
pub enum Op {
    Get,
    /// Drop a guard that is held.
    Put(u8),
    Detach(u8),
    Attach,
    /// Leave the guard for ever.
    Forget(u8),
    Prefill(u8),
    MaxIdle(u8),
    Clear,
    Trim,
    WorkingSet,
    /// A hook (0: create, 1: keep, 2: reset, 3: drop) panics once, after so many calls.
    Panic(u8, u8),
}

/// What all objects and hooks of a run share.
#[derive(Default)]
pub struct World {
    alive: Cell<u64>,
    /// Which hook panics, and in how many of its calls.
    fuse: Cell<Option<(u8, u8)>>,
    /// What was found wrong where a panic would be taken for one on purpose.
    wrong: Cell<Option<&'static str>>,
}

impl World {
    fn expect(&self, holds: bool, what: &'static str) {
        if !holds {
            self.wrong.set(Some(what));
        }
    }

    /// A call of this hook.
    fn call(&self, hook: u8) {
        let Some((which, left)) = self.fuse.get() else { return };
        if which != hook {
            return;
        }
        self.fuse.set(left.checked_sub(1).map(|left| (which, left)));
        assert!(left > 0 || std::thread::panicking(), "on purpose, in hook {hook}");
    }
}

/// An object that knows whether it is clean.
pub struct Object<'w, const PAD: usize> {
    dirty: bool,
    number: u64,
    _pad: [u8; PAD],
    world: &'w World,
}

impl<'w, const PAD: usize> Object<'w, PAD> {
    fn new(world: &'w World) -> Self {
        world.alive.set(world.alive.get() + 1);
        Self { dirty: false, number: 7, _pad: [7; PAD], world }
    }
}

impl<const PAD: usize> Drop for Object<'_, PAD> {
    fn drop(&mut self) {
        self.world.expect(self.number == 7, "an object is dropped once");
        self.number = 0;
        self.world.alive.set(self.world.alive.get() - 1);
        self.world.call(3);
    }
}

/// Hooks that panic when they are told to.
pub struct Hooks<'w, const GET: bool>(&'w World);

impl<'w, const PAD: usize, const GET: bool> Recycle<Object<'w, PAD>> for Hooks<'w, GET> {
    const RESET: ResetOn = if GET { ResetOn::Get } else { ResetOn::Put };
    fn create(&self) -> Object<'w, PAD> {
        self.0.call(0);
        Object::new(self.0)
    }
    fn keep(&self, object: &Object<'w, PAD>) -> bool {
        self.0.expect(object.number == 7, "what comes back is alive");
        self.0.call(1);
        true
    }
    fn reset(&self, object: &mut Object<'w, PAD>) {
        self.0.call(2);
        object.dirty = false;
    }
}

type Source = Failing<Stats<Heap>>;

pub fn source(refuse: Option<u64>) -> Source {
    match refuse {
        None => Failing::never(Heap::new().counted()),
        Some(call) => Failing::nth(Heap::new().counted(), call),
    }
}

type TestPool<'a, const PAD: usize, const GET: bool> =
    Pool<Object<'a, PAD>, Hooks<'a, GET>, &'a Source>;
type TestGuard<'p, 'a, const PAD: usize, const GET: bool> =
    Pooled<'p, Object<'a, PAD>, Hooks<'a, GET>, &'a Source>;

/// Runs a program; everything that was not forgotten is dropped once, and all memory goes back.
pub fn run<const PAD: usize, const GET: bool>(source: &Source, program: &[Op]) {
    let world = World::default();
    let pool: TestPool<PAD, GET> = Pool::with_in(Hooks(&world), source);
    let (mut held, mut forgotten, mut bound) = (Vec::new(), 0, usize::MAX);
    for &op in program {
        let step = AssertUnwindSafe(|| step(&pool, &world, op, &mut held, &mut forgotten));
        let panicked = catch_unwind(step).is_err();
        if panicked {
            world.fuse.set(None);
        }
        check(&pool, &world, held.len(), forgotten);
        // A destructor's panic leaves the bound as it was.
        if let (Op::MaxIdle(objects), false) = (op, panicked) {
            bound = objects as usize;
        }
        assert!(pool.stats().idle as usize <= bound, "{:?}", pool.stats());
    }
    world.fuse.set(None);
    drop(held);
    drop(pool);
    assert_eq!(world.alive.get(), forgotten, "all but the forgotten ones were dropped");
    assert_eq!(source.inner().traffic().live_bytes, 0, "all memory went back");
}

fn step<'p, 'a, const PAD: usize, const GET: bool>(
    pool: &'p TestPool<'a, PAD, GET>,
    world: &'a World,
    op: Op,
    held: &mut Vec<TestGuard<'p, 'a, PAD, GET>>,
    forgotten: &mut u64,
) {
    let pick = |pick: u8, held: &mut Vec<TestGuard<'p, 'a, PAD, GET>>| {
        (!held.is_empty()).then(|| held.swap_remove(pick as usize % held.len()))
    };
    match op {
        Op::Get => {
            let Ok(mut guard) = pool.try_get() else { return };
            world.expect(guard.number == 7, "what goes out is alive");
            world.expect(!guard.dirty, "objects go out as reset leaves them");
            guard.dirty = true;
            held.push(guard);
        }
        Op::Put(which) => drop(pick(which, held)),
        Op::Detach(which) => drop(pick(which, held).map(Guard::detach)),
        Op::Attach => match pool.attach(Object::new(world)) {
            Ok(guard) => held.push(guard),
            Err(refusal) => drop(refusal.value),
        },
        Op::Forget(which) => {
            if let Some(guard) = pick(which, held) {
                std::mem::forget(guard);
                *forgotten += 1;
            }
        }
        Op::Prefill(objects) => drop(pool.prefill(objects as usize)),
        Op::MaxIdle(objects) => pool.set_max_idle(objects as usize),
        Op::Clear => pool.clear(),
        Op::Trim => drop(pool.trim()),
        Op::WorkingSet => drop(pool.trim_to_working_set()),
        Op::Panic(hook, after) => world.fuse.set(Some((hook % 4, after))),
    }
}

fn check<const PAD: usize, const GET: bool>(
    pool: &TestPool<'_, PAD, GET>,
    world: &World,
    held: usize,
    forgotten: u64,
) {
    assert_eq!(world.wrong.get(), None);
    let stats = pool.stats();
    assert_eq!(stats.live, held as u64 + forgotten, "{stats:?}");
    assert_eq!(stats.live + stats.idle, world.alive.get(), "{stats:?}");
    assert_eq!(stats.created - stats.dropped, world.alive.get(), "{stats:?}");
    assert!(stats.peak >= stats.live + stats.idle);
}
