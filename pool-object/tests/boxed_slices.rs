//! Boxed slices and strings: what they hold, what is dropped when something fails, what they cost.

use pool_core::{Failing, Heap, PageSource};
use pool_object::{AllocError, LocalHeap, PoolBox, SharedHeap, SmallAlloc};
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

/// Counts its drops; the clone number `bomb` panics.
struct Counted {
    drops: Rc<Cell<u32>>,
    clones: Rc<Cell<u32>>,
    bomb: u32,
}

impl Counted {
    fn new(drops: &Rc<Cell<u32>>, bomb: u32) -> Self {
        Self { drops: drops.clone(), clones: Rc::new(Cell::new(0)), bomb }
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.clones.set(self.clones.get() + 1);
        assert!(self.clones.get() != self.bomb, "on purpose");
        let Self { drops, clones, bomb } = self;
        Self { drops: drops.clone(), clones: clones.clone(), bomb: *bomb }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.drops.set(self.drops.get() + 1);
    }
}

#[test]
fn slices_are_copied_with_one_allocation() {
    let heap = SmallAlloc::new_in(Heap::new());
    for len in [0, 1, 7, 100, if cfg!(miri) { 150 } else { 40_000 }] {
        let words: Vec<u32> = (0..len).collect();
        let boxed = PoolBox::copy_from_slice_in(&words, &heap);
        assert_eq!((&*boxed, heap.stats().live()), (&*words, 1));
        let copy = boxed.clone();
        assert_eq!((&copy, copy == boxed, heap.stats().live()), (&boxed, true, 2));
        drop((boxed, copy));
        assert_eq!(heap.stats().live(), 0);
    }
}

#[test]
fn iterators_are_collected_whatever_they_say_of_themselves() {
    let heap = SmallAlloc::new_in(Heap::new());
    for len in [0, 1, 4, 5, if cfg!(miri) { 50 } else { 3000 }] {
        let expected: Vec<u16> = (0..len).collect();
        let exact = PoolBox::from_iter_in(0..len, &heap);
        let unknown = PoolBox::from_iter_in((0..len).filter(|_| true), &heap);
        let short = PoolBox::from_iter_in(expected.iter().copied().chain((0..5).skip(5)), &heap);
        let units = PoolBox::from_iter_in((0..len).map(|_| ()), &heap);
        assert!([&*exact, &*unknown, &*short].iter().all(|slice| *slice == expected));
        assert_eq!(units.len(), expected.len());
    }
    // One that lies: shorter, and longer, than its lower bound.
    struct Liar(usize);
    impl Iterator for Liar {
        type Item = Box<usize>;
        fn next(&mut self) -> Option<Box<usize>> {
            self.0 = self.0.checked_sub(1)?;
            Some(Box::new(self.0))
        }
        fn size_hint(&self) -> (usize, Option<usize>) {
            (10, Some(10))
        }
    }
    assert_eq!(PoolBox::from_iter_in(Liar(3), &heap).len(), 3);
    assert_eq!(PoolBox::from_iter_in(Liar(33), &heap).len(), 33);
    assert_eq!((heap.stats().live(), heap.check()), (0, Ok(())));
}

#[test]
fn what_was_made_before_a_panic_is_dropped_once() {
    let heap = SmallAlloc::new_in(Heap::new());
    for bomb in 1..6 {
        let drops = Rc::new(Cell::new(0));
        let values = [(); 5].map(|()| Counted::new(&drops, 0));
        let first = Counted::new(&drops, bomb);
        let result = catch_unwind(AssertUnwindSafe(|| {
            PoolBox::from_iter_in((0..5).filter(|_| true).map(|_| first.clone()), &heap)
        }));
        assert!(result.is_err());
        assert_eq!((drops.get(), heap.stats().live()), (bomb - 1, 0));
        drop(PoolBox::clone_from_slice_in(&values, &heap));
        assert_eq!((drops.get(), heap.stats().live()), (bomb - 1 + 5, 0));
        let mixed = [Counted::new(&drops, 0), Counted::new(&drops, 1)];
        let result = catch_unwind(AssertUnwindSafe(|| PoolBox::clone_from_slice_in(&mixed, &heap)));
        assert!(result.is_err());
        assert_eq!((drops.get(), heap.stats().live()), (bomb + 5, 0));
    }
}

#[test]
fn a_panic_in_a_drop_loses_no_block() {
    struct Bomb(bool, Rc<Cell<u32>>);
    impl Drop for Bomb {
        fn drop(&mut self) {
            self.1.set(self.1.get() + 1);
            assert!(!self.0, "on purpose");
        }
    }
    let (heap, drops) = (SmallAlloc::new_in(Heap::new()), Rc::new(Cell::new(0)));
    let bombs = PoolBox::from_iter_in((0..5).map(|n| Bomb(n == 2, drops.clone())), &heap);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(bombs))).is_err());
    assert_eq!((drops.get(), heap.stats().live()), (5, 0));
}

#[test]
fn every_refusal_is_an_error_and_loses_nothing() {
    let mut refusals = 0;
    for call in 0..6 {
        let source = Failing::after(Heap::new().counted(), call);
        let drops = Rc::new(Cell::new(0));
        {
            let heap = SmallAlloc::new_in(&source);
            let values = (0..if cfg!(miri) { 100 } else { 3000 })
                .filter(|_| true)
                .map(|_| Counted::new(&drops, 0));
            let result = PoolBox::try_from_iter_in(values, &heap);
            refusals += usize::from(matches!(result, Err(AllocError::Source { .. })));
            let made = result.as_ref().map_or(0, |boxed| boxed.len());
            assert!(drops.get() as usize + made <= 3001);
            drop(result);
            assert_eq!(heap.stats().live(), 0);
        }
        assert_eq!(source.inner().traffic().live_bytes, 0);
    }
    assert!(refusals > 2, "{refusals}");
    let heap = SmallAlloc::new_in(Failing::after(Heap::new(), 0));
    assert!(PoolBox::try_copy_from_slice_in(&[1, 2], &heap).is_err());
    assert!(PoolBox::try_clone_from_slice_in(&[String::new()], &heap).is_err());
    assert!(PoolBox::try_copy_from_str_in("text", &heap).is_err());
    assert!(PoolBox::<u8, _>::try_new_uninit_in(&heap).is_err());
    let huge = PoolBox::<[u64], _>::try_new_uninit_slice_in(1 << 61, &heap);
    assert_eq!(huge.unwrap_err(), AllocError::TooLarge { size: usize::MAX, align: 8 });
    let huge = PoolBox::<[u64], _>::try_new_uninit_slice_in(1 << 60, &heap);
    assert_eq!(huge.unwrap_err(), AllocError::TooLarge { size: 1 << 63, align: 8 });
}

#[test]
fn blocks_that_are_filled_by_hand() {
    let heap = SharedHeap::new_in(Heap::new());
    let mut value = PoolBox::new_uninit_in(heap.clone());
    value.write([7u64; 3]);
    // SAFETY: written above.
    assert_eq!(*unsafe { value.assume_init() }, [7; 3]);
    let zeros = PoolBox::<[u32], _>::try_new_zeroed_slice_in(1000, heap.clone()).unwrap();
    // SAFETY: zeros are integers.
    let zeros = unsafe { zeros.assume_init() };
    assert!(zeros.iter().all(|word| *word == 0));
}

#[test]
fn boxes_turn_into_each_other_where_they_are() {
    let heap = LocalHeap::new_in(Heap::new());
    let array = PoolBox::new_in([1u8, 2, 3], heap.clone());
    let place = (&raw const *array).addr();
    let slice = PoolBox::<[u8], _>::from(array);
    assert_eq!((slice.len(), slice.as_ptr().addr()), (3, place));
    let slice = PoolBox::<[u8; 4], _>::try_from(slice).unwrap_err();
    let array = PoolBox::<[u8; 3], _>::try_from(slice).unwrap();
    assert_eq!(((&raw const *array).addr(), heap.stats().live()), (place, 1));
    let text = PoolBox::copy_from_str_in("drei", heap.clone());
    let place = text.as_ptr().addr();
    let bytes = PoolBox::<[u8], _>::from(text.clone());
    assert_eq!(&*bytes, b"drei");
    let text = PoolBox::from_utf8(PoolBox::<[u8], _>::from(text)).unwrap();
    assert_eq!((&*text, text.as_ptr().addr()), ("drei", place));
    let (error, bytes) =
        PoolBox::from_utf8(PoolBox::copy_from_slice_in(b"dr\xFF", heap.clone())).unwrap_err();
    assert_eq!((error.valid_up_to(), &*bytes), (2, &b"dr\xFF"[..]));
}

#[test]
fn an_unsized_box_by_hand() {
    let heap = LocalHeap::new_in(Heap::new());
    let drops = Rc::new(Cell::new(0));
    let (value, alloc) = PoolBox::into_raw_parts(PoolBox::new_in(Counted::new(&drops, 0), heap));
    let value: std::ptr::NonNull<dyn std::any::Any> = value;
    // SAFETY: the box that was taken apart, its pointer coerced.
    let any = unsafe { PoolBox::from_raw_parts(value, alloc) };
    assert!(any.is::<Counted>());
    drop(any);
    assert_eq!(drops.get(), 1);
}

#[test]
#[allow(clippy::mutable_key_type, reason = "the heap's cells: hash and order are the text's")]
fn maps_with_boxed_keys_are_asked_by_slices() {
    let heap = LocalHeap::new_in(Heap::new());
    let key = |n: u32| PoolBox::copy_from_str_in(&n.to_string(), heap.clone());
    let mut hashed: HashMap<_, _> = (0..50).map(|n| (key(n), n)).collect();
    let mut sorted: BTreeMap<_, _> =
        (0..50).map(|n| (PoolBox::<[u8], _>::from(key(n)), n)).collect();
    assert_eq!((hashed.remove("33"), hashed.remove("33")), (Some(33), None));
    assert_eq!((sorted.remove(&b"7"[..]), sorted.get(&b"8"[..])), (Some(7), Some(&8)));
    assert!(sorted.keys().is_sorted() && format!("{:?}", key(5)) == "\"5\"");
    let mut slice = PoolBox::copy_from_slice_in(&[3, 1, 2], heap.clone());
    slice.sort_unstable();
    (&mut slice).into_iter().for_each(|value| *value *= 2);
    assert_eq!((&slice).into_iter().sum::<i32>(), 12);
    assert!(slice < PoolBox::copy_from_slice_in(&[3], heap.clone()));
}
