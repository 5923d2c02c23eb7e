//! Each crime against `Checked` is committed in a child process, which must end with a report that
//! names the block: over the allocator for one thread and over the one for all, where the block comes
//! back on the thread that had it and on another one.
#![cfg(not(miri))]

use core::alloc::Layout;
use core::ptr::NonNull;
use pool_core::Heap;
use pool_object::{BlockAlloc, Checked, SharedAlloc, SmallAlloc};
use std::process::Command;
use std::thread;

const LAYOUT: Layout = Layout::new::<[u64; 5]>();

/// Where a crime is committed.
trait Scene {
    fn heap(&self) -> &dyn BlockAlloc;

    /// See [`Checked::check`].
    fn check(&self) -> usize;

    fn free(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: none: that is the crime. The child's memory stays mapped.
        unsafe { self.heap().deallocate(block, layout) };
    }

    fn allocate(&self) -> NonNull<u8> {
        let block = self.heap().try_allocate(LAYOUT).unwrap();
        println!("block {block:p}");
        block
    }
}

impl<A: BlockAlloc> Scene for Checked<A> {
    fn heap(&self) -> &dyn BlockAlloc {
        self
    }

    fn check(&self) -> usize {
        Checked::check(self)
    }
}

/// Every block is freed by a thread of its own, which ends then.
struct Elsewhere(Checked<SharedAlloc<Heap>>);

/// A pointer that goes to another thread.
struct Carried(NonNull<u8>);

// SAFETY: an address; whoever gets it has promised as much about it as the one who gave it.
unsafe impl Send for Carried {}

impl Scene for Elsewhere {
    fn heap(&self) -> &dyn BlockAlloc {
        &self.0
    }

    fn check(&self) -> usize {
        self.0.check()
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

fn small() -> Checked<SmallAlloc<Heap>> {
    Checked::new(SmallAlloc::new_in(Heap::new()))
}

fn shared() -> Checked<SharedAlloc<Heap>> {
    Checked::new(SharedAlloc::new_in(Heap::new()))
}

/// Runs this test again in a child that commits `crime`, whose last words must have `expected`.
fn expect(test: &str, scene: impl Fn() -> Box<dyn Scene>, crime: fn(&dyn Scene), expected: &str) {
    let (_crate, test) = test.split_once("::").unwrap();
    if std::env::var_os("COMMIT_CRIME").is_some() {
        crime(&*scene());
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
    assert!(stderr.contains("pool-object: block 0x") && stderr.contains(expected), "{stderr}");
}

/// Writes a byte at a distance from the block.
fn scribble(block: NonNull<u8>, at: isize) {
    // SAFETY: none that the allocator gave; the byte is in a span, or in the block's guards.
    let place = unsafe { block.offset(at) };
    // SAFETY: as above.
    unsafe { place.write(1) };
}

fn double_free(scene: &dyn Scene) {
    let block = scene.allocate();
    scene.free(block, LAYOUT);
    scene.free(block, LAYOUT);
}

/// The second time when its memory is in other hands already.
fn double_free_of_what_is_used_again(scene: &dyn Scene) {
    let block = scene.allocate();
    scene.free(block, LAYOUT);
    for _ in 0..1000 {
        let other = scene.heap().try_allocate(Layout::new::<[u64; 50]>()).unwrap();
        scene.free(other, Layout::new::<[u64; 50]>());
    }
    scene.free(block, LAYOUT);
}

fn foreign_pointer(scene: &dyn Scene) {
    let _ = scene.allocate();
    let mut value = [0u64; 5];
    scene.free(NonNull::from(&mut value).cast(), LAYOUT);
}

/// In the middle of a block.
fn inner_pointer(scene: &dyn Scene) {
    // SAFETY: the block has more bytes than that.
    let inner = unsafe { scene.allocate().add(8) };
    scene.free(inner, LAYOUT);
}

fn wrong_layout(scene: &dyn Scene) {
    let block = scene.allocate();
    scene.free(block, Layout::new::<[u64; 4]>());
}

fn wrong_alignment(scene: &dyn Scene) {
    let block = scene.allocate();
    scene.free(block, Layout::new::<[u32; 10]>());
}

fn overrun(scene: &dyn Scene) {
    let block = scene.allocate();
    scribble(block, 41);
    scene.free(block, LAYOUT);
}

fn underrun(scene: &dyn Scene) {
    let block = scene.allocate();
    scribble(block, -3);
    scene.check();
}

/// Seen when its memory is to be used again.
fn write_after_free(scene: &dyn Scene) {
    let block = scene.allocate();
    scene.free(block, LAYOUT);
    scribble(block, 7);
    for _ in 0..1000 {
        let block = scene.heap().try_allocate(LAYOUT).unwrap();
        scene.free(block, LAYOUT);
    }
}

fn stale_pointer_after_growth(scene: &dyn Scene) {
    let block = scene.allocate();
    // SAFETY: live, and of this layout. What follows is the crime.
    let _ = unsafe { scene.heap().try_relayout(block, LAYOUT, Layout::new::<[u64; 6]>()) };
    scribble(block, 0);
    scene.check();
}

/// A test a crime, on this scene.
macro_rules! crimes {
    ($scene:ident, $make:expr, $($crime:ident: $expected:expr;)*) => {
        mod $scene {
            use super::*;

            $(#[test]
            fn $crime() {
                let test = concat!(module_path!(), "::", stringify!($crime));
                expect(test, || Box::new($make), super::$crime, $expected);
            })*
        }
    };
}

/// All of them.
macro_rules! all_crimes {
    ($($scene:ident: $make:expr;)*) => {$(crimes! {
        $scene, $make,
        double_free: "double free; it is 40 bytes aligned to 8, allocation number 1";
        double_free_of_what_is_used_again: "foreign pointer: no block of this allocator";
        foreign_pointer: "foreign pointer";
        inner_pointer: "foreign pointer";
        wrong_layout: "wrong layout: 32 bytes aligned to 8 at its end; it is 40";
        wrong_alignment: "wrong layout: 40 bytes aligned to 4 at its end; it is 40 bytes aligned to 8";
        overrun: "overrun: byte 41 was written; it is 40";
        underrun: "underrun: byte -3 was written; it is 40";
        write_after_free: "use after free: byte 7 was written; it is 40";
        stale_pointer_after_growth: "use after free: byte 0 was written; it is 40";
    })*};
}

all_crimes! {
    on_one_thread: small();
    on_a_shared_heap: shared();
    freed_elsewhere: Elsewhere(shared());
}

type Watched = Checked<SmallAlloc<Heap>>;

#[test]
fn honest_programs_are_left_alone() {
    let heap = small();
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
    heap.free(block, LAYOUT);
}

#[test]
fn honest_threads_are_left_alone() {
    let heap = shared();
    let (send, receive) = std::sync::mpsc::sync_channel(16);
    thread::scope(|scope| {
        scope.spawn(|| {
            let send = send;
            for number in 0..5000u64 {
                let mut list = allocator_api2::vec::Vec::new_in(&heap);
                list.extend(0..number % 70);
                send.send(list).unwrap();
            }
        });
        scope.spawn(|| {
            let mut kept = std::collections::VecDeque::new();
            for mut list in receive {
                list.push(1);
                kept.push_back(list);
                kept.truncate(100);
            }
        });
    });
    assert_eq!(heap.live(), 0);
    assert!(heap.check() > 100, "freed blocks wait");
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
