//! Cleanups and boxes: order, panics, and that nothing runs twice.

mod noted;

use self::noted::{Log, Noted, noted, panicking, take};
use pool_arena::{Arena, ArenaBox, unsize_box};
use pool_core::Heap;
use std::panic::{AssertUnwindSafe, catch_unwind};

#[test]
fn the_last_goes_first_and_each_goes_once() {
    let log = Log::default();
    let mut arena = Arena::new_in(Heap::new());
    for id in 0..4 {
        let value = arena.alloc_drop(noted(id, &log));
        assert_eq!(value.id, id);
        let noted = noted(id + 10, &log);
        arena.defer(move || drop(noted));
    }
    assert!(take(&log).is_empty());
    arena.reset();
    assert_eq!(take(&log), [13, 3, 12, 2, 11, 1, 10, 0]);
    arena.reset();
    drop(arena);
    assert!(take(&log).is_empty());
}

#[test]
fn a_panic_skips_nothing_and_goes_on() {
    let log = Log::default();
    let mut arena = Arena::new_in(Heap::new());
    for round in 0..2 {
        arena.alloc_drop(noted(0, &log));
        arena.alloc_drop(panicking(1, &log));
        arena.alloc_drop(noted(2, &log));
        arena.alloc_drop(panicking(3, &log));
        arena.alloc_layout(std::alloc::Layout::new::<[u8; 100_000]>());
        if round == 0 {
            let panic = catch_unwind(AssertUnwindSafe(|| arena.reset())).unwrap_err();
            assert_eq!(*panic.downcast::<String>().unwrap(), "noted 3");
            assert!(arena.allocated_bytes_including_metadata() < 100_000);
        }
        if round == 0 {
            assert_eq!(take(&log), [3, 2, 1, 0]);
            arena.alloc(1);
        }
    }
    let panic = catch_unwind(AssertUnwindSafe(|| drop(arena))).unwrap_err();
    assert_eq!(*panic.downcast::<String>().unwrap(), "noted 3");
    assert_eq!(take(&log), [3, 2, 1, 0]);
}

#[test]
fn panics_while_panicking_do_not_abort() {
    let log = Log::default();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let arena = Arena::new_in(Heap::new());
        arena.alloc_drop(panicking(1, &log));
        arena.alloc_drop(panicking(2, &log));
        panic!("first");
    }));
    assert_eq!(*panic.unwrap_err().downcast::<&str>().unwrap(), "first");
    assert_eq!(take(&log), [2, 1]);
}

#[test]
fn scopes_run_theirs_and_give_back_after_a_panic() {
    let log = Log::default();
    let arena = Arena::new_in(Heap::new());
    arena.alloc_drop(noted(0, &log));
    let free = arena.chunk_capacity();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        arena.scoped(|scope| {
            scope.alloc_drop(noted(1, &log));
            scope.alloc_drop(panicking(2, &log));
        });
    }));
    assert!(panic.is_err());
    assert_eq!(take(&log), [2, 1]);
    assert_eq!(arena.chunk_capacity(), free);
    let panic = catch_unwind(AssertUnwindSafe(|| {
        arena.scoped(|scope| {
            scope.alloc_drop(noted(3, &log));
            panic!("inside");
        })
    }));
    assert!(panic.is_err());
    assert_eq!(take(&log), [3]);
    assert_eq!(arena.chunk_capacity(), free);
    drop(arena);
    assert_eq!(take(&log), [0]);
}

#[test]
fn a_forgotten_value_is_dropped_and_a_refused_one_too() {
    let log = Log::default();
    let arena = Arena::new_in(Heap::new());
    let value: &mut Noted = arena.alloc_drop(noted(1, &log));
    value.id = 2;
    drop(arena);
    assert_eq!(take(&log), [2]);
    let arena = Arena::new_in(pool_core::Failing::after(Heap::new(), 0));
    assert!(arena.try_alloc_drop(noted(3, &log)).is_err());
    let refused = noted(4, &log);
    assert!(arena.try_defer(move || drop(refused)).is_err());
    assert_eq!(take(&log), [3, 4]);
}

#[test]
fn boxes_drop_early_and_may_borrow() {
    let log = Log::default();
    let arena = Arena::new_in(Heap::new());
    let local = noted(7, &log);
    struct Borrows<'a>(&'a Noted);
    impl Drop for Borrows<'_> {
        fn drop(&mut self) {
            self.0.log.lock().unwrap().push(self.0.id + 1);
        }
    }
    let boxed = arena.alloc_box(Borrows(&local));
    assert_eq!(boxed.0.id, 7);
    drop(boxed);
    assert_eq!(take(&log), [8]);

    let inner: Noted = ArenaBox::into_inner(arena.alloc_box(noted(1, &log)));
    assert!(take(&log).is_empty());
    drop(inner);
    assert_eq!(take(&log), [1]);

    let dropped_never = ArenaBox::into_mut(arena.alloc_box(noted(2, &log)));
    assert_eq!(dropped_never.id, 2);
    let slice = arena.alloc_box_slice((3..6).map(|id| noted(id, &log)));
    let one = unsize_box!(arena.alloc_box([noted(6, &log)]) => [Noted]);
    assert_eq!((slice.len(), one.len()), (3, 1));
    drop(slice);
    drop(one);
    assert_eq!(take(&log), [3, 4, 5, 6]);

    trait Id {
        fn id(&self) -> u32;
    }
    impl Id for Noted {
        fn id(&self) -> u32 {
            self.id
        }
    }
    let object: ArenaBox<dyn Id> = unsize_box!(arena.alloc_box(noted(9, &log)) => dyn Id);
    assert_eq!(object.id(), 9);
    drop(object);
    assert_eq!(take(&log), [9]);
    let panic = catch_unwind(AssertUnwindSafe(|| drop(arena.alloc_box(panicking(1, &log)))));
    assert!(panic.is_err());
    // SAFETY: never dropped otherwise; see `into_mut`.
    unsafe { std::ptr::drop_in_place(dropped_never) };
}

#[test]
fn an_unsized_box_still_drops_all_of_its_value() {
    struct Guard([Noted; 1]);
    impl std::ops::Deref for Guard {
        type Target = [Noted];
        fn deref(&self) -> &[Noted] {
            &self.0
        }
    }
    trait Any {}
    impl Any for Guard {}
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0[0].id += 1;
        }
    }
    let log = Log::default();
    let arena = Arena::new_in(Heap::new());
    let boxed = arena.alloc_box(Guard([noted(1, &log)]));
    drop(unsize_box!(boxed => dyn Any));
    assert_eq!(take(&log), [2]);
}
