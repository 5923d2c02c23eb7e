//! `Global` under threads that end, a fork, and a global allocator that stands on it. One test at a
//! time, since all look at the same stack.
#![cfg(all(target_os = "linux", not(miri)))]

mod common;

use common::{Ended, in_child};
use pool_core::{Global, PageSource, Request};
use std::alloc::{GlobalAlloc, Layout};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// A global allocator that takes every block from `Global` as a run, so that whatever the test
/// binary does (and the standard library, at a thread's start and end) goes through it: were
/// anything in the stack to allocate, this would recurse or hang.
struct Runs;

static BLOCKS: AtomicU64 = AtomicU64::new(0);

// SAFETY: each block is a run of its own, at least as long and as aligned as asked; `dealloc` gives
// it back with the length that `Global` rounds such requests to.
unsafe impl GlobalAlloc for Runs {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BLOCKS.fetch_add(1, Relaxed);
        match Global.acquire(request(layout)) {
            Ok(run) => run.ptr().as_ptr(),
            Err(_) => ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(block) = ptr::NonNull::new(block) else { return };
        // SAFETY: requests are whole powers of two, so this is the length that the run has.
        unsafe { Global.release(pool_core::Run::new(block, request(layout).len)) };
    }
}

/// A power of two of pages that has the block's size and alignment.
fn request(layout: Layout) -> Request {
    let len = layout.size().max(layout.align()).max(Global.granule()).next_power_of_two();
    Request::new(len).align(layout.align())
}

#[global_allocator]
static ALLOCATOR: Runs = Runs;

/// Lets one test run at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn live() -> usize {
    Global::budget().used() - Global.snapshot().cache.unwrap().idle_bytes
}

#[test]
fn it_carries_a_global_allocator() {
    let _alone = alone();
    let before = BLOCKS.load(Relaxed);
    let mut words: Vec<String> = (0..200).map(|n| format!("word {n}")).collect();
    words.sort();
    let threads: Vec<_> = words
        .chunks(50)
        .map(<[String]>::to_vec)
        .map(|part| thread::spawn(move || part.concat()))
        .collect();
    let len: usize = threads.into_iter().map(|thread| thread.join().unwrap().len()).sum();
    assert_eq!(len, words.concat().len());
    assert!(BLOCKS.load(Relaxed) - before > 400);
}

#[test]
fn the_end_of_a_thread_loses_nothing() {
    let _alone = alone();
    let sizes = [4 << 10, 16 << 10, 64 << 10];
    let work = move || {
        let pages: Vec<_> = (0..8).map(|k| Global.pages(sizes[k % 3]).unwrap()).collect();
        drop(pages);
    };
    thread::spawn(work).join().unwrap();
    let before = Global::budget().used();
    for _ in 0..300 {
        thread::spawn(work).join().unwrap();
    }
    let grown = Global::budget().used().saturating_sub(before);
    // Lost shelves would be 300 times 200 KiB, nearly; the harness' threads have theirs beside.
    assert!(grown <= 24 << 20, "{grown} bytes more after 300 threads");
}

#[test]
fn it_works_while_a_thread_is_torn_down() {
    /// Uses pages in its destructor, which runs when the thread's other locals are going.
    struct Late(Arc<AtomicBool>, Option<pool_core::Pages<Global>>);
    impl Drop for Late {
        fn drop(&mut self) {
            self.1 = None;
            let again = Global.pages(16 << 10).is_ok();
            drop(Global.pages(1 << 20));
            self.0.store(again, Relaxed);
        }
    }
    thread_local! {
        static LATE: std::cell::RefCell<Option<Late>> = const { std::cell::RefCell::new(None) };
    }
    let _alone = alone();
    let done = Arc::new(AtomicBool::new(false));
    let seen = done.clone();
    thread::spawn(move || {
        // The local first, so that its destructor is registered before the stack is touched.
        LATE.with(|late| *late.borrow_mut() = Some(Late(seen, None)));
        let pages = Global.pages(16 << 10).unwrap();
        LATE.with(|late| late.borrow_mut().as_mut().unwrap().1 = Some(pages));
    })
    .join()
    .unwrap();
    assert!(done.load(Relaxed));
}

#[test]
fn a_forked_child_goes_on() {
    let _alone = alone();
    let stop = Arc::new(AtomicBool::new(false));
    let busy: Vec<_> = (0..3)
        .map(|salt| {
            let stop = stop.clone();
            thread::spawn(move || {
                let mut len = 4096 << salt;
                while !stop.load(Relaxed) {
                    // Long runs go down to the mappings, short ones stay in the caches.
                    drop(Global.pages(len).unwrap());
                    len = if len > 2 << 20 { 4096 } else { len * 2 };
                }
            })
        })
        .collect();
    for round in 0..100 {
        let ended = in_child(|| {
            for shift in 12..23 {
                let Ok(run) = Global.acquire(Request::new(1 << shift).zeroed()) else { return 1 };
                // SAFETY: the run is ours and zeroed.
                if unsafe { run.ptr().read() } != 0 {
                    return 2;
                }
                // SAFETY: acquired above, released once.
                unsafe { Global.release(run) };
            }
            let _ = Global.trim();
            i32::from(Global.snapshot().traffic.is_some())
        });
        assert_eq!(ended, Ended::Exited(0), "round {round}");
    }
    stop.store(true, Relaxed);
    busy.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn the_limit_refuses_and_names_itself() {
    let _alone = alone();
    Global.trim();
    let held = Global::budget().used();
    // Room enough for what other threads of the harness allocate meanwhile: were they refused, that
    // would be the end of the process.
    Global::set_limit(held + (64 << 20));
    let refusal = Global.acquire(Request::new(256 << 20)).map(drop);
    let fits = Global.pages(1 << 20).map(drop);
    Global::set_limit(usize::MAX);
    let message = refusal.unwrap_err().to_string();
    assert!(message.contains("\"global\"") && message.contains("268435456"), "{message}");
    fits.unwrap();
}

#[test]
fn what_is_idle_decays_without_a_call() {
    let _alone = alone();
    let background = Global::decay_in_background().unwrap();
    let pages: Vec<_> = (0..64).map(|_| Global.pages(256 << 10).unwrap()).collect();
    let with = Global::budget().used();
    drop(pages);
    let begin = std::time::Instant::now();
    while Global::budget().used() > with - (12 << 20) {
        assert!(begin.elapsed() < Duration::from_secs(300), "still {}", Global::budget().used());
        thread::sleep(Duration::from_millis(50));
    }
    drop(background);
    assert!(live() <= with);
}

#[test]
fn options_come_too_late_after_the_first_use() {
    let _alone = alone();
    drop(Global.pages(1));
    assert_eq!(Global::builder().limit(1).install(), Err(pool_core::AlreadyInUse));
    assert!(Global.pages(1).is_ok());
}

#[test]
fn a_guard_of_the_parents_thread_does_nothing_in_a_child() {
    let _alone = alone();
    let background = Global::decay_in_background().unwrap();
    let mut guard = std::mem::ManuallyDrop::new(background);
    let ended = in_child(|| {
        // SAFETY: dropped once in the child, and once in the parent below.
        unsafe { std::mem::ManuallyDrop::drop(&mut guard) };
        0
    });
    assert_eq!(ended, Ended::Exited(0));
    // SAFETY: the parent's own copy is dropped here alone.
    unsafe { std::mem::ManuallyDrop::drop(&mut guard) };
}

/// Several threads fork at once while others are in the caches: each child finds all shards open.
#[test]
fn forks_at_once_leave_every_child_whole() {
    let _alone = alone();
    let stop = Arc::new(AtomicBool::new(false));
    let busy = {
        let stop = stop.clone();
        thread::spawn(move || {
            while !stop.load(Relaxed) {
                drop(Global.pages(128 << 10));
            }
        })
    };
    let forkers: Vec<_> = (0..3)
        .map(|_| {
            thread::spawn(|| {
                for _ in 0..30 {
                    let ended = in_child(|| {
                        let Ok(run) = Global.acquire(Request::new(1 << 20)) else { return 1 };
                        // SAFETY: acquired above, released once.
                        unsafe { Global.release(run) };
                        // All that is idle can be had out of all shards.
                        let _ = Global.trim();
                        i32::from(Global.snapshot().cache.unwrap().idle_bytes != 0)
                    });
                    assert_eq!(ended, Ended::Exited(0));
                }
            })
        })
        .collect();
    for forker in forkers {
        forker.join().unwrap();
    }
    stop.store(true, Relaxed);
    busy.join().unwrap();
}
