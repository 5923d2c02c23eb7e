//! What `Mmap` promises of the operating system, seen from outside: by smaps, mincore, and the
//! fate of forked children.
#![cfg(all(target_os = "linux", not(miri)))]

mod common;

use common::{Ended, expect_huge_pages, in_child, resident, smaps, smaps_bytes};
use pool_core::{
    Cause, HugePages, Mmap, OsError, Outcome, PageError, PageKind, PageSource, Pages, Request,
};
use std::fs::File;
use std::io::Read;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::os::fd::FromRawFd;

const MIB: usize = 1 << 20;
/// What a child exits with when it cannot be put into the state of the test.
const NOT_TESTED: i32 = 77;

#[cfg(target_env = "gnu")]
type Resource = libc::__rlimit_resource_t;
#[cfg(not(target_env = "gnu"))]
type Resource = libc::c_int;

/// Sets a limit of this process to `wanted`, or to what it may have at the most, and returns it; makes
/// no allocation, so that a forked child may call it.
fn limit(resource: Resource, wanted: libc::rlim_t) -> Option<libc::rlim_t> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a place for the answer.
    if unsafe { libc::getrlimit(resource, &mut limit) } != 0 {
        return None;
    }
    limit.rlim_cur = wanted.min(limit.rlim_max);
    // SAFETY: sets a limit from a valid structure.
    (unsafe { libc::setrlimit(resource, &limit) } == 0).then_some(limit.rlim_cur)
}

/// A file that nobody else has: it has no name any more.
fn nameless_file(name: &str) -> File {
    let path = std::env::temp_dir().join(format!("pool-core-{name}-{}", std::process::id()));
    // Numbers of processes come again, and that one may have been stopped before it cleared up.
    let file =
        File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    file
}

fn fill(pages: &mut Pages<impl PageSource>, byte: u8) {
    pages.as_uninit_mut().fill(MaybeUninit::new(byte));
}

/// The bytes of pages whose every byte was written, or that are fresh from the system.
fn bytes(pages: &Pages<impl PageSource>) -> &[u8] {
    // SAFETY: the test has initialised them, or the system has.
    unsafe { std::slice::from_raw_parts(pages.as_ptr().as_ptr(), pages.len()) }
}

#[test]
fn regions_are_shared_by_runs_and_unmapped_when_empty() {
    let source = Mmap::new();
    assert_eq!((source.held_bytes(), source.regions()), (0, 0));
    let runs: Vec<_> = (0..100).map(|_| (&source).pages(32 << 10).unwrap()).collect();
    assert_eq!((source.held_bytes(), source.regions()), (4 * MIB, 2));
    drop(runs);
    assert_eq!(source.regions(), 1, "one empty region is kept for the next request");
    assert_eq!(source.trim(), 2 * MIB);
    assert_eq!((source.held_bytes(), source.regions()), (0, 0));
}

#[test]
fn oversize_runs_are_mapped_alone_and_unmapped_on_release() {
    let source = Mmap::new();
    let request = Request::new(5 * MIB + 1).align(16 * MIB);
    let pages = (&source).pages(request).unwrap();
    let page = source.granule();
    assert_eq!(pages.len(), 5 * MIB + page);
    assert_eq!(pages.as_ptr().addr().get() % (16 * MIB), 0);
    assert_eq!(source.held_bytes(), pages.len());
    let address = pages.as_ptr();
    // In a child, where no other test maps something there.
    let mut pages = ManuallyDrop::new(pages);
    let ended = in_child(|| {
        // SAFETY: dropped once in the child, and once in the parent below.
        unsafe { ManuallyDrop::drop(&mut pages) };
        i32::from(!smaps(address).is_empty())
    });
    assert_eq!(ended, Ended::Exited(0), "still mapped");
    drop(ManuallyDrop::into_inner(pages));
    assert_eq!(source.held_bytes(), 0);
}

#[test]
fn fresh_pages_are_known_to_be_zero_and_used_ones_are_not() {
    let source = Mmap::new();
    let rest = (&source).pages(64 << 10).unwrap();
    let run = source.acquire(Request::new(64 << 10)).unwrap();
    assert!(run.is_zeroed(), "fresh from the system");
    let address = run.ptr();
    // SAFETY: the run is ours.
    unsafe { run.ptr().write_bytes(1, run.len()) };
    // SAFETY: acquired above, released once.
    unsafe { source.release(run) };
    let run = source.acquire(Request::new(64 << 10)).unwrap();
    assert_eq!((run.ptr(), run.is_zeroed()), (address, false));
    // SAFETY: as above.
    unsafe { source.release(run) };
    assert!(source.trim() >= 64 << 10, "the used pages go back, though the region stays");
    assert_eq!(source.regions(), 1);
    let run = source.acquire(Request::new(64 << 10)).unwrap();
    assert_eq!((run.ptr(), run.is_zeroed()), (address, true), "returned to the system meanwhile");
    // SAFETY: the run is ours; 64 KiB that the system gave are initialised.
    assert_eq!(unsafe { run.ptr().read() }, 0);
    // SAFETY: as above.
    unsafe { source.release(run) };
    drop(rest);
}

/// Base pages: where huge ones come unasked, a daemon of the system's may at any moment make one of what
/// is left of another, and all of it is resident again.
#[test]
fn decommit_and_trim_lower_what_is_resident() {
    let source = Mmap::builder().huge_pages(HugePages::Never).build();
    let mut pages = (&source).pages(MIB).unwrap();
    assert_eq!(resident(pages.as_ptr(), pages.len()), 0, "untouched pages cost nothing");
    fill(&mut pages, 7);
    assert_eq!(resident(pages.as_ptr(), pages.len()), MIB);
    assert!(pages.decommit());
    assert_eq!(resident(pages.as_ptr(), pages.len()), 0);
    assert!(bytes(&pages).iter().all(|&byte| byte == 0));

    fill(&mut pages, 7);
    let (address, len) = (pages.as_ptr(), pages.len());
    let other = (&source).pages(1).unwrap();
    drop(pages);
    assert_eq!(resident(address, len), MIB);
    assert!(source.trim() >= MIB);
    assert_eq!(resident(address, len), 0);
    drop(other);
}

#[test]
fn transparent_huge_pages_are_got_where_the_system_gives_them() {
    let touched = || {
        let source = Mmap::builder().huge_pages(HugePages::Transparent).build();
        let mut pages = (&source).pages(2 * MIB).unwrap();
        assert_eq!(pages.as_ptr().addr().get() % (2 * MIB), 0);
        fill(&mut pages, 1);
        let huge = smaps_bytes(pages.as_ptr(), "AnonHugePages");
        (source.report().transparent_huge_pages, pages.kind(), huge)
    };
    match touched() {
        (Outcome::Granted, kind, _) => {
            assert_eq!(kind, PageKind::Transparent);
            expect_huge_pages(|| touched().2 >= 2 * MIB);
        }
        (Outcome::Refused(error), kind, huge) => {
            assert_eq!((kind, error.cause, huge), (PageKind::Base, Cause::HugePagesOff, 0));
        }
        other => panic!("{other:?}"),
    }

    let source = Mmap::builder().huge_pages(HugePages::Never).build();
    let mut pages = (&source).pages(2 * MIB).unwrap();
    fill(&mut pages, 1);
    assert_eq!(smaps_bytes(pages.as_ptr(), "AnonHugePages"), 0);
    assert_eq!(pages.kind(), PageKind::Base);
}

#[test]
fn explicit_huge_pages_fall_back_and_say_so() {
    let source = Mmap::builder().huge_pages(HugePages::Explicit).build();
    let mut pages = (&source).pages(64 << 10).unwrap();
    fill(&mut pages, 1);
    let report = source.report();
    match report.explicit_huge_pages {
        Outcome::Granted => {
            assert_eq!(pages.kind(), PageKind::Explicit);
            assert!(smaps_bytes(pages.as_ptr(), "Private_Hugetlb") >= 2 * MIB);
        }
        Outcome::Refused(OsError { call, cause, .. }) => {
            assert_eq!(call, "mmap(MAP_HUGETLB)");
            assert!(matches!(cause, Cause::HugePages { .. }), "{cause:?}");
            assert_ne!(report.transparent_huge_pages, Outcome::NotAsked, "the next best was tried");
            assert!(matches!(pages.kind(), PageKind::Transparent | PageKind::Base));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn populate_makes_everything_resident_at_once() {
    let source = Mmap::builder().populate(true).build();
    let pages = (&source).pages(256 << 10).unwrap();
    match source.report().populate {
        Outcome::Granted => assert_eq!(resident(pages.as_ptr(), pages.len()), pages.len()),
        // Kernels before 5.14.
        Outcome::Refused(error) => assert_eq!(error.call, "madvise(MADV_POPULATE_WRITE)"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn names_show_in_the_maps() {
    let source = Mmap::builder().name("pool\0ignored").build();
    let pages = (&source).pages(1).unwrap();
    let head = smaps(pages.as_ptr())[0].clone();
    match source.report().name {
        Outcome::Granted => assert!(head.ends_with("[anon:pool]"), "{head}"),
        // Kernels without CONFIG_ANON_VMA_NAME.
        Outcome::Refused(error) => assert_eq!(error.call, "prctl(PR_SET_VMA_ANON_NAME)"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_step_over_either_end_crashes_with_guard_pages() {
    let source = Mmap::builder().guard_pages(true).build();
    let pages = (&source).pages(Request::new(10_000).align(64 << 10)).unwrap();
    assert_eq!(pages.as_ptr().addr().get() % (64 << 10), 0);
    let first = pages.as_ptr().as_ptr();
    let len = pages.len();
    let poke = |at: isize| {
        in_child(|| {
            // SAFETY: not safe at all for two of the three places: that is what is tested, in a
            // process of its own.
            unsafe { first.wrapping_offset(at).write_volatile(1) };
            0
        })
    };
    assert_eq!(poke(len as isize - 1), Ended::Exited(0));
    assert_eq!(poke(len as isize), Ended::Signalled(libc::SIGSEGV));
    assert_eq!(poke(-1), Ended::Signalled(libc::SIGSEGV));
}

#[test]
fn a_full_table_of_mappings_names_the_limit() {
    // Three entries a run, until there are none. A child's, so that no other test misses them.
    let limit: u64 =
        std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap().trim().parse().unwrap();
    if limit > 200_000 {
        eprintln!("vm.max_map_count is {limit}: filling it takes too long");
        return;
    }
    let ended = in_child(|| {
        let source = Mmap::builder().guard_pages(true).build();
        for runs in 0.. {
            match source.acquire(Request::new(1)) {
                Ok(_leaked) => {}
                Err(PageError::Os(OsError { cause: Cause::MapCount { limit: named }, .. })) => {
                    // All that was refused is undone, and what is live is counted.
                    let whole = source.held_bytes() == runs * 3 * source.granule();
                    return if named == limit && whole { 0 } else { 1 };
                }
                Err(_) => return 2,
            }
        }
        3
    });
    assert_eq!(ended, Ended::Exited(0));
}

#[test]
fn a_child_finds_zeros_in_what_is_wiped_on_fork() {
    let read_in_child = |wipe: bool| {
        let source = Mmap::builder().wipe_on_fork(wipe).build();
        let mut pages = (&source).pages(1).unwrap();
        fill(&mut pages, 0x5A);
        let seen = in_child(|| i32::from(bytes(&pages)[0]));
        assert_eq!(bytes(&pages)[0], 0x5A, "the parent keeps its own");
        seen
    };
    assert_eq!(read_in_child(true), Ended::Exited(0));
    assert_eq!(read_in_child(false), Ended::Exited(0x5A));
}

#[test]
fn a_core_dump_leaves_out_what_is_not_to_be_dumped() {
    let source = Mmap::builder().dont_dump(true).build();
    let mut secret = (&source).pages(1).unwrap();
    fill(&mut secret, 1);
    let flags =
        smaps(secret.as_ptr()).into_iter().find(|line| line.starts_with("VmFlags")).unwrap();
    assert!(flags.split_whitespace().any(|flag| flag == "dd"), "{flags}");

    // And by behaviour, where a crash leaves a file beside the program.
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    if pattern.starts_with('|') || pattern.contains('/') {
        eprintln!("cores go to {pattern:?}: only the flag was looked at");
        return;
    }
    let plain = Mmap::new();
    let mut public = (&plain).pages(1).unwrap();
    // Made up at run time, so that the program's own text does not contain them, and nowhere else in
    // memory before the dump is read.
    let mark = |salt: u8| (0..32).map(move |i: u8| i.wrapping_mul(37) ^ salt);
    let write = |pages: &mut Pages<&Mmap>, salt| {
        for (place, byte) in pages.as_uninit_mut().iter_mut().zip(mark(salt)) {
            place.write(byte);
        }
    };
    let directory = std::env::temp_dir().join(format!("pool-core-dump-{}", std::process::id()));
    // Numbers of processes come again, and that one may have been stopped before it cleared up.
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).unwrap();
    let path = std::ffi::CString::new(directory.as_os_str().as_encoded_bytes()).unwrap();
    let ended = in_child(|| {
        write(&mut secret, 0xA1);
        write(&mut public, 0xB2);
        // As long as it may be, which is nothing where an administrator says so.
        if limit(libc::RLIMIT_CORE, libc::RLIM_INFINITY).is_none() {
            return 1;
        }
        // SAFETY: the path is a C string.
        if unsafe { libc::chdir(path.as_ptr()) } != 0 {
            return 2;
        }
        // SAFETY: ends the child.
        unsafe { libc::abort() }
    });
    assert_eq!(ended, Ended::Signalled(libc::SIGABRT));
    let core = std::fs::read_dir(&directory).unwrap().next();
    let mut dump = Vec::new();
    if let Some(core) = core {
        File::open(core.unwrap().path()).unwrap().read_to_end(&mut dump).unwrap();
    }
    std::fs::remove_dir_all(&directory).unwrap();
    if dump.is_empty() {
        eprintln!("no core was written: only the flag was looked at");
        return;
    }
    let has = |salt| {
        let mark: Vec<u8> = mark(salt).collect();
        dump.windows(32).any(|window| window == mark)
    };
    assert!(has(0xB2), "the plain memory is in the dump");
    assert!(!has(0xA1), "the secret is in the dump");
}

#[test]
fn secrets_are_overwritten_on_release() {
    for zero in [true, false] {
        let source = Mmap::builder().zero_on_release(zero).build();
        let keep = (&source).pages(1).unwrap();
        let mut pages = (&source).pages(16 << 10).unwrap();
        fill(&mut pages, 0x77);
        let address = pages.as_ptr();
        drop(pages);
        let pages = (&source).pages(16 << 10).unwrap();
        assert_eq!(pages.as_ptr(), address, "the same pages again");
        assert_eq!(bytes(&pages).iter().all(|&byte| byte == 0), zero);
        drop(keep);
    }
}

#[test]
fn a_refused_lock_names_the_limit() {
    // Without privileges, and with a limit of 64 KiB, or less where that is all this process may have.
    // The child's word is its exit code.
    let ended = in_child(|| {
        let Some(most) = limit(libc::RLIMIT_MEMLOCK, 64 << 10) else { return 1 };
        if most == 0 {
            // Nothing may be locked: the system says so before it looks at how much.
            return NOT_TESTED;
        }
        // SAFETY: changes the child's user alone. It fails where the user is nobody special
        // already, which is as good.
        let left = unsafe { libc::setuid(65_534) } == 0;
        // SAFETY: asks for a number.
        if !left && unsafe { libc::geteuid() } == 0 {
            // Root in a sandbox that keeps it so: perhaps with the privilege to lock.
            return NOT_TESTED;
        }
        let source = Mmap::builder().lock(true).build();
        match source.acquire(Request::new(1)) {
            Err(PageError::Os(OsError {
                call: "mlock",
                cause: Cause::MemoryLock { limit },
                ..
            })) if limit == most && source.held_bytes() == 0 => 0,
            Err(_) => 3,
            Ok(_) => 4,
        }
    });
    if ended == Ended::Exited(NOT_TESTED) {
        eprintln!("no limit on locked memory can be met here: not tested");
        return;
    }
    assert_eq!(ended, Ended::Exited(0));
}

#[test]
fn locked_memory_is_resident_and_says_so() {
    let source = Mmap::builder().lock(true).build();
    match (&source).pages(64 << 10) {
        Ok(mut pages) => {
            assert_eq!(resident(pages.as_ptr(), pages.len()), pages.len());
            assert!(smaps_bytes(pages.as_ptr(), "Locked") >= pages.len());
            assert!(!pages.decommit(), "locked pages stay");
        }
        Err(error) => assert!(error.to_string().contains("RLIMIT_MEMLOCK"), "{error}"),
    }
}

#[test]
fn file_backed_runs_are_the_files() {
    let file = nameless_file("file");
    let mut reader = file.try_clone().unwrap();
    // SAFETY: nobody else has the file, which is this test's own; it is only read below.
    let source = unsafe { Mmap::builder().file(file) }.build();
    let mut pages = (&source).pages(Request::new(64 << 10).zeroed()).unwrap();
    assert_eq!(pages.kind(), PageKind::File);
    assert!(bytes(&pages).iter().all(|&byte| byte == 0));
    fill(&mut pages, 0xC3);
    let mut content = Vec::new();
    reader.read_to_end(&mut content).unwrap();
    assert_eq!(content.iter().filter(|&&byte| byte == 0xC3).count(), pages.len());
    let long = (&source).pages(3 * MIB).unwrap();
    assert_eq!(bytes(&long)[3 * MIB - 1], 0);
    drop((pages, long));
    assert!(source.trim() > 0);
}

#[test]
fn a_file_that_cannot_grow_is_an_error() {
    let file = File::open("/proc/self/exe").unwrap();
    // SAFETY: nothing of the file is ever mapped.
    let source = unsafe { Mmap::builder().file(file) }.build();
    let error = source.acquire(Request::new(1)).unwrap_err();
    assert!(matches!(error, PageError::Os(OsError { call: "ftruncate", .. })), "{error}");
    assert_eq!(source.held_bytes(), 0);
}

#[test]
fn dropping_the_source_unmaps_everything() {
    let source = Mmap::new();
    let run = source.acquire(Request::new(1)).unwrap();
    let long = source.acquire(Request::new(3 * MIB)).unwrap();
    let mut source = ManuallyDrop::new(source);
    // In a child, where no other test maps something there.
    let ended = in_child(|| {
        // SAFETY: dropped once in the child, and once in the parent below.
        unsafe { ManuallyDrop::drop(&mut source) };
        i32::from(!smaps(run.ptr()).is_empty() || !smaps(long.ptr()).is_empty())
    });
    assert_eq!(ended, Ended::Exited(0));
    drop(ManuallyDrop::into_inner(source));
}

/// Where the kernel gives no reserved huge pages this only sees the fallback; the rule itself is tested
/// by what a wish yields to.
#[test]
fn parts_of_explicit_huge_pages_are_never_said_to_be_returned() {
    let source = Mmap::builder().huge_pages(HugePages::Explicit).build();
    let keep = (&source).pages(64 << 10).unwrap();
    let mut pages = (&source).pages(64 << 10).unwrap();
    fill(&mut pages, 0xBB);
    let returned = pages.decommit();
    if pages.kind() == PageKind::Explicit {
        assert!(!returned, "a part of a huge page cannot go back");
    } else {
        assert!(returned && bytes(&pages).iter().all(|&byte| byte == 0));
    }
    fill(&mut pages, 0xBB);
    drop(pages);
    source.trim();
    let pages = (&source).pages(Request::new(64 << 10).zeroed()).unwrap();
    assert!(bytes(&pages).iter().all(|&byte| byte == 0), "zeros were asked for");
    drop(keep);
}

#[test]
fn a_wish_yields_to_a_promise() {
    let both = Mmap::builder().huge_pages(HugePages::Explicit).wipe_on_fork(true).build();
    let pages = (&both).pages(1).unwrap();
    assert_ne!(pages.kind(), PageKind::Explicit);
    assert!(matches!(both.report().explicit_huge_pages, Outcome::Refused(_)));
    let flags = smaps(pages.as_ptr()).into_iter().find(|line| line.starts_with("VmFlags")).unwrap();
    assert!(flags.split_whitespace().any(|flag| flag == "wf"), "{flags}");
}

/// A file on a disk, which may refuse to be so long, and one in memory, which does not: there it is the
/// mapping that fails.
#[test]
fn a_refused_request_leaves_the_file_as_long_as_it_was() {
    // SAFETY: the name is a C string.
    let memory = unsafe { libc::memfd_create(c"pool-core-length".as_ptr(), libc::MFD_CLOEXEC) };
    assert!(memory >= 0, "{}", std::io::Error::last_os_error());
    // SAFETY: a descriptor that was opened just now, and is nobody's.
    let memory = unsafe { File::from_raw_fd(memory) };
    for (kind, file) in [("disk", nameless_file("length")), ("memory", memory)] {
        let look = file.try_clone().unwrap();
        let file_len = || look.metadata().unwrap().len();
        // SAFETY: nobody else has the file.
        let source = unsafe { Mmap::builder().file(file) }.build();
        let pages = (&source).pages(1).unwrap();
        let before = file_len();
        // More addresses than any machine has for a process.
        for len in [1 << 52, 1 << 54, 1 << 56] {
            assert!(source.acquire(Request::new(len)).is_err());
            assert_eq!(file_len(), before, "{kind}: after {len} bytes");
        }
        drop(pages);
    }
}
