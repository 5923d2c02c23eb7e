//! Rings whose pages show twice: what the compiler makes of them, what a forked child sees, and what becomes of them when
//! the system's table of mappings is full.
#![cfg(all(target_os = "linux", not(miri)))]

use pool_core::{Heap, Mirror, PageSource, Request, process};
use pool_ring::frame::Lines;
use pool_ring::{MirrorOr, RingBuf, spsc};
use std::sync::Arc;

/// Known to the compiler, as it has to be for the fault to show.
const N: usize = 4096;

/// Writes byte N of the second view, then the first byte of the first, which is the same one, and reads it by the
/// second view again.
macro_rules! write_both_ways {
    ($name:ident, $fence:expr) => {
        #[inline(never)]
        fn $name(base: *mut u8) -> u8 {
            // SAFETY: both views of a ring of N bytes that nobody else uses. Rust has no words for
            // memory with two addresses, which is what this shows.
            let twin = unsafe { base.add(N) };
            // SAFETY: as above.
            unsafe { twin.write(1) };
            $fence(base);
            // SAFETY: as above.
            unsafe { base.write(2) };
            $fence(base);
            // SAFETY: as above.
            unsafe { twin.read() }
        }
    };
}

#[inline(always)]
fn fence(base: *mut u8) {
    // SAFETY: no instruction. This is the fence of the crate.
    unsafe { core::arch::asm!("/* {0} */", in(reg) base, options(nostack, preserves_flags)) };
}

write_both_ways!(without_fence, |_| ());
write_both_ways!(with_fence, fence);

/// The reason for the fence: the optimiser takes addresses that differ for bytes that differ, raw pointers or not,
/// and answers with what was there before. If this ever fails where it asserts a 1, compilers have changed.
#[test]
#[cfg(target_arch = "x86_64")]
fn the_fence_is_what_makes_bytes_fresh() {
    let mirror = Mirror::new();
    let run = mirror.acquire(Request::new(N)).unwrap();
    assert_eq!(run.len(), N, "pages of 4 KiB");
    let base = run.ptr().as_ptr();
    let optimised = !cfg!(debug_assertions);
    assert_eq!(without_fence(base), if optimised { 1 } else { 2 });
    assert_eq!(with_fence(base), 2);
    // SAFETY: acquired above, used no more.
    unsafe { mirror.release(run) };
}

/// The same through the rings, at sizes that the compiler knows, over the end of a lap and back.
#[test]
fn every_way_in_and_out_is_fresh() {
    let source = Arc::new(MirrorOr::new(Heap::new()));
    let mut ring = RingBuf::try_with_capacity_in(N, source.clone()).unwrap();
    assert!(ring.is_mirrored());
    for round in 0..100u8 {
        // The filled bytes lie over the end of the first view.
        ring.push(&[round; N - 1]);
        ring.consume(N - 2);
        ring.push(&[round.wrapping_add(1); 3]);
        assert_eq!(ring.peek(), [[round; 1].as_slice(), &[round.wrapping_add(1); 3]].concat());
        ring.consume(2);
        let spare = ring.spare_capacity_mut();
        spare[0].write(round);
        spare[N - 3].write(round ^ 0xff);
        // SAFETY: the bytes between were written before.
        unsafe { ring.advance(N - 2) };
        assert_eq!((ring.peek()[2], ring.peek()[N - 1]), (round, round ^ 0xff));
        let read = ring.read_from(&mut &[9; 5][..]);
        assert_eq!(read.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
        ring.consume(N - 1);
        assert_eq!(ring.read_from(&mut &b"\nx"[..]).unwrap(), 2);
        let line = ring.decode(&mut Lines::new(9)).unwrap().map(<[u8]>::to_vec);
        assert_eq!((line, ring.peek()), (Some(vec![round ^ 0xff]), &b"x"[..]));
        ring.clear();
    }
    let (mut producer, mut consumer) = spsc::channel_in(N, source).unwrap();
    for round in 0..1000u32 {
        let message = [round as u8; 1500];
        assert!(producer.send(&message).is_ok());
        assert_eq!(consumer.recv().unwrap()[..], message);
    }
}

/// Forks; the child runs `act`, which makes no allocation and takes no lock, and ends with its result. Returns how.
fn fork(act: impl FnOnce() -> i32) -> libc::c_int {
    // SAFETY: the child does nothing that is not async-signal-safe, by this function's contract.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        let code = act();
        // SAFETY: ends the process without running anything of the parent's.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: `pid` is our child, `status` writable.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    status
}

/// Mirrored rings are not a child's, so it cannot write into its parent's; linear ones are copies.
#[test]
fn a_forked_child_changes_nothing_of_its_parents() {
    let mirror = MirrorOr::new(Heap::new());
    let heap = Heap::new();
    let mut mirrored = RingBuf::try_with_capacity_in(N, &mirror).unwrap();
    let mut linear = RingBuf::try_with_capacity_in(N, &heap).unwrap();
    assert!(mirrored.is_mirrored() && !linear.is_mirrored());
    mirrored.push(b"parent");
    linear.push(b"parent");
    let status = fork(|| i32::from(mirrored.peek()[0] == 0));
    assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGSEGV, "{status}");
    let status = fork(|| {
        mirrored.push(b"child");
        0
    });
    assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGSEGV, "{status}");
    let status = fork(|| {
        linear.consume(3);
        linear.push(b" is a child");
        i32::from(linear.peek() == b"ent is a child")
    });
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 1, "{status}");
    assert_eq!((mirrored.peek(), linear.peek()), (&b"parent"[..], &b"parent"[..]));
}

/// Runs `act` in a process of its own: this test program again, with this test alone.
fn in_child(test: &str, act: impl FnOnce()) {
    if std::env::var_os("POOL_RING_CHILD").is_some() {
        return act();
    }
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    let child = child.args(["--exact", test, "--test-threads=1"]).env("POOL_RING_CHILD", "1");
    let output = child.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}\n{:?}", output.stderr);
}

/// Past `vm.max_map_count` rings are linear, and say so; when there is room again they show twice again.
#[test]
fn a_full_table_of_mappings_gives_linear_rings() {
    in_child("a_full_table_of_mappings_gives_linear_rings", || {
        let limit = process::vma_limit().unwrap();
        if limit > 1 << 20 {
            eprintln!("vm.max_map_count is {limit}: filling it takes too long");
            return;
        }
        let source = MirrorOr::new(Heap::new());
        let before = RingBuf::try_with_capacity_in(N, &source).unwrap();
        let (none, anonymous) = (libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let len = 2 * limit * N;
        // SAFETY: a new mapping.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), len, none, anonymous, -1, 0) };
        assert_ne!(start, libc::MAP_FAILED);
        // Every other page readable: each is a mapping, until the table is full.
        let full = (0..limit).find(|page| {
            let at = start.wrapping_byte_add(2 * page * N);
            // SAFETY: a page of the mapping above.
            (unsafe { libc::mprotect(at, N, libc::PROT_READ) }) != 0
        });
        assert!(full.is_some());
        // The last place or two of the table may still be had.
        let mut rings: Vec<_> =
            (0..10).map(|_| RingBuf::try_with_capacity_in(N, &source).unwrap()).collect();
        let linear = rings.iter().filter(|ring| !ring.is_mirrored()).count();
        for (n, ring) in rings.iter_mut().enumerate() {
            for round in 0..100 {
                assert_eq!(ring.push(&[n as u8; 3000]), 3000);
                assert_eq!(ring.peek().len(), 3000, "{round}");
                ring.consume(3000);
            }
        }
        // SAFETY: the mapping above, used no more.
        assert_eq!(unsafe { libc::munmap(start, len) }, 0);
        assert!(linear > 5, "{linear} of 10 rings are linear");
        assert_eq!(source.fallbacks(), linear as u64);
        let after: Vec<_> =
            (0..10).map(|_| RingBuf::try_with_capacity_in(N, &source).unwrap()).collect();
        assert!(before.is_mirrored() && after.iter().all(RingBuf::is_mirrored));
        assert_eq!(source.fallbacks(), linear as u64);
    });
}
