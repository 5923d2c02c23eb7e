//! What a memory checker is told: with the feature `poison`, uses of freed blocks are reported.
//!
//! Each crime is committed in a process of its own: this test binary, called again. Without a
//! checker nobody notices, and that is asserted, too, so that the test says what it saw.
#![cfg(all(feature = "poison", unix, not(miri)))]

use core::alloc::Layout;
use pool_core::poison::{Checker, checker};
use pool_object::SmallAlloc;
use std::process::{Command, Output};

const CRIME: &str = "POOL_OBJECT_CRIME";
const LAYOUT: Layout = Layout::new::<[u64; 9]>();

/// Reads a byte through a pointer that it should not be used for.
fn read(pointer: *const u8) {
    // SAFETY: none: this is the crime. The memory is still the heap's, so at worst it reads
    // something else.
    std::hint::black_box(unsafe { pointer.read_volatile() });
}

fn commit(crime: &str) {
    let heap = SmallAlloc::new();
    let block = heap.allocate_zeroed(LAYOUT);
    let free = |block, layout| {
        // SAFETY: each crime frees a block once.
        unsafe { heap.deallocate(block, layout) };
    };
    match crime {
        "none" => {
            read(block.as_ptr().wrapping_add(71));
            free(block, LAYOUT);
            let again = heap.allocate_zeroed(LAYOUT);
            read(again.as_ptr().wrapping_add(71));
            free(again, LAYOUT);
        }
        "after free" => {
            free(block, LAYOUT);
            read(block.as_ptr().wrapping_add(8));
        }
        "after flush" => {
            free(block, LAYOUT);
            heap.flush();
            let _other = heap.allocate(LAYOUT);
            free(heap.allocate(LAYOUT), LAYOUT);
            read(block.as_ptr().wrapping_add(72 + 71));
        }
        "beyond the end of a large block" => {
            let long = Layout::new::<[u8; 33_000]>();
            let block = heap.allocate_zeroed(long);
            read(block.as_ptr().wrapping_add(33_000));
        }
        "after it was shortened" => {
            // SAFETY: live, and of this layout; 65 bytes are of the same class.
            let same = unsafe { heap.reallocate(block, LAYOUT, 65) };
            assert_eq!(same, block);
            // SAFETY: as above.
            let same =
                unsafe { heap.reallocate(block, Layout::from_size_align(65, 8).unwrap(), 72) };
            read(same.as_ptr().wrapping_add(7));
            free(same, LAYOUT);
            read(same.as_ptr().wrapping_add(64));
        }
        other => panic!("unknown: {other}"),
    }
}

fn child(crime: &str, through: &[&str]) -> Output {
    let this = std::env::current_exe().expect("this binary");
    let (first, rest) = match through {
        [] => (this.as_os_str(), &[][..]),
        [first, rest @ ..] => (first.as_ref(), rest),
    };
    let mut command = Command::new(first);
    command.args(rest);
    if !through.is_empty() {
        command.arg(&this);
    }
    command.args(["--exact", "the_child", "--nocapture"]).env(CRIME, crime);
    command.output().expect("a child")
}

#[test]
fn the_child() {
    if let Ok(crime) = std::env::var(CRIME) {
        commit(&crime);
    }
}

const CRIMES: [&str; 4] =
    ["after free", "after flush", "beyond the end of a large block", "after it was shortened"];

#[test]
fn address_sanitizer_reports_what_is_free() {
    let innocent = child("none", &[]);
    assert!(innocent.status.success(), "{innocent:?}");
    for crime in CRIMES {
        let output = child(crime, &[]);
        let report = String::from_utf8_lossy(&output.stderr);
        let noticed = !output.status.success() && report.contains("use-after-poison");
        assert_eq!(noticed, checker() == Checker::Asan, "{crime}: {report}");
    }
}

/// With `POOL_VALGRIND` set: a machine without valgrind says so by leaving it out.
#[test]
fn memcheck_reports_what_is_free() {
    if std::env::var_os("POOL_VALGRIND").is_none() || checker() == Checker::Asan {
        return;
    }
    let valgrind = ["valgrind", "-q", "--error-exitcode=99"];
    let innocent = child("none", &valgrind);
    assert!(innocent.status.success(), "{innocent:?}");
    for crime in CRIMES {
        let output = child(crime, &valgrind);
        let report = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(99), "{crime}: {report}");
        assert!(report.contains("Invalid read of size 1"), "{crime}: {report}");
    }
}
