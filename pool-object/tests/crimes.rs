//! Each crime against `Checked` is committed in a child process, which must end with a report that
//! names the block.
#![cfg(not(miri))]

use core::alloc::Layout;
use core::ptr::NonNull;
use pool_core::Heap;
use pool_object::{BlockAlloc, Checked, SmallAlloc};
use std::process::Command;

type Watched = Checked<SmallAlloc<Heap>>;

const LAYOUT: Layout = Layout::new::<[u64; 5]>();

/// Runs this test again in a child that commits `crime`; what it said before it was aborted.
fn report_of(test: &str, crime: impl FnOnce(&Watched)) -> String {
    if std::env::var_os("COMMIT_CRIME").is_some() {
        crime(&Checked::new(SmallAlloc::new_in(Heap::new())));
        println!("the crime was not seen");
        std::process::exit(0);
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("COMMIT_CRIME", "1")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{test}: not seen: {stderr}");
    #[cfg(unix)]
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&output.status), Some(6), "{stderr}");
    stderr
}

fn allocate(heap: &Watched) -> NonNull<u8> {
    let block = heap.try_allocate(LAYOUT).unwrap();
    println!("block {block:p}");
    block
}

fn free(heap: &Watched, block: NonNull<u8>, layout: Layout) {
    // SAFETY: none: that is the crime. The child's memory stays mapped.
    unsafe { heap.deallocate(block, layout) };
}

/// Writes a byte at a distance from the block.
fn scribble(block: NonNull<u8>, at: isize) {
    // SAFETY: none that the allocator gave; the byte is in a span, or in the block's guards.
    let place = unsafe { block.offset(at) };
    // SAFETY: as above.
    unsafe { place.write(1) };
}

#[test]
fn double_free() {
    let report = report_of("double_free", |heap| {
        let block = allocate(heap);
        free(heap, block, LAYOUT);
        free(heap, block, LAYOUT);
    });
    assert!(
        report.contains("double free; it is 40 bytes aligned to 8, allocation number 1"),
        "{report}"
    );
    assert!(report.contains("pool-object: block 0x"), "{report}");
}

#[test]
fn foreign_pointer() {
    let report = report_of("foreign_pointer", |heap| {
        let _ = allocate(heap);
        let mut value = [0u64; 5];
        free(heap, NonNull::from(&mut value).cast(), LAYOUT);
    });
    assert!(report.contains("foreign pointer"), "{report}");
}

#[test]
fn wrong_layout() {
    let report = report_of("wrong_layout", |heap| {
        let block = allocate(heap);
        free(heap, block, Layout::new::<[u64; 4]>());
    });
    assert!(
        report.contains("wrong layout: 32 bytes aligned to 8 at its end; it is 40"),
        "{report}"
    );
}

#[test]
fn overrun() {
    let report = report_of("overrun", |heap| {
        let block = allocate(heap);
        scribble(block, 41);
        free(heap, block, LAYOUT);
    });
    assert!(report.contains("overrun: byte 41 was written; it is 40"), "{report}");
}

#[test]
fn underrun() {
    let report = report_of("underrun", |heap| {
        let block = allocate(heap);
        scribble(block, -3);
        heap.check();
    });
    assert!(report.contains("underrun: byte -3 was written; it is 40"), "{report}");
}

#[test]
fn write_after_free() {
    let report = report_of("write_after_free", |heap| {
        let block = allocate(heap);
        free(heap, block, LAYOUT);
        scribble(block, 7);
        // Until its memory is to be used again.
        for _ in 0..1000 {
            let block = heap.try_allocate(LAYOUT).unwrap();
            free(heap, block, LAYOUT);
        }
    });
    assert!(report.contains("use after free: byte 7 was written; it is 40"), "{report}");
}

#[test]
fn a_stale_pointer_after_growth() {
    let report = report_of("a_stale_pointer_after_growth", |heap| {
        let block = allocate(heap);
        let longer = Layout::new::<[u64; 6]>();
        // SAFETY: live, and of this layout. What follows is the crime.
        let _ = unsafe { heap.try_relayout(block, LAYOUT, longer) };
        scribble(block, 0);
        heap.check();
    });
    assert!(report.contains("use after free: byte 0"), "{report}");
}

#[test]
fn honest_programs_are_left_alone() {
    let heap = Checked::new(SmallAlloc::new_in(Heap::new()));
    let mut map = hashbrown::HashMap::new_in(&heap);
    for number in 0..20_000u64 {
        map.insert(number % 3000, allocator_api2::vec::Vec::from_iter_in(0..number % 50, &heap));
        map.remove(&(number * 7 % 3000));
    }
    assert!(heap.live() > 100 && heap.check() >= heap.live());
    drop(map);
    assert_eq!(heap.live(), 0);
    let block = heap.try_allocate(LAYOUT).unwrap();
    // SAFETY: the layer has written it.
    assert_eq!(unsafe { block.read() }, 0xA5);
    free(&heap, block, LAYOUT);
}

trait FromIterIn<'h, T> {
    fn from_iter_in(iter: impl Iterator<Item = T>, heap: &'h Watched) -> Self;
}

impl<'h, T> FromIterIn<'h, T> for allocator_api2::vec::Vec<T, &'h Watched> {
    fn from_iter_in(iter: impl Iterator<Item = T>, heap: &'h Watched) -> Self {
        let mut vector = allocator_api2::vec::Vec::new_in(heap);
        vector.extend(iter);
        vector
    }
}
