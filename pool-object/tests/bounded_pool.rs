//! `BoundedPool`: who waits, in which order, and what becomes of those that stop waiting.

mod support;

use pool_core::{Failing, Heap, PageSource};
use pool_object::{
    BoundedPool, GetError, Guard, OwnedBoundedPooled, Pool, PoolError, PoolStats, Recycle, ResetOn,
    SharedPool,
};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock, Weak, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;
use support::quietly;

type TestPool = BoundedPool<String, fn() -> String, Heap>;

fn pool(limit: usize) -> TestPool {
    BoundedPool::with_in(limit, String::new, Heap::new())
}

/// Counts how often it is woken.
#[derive(Default)]
struct Counter(AtomicUsize);
impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn poll<F: Future>(future: &mut Pin<&mut F>, counter: &Arc<Counter>) -> Poll<F::Output> {
    let waker = Waker::from(counter.clone());
    future.as_mut().poll(&mut Context::from_waker(&waker))
}

#[test]
fn never_more_than_the_limit() {
    let pool = pool(3);
    let (out, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for _ in 0..if cfg!(miri) { 5 } else { 2000 } {
                    let guard = pool.get().unwrap();
                    most.fetch_max(out.fetch_add(1, SeqCst) + 1, SeqCst);
                    out.fetch_sub(1, SeqCst);
                    drop(guard);
                }
            });
        }
    });
    assert!(most.load(SeqCst) <= 3);
    let stats = pool.stats();
    assert!(stats.created <= 3 && stats.live == 0 && stats.waiters == 0, "{stats}");
}

#[test]
fn the_first_to_wait_is_the_first_to_get() {
    let pool = pool(1);
    let held = pool.get().unwrap();
    let order = Mutex::new(Vec::new());
    let (order, shared) = (&order, &pool);
    thread::scope(|scope| {
        for number in 0..5 {
            scope.spawn(move || {
                let guard = shared.get().unwrap();
                order.lock().unwrap().push(number);
                drop(guard);
            });
            while shared.stats().waiters <= number {
                thread::yield_now();
            }
        }
        assert_eq!(shared.try_get().unwrap_err(), PoolError::Exhausted { limit: 1 });
        drop(held);
    });
    assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4]);
}

#[test]
fn a_right_goes_to_who_waits_and_nobody_gets_in_between() {
    let pool = pool(1);
    let counter = Arc::new(Counter::default());
    let held = pool.get().unwrap();
    let mut first = pin!(pool.get_async());
    assert!(poll(&mut first, &counter).is_pending());
    drop(held);
    assert_eq!(counter.0.load(SeqCst), 1);
    assert!(pool.try_get().is_err(), "it is the waiter's");
    assert!(matches!(poll(&mut first, &counter), Poll::Ready(Ok(_))));
}

#[test]
fn futures_dropped_at_any_moment_lose_nothing() {
    // 0: before it waits; 1: while it waits; 2: when it was told, but has not looked.
    for moment in 0..3 {
        let pool = pool(1);
        let counter = Arc::new(Counter::default());
        let held = pool.get().unwrap();
        let mut first = Box::pin(pool.get_async());
        let mut second = pin!(pool.get_async());
        if moment > 0 {
            assert!(poll(&mut first.as_mut(), &counter).is_pending());
        }
        let other = Arc::new(Counter::default());
        assert!(poll(&mut second, &other).is_pending());
        if moment < 2 {
            drop(first);
            drop(held);
        } else {
            drop(held);
            assert_eq!((counter.0.load(SeqCst), other.0.load(SeqCst)), (1, 0));
            drop(first);
        }
        assert_eq!(other.0.load(SeqCst), 1, "moment {moment}");
        assert_eq!(pool.stats().waiters, 0);
        let Poll::Ready(Ok(guard)) = poll(&mut second, &other) else { panic!("it has a right") };
        drop(guard);
        assert!(pool.try_get().is_ok());
    }
}

#[test]
fn a_future_tells_the_task_that_polled_it_last() {
    let pool = pool(1);
    let (one, other) = (Arc::new(Counter::default()), Arc::new(Counter::default()));
    let held = pool.get().unwrap();
    let mut future = pin!(pool.get_async());
    assert!(poll(&mut future, &one).is_pending());
    assert!(poll(&mut future, &other).is_pending());
    assert_eq!(Arc::strong_count(&one), 1, "the former waker is dropped");
    drop(held);
    assert_eq!((one.0.load(SeqCst), other.0.load(SeqCst)), (0, 1));
}

#[test]
#[cfg_attr(miri, ignore = "leaks on purpose")]
fn a_forgotten_future_holds_what_it_is_given_and_no_more() {
    let pool = pool(2);
    let counter = Arc::new(Counter::default());
    let held = [pool.get().unwrap(), pool.get().unwrap()];
    let mut future = Box::pin(pool.get_async());
    assert!(poll(&mut future.as_mut(), &counter).is_pending());
    std::mem::forget(future);
    drop(held);
    assert!(pool.try_get().is_ok(), "the other one");
    assert_eq!((pool.stats().live, pool.stats().granted), (0, 1));
    let _one = pool.get().unwrap();
    assert!(pool.try_get().is_err(), "the forgotten one's right");
}

#[test]
fn time_runs_out() {
    let pool = pool(1);
    let held = pool.get().unwrap();
    let refusal = pool.get_timeout(Duration::from_millis(2)).unwrap_err();
    assert_eq!(refusal, PoolError::Timeout { limit: 1 });
    assert_eq!(pool.stats().waiters, 0);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| pool.get_timeout(Duration::MAX).map(drop));
        while pool.stats().waiters == 0 {
            thread::yield_now();
        }
        drop(held);
        assert_eq!(waiter.join().unwrap(), Ok(()));
    });
}

#[test]
fn closing_sends_everybody_away() {
    let pool = pool(2);
    let held = pool.get().unwrap();
    drop(pool.get().unwrap());
    let kept = pool.get().unwrap();
    let counter = Arc::new(Counter::default());
    let mut future = pin!(pool.get_async());
    assert!(poll(&mut future, &counter).is_pending());
    thread::scope(|scope| {
        let waiter = scope.spawn(|| pool.get().map(drop));
        while pool.stats().waiters < 2 {
            thread::yield_now();
        }
        pool.close();
        assert_eq!(waiter.join().unwrap(), Err(PoolError::Closed));
    });
    assert_eq!(counter.0.load(SeqCst), 1);
    assert!(matches!(poll(&mut future, &counter), Poll::Ready(Err(PoolError::Closed))));
    assert_eq!(pool.try_get().unwrap_err(), PoolError::Closed);
    assert!(pool.is_closed());
    drop((held, kept));
    assert_eq!((pool.stats().live, pool.stats().idle), (0, 0));
}

#[test]
fn somebody_frees_something() {
    let pool = pool(2);
    let mut held = vec![pool.get().unwrap(), pool.get().unwrap()];
    let guard = pool.get_or_free(|| held.pop().is_some()).unwrap();
    drop(guard);
    held.clear();
    let _all = (pool.get().unwrap(), pool.get().unwrap());
    let refusal = pool.get_or_free(|| false).unwrap_err();
    assert_eq!(refusal, PoolError::Exhausted { limit: 2 });
}

#[test]
fn detached_and_dropped_objects_give_their_right_up() {
    let source = Heap::new().counted();
    let fat = |text: &String| text.capacity() < 10;
    let pool = BoundedPool::with_in(1, (String::new, String::clear, fat), &source);
    assert_eq!(Guard::detach(pool.get().unwrap()), "");
    pool.get().unwrap().reserve(100);
    assert_eq!((pool.stats().idle, pool.stats().dropped), (0, 2));
    drop(pool.get().unwrap());
    assert_eq!(pool.stats().idle, 1);
    pool.prefill(5).unwrap();
    assert_eq!(pool.stats().idle, 1, "no more than may be out");
    assert!(pool.trim() > 0);
    drop(pool);
    assert_eq!(source.traffic().live_bytes, 0);
}

#[test]
fn a_panic_or_a_refusal_gives_the_right_up() {
    struct Faulty(AtomicUsize);
    impl Recycle<String> for Faulty {
        fn create(&self) -> String {
            assert_ne!(self.0.load(SeqCst), 1);
            String::new()
        }
        fn keep(&self, _: &String) -> bool {
            assert_ne!(self.0.load(SeqCst), 2);
            true
        }
        fn reset(&self, _: &mut String) {
            assert_ne!(self.0.load(SeqCst), 3);
        }
    }
    let pool = BoundedPool::with_in(1, Faulty(AtomicUsize::new(0)), Heap::new());
    for hook in 1..4 {
        pool.clear();
        pool.recycle().0.store(hook, SeqCst);
        let result = catch_unwind(AssertUnwindSafe(|| drop(pool.get().unwrap())));
        assert!(result.is_err(), "hook {hook}");
        assert_eq!((pool.stats().live, pool.stats().idle), (0, 0));
        pool.recycle().0.store(0, SeqCst);
        drop(pool.try_get().unwrap());
    }
    for call in 0..2 {
        let pool = BoundedPool::with_in(1, String::new, Failing::nth(Heap::new(), call));
        assert!(matches!(pool.try_get().unwrap_err(), PoolError::Source(_)));
        drop(pool.try_get().unwrap());
        assert_eq!(pool.stats().live, 0);
    }
}

#[test]
fn shares_outlive_the_first_one() {
    let pool = Arc::new(pool(1));
    let guard = pool.get_owned().unwrap();
    assert!(pool.try_get_owned().is_err());
    let (sender, receiver) = mpsc::channel();
    let future = pool.clone().get_async_owned();
    drop(pool);
    let waiter = thread::spawn(move || {
        let (mut future, counter) = (pin!(future), Arc::new(Counter::default()));
        assert!(poll(&mut future, &counter).is_pending());
        sender.send(()).unwrap();
        loop {
            if let Poll::Ready(result) = poll(&mut future, &counter) {
                return drop(result.unwrap());
            }
            thread::yield_now();
        }
    });
    receiver.recv().unwrap();
    drop(guard);
    waiter.join().unwrap();
}

/// Panics when it is woken.
struct Bad;
impl Wake for Bad {
    fn wake(self: Arc<Self>) {
        panic!("a waker's");
    }
}

/// Counts its drops, and may panic in one.
struct Dropped<'a>(&'a AtomicUsize, bool);
impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
        assert!(!self.1, "a destructor's");
    }
}

fn poll_badly<F: Future>(future: &mut Pin<&mut F>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::new(Bad))))
}

#[test]
fn an_object_whose_return_wakes_a_bad_waker_is_idle_and_whole() {
    let drops = AtomicUsize::new(0);
    let pool = BoundedPool::with_in(1, || Dropped(&drops, false), Heap::new());
    let held = pool.get().unwrap();
    let mut first = Box::pin(pool.get_async());
    let mut second = pin!(pool.get_async());
    let counter = Arc::new(Counter::default());
    assert!(poll_badly(&mut first.as_mut()).is_pending());
    assert!(poll(&mut second, &counter).is_pending());
    drop(held);
    assert_eq!(drops.load(SeqCst), 0);
    assert_eq!((pool.stats().live, pool.stats().idle), (0, 1));
    assert!(pool.try_get().is_err(), "the right is the first one's");
    drop(first);
    assert_eq!(counter.0.load(SeqCst), 1);
    let Poll::Ready(Ok(guard)) = poll(&mut second, &counter) else { panic!("it has a right") };
    assert!(pool.try_get().is_err(), "the right was given once");
    drop(guard);
    drop(pool.try_get().unwrap());
    assert_eq!(drops.load(SeqCst), 0);
}

#[test]
fn a_bad_waker_does_not_abort_a_panic() {
    let drops = AtomicUsize::new(0);
    let keep = |object: &Dropped<'_>| !object.1;
    let hooks = (|| Dropped(&drops, false), |_: &mut Dropped<'_>| (), keep);
    let pool = BoundedPool::with_in(1, hooks, Heap::new());
    for end in 0..2 {
        let mut held = pool.get().unwrap();
        held.1 = end == 1;
        let mut waiting = Box::pin(pool.get_async());
        assert!(poll_badly(&mut waiting.as_mut()).is_pending());
        // A panic within another prints a backtrace whatever was asked for: slow under Miri.
        let mut result = Ok(());
        quietly(|| {
            result = catch_unwind(AssertUnwindSafe(|| match end {
                0 => {
                    let _held = held;
                    panic!("a user's");
                }
                _ => drop(held),
            }));
        });
        assert!(result.is_err(), "end {end}");
        drop(waiting);
        drop(pool.try_get().unwrap());
    }
    assert_eq!(drops.load(SeqCst), 1);
}

#[test]
fn a_bad_waker_takes_no_value_from_who_wakes_it() {
    let pool = BoundedPool::with_in(1, || String::from("kept"), Heap::new());
    for way in 0..3 {
        let held = pool.get().unwrap();
        let mut waiting = Box::pin(pool.get_async());
        assert!(poll_badly(&mut waiting.as_mut()).is_pending());
        match way {
            0 => assert_eq!(Guard::detach(held), "kept"),
            1 => {
                // It has the right when it is told of it; that it gives it up tells the next.
                let mut next = Box::pin(pool.get_async());
                assert!(poll_badly(&mut next.as_mut()).is_pending());
                drop(held);
                drop(waiting);
                drop(next);
            }
            _ => {
                let mut failing = Box::pin(pool.get_async_with(|| Err("why")));
                let counter = Arc::new(Counter::default());
                assert!(poll(&mut failing.as_mut(), &counter).is_pending());
                drop(waiting);
                let mut next = Box::pin(pool.get_async());
                assert!(poll_badly(&mut next.as_mut()).is_pending());
                drop(Guard::detach(held));
                let Poll::Ready(result) = poll(&mut failing.as_mut(), &counter) else {
                    panic!("its turn")
                };
                assert_eq!(result.map(drop), Err(GetError::Create("why")));
            }
        }
    }
    assert_eq!((pool.stats().live, pool.stats().waiters), (0, 0));
    drop(pool.try_get().unwrap());
}

#[test]
fn closing_reaches_everybody_though_a_waker_panics() {
    let pool = pool(2);
    drop((pool.get().unwrap(), pool.get().unwrap()));
    let held = [pool.get().unwrap(), pool.get().unwrap()];
    let (mut first, mut second, mut third) =
        (pin!(pool.get_async()), pin!(pool.get_async()), pin!(pool.get_async()));
    let counter = Arc::new(Counter::default());
    assert!(poll_badly(&mut first).is_pending());
    assert!(poll_badly(&mut second).is_pending());
    assert!(poll(&mut third, &counter).is_pending());
    pool.close();
    assert_eq!((counter.0.load(SeqCst), pool.stats().waiters), (1, 0));
    for waiting in [&mut first, &mut second, &mut third] {
        assert!(matches!(poll(waiting, &counter), Poll::Ready(Err(PoolError::Closed))));
    }
    drop(held);
    assert_eq!((pool.stats().live, pool.stats().idle), (0, 0));
}

#[test]
fn a_right_from_before_the_close_is_worth_nothing_after_it() {
    let pool = pool(1);
    let held = pool.get().unwrap();
    let counter = Arc::new(Counter::default());
    let mut future = pin!(pool.get_async());
    assert!(poll(&mut future, &counter).is_pending());
    drop(held);
    assert_eq!(counter.0.load(SeqCst), 1);
    pool.close();
    assert!(matches!(poll(&mut future, &counter), Poll::Ready(Err(PoolError::Closed))));
    assert_eq!(pool.prefill(1), Err(PoolError::Closed));
    assert_eq!((pool.stats().live, pool.stats().idle), (0, 0));
}

#[test]
fn all_idle_objects_go_though_a_destructor_panics() {
    for close in [false, true] {
        let drops = AtomicUsize::new(0);
        let made = AtomicUsize::new(0);
        let create = || Dropped(&drops, made.fetch_add(1, SeqCst) == 3);
        let pool = BoundedPool::with_in(5, create, Heap::new());
        pool.prefill(5).unwrap();
        let end = if close { BoundedPool::close } else { BoundedPool::clear };
        assert!(catch_unwind(AssertUnwindSafe(|| end(&pool))).is_err());
        assert_eq!((drops.load(SeqCst), pool.stats().idle), (5, 0), "closed: {close}");
    }
}

#[test]
fn idle_objects_beyond_a_limit_go() {
    let filled = pool(10);
    filled.prefill(10).unwrap();
    let filled = filled.max_idle(1);
    assert_eq!((filled.stats().idle, filled.stats().dropped), (1, 9));
    filled.prefill(5).unwrap();
    assert_eq!((filled.stats().idle, filled.stats().created), (1, 10));
}

/// Takes an object out of its pool when it makes the first one.
struct Taking(OnceLock<Weak<TakingPool>>, Mutex<Option<OwnedBoundedPooled<u8, Taking, Heap>>>);
type TakingPool = BoundedPool<u8, Taking, Heap>;
impl Recycle<u8> for Taking {
    fn create(&self) -> u8 {
        if let Some(pool) = self.0.get().and_then(Weak::upgrade) {
            if let Ok(object) = pool.try_get_owned() {
                *self.1.lock().unwrap() = Some(object);
            }
        }
        1
    }
}

#[test]
fn prefilling_heeds_what_its_constructor_took() {
    for limit in [1, 2] {
        let hooks = Taking(OnceLock::new(), Mutex::new(None));
        let pool = Arc::new(TakingPool::with_in(limit, hooks, Heap::new()));
        pool.recycle().0.set(Arc::downgrade(&pool)).unwrap();
        pool.prefill(limit).unwrap();
        let taken = pool.recycle().1.lock().unwrap().take();
        // The one that is being made counts as out: of one, nothing is left to take.
        let live = limit as u64 - 1;
        assert_eq!((pool.stats().live, pool.stats().idle), (live, 1));
        assert_eq!((taken.is_some(), pool.stats().created), (limit == 2, limit as u64));
    }
}

/// Tells when it begins to make the first object, and waits for leave to end.
struct Slow {
    begun: mpsc::Sender<()>,
    leave: Mutex<mpsc::Receiver<()>>,
    made: AtomicUsize,
}
impl Recycle<u8> for Slow {
    fn create(&self) -> u8 {
        if self.made.fetch_add(1, SeqCst) == 0 {
            self.begun.send(()).unwrap();
            self.leave.lock().unwrap().recv().unwrap();
        }
        1
    }
}

#[test]
fn what_is_made_in_advance_counts_while_it_is_made() {
    let ((begun, has_begun), (leave, may_end)) = (mpsc::channel(), mpsc::channel());
    let hooks = Slow { begun, leave: Mutex::new(may_end), made: AtomicUsize::new(0) };
    let pool = BoundedPool::with_in(1, hooks, Heap::new());
    thread::scope(|scope| {
        scope.spawn(|| pool.prefill(1).unwrap());
        has_begun.recv().unwrap();
        let refusal = pool.try_get().err();
        leave.send(()).unwrap();
        assert_eq!(refusal, Some(PoolError::Exhausted { limit: 1 }));
    });
    assert_eq!(pool.recycle().made.load(SeqCst), 1);
    drop(pool.try_get().unwrap());
    assert_eq!((pool.stats().created, pool.stats().hits), (1, 1));
}

/// Objects of which the next that goes out panics in the hook of this number.
struct Picky<const GET: bool>(AtomicUsize);
impl<const GET: bool> Recycle<u8> for Picky<GET> {
    const RESET: ResetOn = if GET { ResetOn::Get } else { ResetOn::Put };
    fn create(&self) -> u8 {
        0
    }
    fn check(&self, _: &mut u8) -> bool {
        assert!(self.0.load(SeqCst) != 1 || self.0.swap(0, SeqCst) != 1, "on purpose");
        true
    }
    fn reset(&self, _: &mut u8) {
        assert!(self.0.load(SeqCst) != 2 || self.0.swap(0, SeqCst) != 2, "on purpose");
    }
}

#[test]
fn an_object_that_does_not_go_out_is_no_hit() {
    let hooks = || Picky::<true>(AtomicUsize::new(0));
    for hook in 1..3 {
        let (one, any, most) = (
            Pool::with_in(hooks(), Heap::new()),
            SharedPool::with_in(hooks(), Heap::new()),
            BoundedPool::with_in(1, hooks(), Heap::new()),
        );
        let handle = any.handle();
        let in_turn: [(&AtomicUsize, &dyn Fn() -> PoolStats); 4] = [
            (&one.recycle().0, &|| (drop(one.get()), one.stats()).1),
            (&any.recycle().0, &|| (drop(any.get()), any.stats()).1),
            (&any.recycle().0, &|| (drop(handle.get()), any.stats()).1),
            (&most.recycle().0, &|| (drop(most.get().unwrap()), most.stats()).1),
        ];
        for (fuse, get_and_put) in in_turn {
            get_and_put();
            let before = get_and_put();
            fuse.store(hook, SeqCst);
            assert!(catch_unwind(AssertUnwindSafe(get_and_put)).is_err());
            let after = get_and_put();
            assert_eq!((after.hits, after.misses), (before.hits, before.misses + 1));
            assert_eq!((after.live, after.dropped), (0, before.dropped + 1));
        }
    }
}

#[test]
fn trimming_gives_all_memory_back() {
    let source = Heap::new().counted();
    let pool = BoundedPool::with_in(5, String::new, &source);
    pool.prefill(5).unwrap();
    assert!(pool.trim() > 0);
    assert_eq!(source.traffic().live_bytes, 0);
    drop(pool.get().unwrap());
    assert_eq!(pool.stats().idle, 1);
}

#[test]
fn draining_waits_until_all_are_back() {
    let pool = pool(3);
    pool.drain();
    let counter = Arc::new(Counter::default());
    let mut held: Vec<_> = (0..3).map(|_| pool.get().unwrap()).collect();
    let (mut gone, mut stays) = (Box::pin(pool.drain_async()), pin!(pool.drain_async()));
    assert!(poll(&mut gone.as_mut(), &counter).is_pending());
    assert!(poll(&mut stays, &counter).is_pending());
    drop(gone);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            pool.close();
            pool.drain();
            (pool.stats().live, pool.stats().idle)
        });
        while !pool.is_closed() {
            thread::yield_now();
        }
        assert!(!pool.drain_timeout(Duration::from_millis(1)));
        drop(held.pop());
        drop(Guard::detach(held.pop().unwrap()));
        assert_eq!(counter.0.load(SeqCst), 0);
        held.clear();
        assert_eq!(waiter.join().unwrap(), (0, 0));
    });
    assert_eq!(counter.0.load(SeqCst), 1, "who gave up is not told");
    assert!(poll(&mut stays, &counter).is_ready());
    assert!(pool.drain_timeout(Duration::ZERO));
}

#[test]
fn a_promised_object_is_not_back() {
    let pool = pool(1);
    let counter = Arc::new(Counter::default());
    let held = pool.get().unwrap();
    let mut next = Box::pin(pool.get_async());
    assert!(poll(&mut next.as_mut(), &counter).is_pending());
    drop(held);
    assert!(!pool.drain_timeout(Duration::ZERO), "it is the waiter's");
    drop(next);
    pool.drain();
}

#[test]
fn the_end_is_told_to_all_though_a_waker_panics() {
    let pool = pool(1);
    let held = pool.get().unwrap();
    let (mut bad, mut good) = (pin!(pool.drain_async()), pin!(pool.drain_async()));
    let counter = Arc::new(Counter::default());
    assert!(poll_badly(&mut bad).is_pending());
    assert!(poll(&mut good, &counter).is_pending());
    drop(held);
    assert_eq!((counter.0.load(SeqCst), pool.stats().live), (1, 0));
    assert!(poll(&mut bad, &counter).is_ready() && poll(&mut good, &counter).is_ready());
    drop(pool.try_get().unwrap());
}

#[test]
fn what_could_not_be_made_gives_its_right_to_the_next() {
    let pool = pool(1);
    let refusal = pool.get_with(|| Err("down")).unwrap_err();
    assert_eq!(refusal, GetError::Create("down"));
    let held = pool.get_with(|| Ok::<_, ()>("up".into())).unwrap();
    let counter = Arc::new(Counter::default());
    let mut failing = Box::pin(pool.get_async_with(|| Err("down")));
    let mut next = pin!(pool.get_async());
    assert!(poll(&mut failing.as_mut(), &counter).is_pending());
    assert!(poll(&mut next, &counter).is_pending());
    drop(Guard::detach(held));
    let Poll::Ready(Err(refusal)) = poll(&mut failing.as_mut(), &counter) else {
        panic!("its turn")
    };
    assert_eq!(refusal, GetError::Create("down"));
    assert!(matches!(poll(&mut next, &counter), Poll::Ready(Ok(_))));
}
