//! `BoundedPool` in every interleaving: no wake-up is lost, whenever waiters give up.
#![cfg(loom)]

use loom::future::block_on;
use loom::sync::Arc;
use loom::thread;
use pool_core::Heap;
use pool_object::{BoundedPool, PoolError};
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

type Pool = BoundedPool<Box<u32>, fn() -> Box<u32>, Heap>;

fn pool(limit: usize) -> Arc<Pool> {
    Arc::new(BoundedPool::with_in(limit, || Box::new(7), Heap::new()))
}

fn use_one(pool: &Pool) {
    let mut object = pool.get().unwrap();
    assert_eq!(**object, 7);
    **object = 0;
    **object = 7;
}

fn check(pool: &Pool) {
    let stats = pool.stats();
    assert_eq!((stats.live, stats.waiters), (0, 0), "{stats}");
    assert!(pool.try_get().is_ok(), "no right was lost");
}

#[test]
fn threads_wait_for_each_other() {
    loom::model(|| {
        let shared = pool(1);
        let other = shared.clone();
        let thread = thread::spawn(move || use_one(&other));
        use_one(&shared);
        thread.join().unwrap();
        check(&shared);
    });
}

#[test]
fn a_task_waits_for_a_thread() {
    loom::model(|| {
        let shared = pool(1);
        let other = shared.clone();
        let thread = thread::spawn(move || use_one(&other));
        block_on(async {
            assert_eq!(**shared.get_async().await.unwrap(), 7);
        });
        thread.join().unwrap();
        check(&shared);
    });
}

/// Polls once and gives up: while it waits, or when it was told and has not looked.
fn give_up(pool: &Pool) {
    let mut future = pin!(pool.get_async());
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => drop(result.unwrap()),
        Poll::Pending => thread::yield_now(),
    }
}

#[test]
fn who_gives_up_passes_on_what_it_was_given() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let shared = pool(1);
        let (one, other) = (shared.clone(), shared.clone());
        let threads =
            [thread::spawn(move || give_up(&one)), thread::spawn(move || use_one(&other))];
        use_one(&shared);
        for thread in threads {
            thread.join().unwrap();
        }
        check(&shared);
    });
}

#[test]
fn closing_reaches_everybody() {
    loom::model(|| {
        let shared = pool(0);
        let other = shared.clone();
        let thread = thread::spawn(move || other.get().map(drop));
        shared.close();
        assert_eq!(thread.join().unwrap(), Err(PoolError::Closed));
        assert_eq!(shared.stats().waiters, 0);
    });
}

/// With shares that guards can have.
fn owned(limit: usize) -> std::sync::Arc<Pool> {
    std::sync::Arc::new(BoundedPool::with_in(limit, || Box::new(7), Heap::new()))
}

#[test]
fn who_waits_for_the_end_is_told() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let shared = owned(2);
        let held = shared.try_get_owned().unwrap();
        let other = shared.clone();
        let thread = thread::spawn(move || {
            drop(held);
            drop(other.try_get());
        });
        shared.close();
        shared.drain();
        assert_eq!((shared.stats().live, shared.stats().idle), (0, 0));
        thread.join().unwrap();
    });
}

#[test]
fn who_gives_up_waiting_for_the_end_leaves_nothing() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let shared = owned(1);
        let held = shared.try_get_owned().unwrap();
        let other = shared.clone();
        let thread = thread::spawn(move || {
            let mut end = pin!(other.drain_async());
            let _ = end.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        });
        drop(held);
        block_on(shared.drain_async());
        thread.join().unwrap();
        check(&shared);
    });
}

std::thread_local! {
    /// Numbers that there are; loom runs all threads of a model on the test's own.
    static ALIVE: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// One of a pool that may have one.
struct Only;

impl Only {
    fn new() -> Self {
        assert_eq!(ALIVE.replace(1), 0, "there is one already");
        Self
    }
}

impl Drop for Only {
    fn drop(&mut self) {
        ALIVE.set(0);
    }
}

#[test]
fn what_is_made_in_advance_counts_while_it_is_made() {
    loom::model(|| {
        let create = || {
            thread::yield_now();
            Only::new()
        };
        let shared = Arc::new(BoundedPool::with_in(1, create, Heap::new()));
        let other = shared.clone();
        let thread = thread::spawn(move || drop(other.get().unwrap()));
        shared.prefill(1).unwrap();
        drop(shared.try_get());
        thread.join().unwrap();
        let stats = shared.stats();
        assert_eq!((stats.live, stats.idle, stats.waiters, stats.created), (0, 1, 0, 1));
        drop(shared);
        assert_eq!(ALIVE.get(), 0);
    });
}
