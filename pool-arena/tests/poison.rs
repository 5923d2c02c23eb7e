//! What a memory checker is told: with the feature `poison`, uses of what is free are reported.
//!
//! Each crime is committed in a process of its own: this test binary, called again. Without a
//! checker nobody notices, and that is asserted, too, so that the test says what it saw.
#![cfg(all(feature = "poison", unix, not(miri)))]

use pool_arena::Arena;
use pool_core::poison::{Checker, checker};
use std::process::{Command, Output};

const CRIME: &str = "POOL_ARENA_CRIME";

/// Reads a byte through a pointer that has outlived its object.
fn read(pointer: *const u8) {
    // SAFETY: none: this is the crime. The memory is still the arena's, so at worst it reads
    // something else.
    let byte = unsafe { pointer.read_volatile() };
    std::hint::black_box(byte);
}

fn commit(crime: &str) {
    let mut arena = Arena::new();
    match crime {
        "none" => read(arena.alloc([7u8; 100]).as_ptr()),
        "after reset" => {
            let object = arena.alloc([7u8; 100]).as_ptr();
            arena.reset();
            read(object);
        }
        "after scope" => {
            let object = arena.scoped(|scope| scope.alloc([7u8; 100]).as_ptr().addr());
            // The address with the arena's provenance: the next object stands there.
            let place = arena.alloc([0u8; 200]).as_ptr();
            let start = place.addr();
            arena.reset();
            assert!((start..start + 200).contains(&object));
            read(place.with_addr(object));
        }
        "below the cursor" => {
            let object = arena.alloc([7u8; 100]).as_ptr();
            read(object.wrapping_sub(1));
        }
        "beyond a tail" => {
            let mut tail = arena.tail_vec::<u8>();
            tail.extend([1; 30]);
            let text = tail.finish();
            read(text.as_ptr().wrapping_add(40));
        }
        "after a vector" => {
            let mut bytes = allocator_api2::vec::Vec::with_capacity_in(64, &arena);
            bytes.push(1u8);
            let old = bytes.as_ptr();
            drop(bytes);
            read(old);
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

const CRIMES: [&str; 5] =
    ["after reset", "after scope", "below the cursor", "beyond a tail", "after a vector"];

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
