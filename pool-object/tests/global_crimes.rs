//! `Traced` over `Checked` over `GlobalHeap`, beneath everything that this program does: crimes of
//! ordinary code, each in a child process, freed on their thread and on another; leaks of threads.
#![cfg(all(unix, not(miri)))]

use pool_core::Heap;
use pool_object::{BlockAlloc, Checked, GlobalHeap, SharedAlloc, Traced};
use std::alloc::Layout;
use std::hint::black_box;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::ptr::NonNull;
use std::thread;

#[global_allocator]
static GLOBAL: Traced<Checked<GlobalHeap>> = Traced::new(Checked::new(GlobalHeap));

const CRIME: &str = "COMMIT_CRIME";

/// Runs this test again in a child that commits `crime`, which must end with a report that has
/// `expected`.
fn expect(test: &str, crime: impl FnOnce(), expected: &str) {
    if std::env::var_os(CRIME).is_some() {
        crime();
        println!("the crime was not seen");
        std::process::exit(0);
    }
    let this = std::env::current_exe().unwrap();
    let output = Command::new(this).args(["--exact", test, "--nocapture"]).env(CRIME, "1").output();
    let output = output.unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(6), "{test}: {stderr}");
    assert!(stderr.contains("pool-object: block 0x") && stderr.contains(expected), "{stderr}");
}

/// Something that a box may be made of, and its address, which may go to another thread.
struct Raw<T>(*mut T);

// SAFETY: what it points to is a number or an array of them.
unsafe impl<T> Send for Raw<T> {}

impl<T> Raw<T> {
    fn of(value: T) -> Self {
        Self(Box::into_raw(Box::new(value)))
    }

    fn free(self) {
        // SAFETY: none but once: that is the crime.
        drop(unsafe { Box::from_raw(self.0) });
    }

    fn again(&self) -> Self {
        Self(self.0)
    }
}

#[test]
fn double_free() {
    let crime = || {
        let raw = Raw::of([1u64; 77]);
        raw.again().free();
        raw.free();
    };
    expect("double_free", crime, "double free; it is 616 bytes aligned to 8");
}

#[test]
fn double_free_by_two_threads() {
    let crime = || {
        let raw = Raw::of([1u64; 77]);
        for again in [raw.again(), raw] {
            thread::spawn(move || again.free()).join().unwrap();
        }
    };
    expect("double_free_by_two_threads", crime, "double free; it is 616 bytes aligned to 8");
}

#[test]
fn foreign_pointer() {
    let crime = || {
        let mut value = 5u64;
        let raw = Raw(&raw mut value);
        thread::spawn(move || raw.free()).join().unwrap();
    };
    expect("foreign_pointer", crime, "foreign pointer");
}

#[test]
fn wrong_layout() {
    let crime = || {
        let raw = Raw::of([1u64; 77]);
        Raw(raw.0.cast::<[u64; 76]>()).free();
    };
    expect("wrong_layout", crime, "wrong layout: 608 bytes aligned to 8 at its end; it is 616");
}

#[test]
fn wrong_layout_elsewhere() {
    let crime = || {
        let raw = Raw::of([1u64; 77]);
        let raw = Raw(raw.0.cast::<[u8; 616]>());
        thread::spawn(move || raw.free()).join().unwrap();
    };
    expect("wrong_layout_elsewhere", crime, "wrong layout: 616 bytes aligned to 1 at its end");
}

#[test]
fn overrun() {
    let crime = || {
        let mut vector = Vec::<u8>::with_capacity(500);
        // SAFETY: none: the vector has no such byte.
        unsafe { vector.as_mut_ptr().wrapping_add(500).write(1) };
        thread::spawn(move || drop(vector)).join().unwrap();
    };
    expect("overrun", crime, "overrun: byte 500 was written; it is 500 bytes");
}

#[test]
fn use_after_free() {
    let crime = || {
        let raw = Raw::of([1u64; 77]);
        raw.again().free();
        // SAFETY: none: it was freed.
        unsafe { raw.0.cast::<u8>().wrapping_add(9).write(1) };
        for size in 0..2000 {
            drop(black_box(vec![0u8; size]));
        }
    };
    expect("use_after_free", crime, "use after free: byte 9 was written; it is 616");
}

#[test]
fn use_after_a_free_elsewhere() {
    let crime = || {
        let raw = Raw::of([1u64; 77]);
        let freed = raw.again();
        thread::spawn(move || freed.free()).join().unwrap();
        // SAFETY: none: it was freed.
        unsafe { raw.0.cast::<u8>().wrapping_add(9).write(1) };
        GLOBAL.inner().check();
    };
    expect("use_after_a_free_elsewhere", crime, "use after free: byte 9 was written; it is 616");
}

#[inline(never)]
fn leak_in_a_thread(bytes: usize) {
    std::mem::forget(black_box(vec![1u8; bytes]));
}

#[test]
fn a_leak_of_a_thread_that_ended_is_found_with_its_stack() {
    thread::spawn(|| leak_in_a_thread(43_210)).join().unwrap();
    let passed_on = thread::spawn(|| black_box(vec![1u8; 43_211])).join().unwrap();
    let report = || GLOBAL.report().to_string();
    assert!(report().contains("1 block of 43211 bytes from"));
    drop(passed_on);
    let report = report();
    assert!(!report.contains("block of 43211 bytes"), "freed elsewhere: {report}");
    let leak =
        report.split("1 block of 43210 bytes from").nth(1).unwrap_or_else(|| panic!("{report}"));
    let mut frames = leak.lines().skip(1).take_while(|line| line.starts_with("    "));
    assert!(frames.any(|line| line.contains("leak_in_a_thread")), "{report}");
}

#[test]
fn a_block_may_be_allocated_and_freed_by_different_threads_of_a_traced_heap() {
    let traced = Traced::new(SharedAlloc::new_in(Heap::new()));
    let layout = Layout::new::<[u64; 6]>();
    let blocks: Vec<_> = thread::scope(|scope| {
        let work =
            || (0..100).map(|_| Raw(traced.try_allocate(layout).unwrap().as_ptr())).collect();
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or(Vec::new())).collect()
    });
    assert_eq!((blocks.len(), traced.samples(), traced.inner().stats().live()), (300, 300, 300));
    assert!(traced.report().to_string().contains("300 blocks in use, 14400 bytes"));
    for Raw(block) in blocks {
        // SAFETY: allocated above for this layout, freed once.
        unsafe { BlockAlloc::deallocate(&traced, NonNull::new(block).unwrap(), layout) };
    }
    assert_eq!((traced.samples(), traced.inner().stats().live()), (0, 0));
}

#[test]
fn an_honest_program_runs_over_all_of_it() {
    let threads: Vec<_> = (0..4u64)
        .map(|seed| {
            thread::spawn(move || {
                let mut map = std::collections::HashMap::new();
                for number in 0..2000u64 {
                    map.insert(number * 31 % 400, format!("{seed} {number}"));
                    map.remove(&(number * 17 % 400));
                }
                map.len()
            })
        })
        .collect();
    let lens: Vec<usize> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(lens.iter().all(|len| *len == lens[0] && *len > 0));
    assert!(GLOBAL.inner().check() > 0);
    GlobalHeap::heap().check().unwrap();
}
