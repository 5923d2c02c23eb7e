//! Scopes: the parent goes on, values from before stay, memory comes back.

use allocator_api2::vec::Vec as ArenaVec;
use pool_arena::Arena;
use pool_core::{Heap, PageSource};
use std::alloc::Layout;
use std::rc::Rc;

fn bytes(len: usize) -> Layout {
    Layout::array::<u8>(len).unwrap()
}

#[test]
fn the_tip_comes_back_and_is_used_again() {
    let arena = Arena::new_in(Heap::new());
    let before = arena.alloc([1u64; 8]);
    let free = arena.chunk_capacity();
    let mut address = None;
    for round in 0..4u64 {
        let scope = arena.scope();
        let inside = scope.alloc(round);
        assert_eq!(*address.get_or_insert(std::ptr::from_ref(inside)), std::ptr::from_ref(inside));
        before[0] += *inside;
    }
    assert_eq!((before[0], arena.chunk_capacity()), (7, free));
}

#[test]
fn nested_scopes_and_helpers_see_the_same_type() {
    fn depth(arena: &Arena<Heap>, left: u32) -> u32 {
        let here = arena.alloc(left);
        let below = if left == 0 { 0 } else { depth(&arena.scope(), left - 1) };
        assert_eq!(*here, left);
        below + 1
    }
    let arena = Arena::new_in(Heap::new());
    arena.alloc(0u8);
    let free = arena.chunk_capacity();
    assert_eq!(depth(&arena.scope(), 20), 21);
    assert_eq!(arena.chunk_capacity(), free);
    let early = arena.scoped(|scope| {
        let value = scope.alloc(3);
        if *value == 3 {
            return 1;
        }
        2
    });
    assert_eq!(early, 1);
}

#[test]
fn siblings_may_end_in_any_order() {
    let source = Heap::new().counted();
    let mut arena = Arena::new_in(&source);
    let first = arena.scope();
    let a = first.alloc_slice_fill_copy(5000, 1u8);
    let second = arena.scope();
    let b = second.alloc_slice_fill_copy(5000, 2u8);
    let third = arena.scope();
    let c = third.alloc_str("third");
    let kept = arena.alloc_str("kept");
    assert!(a.iter().all(|&x| x == 1));
    drop(first);
    let over = arena.alloc_slice_fill_copy(9000, 9u8);
    assert!(b.iter().all(|&x| x == 2) && c == "third");
    drop(third);
    drop(second);
    arena.alloc_slice_fill_copy(4000, 8u8);
    assert!(kept == "kept" && over.iter().all(|&x| x == 9));
    let held = arena.allocated_bytes_including_metadata();
    assert_eq!(held, source.traffic().live_bytes);
    arena.reset();
    drop(arena);
    assert_eq!(source.traffic().live_bytes, 0);
}

#[test]
fn an_outer_vector_grows_and_is_freed_inside() {
    let arena = Arena::new_in(Heap::new());
    let mut outer = ArenaVec::new_in(&arena);
    let mut gone = ArenaVec::new_in(&arena);
    let mut tail = arena.tail_vec();
    outer.push(0u32);
    gone.push(String::from("x"));
    tail.push(0u32);
    {
        let scope = arena.scope();
        let mut inner = ArenaVec::new_in(&*scope);
        for item in 1..3000 {
            outer.push(item);
            inner.push(item);
            tail.push(item);
            gone.push(String::from("y"));
        }
        drop(gone);
        scope.alloc_str("over it?");
        assert_eq!(inner.len() + 1, outer.len());
    }
    arena.alloc_slice_fill_copy(10_000, 0xFFu8);
    assert!(outer.iter().zip(0..).all(|(&item, index)| item == index));
    assert!(tail.finish().iter().zip(0..).all(|(&item, index)| item == index));
}

#[test]
#[cfg_attr(miri, ignore = "leaks on purpose")]
fn a_leaked_scope_leaks_its_chunks_only() {
    let source = Heap::new().counted();
    let mut arena = Arena::new_in(&source);
    for _ in 0..3 {
        arena.alloc(1u64);
        let scope = arena.scope();
        scope.alloc_slice_fill_copy(6000, 1u8);
        std::mem::forget(scope);
        arena.alloc_slice_fill_copy(6000, 1u8);
        arena.reset();
    }
    arena.alloc(1);
    assert_eq!(
        arena.allocated_bytes_including_metadata() as u64,
        source.traffic().live_bytes as u64
    );
}

#[test]
fn a_cleanup_may_use_the_parent() {
    thread_local! {
        static ARENA: Rc<Arena<Heap>> = Rc::new(Arena::new_in(Heap::new()));
    }
    let arena = ARENA.with(Rc::clone);
    for _ in 0..3 {
        let scope = arena.scope();
        let inside = scope.alloc_slice_fill_copy(100, 7u8);
        scope.defer(|| {
            ARENA.with(|arena| {
                arena.alloc_layout(bytes(3000));
                arena.defer(|| {});
                arena.scope().alloc_str("nested");
            });
        });
        assert!(inside.iter().all(|&byte| byte == 7));
    }
}

#[test]
fn limits_count_scopes_and_scopes_obey_them() {
    let arena = pool_arena::ArenaBuilder::new().limit(64 << 10).build_in(Heap::new());
    let scope = arena.scope();
    scope.alloc_layout(bytes(30_000));
    assert!(arena.try_alloc_layout(bytes(40_000)).is_err());
    assert!(scope.try_alloc_layout(bytes(40_000)).is_err());
    assert!(scope.scope().try_alloc_layout(bytes(40_000)).is_err());
    assert!(scope.scope().try_alloc_layout(bytes(5_000)).is_ok());
    drop(scope);
    assert!(arena.allocated_bytes_including_metadata() <= 64 << 10);
    // What the scope had is used again.
    assert!(arena.try_alloc_layout(bytes(25_000)).is_ok());
}

#[test]
fn a_scope_has_what_its_parents_leave_it() {
    let mut arena = Arena::builder().limit(1 << 20).retain(1 << 20).build_in(Heap::new());
    arena.alloc_slice_fill_copy(60_000, 0u8);
    arena.alloc_slice_fill_copy(60_000, 0u8);
    arena.reset();
    let held = arena.allocated_bytes_including_metadata();
    {
        let scope = arena.scope();
        assert_eq!(scope.allocation_limit_remaining(), Some((1 << 20) - held));
        scope.set_allocation_limit(Some(4096));
        assert_eq!(scope.allocation_limit(), Some(4096));
        // The parent's spare chunks are longer than that.
        while scope.try_alloc([0u8; 1024]).is_ok() {}
        assert!(scope.allocated_bytes_including_metadata() <= 4096);
    }
    assert_eq!(arena.allocation_limit(), Some(1 << 20));
}

#[test]
fn a_scope_leaves_no_more_behind_than_is_retained() {
    let arena = Arena::builder().retain(64 << 10).build_in(Heap::new());
    arena.alloc(1u64);
    arena.scoped(|scope| {
        for _ in 0..100 {
            scope.alloc_layout(Layout::new::<[u8; 50_000]>());
        }
    });
    assert!(arena.stats().spare_bytes <= 64 << 10);
    let stats = arena.stats();
    assert_eq!(stats.held, stats.chunk_bytes + stats.spare_bytes);
}

#[test]
#[cfg_attr(miri, ignore = "leaks on purpose")]
fn after_a_leaked_scope_a_reset_still_knows_what_is_used() {
    let mut arena = Arena::new_in(Heap::new());
    arena.alloc(1u64);
    let leaked = arena.scope();
    leaked.alloc_slice_fill_copy(9000, 1u8);
    std::mem::forget(leaked);
    drop(arena.scope());
    arena.reset();
    // The leaked chunk is still paid for.
    let stats = arena.stats();
    assert!(stats.held > stats.chunk_bytes + stats.spare_bytes);
    arena.alloc(2u64);
    let used: usize = arena.iter_allocated_chunks().map(<[_]>::len).sum();
    assert_eq!(used, 8);
    // Dropped where the scope's memory is: it goes with the heap source.
}

#[test]
#[cfg_attr(miri, ignore = "leaks on purpose")]
fn scopes_may_be_nested_very_deep() {
    let depth = 120_000;
    let root: &Arena<Heap> = Box::leak(Box::new(Arena::new_in(Heap::new())));
    let mut inner = root;
    for _ in 0..depth {
        inner = Box::leak(Box::new(inner.scope()));
    }
    inner.alloc_slice_fill_copy(100_000, 0u8);
    inner.alloc_slice_fill_copy(1000, 0u8);
    assert!(root.allocated_bytes_including_metadata() > 100_000);
}

#[test]
fn secrets_are_gone_with_their_scope() {
    let mut arena = Arena::builder().zero_on_reset(true).build_in(Heap::new());
    let secret =
        |arena: &Arena<Heap>| arena.alloc_slice_copy(b"hunter2 hunter2 hunter2 hunter2 ").as_ptr();
    let clean = |arena: &Arena<Heap>, place: *const u8| {
        let bytes = arena.alloc_layout(Layout::new::<[u8; 32]>());
        assert_eq!(bytes.as_ptr().cast_const(), place);
        // SAFETY: placed for them, and any arena that zeroes has written them once.
        assert_eq!(unsafe { bytes.cast::<[u8; 32]>().read() }, [0; 32]);
    };
    arena.alloc(1u64);
    let place = arena.scoped(|scope| secret(scope));
    clean(&arena, place);
    let checkpoint = arena.checkpoint();
    let place = secret(&arena);
    // SAFETY: what was allocated since is not used.
    unsafe { arena.rewind(checkpoint) };
    clean(&arena, place);
    let mut tail = arena.tail_vec_with_capacity::<u8>(32);
    tail.extend_from_slice(b"hunter2 hunter2 hunter2 hunter2 ");
    let place = tail.as_ptr();
    drop(tail);
    let mut tail = arena.tail_vec_with_capacity::<u8>(32);
    assert_eq!(tail.as_ptr(), place);
    for byte in &tail.spare_capacity_mut()[..32] {
        // SAFETY: as above.
        assert_eq!(unsafe { byte.assume_init_read() }, 0);
    }
    drop(tail);
    arena.reset();
}
