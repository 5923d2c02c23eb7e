//! `Mirror`: both views, what it costs in mappings and memory, and what a forked child sees.
#![cfg(all(target_os = "linux", feature = "mirror", not(miri)))]

mod common;

use common::in_process;
use pool_core::{Cause, Mirror, PageError, PageKind, PageSource, Pages, Request, Run, process};
use std::ops::Range;
use std::sync::Arc;

/// Byte `at` from the run's start, by either view. Volatile, so that every access happens.
fn read(run: &Run, at: usize) -> u8 {
    assert!(at < 2 * run.len());
    // SAFETY: the run is live and ours, and has two views.
    unsafe { run.ptr().as_ptr().wrapping_add(at).read_volatile() }
}

fn write(run: &Run, at: usize, byte: u8) {
    assert!(at < 2 * run.len());
    // SAFETY: the run is live and ours, and has two views.
    unsafe { run.ptr().as_ptr().wrapping_add(at).write_volatile(byte) }
}

fn release(mirror: &Mirror, run: Run) {
    // SAFETY: every run of these tests comes from its mirror, and is moved here once.
    unsafe { mirror.release(run) }
}

fn is_zero(run: &Run) -> bool {
    (0..2 * run.len()).all(|at| read(run, at) == 0)
}

fn fill(run: &Run, byte: u8) {
    (0..run.len()).for_each(|at| write(run, at, byte));
}

fn span(run: &Run) -> Range<usize> {
    let start = run.ptr().addr().get();
    start..start + 2 * run.len()
}

/// Mappings of the memfd that touch a range of addresses.
fn mappings(range: &Range<usize>) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let touches = |line: &&str| {
        let (start, end) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
        let hex = |text| usize::from_str_radix(text, 16).unwrap();
        line.contains("pool-core-mirror") && hex(start) < range.end && range.start < hex(end)
    };
    maps.lines().filter(touches).count()
}

#[test]
fn each_byte_shows_twice() {
    let mirror = Mirror::new();
    for len in [1, 5000, 1 << 16, (1 << 20) + 1] {
        let run = mirror.acquire(Request::new(len)).unwrap();
        let n = run.len();
        assert!(n >= len && n.is_power_of_two() && run.kind() == PageKind::Mirrored);
        for at in [0, 1, n / 2, n - 1] {
            write(&run, at, 1);
            assert_eq!(read(&run, n + at), 1);
            write(&run, n + at, 2);
            assert_eq!(read(&run, at), 2);
        }
        release(&mirror, run);
    }
}

/// Neighbours in a slab, whose views lie one behind the other, share nothing.
#[test]
fn rings_are_disjoint() {
    let mirror = Mirror::new();
    let mut runs: Vec<_> =
        (0..20).map(|i| mirror.acquire(Request::new(1 << (12 + i % 3))).unwrap()).collect();
    for (tag, run) in runs.iter().enumerate() {
        fill(run, tag as u8 + 1);
    }
    for (tag, run) in runs.iter().enumerate() {
        assert!((0..2 * run.len()).all(|at| read(run, at) == tag as u8 + 1));
    }
    runs.sort_by_key(Run::ptr);
    for pair in runs.windows(2) {
        assert!(span(&pair[0]).end <= span(&pair[1]).start);
    }
    runs.into_iter().for_each(|run| release(&mirror, run));
}

#[test]
fn the_last_released_is_the_first_acquired() {
    let mirror = Mirror::new();
    let a = mirror.acquire(Request::new(1)).unwrap();
    let b = mirror.acquire(Request::new(1)).unwrap();
    let (at_a, at_b) = (a.ptr(), b.ptr());
    release(&mirror, b);
    release(&mirror, a);
    let first = mirror.acquire(Request::new(1)).unwrap();
    let second = mirror.acquire(Request::new(1)).unwrap();
    assert_eq!((first.ptr(), second.ptr()), (at_a, at_b));
    release(&mirror, first);
    release(&mirror, second);
}

#[test]
fn alignment_beyond_the_length_is_given() {
    let mirror = Mirror::new();
    for shift in 0..=22 {
        let run = mirror.acquire(Request::new(1).align(1 << shift)).unwrap();
        assert_eq!(run.ptr().addr().get() % (1 << shift), 0, "{shift}");
        assert_eq!(run.ptr().addr().get() % (2 * run.len()), 0, "{shift}");
        release(&mirror, run);
    }
}

#[test]
fn refusals_change_nothing() {
    let mirror = Mirror::new();
    let refused = |request: Request| mirror.acquire(request).unwrap_err();
    assert_eq!(refused(Request::new(0)), PageError::ZeroLength);
    assert_eq!(refused(Request::new(1).align(6)), PageError::BadAlign { align: 6 });
    for len in [usize::MAX, isize::MAX as usize, (isize::MAX as usize) / 2] {
        assert!(matches!(refused(Request::new(len)), PageError::TooLarge { .. }), "{len}");
    }
    let huge = Request::new(1).align(1 << (usize::BITS - 2));
    assert!(matches!(refused(huge), PageError::TooLarge { .. }));
    // More addresses than the machine has.
    assert!(matches!(refused(Request::new(1 << 52)), PageError::Os(_)));
    assert_eq!(mirror.snapshot().held.map(|held| held.bytes), Some(0));
}

#[test]
fn zeroed_means_zeroed() {
    let mirror = Mirror::new();
    let fresh = mirror.acquire(Request::new(1 << 14)).unwrap();
    assert!(fresh.is_zeroed() && is_zero(&fresh));
    fill(&fresh, 0xff);
    release(&mirror, fresh);

    let used = mirror.acquire(Request::new(1 << 14)).unwrap();
    assert!(!used.is_zeroed());
    release(&mirror, used);
    let zeroed = mirror.acquire(Request::new(1 << 14).zeroed()).unwrap();
    assert!(zeroed.is_zeroed() && is_zero(&zeroed));
    fill(&zeroed, 0xff);
    let kept = mirror.acquire(Request::new(1 << 14)).unwrap();
    release(&mirror, zeroed);

    assert_eq!(mirror.trim(), 1 << 14);
    assert_eq!(mirror.trim(), 0);
    let trimmed = mirror.acquire(Request::new(1 << 14)).unwrap();
    assert!(trimmed.is_zeroed() && is_zero(&trimmed));
    release(&mirror, trimmed);
    release(&mirror, kept);
}

#[test]
fn decommit_gives_memory_back_and_keeps_addresses() {
    let mirror = Mirror::new();
    let mut run = mirror.acquire(Request::new(1 << 20)).unwrap();
    fill(&run, 3);
    let resident = |run: &Run| process::residency(run.as_slice_ptr().as_ptr()).unwrap();
    assert_eq!(resident(&run), 1 << 20);
    // SAFETY: the run is ours, and no reference into it lives.
    assert!(unsafe { mirror.decommit(&mut run) });
    assert_eq!(resident(&run), 0);
    assert!(run.is_zeroed() && is_zero(&run));
    write(&run, 5, 9);
    assert_eq!(read(&run, run.len() + 5), 9);
    release(&mirror, run);
}

/// K rings of a slab cost K + 1 mappings, not 2 K.
#[test]
fn neighbours_share_a_mapping() {
    for rings in [1, 2, 10, 64] {
        let len = 1 << 14;
        let mirror = Mirror::new().slab_bytes(64 * len);
        let runs: Vec<_> = (0..rings).map(|_| mirror.acquire(Request::new(len)).unwrap()).collect();
        let start = runs.iter().map(|run| span(run).start).min().unwrap();
        let end = runs.iter().map(|run| span(run).end).max().unwrap();
        assert_eq!(end - start, 2 * len * rings);
        assert_eq!(mappings(&(start..end)), rings + 1);
        assert_eq!(mirror.snapshot().held.unwrap().mappings, rings + 1);
        assert_eq!(mirror.snapshot().held.unwrap().bytes, rings * len);
        runs.into_iter().for_each(|run| release(&mirror, run));
    }
}

/// In a process of its own: what is unmapped here, the mirrors of other tests may be mapped to at once.
#[test]
fn trim_unmaps_idle_slabs_and_drop_unmaps_all() {
    in_process("trim_unmaps_idle_slabs_and_drop_unmaps_all", || {
        let len = 1 << 14;
        let mirror = Mirror::new().slab_bytes(4 * len);
        let mut runs: Vec<_> =
            (0..12).map(|_| mirror.acquire(Request::new(len)).unwrap()).collect();
        let spans: Vec<_> = runs.iter().map(span).collect();
        runs.iter().for_each(|run| fill(run, 1));
        let kept = runs.remove(5);
        runs.into_iter().for_each(|run| release(&mirror, run));
        assert_eq!(mirror.trim(), 11 * len);
        let mapped = |span: &&Range<usize>| mappings(span) > 0;
        assert_eq!(spans.iter().filter(mapped).count(), 4);
        assert_eq!(mirror.snapshot().held.unwrap().bytes, 4 * len);
        assert_eq!(read(&kept, len + 7), 1);
        // The slab that stayed serves its free rings, and new slabs are made.
        let again: Vec<_> = (0..6).map(|_| mirror.acquire(Request::new(len)).unwrap()).collect();
        assert!(again.iter().all(is_zero));
        assert_eq!(mirror.snapshot().held.unwrap().bytes, 7 * len);
        again.into_iter().for_each(|run| release(&mirror, run));
        let last = span(&kept);
        drop(mirror);
        assert_eq!(mappings(&last), 0);
    });
}

/// Other tests run beside this one, so it looks in a child of its own.
#[test]
fn a_full_slab_keeps_no_file_open() {
    let open = || {
        let files = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        let links = files.filter_map(|file| std::fs::read_link(file.path()).ok());
        links.filter(|link| link.to_string_lossy().contains("pool-core-mirror")).count()
    };
    in_process("a_full_slab_keeps_no_file_open", || {
        let mirror = Mirror::new();
        let page = mirror.granule();
        let mirror = mirror.slab_bytes(2 * page);
        let mut runs = Vec::new();
        for rings in 1..=10 {
            runs.push(mirror.acquire(Request::new(1)).unwrap());
            assert_eq!(open(), rings % 2);
        }
        runs.into_iter().for_each(|run| release(&mirror, run));
    });
}

#[test]
fn runs_are_released_on_other_threads() {
    let mirror = Arc::new(Mirror::new().slab_bytes(1 << 18));
    let threads: Vec<_> = (0..4u8)
        .map(|thread| {
            let mirror = Arc::clone(&mirror);
            std::thread::spawn(move || {
                let mut kept = Vec::new();
                for round in 0..200usize {
                    let run = mirror.acquire(Request::new(1 << (12 + round % 3))).unwrap();
                    write(&run, round, thread + 1);
                    kept.push((run, round));
                    if round % 3 == 2 {
                        let (run, at) = kept.swap_remove(round % kept.len());
                        assert_eq!(read(&run, run.len() + at), thread + 1);
                        release(&mirror, run);
                    }
                    if round % 50 == 0 {
                        mirror.trim();
                    }
                }
                kept
            })
        })
        .collect();
    for (thread, kept) in threads.into_iter().enumerate() {
        for (run, at) in kept.join().unwrap() {
            assert_eq!(read(&run, at), thread as u8 + 1);
            release(&mirror, run);
        }
    }
    mirror.trim();
    assert_eq!(mirror.snapshot().held.map(|held| held.bytes), Some(0));
}

/// Forks; the child runs `act`, which makes no allocation and takes no lock, and ends. Returns how.
fn fork(act: impl FnOnce()) -> libc::c_int {
    // SAFETY: the child does nothing that is not async-signal-safe, by this function's contract.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        act();
        // SAFETY: ends the process without running anything of the parent's.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: `pid` is our child, `status` writable.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    status
}

#[test]
fn a_forked_child_has_no_rings() {
    let mirror = Mirror::new();
    let first = mirror.acquire(Request::new(1)).unwrap();
    let run = mirror.acquire(Request::new(1)).unwrap();
    write(&run, 0, 1);
    for (run, at) in [(&first, 0), (&first, first.len()), (&run, 0), (&run, run.len())] {
        let status = fork(|| write(run, at, 2));
        assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGSEGV, "{status}");
    }
    assert_eq!(read(&run, 0), 1);
    release(&mirror, run);
    release(&mirror, first);
}

#[test]
fn a_mirror_dropped_in_a_child_unmaps_nobody_elses_memory() {
    let mut mirror = std::mem::ManuallyDrop::new(Mirror::new());
    let run = mirror.acquire(Request::new(1)).unwrap();
    let (ptr, len) = (run.ptr().as_ptr(), run.len());
    release(&mirror, run);
    let status = fork(|| {
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let flags = flags | libc::MAP_FIXED_NOREPLACE;
        // SAFETY: a new mapping, at an address that is free in a child, or none.
        let page = unsafe { libc::mmap(ptr.cast(), len, protection, flags, -1, 0) };
        if page != ptr.cast() {
            // SAFETY: ends the process.
            unsafe { libc::_exit(1) };
        }
        // SAFETY: dropped once in the child, and once in the parent below.
        unsafe { std::mem::ManuallyDrop::drop(&mut mirror) };
        // SAFETY: the page mapped above, unless the mirror has unmapped it.
        unsafe { ptr.write_volatile(1) };
    });
    assert_eq!(status, 0);
    // SAFETY: the parent's own copy is dropped here alone.
    unsafe { std::mem::ManuallyDrop::drop(&mut mirror) };
}

#[test]
fn a_forked_child_shares_rings_if_told_to() {
    let mirror = Mirror::new().shared_with_children(true);
    let run = mirror.acquire(Request::new(1)).unwrap();
    let status = fork(|| write(&run, run.len(), 2));
    assert!(libc::WIFEXITED(status));
    assert_eq!(read(&run, 0), 2);
    release(&mirror, run);
}

#[test]
fn a_full_table_of_mappings_is_named() {
    in_process("a_full_table_of_mappings_is_named", || {
        let limit = process::vma_limit().unwrap();
        if limit > 1 << 20 {
            return;
        }
        let mirror = Mirror::new();
        let first = mirror.acquire(Request::new(1)).unwrap();
        let page = mirror.granule();
        let (none, anonymous) = (libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let len = 2 * limit * page;
        // SAFETY: a new mapping.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), len, none, anonymous, -1, 0) };
        assert_ne!(start, libc::MAP_FAILED);
        // Every other page readable: each is a mapping, until the table is full.
        let full = (0..limit).find(|i| {
            let at = start.wrapping_byte_add(2 * i * page);
            // SAFETY: a page of the mapping above.
            (unsafe { libc::mprotect(at, page, libc::PROT_READ) }) != 0
        });
        assert!(full.is_some());
        // The last place or two of the table may still be had.
        let mut kept = Vec::new();
        let mut refused = Vec::new();
        for i in 0..20 {
            match mirror.acquire(Request::new(page << (i % 3))) {
                Ok(run) => kept.push(run),
                Err(error) => refused.push(error),
            }
        }
        assert!(kept.len() < 4 && kept.iter().all(is_zero), "{kept:?}");
        // SAFETY: the mapping above, used no more.
        assert_eq!(unsafe { libc::munmap(start, len) }, 0);
        for error in refused {
            let PageError::Os(os) = error else { panic!("{error}") };
            assert_eq!(os.code, libc::ENOMEM);
            assert_eq!(os.cause, Cause::MapCount { limit: limit as u64 }, "{os}");
        }
        // Nothing is broken by it.
        let more: Vec<_> = (0..5).map(|_| mirror.acquire(Request::new(1)).unwrap()).collect();
        assert!(more.iter().all(is_zero));
        write(&first, 3, 1);
        assert_eq!(read(&first, first.len() + 3), 1);
        more.into_iter().chain(kept).for_each(|run| release(&mirror, run));
        release(&mirror, first);
    });
}

#[test]
fn owned_without_unsafe() {
    let mirror = Mirror::new();
    let mut pages = Pages::new(&mirror, Request::new(1 << 16)).unwrap().into_bytes();
    pages.fill(7);
    assert!(pages.decommit());
    assert!(pages.iter().all(|&byte| byte == 0));
}

static_assertions::assert_impl_all!(Mirror: Send, Sync);
