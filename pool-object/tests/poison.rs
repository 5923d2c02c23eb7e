//! What a memory checker is told: with the feature `poison`, uses of freed blocks are reported.
//!
//! Each crime is committed in a process of its own: this test binary, called again. Without a
//! checker nobody notices, and that is asserted, too, so that the test says what it saw.
#![cfg(all(feature = "poison", unix, not(miri)))]

use core::alloc::Layout;
use core::ptr::NonNull;
use pool_core::poison::{Checker, checker};
use pool_object::{BlockAlloc, SharedAlloc, SmallAlloc};
use std::process::{Command, Output};
use std::thread;

const CRIME: &str = "POOL_OBJECT_CRIME";
const LAYOUT: Layout = Layout::new::<[u64; 9]>();

/// Reads a byte through a pointer that it should not be used for.
fn read(pointer: *const u8) {
    // SAFETY: none: this is the crime. The memory is still the heap's, so at worst it reads
    // something else.
    std::hint::black_box(unsafe { pointer.read_volatile() });
}

/// Where crimes are committed.
trait Scene {
    fn heap(&self) -> &dyn BlockAlloc;

    /// Free blocks go to their spans.
    fn flush(&self);

    fn free(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: each crime frees a block once.
        unsafe { self.heap().deallocate(block, layout) };
    }

    fn allocate(&self, layout: Layout) -> NonNull<u8> {
        self.heap().try_allocate_zeroed(layout).unwrap()
    }
}

impl Scene for SmallAlloc {
    fn heap(&self) -> &dyn BlockAlloc {
        self
    }

    fn flush(&self) {
        SmallAlloc::flush(self);
    }
}

impl Scene for SharedAlloc {
    fn heap(&self) -> &dyn BlockAlloc {
        self
    }

    fn flush(&self) {
        self.flush_thread();
    }
}

/// Frees on another thread, whose cache goes to the depot at once.
struct Elsewhere(SharedAlloc);

struct Carried(NonNull<u8>);

// SAFETY: whoever gets the address has promised as much about it as the one who gave it.
unsafe impl Send for Carried {}

impl Scene for Elsewhere {
    fn heap(&self) -> &dyn BlockAlloc {
        &self.0
    }

    fn flush(&self) {
        self.0.flush_thread();
    }

    fn free(&self, block: NonNull<u8>, layout: Layout) {
        let (heap, carried) = (&self.0, Carried(block));
        thread::scope(|scope| {
            scope.spawn(move || {
                let Carried(block) = { carried };
                heap.free(block, layout);
            });
        });
    }
}

/// `crime` is where and what: "shared after free".
fn commit(crime: &str) {
    let (place, crime) = crime.split_once(' ').unwrap();
    let scene: Box<dyn Scene> = match place {
        "small" => Box::new(SmallAlloc::new()),
        "shared" => Box::new(SharedAlloc::new()),
        "elsewhere" => Box::new(Elsewhere(SharedAlloc::new())),
        other => panic!("unknown: {other}"),
    };
    let block = scene.allocate(LAYOUT);
    match crime {
        "none" => {
            read(block.as_ptr().wrapping_add(71));
            scene.free(block, LAYOUT);
            let again = scene.allocate(LAYOUT);
            read(again.as_ptr().wrapping_add(71));
            scene.free(again, LAYOUT);
        }
        "after free" => {
            scene.free(block, LAYOUT);
            read(block.as_ptr().wrapping_add(8));
        }
        "after flush" => {
            scene.free(block, LAYOUT);
            scene.flush();
            let _other = scene.allocate(LAYOUT);
            let second = scene.allocate(LAYOUT);
            scene.free(second, LAYOUT);
            read(second.as_ptr().wrapping_add(71));
        }
        "beyond the end of a large block" => {
            let long = Layout::new::<[u8; 33_000]>();
            let block = scene.allocate(long);
            read(block.as_ptr().wrapping_add(33_000));
        }
        "after it was shortened" => {
            let layout = |size| Layout::from_size_align(size, 8).unwrap();
            // SAFETY: live, and of this layout; 65 bytes are of the same class.
            let same = unsafe { scene.heap().try_relayout(block, LAYOUT, layout(65)) };
            assert_eq!(same, Ok(block));
            // SAFETY: as above.
            let same = unsafe { scene.heap().try_relayout(block, layout(65), LAYOUT) };
            assert_eq!(same, Ok(block));
            read(block.as_ptr().wrapping_add(7));
            scene.free(block, LAYOUT);
            read(block.as_ptr().wrapping_add(64));
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

/// Each crime everywhere; the first of each place is none.
fn scenes() -> impl Iterator<Item = (String, Vec<String>)> {
    ["small", "shared", "elsewhere"].into_iter().map(|place| {
        let crimes = CRIMES.iter().map(|crime| format!("{place} {crime}"));
        (format!("{place} none"), crimes.collect())
    })
}

#[test]
fn address_sanitizer_reports_what_is_free() {
    for (none, crimes) in scenes() {
        let innocent = child(&none, &[]);
        assert!(innocent.status.success(), "{innocent:?}");
        for crime in crimes {
            let output = child(&crime, &[]);
            let report = String::from_utf8_lossy(&output.stderr);
            let noticed = !output.status.success() && report.contains("use-after-poison");
            assert_eq!(noticed, checker() == Checker::Asan, "{crime}: {report}");
        }
    }
}

/// With `POOL_VALGRIND` set: a machine without valgrind says so by leaving it out.
#[test]
fn memcheck_reports_what_is_free() {
    if std::env::var_os("POOL_VALGRIND").is_none() || checker() == Checker::Asan {
        return;
    }
    let valgrind = ["valgrind", "-q", "--error-exitcode=99"];
    for (none, crimes) in scenes() {
        let innocent = child(&none, &valgrind);
        assert!(innocent.status.success(), "{innocent:?}");
        for crime in crimes {
            let output = child(&crime, &valgrind);
            let report = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(99), "{crime}: {report}");
            assert!(report.contains("Invalid read of size 1"), "{crime}: {report}");
        }
    }
}
