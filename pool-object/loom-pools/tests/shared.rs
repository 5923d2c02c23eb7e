//! `SharedPool` in every interleaving: an object has one user at a time, what its last user wrote
//! happened before its next one looks, and none is lost. Handles stand for threads, whose own
//! magazines come and go in the same way: loom's threads have no thread-locals that end.
#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::thread;
use pool_core::Heap;
use pool_object::SharedPool;
use std::cell::Cell;

std::thread_local! {
    /// Objects that there are; loom runs all threads of a model on the test's own.
    static ALIVE: Cell<usize> = const { Cell::new(0) };
}

/// Loom watches every access of its content.
struct Object(UnsafeCell<u32>);

// SAFETY: that is what the test is about.
unsafe impl Send for Object {}

impl Object {
    fn new() -> Self {
        ALIVE.set(ALIVE.get() + 1);
        Self(UnsafeCell::new(0))
    }

    fn use_it(&self) {
        // SAFETY: not known to be: loom finds out.
        self.0.with_mut(|content| unsafe { *content += 1 });
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        self.use_it();
        ALIVE.set(ALIVE.get() - 1);
    }
}

type Pool = SharedPool<Object, fn() -> Object, Heap>;

fn pool() -> Pool {
    ALIVE.set(0);
    SharedPool::with_in(Object::new, Heap::new())
}

#[test]
fn an_object_goes_from_thread_to_thread_by_the_depot() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let pool = pool();
        let other = pool.clone();
        let thread = thread::spawn(move || {
            other.get().use_it();
            other.get().use_it();
        });
        pool.get().use_it();
        thread.join().unwrap();
        assert_eq!((pool.stats().live, pool.stats().idle as usize), (0, ALIVE.get()));
        drop(pool);
        assert_eq!(ALIVE.get(), 0, "the pool dropped everything");
    });
}

#[test]
fn handles_that_end_leave_their_objects_and_magazines() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let pool = pool();
        let other = pool.clone();
        let thread = thread::spawn(move || {
            let handle = other.handle();
            handle.get().use_it();
        });
        let handle = pool.handle();
        handle.get().use_it();
        drop(handle);
        pool.handle().get().use_it();
        thread.join().unwrap();
        assert_eq!((pool.stats().live, pool.stats().idle as usize), (0, ALIVE.get()));
        drop(pool);
        assert_eq!(ALIVE.get(), 0);
    });
}

/// Three at once from a magazine with room for two: one comes from the depot or is made, and one goes there.
fn more_than_a_magazine_holds(pool: &Pool) {
    let handle = pool.handle();
    let guards = [handle.get(), handle.get(), handle.get()];
    guards.iter().for_each(|guard| guard.use_it());
}

#[test]
fn full_magazines_hand_objects_over() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let pool = pool();
        let other = pool.clone();
        let thread = thread::spawn(move || more_than_a_magazine_holds(&other));
        more_than_a_magazine_holds(&pool);
        thread.join().unwrap();
        let stats = pool.stats();
        assert_eq!((stats.live, stats.idle as usize, stats.dropped), (0, ALIVE.get(), 0));
        assert_eq!(stats.hits + stats.misses, 6);
        drop(pool);
        assert_eq!(ALIVE.get(), 0, "the pool dropped everything");
    });
}

#[test]
fn what_full_magazines_have_too_many_of_is_dropped() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let pool = pool().max_idle(0);
        let other = pool.clone();
        let thread = thread::spawn(move || more_than_a_magazine_holds(&other));
        more_than_a_magazine_holds(&pool);
        thread.join().unwrap();
        let stats = pool.stats();
        assert_eq!((stats.live, stats.idle, ALIVE.get()), (0, 0, 0));
        assert_eq!(stats.created, stats.dropped);
        drop(pool);
        assert_eq!(ALIVE.get(), 0);
    });
}

#[test]
fn the_last_share_drops_what_the_others_left() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let pool = pool();
        let guard = pool.get_owned();
        let thread = thread::spawn(move || {
            guard.use_it();
            drop(guard);
        });
        pool.get().use_it();
        drop(pool);
        thread.join().unwrap();
        assert_eq!(ALIVE.get(), 0);
    });
}

#[test]
fn trimming_beside_a_user_takes_nothing_from_it() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let pool = pool();
        drop(pool.get());
        let other = pool.clone();
        let thread = thread::spawn(move || other.get().use_it());
        pool.trim_to_working_set();
        pool.trim();
        thread.join().unwrap();
        assert_eq!((pool.stats().live, pool.stats().idle as usize), (0, ALIVE.get()));
        drop(pool);
        assert_eq!(ALIVE.get(), 0);
    });
}
