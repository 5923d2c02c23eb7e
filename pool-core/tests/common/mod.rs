//! What tests of the operating system's behaviour need: children, and a look at one's own maps.
#![allow(dead_code, reason = "not every test uses everything")]

use std::ffi::c_int;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

/// How a child ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    Exited(c_int),
    Signalled(c_int),
}

/// Runs `f` in a forked child, which exits with its result, and waits for it, at most five minutes.
///
/// The child has only the forking thread, so `f` may use no lock that another thread of the test
/// binary can have held at that moment: no printing, no panicking.
pub fn in_child(f: impl FnOnce() -> c_int) -> Ended {
    // SAFETY: the child runs `f`, under the rule above, and leaves by `_exit`.
    match unsafe { libc::fork() } {
        -1 => panic!("fork: {}", std::io::Error::last_os_error()),
        0 => {
            let code = f();
            // SAFETY: ends the child at once, without destructors of the parent's state.
            unsafe { libc::_exit(code) }
        }
        child => wait_for(child),
    }
}

fn wait_for(child: libc::pid_t) -> Ended {
    let begin = Instant::now();
    loop {
        let mut status = 0;
        // SAFETY: waits for our own child, with a place for its status.
        let pid = unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) };
        if pid == child {
            return match libc::WIFSIGNALED(status) {
                true => Ended::Signalled(libc::WTERMSIG(status)),
                false => Ended::Exited(libc::WEXITSTATUS(status)),
            };
        }
        if begin.elapsed() > Duration::from_secs(300) {
            // SAFETY: our own child, which hangs.
            unsafe { libc::kill(child, libc::SIGKILL) };
            panic!("the child hangs");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Runs `act` in a process of its own: this test program again, with this test alone.
pub fn in_process(test: &str, act: impl FnOnce()) {
    const CHILD: &str = "POOL_CORE_CHILD";
    if std::env::var_os(CHILD).is_some() {
        return act();
    }
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    let child = child.args(["--exact", test, "--test-threads=1"]).env(CHILD, "1");
    let output = child.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// The lines of `/proc/self/smaps` for the mapping that `address` lies in, head first.
pub fn smaps(address: NonNull<u8>) -> Vec<String> {
    let text = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let mut lines = Vec::new();
    for line in text.lines() {
        if let Some((low, high)) = head(line) {
            let here = (low..high).contains(&address.addr().get());
            if !lines.is_empty() {
                break;
            }
            if !here {
                continue;
            }
        } else if lines.is_empty() {
            continue;
        }
        lines.push(line.to_owned());
    }
    lines
}

fn head(line: &str) -> Option<(usize, usize)> {
    let (low, high) = line.split_whitespace().next()?.split_once('-')?;
    let parse = |text| usize::from_str_radix(text, 16).ok();
    Some((parse(low)?, parse(high)?))
}

/// A figure of smaps in bytes, such as `AnonHugePages`.
pub fn smaps_bytes(address: NonNull<u8>, field: &str) -> usize {
    let lines = smaps(address);
    let line = lines.iter().find(|line| line.starts_with(&format!("{field}:")));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)).unwrap();
    kib.parse::<usize>().unwrap() * 1024
}

/// Bytes of a huge page, as the tests look for them.
pub const HUGE: usize = 2 << 20;

/// Finds out whether huge pages come where the system gives them. They are made of free memory that
/// lies in one piece, which a busy machine may lack for a while; so `get`, which says whether it got one,
/// is tried again, and is wrong only if plain mappings beside it got what it did not.
///
/// # Panics
/// If it never got one, and the plain mappings mostly did.
pub fn expect_huge_pages(mut get: impl FnMut() -> bool) {
    const TRIES: usize = 20;
    let mut missed = 0;
    for _ in 0..TRIES {
        if get() {
            return;
        }
        missed += usize::from(a_plain_mapping_gets_one());
    }
    assert!(missed <= TRIES / 2, "{missed} of {TRIES} times there was a huge page to be had");
    eprintln!("there are no huge pages to be had now: not tested");
}

/// Whether a mapping of nobody's has a huge page once it is touched.
fn a_plain_mapping_gets_one() -> bool {
    let (access, kind) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), 2 * HUGE, access, kind, -1, 0) };
    assert_ne!(start, libc::MAP_FAILED);
    let aligned = start.wrapping_byte_add(start.addr().wrapping_neg() % HUGE);
    // SAFETY: within the mapping above.
    let advised = unsafe { libc::madvise(aligned, HUGE, libc::MADV_HUGEPAGE) } == 0;
    // SAFETY: as above.
    unsafe { aligned.cast::<u8>().write_volatile(1) };
    let place = NonNull::new(aligned.cast()).unwrap();
    let got = advised && smaps_bytes(place, "AnonHugePages") >= HUGE;
    // SAFETY: the mapping above, used no more.
    assert_eq!(unsafe { libc::munmap(start, 2 * HUGE) }, 0);
    got
}

/// Resident bytes of `len` bytes at `ptr`, by `mincore`.
pub fn resident(ptr: NonNull<u8>, len: usize) -> usize {
    // SAFETY: asks for a number.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    let mut pages = vec![0_u8; len.div_ceil(page)];
    // SAFETY: `pages` has a byte for each page of the range.
    let error = unsafe { libc::mincore(ptr.as_ptr().cast(), len, pages.as_mut_ptr()) };
    assert_eq!(error, 0, "{}", std::io::Error::last_os_error());
    pages.iter().filter(|&&state| state & 1 != 0).count() * page
}

/// Resident bytes of the process. Counted page by page: the sum in `statm` is kept in pieces, one a
/// processor, and off by as much on a machine with many.
pub fn process_resident() -> usize {
    let sums = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = sums.lines().find(|line| line.starts_with("Rss:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}
