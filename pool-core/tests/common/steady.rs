//! A child process that any system call kills, or that counts its faults: what proves that a loop makes neither. For the tests of
//! `pool-ring` and the benches, too.
#![allow(dead_code, reason = "not every test uses everything")]

/// A child's exit code where the system knows no filters, or a sandbox lets nobody set one.
pub const CANNOT_FORBID: i32 = 3;

/// Ends the process by the one call that [`forbid_calls`] leaves; `exit` of the C library makes
/// others.
pub fn exit(code: i32) -> ! {
    loop {
        // SAFETY: the call does not return and touches no memory.
        unsafe { libc::syscall(libc::SYS_exit, code) };
    }
}

/// From here on any system call but `exit` kills the process. A filter and not the strict mode,
/// which also takes the time stamp counter away that `Instant` reads.
pub fn forbid_calls() {
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
pub fn faults() -> (i64, i64) {
    // SAFETY: all zeros is a value of this plain struct.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is a place for the answer.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) };
    (usage.ru_minflt, usage.ru_majflt)
}

/// A child that panics must not go on as a test.
struct Panicking;

impl Drop for Panicking {
    fn drop(&mut self) {
        exit(5);
    }
}

/// Runs `work` in a child and returns how that ended: its exit code, or the signal that killed it.
pub fn in_child(work: impl FnOnce()) -> Result<i32, i32> {
    // SAFETY: the child has this thread alone. It calls the pools, which keep no lock across a fork,
    // the C library's allocator, which takes care of its own, and the system.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let _panicking = Panicking;
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

/// Both proofs, for `rounds`, which makes so many turns with what `start` makes in the child: 1,000 to warm up, then `count`. The warm-up
/// is the loop itself, in the child: after a fork each page that is written costs a fault once.
pub fn steady<T>(start: impl Fn() -> T, count: usize, rounds: impl Fn(&T, usize)) {
    let calls = in_child(|| {
        let source = start();
        rounds(&source, 1000);
        forbid_calls();
        rounds(&source, count);
        // Nobody gives anything back: that may take calls.
        exit(0);
    });
    if calls == Ok(CANNOT_FORBID) {
        eprintln!("no filter for system calls can be set here: only faults were looked at");
    } else {
        assert_eq!(calls, Ok(0), "it was killed by a system call (31 is SIGSYS)");
    }
    let faults = in_child(|| {
        let source = start();
        rounds(&source, 1000);
        // Now and then the system moves a page, or makes a huge one of many: a fault that is none of
        // the loop's. Those come each time.
        let steady = || {
            let before = faults();
            rounds(&source, count);
            faults() == before
        };
        if !(0..20).any(|_| steady()) {
            exit(1);
        }
    });
    assert_eq!(faults, Ok(0), "there were page faults");
}
