//! Operations on the pools that threads share, and what must be true after each.

use pool_core::{Failing, Heap, PageSource, Stats};
use pool_object::{
    BoundedPool, BoundedPooled, Get, GetError, Guard, PoolStats, Recycle, ResetOn, SharedPool,
    SharedPooled,
};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

#[derive(Clone, Copy, Debug)]
pub enum Op {
    Get,
    /// By a constructor of one's own, which may fail.
    GetWith(bool),
    /// So many at once, and back at once.
    Many(u8),
    /// Drop a guard that is held, perhaps of an object that is no longer good then.
    Put(u8, bool),
    Detach(u8),
    Attach,
    /// Leave the guard for ever.
    Forget(u8),
    Prefill(u8),
    MaxIdle(u8),
    Clear,
    Trim,
    WorkingSet,
    Flush,
    /// A handle that gets and puts so many.
    Handle(u8),
    /// A thread that gets and puts so many, and ends.
    Thread(u8),
    /// Begin to wait for one.
    Wait,
    /// Look whether it is there.
    Poll(u8),
    /// Stop waiting.
    Abandon(u8),
    /// A hook (0: create, 1: keep, 2: reset, 3: drop, 4: check) panics once, after so many calls.
    Panic(u8, u8),
}

/// What all objects and hooks of a run share.
#[derive(Default)]
pub struct World {
    alive: AtomicU64,
    /// Which hook panics, and in how many of its calls.
    fuse: Mutex<Option<(u8, u8)>>,
    /// What was found wrong where a panic would be taken for one on purpose.
    wrong: Mutex<Option<&'static str>>,
}

impl World {
    fn expect(&self, holds: bool, what: &'static str) {
        if !holds {
            *self.wrong.lock().unwrap() = Some(what);
        }
    }

    fn set_fuse(&self, fuse: Option<(u8, u8)>) {
        *self.fuse.lock().unwrap() = fuse;
    }

    /// A call of this hook.
    fn call(&self, hook: u8) {
        let mut fuse = self.fuse.lock().unwrap();
        let Some((which, left)) = *fuse else { return };
        if which != hook {
            return;
        }
        *fuse = left.checked_sub(1).map(|left| (which, left));
        drop(fuse);
        assert!(left > 0 || thread::panicking(), "on purpose, in hook {hook}");
    }
}

/// An object that knows whether it is clean.
pub struct Object {
    dirty: bool,
    spoiled: bool,
    number: u64,
    _pad: [u8; 1000],
    world: Arc<World>,
}

impl Object {
    fn new(world: &Arc<World>) -> Self {
        world.alive.fetch_add(1, SeqCst);
        Self { dirty: false, spoiled: false, number: 7, _pad: [7; 1000], world: world.clone() }
    }

    /// What every user does first.
    fn used(&mut self) {
        self.world.expect(self.number == 7, "what goes out is alive");
        self.world.expect(!self.dirty, "objects go out as reset leaves them");
        self.world.expect(!self.spoiled, "what is not good does not go out");
        self.dirty = true;
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        self.world.expect(self.number == 7, "an object is dropped once");
        self.number = 0;
        self.world.alive.fetch_sub(1, SeqCst);
        self.world.call(3);
    }
}

/// Hooks that panic when they are told to.
pub struct Hooks<const GET: bool>(Arc<World>);

impl<const GET: bool> Recycle<Object> for Hooks<GET> {
    const RESET: ResetOn = if GET { ResetOn::Get } else { ResetOn::Put };
    fn create(&self) -> Object {
        self.0.call(0);
        Object::new(&self.0)
    }
    fn check(&self, object: &mut Object) -> bool {
        self.0.expect(object.number == 7, "what is looked at is alive");
        self.0.call(4);
        !object.spoiled
    }
    fn keep(&self, object: &Object) -> bool {
        self.0.expect(object.number == 7, "what comes back is alive");
        self.0.call(1);
        true
    }
    fn reset(&self, object: &mut Object) {
        self.0.call(2);
        object.dirty = false;
    }
}

pub type Source = Arc<Failing<Stats<Heap>>>;

pub fn source(refuse: Option<u64>) -> Source {
    Arc::new(match refuse {
        None => Failing::never(Heap::new().counted()),
        Some(call) => Failing::nth(Heap::new().counted(), call),
    })
}

/// A pool of either kind.
pub trait Tested: Sized {
    type Guard<'p>: std::ops::DerefMut<Target = Object>
    where
        Self: 'p;
    /// What is waiting.
    type Wait<'p>
    where
        Self: 'p;
    fn new(world: &Arc<World>, source: &Source) -> Self;
    fn get(&self) -> Option<Self::Guard<'_>>;
    fn get_with(&self, make: impl FnOnce() -> Result<Object, ()>) -> Option<Self::Guard<'_>>;
    fn attach(&self, object: Object) -> Option<Self::Guard<'_>>;
    /// So many at once.
    fn many(&self, count: u8) -> Vec<Self::Guard<'_>> {
        (0..count).map_while(|_| self.get()).collect()
    }
    /// Puts them back at once.
    fn put_many<'p>(guards: Vec<Self::Guard<'p>>)
    where
        Self: 'p,
    {
        drop(guards);
    }
    fn detach(guard: Self::Guard<'_>) -> Object;
    fn others(&self, op: Op);
    fn wait<'p>(&'p self, op: Op, waiting: &mut Vec<Self::Wait<'p>>) -> Option<Self::Guard<'p>>;
    /// What must hold of those who wait, and how many of `out` they have been promised.
    fn check(&self, out: u64, waiting: &[Self::Wait<'_>]);
    fn stats(&self) -> PoolStats;
    /// The most that may be idle if the pool was told `bound`.
    fn most_idle(bound: usize) -> usize;
}

/// Runs a program; everything that was not forgotten is dropped once, and all memory goes back.
pub fn run<P: Tested>(source: &Source, program: &[Op]) {
    let world = Arc::new(World::default());
    let pool = P::new(&world, source);
    let (mut held, mut waiting, mut forgotten, mut bound) = (Vec::new(), Vec::new(), 0, usize::MAX);
    for &op in program {
        let step =
            AssertUnwindSafe(|| step(&pool, &world, op, &mut held, &mut waiting, &mut forgotten));
        let panicked = catch_unwind(step).is_err();
        if panicked {
            world.set_fuse(None);
        }
        assert_eq!(*world.wrong.lock().unwrap(), None);
        let (stats, alive) = (pool.stats(), world.alive.load(SeqCst));
        assert_eq!(stats.live, held.len() as u64 + forgotten, "{op:?} {stats:?}");
        assert_eq!(stats.live + stats.idle, alive, "{op:?} {stats:?}");
        assert_eq!(stats.created - stats.dropped, alive, "{op:?} {stats:?}");
        pool.check(stats.live, &waiting);
        // A destructor's panic leaves the bound as it was.
        if let (Op::MaxIdle(objects), false) = (op, panicked) {
            bound = objects as usize;
        }
        assert!(stats.idle as usize <= P::most_idle(bound), "{op:?} {stats:?}");
    }
    world.set_fuse(None);
    drop((held, waiting));
    drop(pool);
    assert_eq!(*world.wrong.lock().unwrap(), None);
    assert_eq!(world.alive.load(SeqCst), forgotten, "all but the forgotten ones were dropped");
    assert_eq!(source.inner().traffic().live_bytes, 0, "all memory went back");
}

fn step<'p, P: Tested>(
    pool: &'p P,
    world: &Arc<World>,
    op: Op,
    held: &mut Vec<P::Guard<'p>>,
    waiting: &mut Vec<P::Wait<'p>>,
    forgotten: &mut u64,
) {
    let pick = |pick: u8, held: &mut Vec<P::Guard<'p>>| {
        (!held.is_empty()).then(|| held.swap_remove(pick as usize % held.len()))
    };
    let note = |guard: Option<P::Guard<'p>>, held: &mut Vec<P::Guard<'p>>| {
        let Some(mut guard) = guard else { return };
        guard.used();
        held.push(guard);
    };
    match op {
        Op::Get => note(pool.get(), held),
        Op::GetWith(fails) => {
            let make = || if fails { Err(()) } else { Ok(Object::new(world)) };
            note(pool.get_with(make), held);
        }
        Op::Many(count) => {
            let mut many = pool.many(count);
            many.iter_mut().for_each(|guard| guard.used());
            if count % 2 == 0 {
                P::put_many(many);
            }
        }
        Op::Put(which, spoiled) => {
            if let Some(mut guard) = pick(which, held) {
                guard.spoiled = spoiled;
            }
        }
        Op::Detach(which) => drop(pick(which, held).map(P::detach)),
        Op::Attach => note(pool.attach(Object::new(world)), held),
        Op::Forget(which) => {
            if let Some(guard) = pick(which, held) {
                std::mem::forget(guard);
                *forgotten += 1;
            }
        }
        Op::Panic(hook, after) => world.set_fuse(Some((hook % 5, after))),
        Op::Wait | Op::Poll(_) | Op::Abandon(_) => note(pool.wait(op, waiting), held),
        _ => pool.others(op),
    }
}

impl<const GET: bool> Tested for SharedPool<Object, Hooks<GET>, Source> {
    type Guard<'p> = SharedPooled<'p, Object, Hooks<GET>, Source>;
    type Wait<'p> = ();

    fn new(world: &Arc<World>, source: &Source) -> Self {
        Self::with_in(Hooks(world.clone()), source.clone())
    }
    fn get(&self) -> Option<Self::Guard<'_>> {
        self.try_get().ok()
    }
    fn get_with(&self, make: impl FnOnce() -> Result<Object, ()>) -> Option<Self::Guard<'_>> {
        self.get_with(make).ok()
    }
    fn many(&self, count: u8) -> Vec<Self::Guard<'_>> {
        let mut many = Vec::new();
        let result = self.get_many(count as usize, &mut many);
        assert_eq!(result.is_ok(), many.len() == count as usize);
        many
    }
    fn put_many<'p>(guards: Vec<Self::Guard<'p>>)
    where
        Self: 'p,
    {
        SharedPool::put_many(guards);
    }
    fn attach(&self, object: Object) -> Option<Self::Guard<'_>> {
        self.attach(object).ok()
    }
    fn detach(guard: Self::Guard<'_>) -> Object {
        Guard::detach(guard)
    }
    fn others(&self, op: Op) {
        match op {
            Op::Prefill(objects) => drop(self.prefill(objects as usize)),
            Op::MaxIdle(objects) => self.set_max_idle(objects as usize),
            Op::Clear => self.clear(),
            Op::Trim => drop(self.trim()),
            Op::WorkingSet => drop(self.trim_to_working_set()),
            Op::Flush => self.flush_thread(),
            Op::Handle(count) => {
                let Ok(handle) = self.try_handle() else { return };
                let many: Vec<_> = (0..count).map_while(|_| handle.try_get().ok()).collect();
                many.into_iter().for_each(|mut guard| guard.used());
            }
            Op::Thread(count) => {
                let pool = self.clone();
                let thread = thread::spawn(move || {
                    let many: Vec<_> = (0..count).map_while(|_| pool.try_get().ok()).collect();
                    many.into_iter().for_each(|mut guard| guard.used());
                });
                if let Err(panic) = thread.join() {
                    std::panic::resume_unwind(panic);
                }
            }
            _ => {}
        }
    }
    fn wait<'p>(&'p self, _: Op, _: &mut Vec<()>) -> Option<Self::Guard<'p>> {
        None
    }
    fn check(&self, _: u64, _: &[()]) {}
    fn stats(&self) -> PoolStats {
        self.stats()
    }
    fn most_idle(bound: usize) -> usize {
        bound.saturating_add(64)
    }
}

/// Counts how often it is woken.
#[derive(Default)]
pub struct Woken(AtomicU64);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

type Future_<'p, const GET: bool> = Pin<Box<Get<'p, Object, Hooks<GET>, Source>>>;

/// Objects that may be out of a bounded pool.
const LIMIT: usize = 4;

impl<const GET: bool> Tested for BoundedPool<Object, Hooks<GET>, Source> {
    type Guard<'p> = BoundedPooled<'p, Object, Hooks<GET>, Source>;
    /// In the order in which they came.
    type Wait<'p> = (Future_<'p, GET>, Arc<Woken>);

    fn new(world: &Arc<World>, source: &Source) -> Self {
        Self::with_in(LIMIT, Hooks(world.clone()), source.clone())
    }
    fn get(&self) -> Option<Self::Guard<'_>> {
        self.try_get().ok()
    }
    fn get_with(&self, make: impl FnOnce() -> Result<Object, ()>) -> Option<Self::Guard<'_>> {
        match self.try_get_with(make) {
            Err(GetError::Create(())) | Err(GetError::Pool(_)) => None,
            Ok(guard) => Some(guard),
        }
    }
    fn attach(&self, object: Object) -> Option<Self::Guard<'_>> {
        self.attach(object).ok()
    }
    fn detach(guard: Self::Guard<'_>) -> Object {
        Guard::detach(guard)
    }
    fn others(&self, op: Op) {
        match op {
            Op::Prefill(objects) => drop(self.prefill(objects as usize)),
            Op::Clear => self.clear(),
            Op::Trim => drop(self.trim()),
            Op::WorkingSet => drop(self.trim_to_working_set()),
            _ => {}
        }
    }
    fn wait<'p>(&'p self, op: Op, waiting: &mut Vec<Self::Wait<'p>>) -> Option<Self::Guard<'p>> {
        let (mut future, woken, place) = match op {
            Op::Wait => (Box::pin(self.get_async()), Arc::new(Woken::default()), waiting.len()),
            Op::Poll(pick) | Op::Abandon(pick) => {
                let place = (pick as usize).checked_rem(waiting.len())?;
                let (future, woken) = waiting.remove(place);
                if let Op::Abandon(_) = op {
                    return None;
                }
                (future, woken, place)
            }
            _ => return None,
        };
        let waker = Waker::from(woken.clone());
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(result) => result.ok(),
            Poll::Pending => {
                waiting.insert(place, (future, woken));
                None
            }
        }
    }
    fn check(&self, out: u64, waiting: &[Self::Wait<'_>]) {
        let granted = waiting.iter().filter(|(_, woken)| woken.0.load(SeqCst) > 0).count();
        let stats = self.stats();
        assert_eq!(
            (stats.granted, stats.waiters),
            (granted as u64, (waiting.len() - granted) as u64)
        );
        assert!(out + stats.granted <= LIMIT as u64, "{stats:?}");
        assert!(stats.waiters == 0 || out + stats.granted == LIMIT as u64, "{stats:?}");
        let first = waiting[..granted].iter().all(|(_, woken)| woken.0.load(SeqCst) == 1);
        assert!(first, "first come, first served");
    }
    fn stats(&self) -> PoolStats {
        self.stats()
    }
    fn most_idle(_: usize) -> usize {
        LIMIT
    }
}
