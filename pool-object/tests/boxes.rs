//! `PoolBox`, and collections of others over the allocators.

use pool_core::{Failing, Heap, PageSource};
use pool_object::{Checked, GlobalHeap, LocalHeap, PoolBox, SharedHeap, SmallAlloc, Traced};
use std::cell::Cell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

/// Counts its drops.
#[derive(Clone)]
struct Counted(Rc<Cell<u32>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn values_are_dropped_once_and_blocks_given_back() {
    let heap = SmallAlloc::new_in(Heap::new());
    let drops = Rc::new(Cell::new(0));
    let boxed = PoolBox::new_in(Counted(drops.clone()), &heap);
    let other = boxed.clone();
    assert_eq!((heap.stats().live(), drops.get()), (2, 0));
    drop(boxed);
    assert_eq!((heap.stats().live(), drops.get()), (1, 1));
    let value = PoolBox::into_inner(other);
    assert_eq!((heap.stats().live(), drops.get()), (0, 1));
    drop(value);
    let leaked = PoolBox::leak(PoolBox::new_in(5, &heap));
    assert_eq!((heap.stats().live(), *leaked, drops.get()), (1, 5, 2));
}

#[test]
fn a_panic_in_drop_gives_the_block_back() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }
    let heap = SmallAlloc::new_in(Heap::new());
    let boxed = PoolBox::new_in(Bomb, &heap);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(boxed))).is_err());
    assert_eq!(heap.stats().live(), 0);
}

#[test]
fn a_refused_value_comes_back() {
    let heap = SmallAlloc::new_in(Failing::after(Heap::new(), 0));
    let error = PoolBox::try_new_in(String::from("kept"), &heap).unwrap_err();
    assert_eq!(error.value, "kept");
    assert!(error.to_string().contains("refused"));
}

#[test]
fn any_size_and_alignment() {
    #[repr(align(4096))]
    struct Page(u8);
    let heap = LocalHeap::new_in(Heap::new());
    let unit = PoolBox::new_in((), heap.clone());
    let page = PoolBox::new_in(Page(7), heap.clone());
    let long = PoolBox::new_in([1u8; 100_000], heap.clone());
    assert_eq!(((&raw const *page).addr() % 4096, page.0, long[99_999]), (0, 7, 1));
    assert_eq!(*unit, ());
    drop(heap);
    drop((unit, page, long));
}

#[test]
#[cfg_attr(miri, ignore = "it leaks on purpose")]
fn a_leak_outlives_its_handle() {
    let value: &'static mut u64 = PoolBox::leak(PoolBox::new_in(1, LocalHeap::new_in(Heap::new())));
    *value += 1;
    assert_eq!(*value, 2);
}

#[test]
fn boxes_may_be_pinned() {
    let pinned = PoolBox::pin_in(async { 7 }, LocalHeap::new_in(Heap::new()));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut pinned = pinned;
    assert!(matches!(pinned.as_mut().poll(&mut context), std::task::Poll::Ready(7)));
}

/// The same random program on a hash map of `hashbrown` over a heap and on the standard one.
#[test]
fn hash_maps_and_vectors_over_a_heap_behave() {
    let source = Heap::new().counted();
    let heap = SmallAlloc::new_in(&source);
    {
        let mut ours = hashbrown::HashMap::new_in(&heap);
        let mut theirs = HashMap::new();
        let mut seed = 3u64;
        for _ in 0..if cfg!(miri) { 30 } else { 50_000 } {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (key, len) = (seed >> 54, (seed >> 40) as usize % 300);
            if seed & (1 << 35) == 0 {
                let mut value = allocator_api2::vec::Vec::new_in(&heap);
                value.extend((0..len).map(|index| index as u8));
                let old = ours.insert(key, value).map(|old| old.to_vec());
                assert_eq!(old, theirs.insert(key, (0..len).map(|i| i as u8).collect::<Vec<_>>()));
            } else {
                let old = ours.remove(&key).map(|old| old.to_vec());
                assert_eq!(old, theirs.remove(&key));
            }
        }
        let copy = ours.clone();
        drop(ours);
        assert_eq!(copy.len(), theirs.len());
        assert!(copy.iter().all(|(key, value)| theirs[key] == **value));
    }
    assert_eq!((heap.stats().live(), heap.check()), (0, Ok(())));
    heap.trim();
    assert_eq!(source.traffic().live_bytes, 0);
}

#[test]
fn vectors_grow_and_shrink_with_both_versions_of_the_trait() {
    let heap = LocalHeap::new_in(Heap::new());
    let mut two = allocator_api2::vec::Vec::new_in(heap.clone());
    let mut four = allocator_api2_04::vec::Vec::new_in(&*heap);
    for number in 0..if cfg!(miri) { 100u64 } else { 100_000 } {
        two.push(number);
        four.push(number);
    }
    two.truncate(10);
    two.shrink_to_fit();
    four.truncate(2);
    four.shrink_to_fit();
    assert_eq!((two.iter().sum::<u64>(), four.iter().sum::<u64>()), (45, 1));
}

#[test]
#[cfg_attr(miri, ignore = "it leaks on purpose")]
fn a_leaked_vector_outlives_its_handle() {
    let mut vector = allocator_api2::vec::Vec::new_in(LocalHeap::new_in(Heap::new()));
    vector.extend(0..10u64);
    let leaked: &'static mut [u64] = vector.leak();
    assert_eq!(leaked[9], 9);
}

/// A boxed slice made of a vector that never had room gives back a block that it never got.
#[test]
fn blocks_without_bytes_are_nobodys() {
    let heap = SmallAlloc::new_in(Heap::new());
    let empty: Vec<_> = (0..3)
        .map(|_| allocator_api2::vec::Vec::<u64, _>::new_in(&heap).into_boxed_slice())
        .collect();
    drop(empty);
    let mut longer = allocator_api2::vec::Vec::new_in(&heap);
    longer.extend([1_u64, 2, 3]);
    longer.clear();
    longer.shrink_to_fit();
    assert_eq!(heap.stats().live(), 0);
    longer.push(4);
    assert_eq!((&longer[..], heap.stats().live()), (&[4][..], 1));
    drop(longer);
    heap.check().unwrap();
}

/// Shrinks, grows and frees blocks of no bytes through the trait of one version.
macro_rules! nothing_comes_and_goes {
    ($version:ident, $handle:expr) => {{
        use core::alloc::Layout;
        use $version::alloc::Allocator;
        let (h, nothing) = ($handle, Layout::from_size_align(0, 64).unwrap());
        for size in [10, 5000, 100_000] {
            let some = Layout::from_size_align(size, 64).unwrap();
            let none = Allocator::allocate(&h, nothing).unwrap();
            assert!(none.is_empty() && none.cast::<u8>().addr().get() % 64 == 0);
            // SAFETY: allocated from this handle with this layout; the new one is not smaller.
            let block = unsafe { Allocator::grow_zeroed(&h, none.cast(), nothing, some) }.unwrap();
            // SAFETY: live, of so many bytes, initialised, and ours alone.
            assert!(unsafe { block.as_ref() } == vec![0; size]);
            // SAFETY: live, and of this layout; the new one is not longer.
            let none = unsafe { Allocator::shrink(&h, block.cast(), some, nothing) }.unwrap();
            // SAFETY: live, and of this layout.
            unsafe { Allocator::deallocate(&h, none.cast(), nothing) };
            // SAFETY: a block of no bytes may be given back as often as one likes.
            let block = unsafe { Allocator::grow(&h, none.cast(), nothing, some) }.unwrap();
            // SAFETY: live, and of this layout.
            unsafe { Allocator::deallocate(&h, block.cast(), some) };
        }
        let mut vector = $version::vec::Vec::<u64, _>::new_in(h);
        vector.try_reserve_exact(10).unwrap();
        vector.shrink_to_fit();
        vector.push(1);
        vector.clear();
        vector.shrink_to_fit();
    }};
}

/// With both versions.
macro_rules! nothing_leaks {
    ($($handle:expr;)*) => {$(
        nothing_comes_and_goes!(allocator_api2, $handle);
        nothing_comes_and_goes!(allocator_api2_04, $handle);
    )*};
}

#[test]
fn a_vector_shrunk_to_nothing_has_given_its_block_back() {
    let small = LocalHeap::new_in(Heap::new());
    nothing_leaks! { &*small; small.clone(); }
    let shared = SharedHeap::new_in(Heap::new());
    nothing_leaks! { &*shared; shared.clone(); }
    assert_eq!((small.stats().live(), shared.stats().live()), (0, 0));
    assert_eq!((small.stats().live_bytes(), shared.stats().live_bytes()), (0, 0));
    let checked = Checked::new(&*small);
    nothing_leaks! { &checked; }
    assert_eq!((checked.live(), small.check()), (0, Ok(())));
    let traced = Traced::new(LocalHeap::new_in(Heap::new()));
    if !cfg!(miri) {
        nothing_leaks! { GlobalHeap; &traced; }
    }
    assert_eq!((traced.samples(), traced.inner().stats().live()), (0, 0));
}
