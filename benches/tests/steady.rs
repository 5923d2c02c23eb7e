//! A steady server's request makes no system call, no page fault and no call of the global
//! allocator, be its arena new or used again: in child processes, of which one is killed by its
//! first call, and the other two count.
#![cfg(all(target_os = "linux", not(miri)))]

#[path = "../../pool-core/tests/common/steady.rs"]
mod children;

use benches::engine::{Engine, Setup};
use benches::engines::arenas::{Arena, Bumpalo};
use benches::region::Regions;
use benches::workloads::arenas::requests::{
    Request, Serves, Sum, all_in_one, draw, each_in_its_own, setup,
};
use children::{exit, faults, forbid_calls, in_child};
use pool_core::Mmap;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

/// Requests before, and under observation.
const WARM: usize = 1000;
const STEADY: usize = 20_000;

/// The system's allocator, which counts how often it is called.
struct Counting;

static CALLS: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static GLOBAL: Counting = Counting;

// SAFETY: passes everything on to `System`, and touches nothing but a counter of its own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(ptr, layout) };
    }
}

/// What is seen of steady requests.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    /// The signal of a system call, if there was one.
    call: Option<i32>,
    fault: bool,
    allocator: bool,
}

const NOTHING: Seen = Seen { call: None, fault: false, allocator: false };

/// Lets `serve` do so many requests, again and again, in children. The warm-up is in the child, too:
/// after a fork each page that is written costs a fault once.
fn seen(requests: &[Request], mut serve: impl FnMut(usize) -> Sum) -> Seen {
    let call = in_child(|| {
        serve(WARM);
        forbid_calls();
        serve(STEADY);
    });
    let mut changes = |count: &dyn Fn() -> (i64, i64)| {
        let end = in_child(|| {
            serve(WARM);
            let before = count();
            let sum = serve(STEADY);
            let after = count();
            exit(if sum.is_right(requests, STEADY) { i32::from(after != before) } else { 4 });
        });
        match end {
            Ok(code @ 0..=1) => code == 1,
            other => panic!("the child ends by {other:?}"),
        }
    };
    // The system takes pages away now and then, to move or to reclaim them, and the next access faults: that
    // comes by chance. Requests are always the same, so a fault of theirs is there each time.
    let fault = (0..5).all(|_| changes(&faults));
    let allocator = changes(&|| (CALLS.load(Ordering::Relaxed) as i64, 0));
    match call {
        Ok(0) => Seen { call: None, fault, allocator },
        Err(signal) => Seen { call: Some(signal), fault, allocator },
        Ok(code) => panic!("the child ends by {code}"),
    }
}

fn new_arenas<E>() -> Seen
where
    E: for<'a> Regions<Region<'a>: Serves>,
{
    let (store, requests) = (E::build(setup()), draw());
    seen(&requests, |count| each_in_its_own::<E>(&store, &requests, count))
}

fn one_arena<E>() -> Seen
where
    E: for<'a> Regions<Region<'a>: Serves>,
{
    let (store, requests) = (E::build(setup()), draw());
    let mut region = E::open(&store);
    seen(&requests, |count| all_in_one(&mut region, &requests, count))
}

#[test]
fn an_arena_for_each_request() {
    assert_eq!(new_arenas::<Arena>(), NOTHING);
}

#[test]
fn one_arena_for_all_requests() {
    assert_eq!(one_arena::<Arena>(), NOTHING);
}

/// An arena that draws its chunks from the system each time.
struct Uncached;

impl Engine for Uncached {
    const NAME: &'static str = "Arena over Mmap";
    type Store = ();

    fn build(_: Setup) {}
}

impl Regions for Uncached {
    type Region<'a> = pool_arena::Arena<Mmap>;

    fn open((): &()) -> Self::Region<'_> {
        pool_arena::Arena::new_in(Mmap::new())
    }
}

#[test]
fn each_proof_can_fail() {
    let uncached = new_arenas::<Uncached>();
    assert_eq!((uncached.call, uncached.fault), (Some(libc::SIGSYS), true));
    assert!(new_arenas::<Bumpalo>().allocator);
}
