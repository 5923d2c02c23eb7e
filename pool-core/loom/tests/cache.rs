//! `Cache` in every interleaving: a run has one owner at a time, and what its last owner wrote
//! happened before its next owner looks.
#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use pool_core::{Cache, Clock, Heap, PageError, PageSource, Request, Run};
use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

std::thread_local! {
    /// Runs that are out of the heap below; loom runs all threads of a model on the test's own.
    static OUT: Cell<usize> = const { Cell::new(0) };
}

/// A heap that counts, and gives no address out twice: loom does not see what orders the calls of
/// the allocator. (`Stats` would add its own atomics to every interleaving.)
struct Counted(Heap, Mutex<Vec<Run>>);

// SAFETY: passes everything on, and releases late.
unsafe impl PageSource for Counted {
    fn granule(&self) -> usize {
        self.0.granule()
    }
    fn acquire(&self, request: Request) -> Result<Run, PageError> {
        OUT.set(OUT.get() + 1);
        self.0.acquire(request)
    }
    unsafe fn release(&self, run: Run) {
        OUT.set(OUT.get() - 1);
        self.1.lock().unwrap().push(run);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        for run in self.1.get_mut().unwrap().drain(..) {
            // SAFETY: released to us, and by us once.
            unsafe { self.0.release(run) };
        }
    }
}

/// Stands for the memory of the one run that the cache holds at the start: loom checks that no two
/// owners touch it unordered.
struct Content(UnsafeCell<u32>);

// SAFETY: that is what the test is about; loom watches every access.
unsafe impl Sync for Content {}
// SAFETY: as above.
unsafe impl Send for Content {}

type Shared<C> = Arc<(Cache<Counted, C>, Content, usize)>;

/// A cache with one idle run of a page, whose address is the third.
fn cache_of_one<C: Clock>(clock: C) -> Shared<C> {
    OUT.set(0);
    let cache = Cache::with_clock(Counted(Heap::new(), Mutex::new(Vec::new())), clock)
        .with_max_bytes(16 << 10);
    let run = cache.acquire(Request::new(1)).unwrap();
    let address = run.ptr().addr().get();
    // SAFETY: acquired above, released once.
    unsafe { cache.release(run) };
    Arc::new((cache, Content(UnsafeCell::new(0)), address))
}

fn take_and_return<C: Clock>(shared: &Shared<C>) {
    let (cache, content, address) = &**shared;
    let run = cache.acquire(Request::new(1)).unwrap();
    if run.ptr().addr().get() == *address {
        // SAFETY: not known to be: loom finds out.
        content.0.with_mut(|content| unsafe { *content += 1 });
    }
    // SAFETY: acquired above, released once.
    unsafe { cache.release(run) };
}

fn never() -> Duration {
    Duration::ZERO
}

#[test]
fn a_run_has_one_owner_at_a_time() {
    loom::model(|| {
        let shared = cache_of_one(never);
        let other = shared.clone();
        let thread = thread::spawn(move || take_and_return(&other));
        take_and_return(&shared);
        thread.join().unwrap();
        drop(shared);
        assert_eq!(OUT.get(), 0, "the cache gave everything back");
    });
}

#[test]
fn a_flush_beside_a_user_loses_nothing() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let shared = cache_of_one(never);
        let other = shared.clone();
        let thread = thread::spawn(move || take_and_return(&other));
        shared.0.flush();
        thread.join().unwrap();
        drop(shared);
        assert_eq!(OUT.get(), 0);
    });
}

#[test]
fn decay_beside_a_user_takes_no_live_run() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        // Every look finds the window over.
        let now = std::sync::atomic::AtomicU64::new(0);
        let shared = cache_of_one(move || Duration::from_secs(now.fetch_add(9, Relaxed)));
        let other = shared.clone();
        let thread = thread::spawn(move || take_and_return(&other));
        shared.0.tick();
        shared.0.tick();
        thread.join().unwrap();
        drop(shared);
        assert_eq!(OUT.get(), 0);
    });
}
