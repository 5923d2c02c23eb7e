//! A steady loop of acquire and release makes no system call and no page fault: counted, in child
//! processes, of which one is killed by its first call and the other asks for its faults.
#![cfg(all(target_os = "linux", not(miri), not(loom)))]

use pool_core::{Cache, Global, LocalCache, Mmap, PageSource, Request};
use std::time::Instant;

const ROUNDS: usize = 100_000;
/// A child's exit code where the system knows no filters, or a sandbox lets nobody set one.
const CANNOT_FORBID: i32 = 3;
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

/// Ends the process by the one call that [`forbid_calls`] leaves; `exit` of the C library makes
/// others.
fn exit(code: i32) -> ! {
    loop {
        // SAFETY: the call does not return and touches no memory.
        unsafe { libc::syscall(libc::SYS_exit, code) };
    }
}

/// From here on any system call but `exit` kills the process. A filter and not the strict mode,
/// which also takes the time stamp counter away that `Instant` reads.
fn forbid_calls() {
    const LOAD_NUMBER: libc::sock_filter = libc::sock_filter {
        code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16,
        jt: 0,
        jf: 0,
        k: 0,
    };
    const UNLESS_EXIT_SKIP: libc::sock_filter = libc::sock_filter {
        code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
        jt: 0,
        jf: 1,
        k: libc::SYS_exit as u32,
    };
    const fn answer(k: u32) -> libc::sock_filter {
        libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k }
    }
    let mut filter = [
        LOAD_NUMBER,
        UNLESS_EXIT_SKIP,
        answer(libc::SECCOMP_RET_ALLOW),
        answer(libc::SECCOMP_RET_KILL_PROCESS),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: no memory is involved.
    let modest = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    // SAFETY: the program is live and has as many instructions as it says.
    let set = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program) };
    if (modest, set) != (0, 0) {
        exit(CANNOT_FORBID);
    }
}

/// Minor and major faults of this process so far.
fn faults() -> (i64, i64) {
    // SAFETY: all zeros is a value of this plain struct.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is a place for the answer.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) };
    (usage.ru_minflt, usage.ru_majflt)
}

/// Runs `work` in a child and returns how that ended: its exit code, or the signal that killed it.
fn in_child(work: impl FnOnce()) -> Result<i32, i32> {
    // SAFETY: the child has this thread alone. It calls pool-core, which keeps no lock across a
    // fork, and the system.
    let child = unsafe { libc::fork() };
    if child == 0 {
        work();
        exit(0);
    }
    assert!(child > 0, "fork fails");
    let mut status = 0;
    // SAFETY: `status` is a place for the answer.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    if libc::WIFEXITED(status) {
        Ok(libc::WEXITSTATUS(status))
    } else {
        Err(libc::WTERMSIG(status))
    }
}

/// Both proofs, for one stack. The warm-up is the loop itself, in the child: after a fork each page
/// that is written costs a fault once.
fn steady(source: &impl PageSource) {
    let calls = in_child(|| {
        rounds(source, 1000);
        forbid_calls();
        rounds(source, ROUNDS);
    });
    if calls == Ok(CANNOT_FORBID) {
        eprintln!("no filter for system calls can be set here: only faults were looked at");
    } else {
        assert_eq!(calls, Ok(0), "it was killed by a system call (31 is SIGSYS)");
    }
    let faults = in_child(|| {
        rounds(source, 1000);
        // Now and then the system moves a page, or makes a huge one of many: a fault that is none of
        // the loop's. Those come each time.
        let steady = || {
            let before = faults();
            rounds(source, ROUNDS);
            faults() == before
        };
        if !(0..20).any(|_| steady()) {
            exit(1);
        }
    });
    assert_eq!(faults, Ok(0), "there were page faults");
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
