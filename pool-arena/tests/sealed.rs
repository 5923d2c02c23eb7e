//! Hand-over: sealed arenas on other threads, adopted, refused, dropped.

use allocator_api2::vec::Vec as ArenaVec;
use pool_arena::{Arena, ArenaBuilder, SealCause, Sealed, root};
use pool_core::{Heap, PageSource, Stats};
use static_assertions::{assert_impl_all, assert_not_impl_any};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};

#[derive(Debug)]
struct Request<'a> {
    id: u32,
    words: &'a mut [&'a str],
}
root!(invariant Request);

root!(Text = 'a => &'a str);
root!(Shared = 'a => (&'a str, Rc<u32>));
root!(CellOf = 'a => (&'a str, Cell<u32>));

/// A vector that may still grow in its arena.
struct Growing;
impl pool_arena::Root for Growing {
    type In<'a> = ArenaVec<u32, &'a Arena<Heap>>;
}

assert_impl_all!(Sealed<Text>: Send, Sync);
assert_impl_all!(Sealed<Request<'static>>: Send, Sync);
assert_not_impl_any!(Sealed<Shared>: Send, Sync);
assert_impl_all!(Sealed<CellOf>: Send);
assert_not_impl_any!(Sealed<CellOf>: Sync);
assert_not_impl_any!(Sealed<Growing, Heap>: Send, Sync);
assert_not_impl_any!(Sealed<Text, Rc<Heap>>: Send);

type Counted = Arc<Stats<Heap>>;

fn parse(source: &Counted, id: u32, line: &str) -> Sealed<Request<'static>, Counted> {
    Sealed::new_in(Arena::new_in(Arc::clone(source)), |arena| {
        let line = &*arena.alloc_str(line);
        let mut words = arena.tail_vec();
        words.extend(line.split(' '));
        Request { id, words: words.finish() }
    })
    .unwrap()
}

#[test]
fn a_pipeline_of_two_stages() {
    let source: Counted = Arc::new(Heap::new().counted());
    let (sender, receiver) = mpsc::channel();
    let first = Arc::clone(&source);
    let stage = std::thread::spawn(move || {
        for id in 0..20 {
            sender.send(parse(&first, id, &format!("set key{id} value"))).unwrap();
        }
    });
    let mut batch = Arena::new_in(Arc::clone(&source));
    for round in 0..4 {
        let requests: Vec<_> = receiver.iter().take(5).map(|sealed| batch.adopt(sealed)).collect();
        for (request, id) in requests.iter().zip(round * 5..) {
            assert_eq!((request.id, request.words[0]), (id, "set"));
            assert_eq!(request.words[1], format!("key{id}"));
        }
        let held = batch.allocated_bytes_including_metadata();
        assert!(held >= 5 * 4096);
        batch.reset();
    }
    stage.join().unwrap();
    drop(batch);
    assert_eq!(source.traffic().live_bytes, 0);
}

#[test]
fn a_refused_adoption_leaves_all_as_it_was() {
    let source: Counted = Arc::new(Heap::new().counted());
    let arena = ArenaBuilder::new().limit(6000).build_in(Arc::clone(&source));
    let one = arena.adopt(parse(&source, 1, "a b"));
    let refusal = arena.try_adopt(parse(&source, 2, "c d")).unwrap_err();
    assert!(refusal.to_string().contains("may hold 6000"), "{refusal}");
    assert_eq!(refusal.sealed.with(|request| request.words.len()), 2);
    arena.set_allocation_limit(None);
    let two = arena.adopt(refusal.sealed);
    assert_eq!((one.words[1], two.words[1]), ("b", "d"));
}

#[test]
fn adoption_ends_with_the_scope_and_the_rewind() {
    let source: Counted = Arc::new(Heap::new().counted());
    let arena = Arena::new_in(Arc::clone(&source));
    arena.alloc(1u8);
    let before = arena.allocated_bytes_including_metadata();
    {
        let scope = arena.scope();
        let request = scope.adopt(parse(&source, 1, "a b"));
        assert!(arena.allocated_bytes_including_metadata() > before);
        assert_eq!(request.words.len(), 2);
    }
    assert_eq!(arena.allocated_bytes_including_metadata(), before);
    let checkpoint = arena.checkpoint();
    arena.adopt(parse(&source, 1, "a b"));
    // SAFETY: nothing from since the checkpoint is used.
    unsafe { arena.rewind(checkpoint) };
    assert_eq!(arena.allocated_bytes_including_metadata(), before);
    assert_eq!(source.traffic().live_bytes, before);
}

/// Enough items to become a large object, on the way.
const END: u32 = if cfg!(miri) { 400 } else { 80_000 };

#[test]
fn roots_may_hold_the_arena_and_grow() {
    let sealed = Sealed::<Growing, Heap>::new_in(Arena::new_in(Heap::new()), |arena| {
        let mut vector = ArenaVec::new_in(arena);
        vector.extend(0..10);
        vector
    });
    let mut sealed = sealed.unwrap();
    sealed.with_mut(|vector, arena| {
        arena.alloc_str("between");
        vector.extend(10..END / 2);
    });
    let adopter = Arena::new_in(Heap::new());
    let mut vector = adopter.adopt(sealed);
    vector.extend(END / 2..END);
    assert!(vector.iter().zip(0..).all(|(&item, index)| item == index));
}

static DROPS: AtomicU32 = AtomicU32::new(0);

struct Loud<'a>(&'a u32);

impl Drop for Loud<'_> {
    fn drop(&mut self) {
        DROPS.fetch_add(*self.0, Ordering::Relaxed);
    }
}
root!(Loud);

#[test]
fn roots_are_dropped_before_their_arena_and_panics_free_it() {
    let source: Counted = Arc::new(Heap::new().counted());
    let make = |number: u32| {
        let arena = Arena::new_in(Arc::clone(&source));
        Sealed::<Loud<'static>, _>::new_in(arena, |arena| Loud(arena.alloc(number))).unwrap()
    };
    drop(make(1));
    assert_eq!(DROPS.load(Ordering::Relaxed), 1);
    let arena = make(10).into_arena();
    assert_eq!(DROPS.load(Ordering::Relaxed), 11);
    assert!(arena.chunk_capacity() > 3000, "warm");
    drop(arena.adopt(make(100)));
    assert_eq!(DROPS.load(Ordering::Relaxed), 111);
    drop(arena);
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let arena = Arena::new_in(Arc::clone(&source));
        let _ = Sealed::<Text, _>::new_in(arena, |arena| {
            arena.alloc_drop(vec![1, 2, 3]);
            panic!("in the constructor")
        });
    }));
    assert!(panic.is_err());
    let arena = Arena::new_in(Arc::clone(&source));
    let error = Sealed::<Text, _>::try_new_in(arena, |arena| {
        arena.alloc_drop(vec![1, 2, 3]);
        Err::<&str, _>("no")
    });
    let error = error.unwrap_err();
    assert_eq!(error.cause, SealCause::Init("no"));
    assert_eq!(*error.arena.alloc(1), 1);
    drop(error);
    assert_eq!(source.traffic().live_bytes, 0);
}

#[test]
fn an_arena_without_memory_for_itself_comes_back() {
    let arena = ArenaBuilder::new().limit(0).build_in(Heap::new());
    let arena = Sealed::<Text, _>::new_in(arena, |_| "never").unwrap_err();
    arena.set_allocation_limit(None);
    assert_eq!(*Sealed::<Text, _>::new_in(arena, |_| "now").unwrap().get(), "now");
}
