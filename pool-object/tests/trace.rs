//! Leaks that are planted are found with their stacks; the layers stand as global allocator.
#![cfg(not(miri))]

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;
use pool_object::{AllocError, BlockAlloc, Checked, Traced};
use std::alloc::System;
use std::fmt::Write;
use std::hint::black_box;
use std::process::Command;

/// The system's allocator, as one of this crate's.
struct Sys;

// SAFETY: the system's allocator keeps a contract that says the same.
unsafe impl BlockAlloc for Sys {
    fn try_allocate(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        let size = layout.size().max(1);
        let layout = Layout::from_size_align(size, layout.align()).unwrap_or(layout);
        // SAFETY: the size is not 0.
        let block = unsafe { System.alloc(layout) };
        NonNull::new(block).ok_or(AllocError::TooLarge { size, align: layout.align() })
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise; the system does not look at the size.
        unsafe { System.dealloc(block.as_ptr(), layout) };
    }
}

/// Both layers beneath everything that this program does.
#[global_allocator]
static GLOBAL: Checked<Traced<Sys>> = Checked::new(Traced::new(Sys));

#[inline(never)]
fn plant_a_leak(bytes: usize) {
    std::mem::forget(black_box(vec![1u8; bytes]));
}

#[inline(never)]
fn plant_another_leak() {
    for _ in 0..3 {
        std::mem::forget(black_box(Box::new([7u64; 1000])));
    }
}

#[test]
fn planted_leaks_are_found_with_their_stacks() {
    plant_a_leak(54_321);
    plant_another_leak();
    drop(black_box(vec![1u8; 77_777]));
    let report = GLOBAL.inner().report().to_string();
    // The layer above makes blocks longer by 32 bytes.
    let leak =
        report.split("1 block of 54353 bytes from").nth(1).unwrap_or_else(|| panic!("{report}"));
    let frames: Vec<&str> =
        leak.lines().skip(1).take_while(|line| line.starts_with("    ")).collect();
    assert!(frames.iter().any(|line| line.contains("plant_a_leak")), "{report}");
    let other =
        report.split("3 blocks of 8032 bytes from").nth(1).unwrap_or_else(|| panic!("{report}"));
    assert!(other.lines().take(9).any(|line| line.contains("plant_another_leak")), "{report}");
    GLOBAL.check();
}

#[test]
fn threads_and_collections_work_over_both_layers() {
    let threads: Vec<_> = (0..4u64)
        .map(|thread| {
            std::thread::spawn(move || {
                let mut map = std::collections::BTreeMap::new();
                for number in 0..3000 {
                    map.insert(number * 31 % 500, vec![thread as u8; number as usize % 90]);
                }
                map.values().map(Vec::len).sum::<usize>()
            })
        })
        .collect();
    let sums: Vec<usize> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(sums.iter().all(|&sum| sum == sums[0] && sum > 0));
    assert!(GLOBAL.inner().samples() > 0);
    GLOBAL.check();
}

#[test]
fn samples_stand_for_the_bytes_between_them() {
    let traced = Traced::every(10_000, Sys);
    let layout = Layout::new::<[u8; 100]>();
    let blocks: Vec<_> = (0..10_000).map(|_| traced.try_allocate(layout).unwrap()).collect();
    let samples = traced.samples();
    assert!((90..=110).contains(&samples), "{samples}");
    for block in blocks {
        // SAFETY: allocated above with this layout, freed once.
        unsafe { BlockAlloc::deallocate(&traced, block, layout) };
    }
    assert_eq!(traced.samples(), 0);
}

/// Set in a child process, to what it does there.
const CHILD: &str = "POOL_OBJECT_TRACE_CHILD";

#[inline(never)]
fn leave_a_block(traced: &Traced<Sys>) -> NonNull<u8> {
    black_box(traced.try_allocate(Layout::new::<[u8; 4321]>()).unwrap())
}

/// What a child writes to the standard error stream that runs this test alone.
fn told_by_a_child(test: &str, does: &str) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, does)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    stderr
}

#[test]
fn a_guard_tells_of_what_is_in_use_when_it_is_dropped() {
    const THIS: &str = "a_guard_tells_of_what_is_in_use_when_it_is_dropped";
    if let Ok(does) = std::env::var(CHILD) {
        let traced = Traced::new(Sys);
        let _report = traced.report_on_drop();
        let block = leave_a_block(&traced);
        if does == "free" {
            // SAFETY: allocated just now with this layout, freed once.
            unsafe { BlockAlloc::deallocate(&traced, block, Layout::new::<[u8; 4321]>()) };
        }
        return;
    }
    let told = told_by_a_child(THIS, "leak");
    let leak = told.split("1 block of 4321 bytes from").nth(1).unwrap_or_else(|| panic!("{told}"));
    assert!(leak.lines().take(9).any(|line| line.contains("leave_a_block")), "{told}");
    let told = told_by_a_child(THIS, "free");
    assert!(!told.contains("pool-object"), "there is nothing to tell: {told}");
}

#[test]
fn a_block_that_grows_keeps_its_stack() {
    let traced = Traced::new(Sys);
    let layout = |size| Layout::from_size_align(size, 8).unwrap();
    let block = traced.try_allocate(layout(10)).unwrap();
    // SAFETY: live, and of this layout.
    let block = unsafe { traced.try_relayout(block, layout(10), layout(999)) }.unwrap();
    let report = traced.report().to_string();
    assert!(
        report.contains("1 block of 999 bytes") && report.contains("keeps_its_stack"),
        "{report}"
    );
    // SAFETY: live, and of this layout.
    unsafe { BlockAlloc::deallocate(&traced, block, layout(999)) };
    assert!(traced.report().to_string().contains("0 blocks in use"));
}

/// Frees a block as soon as something is written.
struct Log<'a>(&'a Traced<Sys>, Option<NonNull<u8>>, Layout);
impl Write for Log<'_> {
    fn write_str(&mut self, _: &str) -> std::fmt::Result {
        if let Some(block) = self.1.take() {
            // SAFETY: allocated from this allocator with this layout, and taken out, so freed once.
            unsafe { BlockAlloc::deallocate(self.0, block, self.2) };
        }
        Ok(())
    }
}

#[test]
fn what_is_freed_during_a_report_is_forgotten() {
    let (traced, layout) = (Traced::new(Sys), Layout::new::<[u8; 100]>());
    let block = traced.try_allocate(layout).unwrap();
    write!(Log(&traced, Some(block), layout), "{}", traced.report()).unwrap();
    assert_eq!(traced.samples(), 0);
}

#[test]
fn what_a_report_allocates_is_not_remembered() {
    let mut text = String::with_capacity(1 << 20);
    for _ in 0..2 {
        text.clear();
        write!(text, "{}", GLOBAL.inner().report()).unwrap();
    }
    // The first report had the symbols read, which stay in memory.
    assert!(!text.contains("gimli") && !text.contains("addr2line"), "{text}");
}
