//! A steady loop of acquire and release makes no system call and no page fault: counted, in child
//! processes, of which one is killed by its first call and the other asks for its faults.
#![cfg(all(target_os = "linux", not(miri), not(loom)))]

#[path = "common/steady.rs"]
mod proof;

use pool_core::{Cache, Global, LocalCache, Mmap, PageSource, Request};
use proof::{CANNOT_FORBID, exit, faults, forbid_calls, in_child};
use std::time::Instant;

const ROUNDS: usize = 100_000;
const LENS: [usize; 3] = [4 << 10, 16 << 10, 64 << 10];

/// One run of each length is out at a time, and its first byte is written.
fn rounds(source: &impl PageSource, count: usize) {
    for round in 0..count {
        for len in LENS {
            let Ok(run) = source.acquire(Request::new(len)) else { exit(2) };
            // SAFETY: the run is ours and not empty.
            unsafe { run.ptr().write_volatile(round as u8) };
            // SAFETY: acquired above, from this source, and not used any more.
            unsafe { source.release(run) };
        }
    }
}

/// Both proofs, for one stack.
fn steady(source: &impl PageSource) {
    proof::steady(|| source, ROUNDS, rounds);
}

/// Where the clock is a system call (some virtual machines), the shared cache makes it once in 64
/// hits, and nothing can be shown of it here.
fn clock_is_a_call() -> bool {
    let reads = in_child(|| {
        let start = Instant::now();
        forbid_calls();
        std::hint::black_box(start.elapsed());
    });
    reads != Ok(0)
}

#[test]
fn the_proof_can_fail() {
    let killed = in_child(|| {
        forbid_calls();
        // SAFETY: the call touches no memory.
        unsafe { libc::syscall(libc::SYS_getppid) };
    });
    assert!([Err(libc::SIGSYS), Ok(CANNOT_FORBID)].contains(&killed), "{killed:?}");
    let fault = in_child(|| {
        let source = Mmap::new();
        let Ok(run) = source.acquire(Request::new(1 << 20)) else { exit(2) };
        let before = faults();
        // SAFETY: the run is ours and not empty; it is new, so its first page is not there yet.
        unsafe { run.ptr().write_volatile(1) };
        exit(i32::from(faults() != before));
    });
    assert_eq!(fault, Ok(1));
}

#[test]
fn local_cache() {
    steady(&LocalCache::new(Mmap::new()));
}

#[test]
fn cache() {
    if clock_is_a_call() {
        eprintln!("the clock is a system call here: not tested");
        return;
    }
    steady(&Cache::new(Mmap::new()));
}

#[test]
fn global() {
    steady(&Global);
}

#[test]
fn mmap() {
    steady(&Mmap::new());
}
