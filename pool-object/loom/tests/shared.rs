//! Blocks of a shared heap in every interleaving: each has one user at a time, what its last user
//! wrote happened before its next user looks, and none is lost.
#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::sync::{Arc, Mutex};
use loom::thread;
use pool_object::model::{Shared, Thread};
use std::alloc::Layout;
use std::ptr::NonNull;

const LAYOUT: Layout = Layout::new::<u64>();

/// A heap, and what stands for the memory of one block of it: loom checks that no two users touch
/// that unordered. (It does not see real memory.)
struct World {
    shared: Arc<Shared>,
    watched: usize,
    content: UnsafeCell<u32>,
}

// SAFETY: that is what the tests are about; loom watches every access.
unsafe impl Sync for World {}
// SAFETY: as above.
unsafe impl Send for World {}

/// A block that may go to another thread.
struct Block(NonNull<u8>);

// SAFETY: a block belongs to whoever has this value.
unsafe impl Send for Block {}

impl World {
    /// `warm` blocks are free in the shared half; the first is the one that is watched.
    fn new(thread_bytes: usize, warm: usize) -> Arc<Self> {
        let shared = Shared::new(thread_bytes);
        let first = Thread::new(&shared);
        let blocks: Vec<_> = (0..warm.max(1)).map(|_| first.allocate(LAYOUT)).collect();
        let watched = blocks[0].addr().get();
        for block in blocks {
            // SAFETY: allocated above, freed once.
            unsafe { first.deallocate(block, LAYOUT) };
        }
        drop(first);
        Arc::new(Self { shared, watched, content: UnsafeCell::new(0) })
    }

    fn touch(&self, block: &Block) {
        if block.0.addr().get() == self.watched {
            // SAFETY: not known to be: loom finds out.
            self.content.with_mut(|content| unsafe { *content += 1 });
        }
    }

    fn allocate(&self, thread: &Thread) -> Block {
        let block = Block(thread.allocate(LAYOUT));
        self.touch(&block);
        block
    }

    fn free(&self, thread: &Thread, block: Block) {
        self.touch(&block);
        // SAFETY: blocks are allocated from this heap, and this is the only one who has it.
        unsafe { thread.deallocate(block.0, LAYOUT) };
    }

    /// All threads have ended.
    fn check_all_free(&self) {
        self.shared.check(LAYOUT).unwrap();
        assert_eq!(self.shared.live_and_cached(LAYOUT).0, 0);
        self.shared.trim(LAYOUT);
        assert_eq!(self.shared.live_and_cached(LAYOUT), (0, 0));
    }
}

fn model(f: impl Fn() + Sync + Send + 'static) {
    bounded(None, f);
}

/// With so many preemptions at most, if there is a bound.
fn bounded(preemptions: Option<usize>, f: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.max_branches = 10_000;
    model.preemption_bound = preemptions;
    model.check(f);
}

/// Every block goes straight to the depot, since threads may keep nothing.
#[test]
fn the_depot_gives_each_block_to_one() {
    model(|| {
        let world = World::new(0, 2);
        let other = world.clone();
        let work = |world: &World| {
            let thread = Thread::new(&world.shared);
            let block = world.allocate(&thread);
            world.free(&thread, block);
        };
        let thread = thread::spawn(move || work(&other));
        work(&world);
        thread.join().unwrap();
        world.check_all_free();
    });
}

#[test]
fn caches_of_two_threads_do_not_meet() {
    // All interleavings take longer than anybody waits.
    bounded(Some(4), || {
        let world = World::new(1 << 20, 1);
        let other = world.clone();
        let work = |world: &World| {
            let thread = Thread::new(&world.shared);
            let blocks = [world.allocate(&thread), world.allocate(&thread)];
            assert_ne!(blocks[0].0, blocks[1].0);
            blocks.into_iter().for_each(|block| world.free(&thread, block));
        };
        let thread = thread::spawn(move || work(&other));
        work(&world);
        thread.join().unwrap();
        world.check_all_free();
    });
}

/// One thread allocates, another frees, and the first may get the block again.
#[test]
fn a_block_freed_elsewhere_comes_back_whole() {
    model(|| {
        let world = World::new(0, 1);
        let other = world.clone();
        let handed = Arc::new(Mutex::new(None));
        let mine = handed.clone();
        let freer = thread::spawn(move || {
            let thread = Thread::new(&other.shared);
            let block = mine.lock().unwrap().take();
            if let Some(block) = block {
                other.free(&thread, block);
            }
        });
        let thread = Thread::new(&world.shared);
        *handed.lock().unwrap() = Some(world.allocate(&thread));
        let next = world.allocate(&thread);
        world.free(&thread, next);
        freer.join().unwrap();
        let left = handed.lock().unwrap().take();
        if let Some(block) = left {
            world.free(&thread, block);
        }
        drop(thread);
        world.check_all_free();
    });
}

#[test]
fn a_trim_beside_a_user_takes_no_live_block() {
    model(|| {
        let world = World::new(1 << 20, 1);
        let other = world.clone();
        let user = thread::spawn(move || {
            let thread = Thread::new(&other.shared);
            for _ in 0..2 {
                let block = other.allocate(&thread);
                other.free(&thread, block);
            }
        });
        world.shared.trim(LAYOUT);
        user.join().unwrap();
        world.check_all_free();
    });
}

/// A thread that only frees, and ends: its cache goes to the depot while the one that allocates takes
/// from there.
#[test]
fn what_a_thread_that_ends_has_is_found_by_another() {
    model(|| {
        let world = World::new(1 << 20, 1);
        let first = Thread::new(&world.shared);
        let block = world.allocate(&first);
        let other = world.clone();
        let freer = thread::spawn(move || {
            let thread = Thread::new(&other.shared);
            other.free(&thread, block);
        });
        let next = world.allocate(&first);
        world.free(&first, next);
        freer.join().unwrap();
        drop(first);
        world.check_all_free();
    });
}

/// Two threads free what a third has allocated, at once, and may keep nothing: both lists arrive.
#[test]
fn two_threads_that_free_at_once_lose_no_block() {
    model(|| {
        let world = World::new(0, 2);
        let first = Thread::new(&world.shared);
        let blocks = [world.allocate(&first), world.allocate(&first)];
        drop(first);
        let [one, two] = blocks;
        let other = world.clone();
        let freer = thread::spawn(move || {
            let thread = Thread::new(&other.shared);
            other.free(&thread, one);
        });
        let thread = Thread::new(&world.shared);
        world.free(&thread, two);
        drop(thread);
        freer.join().unwrap();
        world.check_all_free();
    });
}

/// Everything is asked back while a thread gives up its cache: nothing is left behind in between.
#[test]
fn a_trim_beside_the_end_of_a_thread_leaves_nothing() {
    model(|| {
        let world = World::new(1 << 20, 1);
        let thread = Thread::new(&world.shared);
        let block = world.allocate(&thread);
        world.free(&thread, block);
        let other = world.clone();
        let trimmer = thread::spawn(move || {
            other.shared.trim(LAYOUT);
        });
        drop(thread);
        trimmer.join().unwrap();
        world.check_all_free();
    });
}
