//! The same calls on an arena and on bumpalo, with the same visible results.

mod property;

use bumpalo::Bump;
use pool_arena::Arena;
use pool_core::Heap;
use proptest::prelude::*;

/// One call, on whatever has bumpalo's methods; what it made, as text.
macro_rules! call {
    ($arena:expr, $op:expr) => {{
        let (arena, (kind, len, seed)) = ($arena, $op);
        let items: Vec<u32> = (0..len).map(|index| seed ^ index as u32).collect();
        let odd = |index: usize| {
            let item = items[index];
            if item % 97 == 96 { Err(item) } else { Ok(item) }
        };
        match kind {
            0 => format!("{:?}", arena.alloc((seed, len))),
            1 => format!("{:?}", arena.alloc_with(|| [seed; 9])),
            2 => format!("{:?}", arena.alloc_slice_copy(&items)),
            3 => format!("{:?}", arena.alloc_slice_clone(&items)),
            4 => arena.alloc_str(&"ä".repeat(len)).to_owned(),
            5 => format!("{:?}", arena.alloc_slice_fill_with(len, |index| items[index])),
            6 => format!("{:?}", arena.alloc_slice_fill_copy(len, seed)),
            7 => format!("{:?}", arena.alloc_slice_fill_clone(len, &seed)),
            8 => format!("{:?}", arena.alloc_slice_fill_iter(items.iter())),
            9 => format!("{:?}", arena.alloc_slice_fill_default::<u64>(len)),
            10 => format!("{:?}", arena.alloc_slice_try_fill_with(len, odd)),
            11 => format!("{:?}", arena.alloc_slice_try_fill_iter((0..len).map(odd))),
            12 => {
                format!("{:?}", arena.alloc_try_with(|| if seed % 2 == 0 { Ok(1) } else { Err(2) }))
            }
            13 => {
                format!("{:?}", arena.try_alloc_slice_fill_with(len, |index| items[index]).unwrap())
            }
            14 => format!("{:?}", arena.try_alloc_str("fixed").unwrap()),
            _ => format!("{:?}", arena.try_alloc_slice_copy(&items).unwrap()),
        }
    }};
}

proptest! {
    #![proptest_config(property::config(100, 2))]
    #[test]
    fn bumpalo_says_the_same(
        ops in prop::collection::vec((0..16, 0usize..300, any::<u32>()), 0..60),
        resets in prop::collection::vec(any::<bool>(), 60),
    ) {
        let mut arena = Arena::new_in(Heap::new());
        let mut bump = Bump::new();
        for (op, reset) in ops.into_iter().zip(resets) {
            prop_assert_eq!(call!(&arena, op), call!(&bump, op));
            if reset && op.1 % 8 == 0 {
                arena.reset();
                bump.reset();
            }
        }
    }
}

#[test]
fn chunks_are_seen_alike() {
    let (mut arena, mut bump) = (Arena::with_capacity(4000), Bump::with_capacity(4000));
    for value in 0u64..100 {
        arena.alloc(value);
        bump.alloc(value);
    }
    let ours: Vec<_> = arena.iter_allocated_chunks().map(<[_]>::len).collect();
    let theirs: Vec<_> = bump.iter_allocated_chunks().map(<[_]>::len).collect();
    assert_eq!(ours, theirs);
    assert!(arena.allocated_bytes() >= 800 && arena.chunk_capacity() >= 3200);
    assert_eq!((arena.allocation_limit(), bump.allocation_limit()), (None, None));
}

#[test]
fn what_was_refused_changes_nothing() {
    let arena = pool_arena::ArenaBuilder::new().limit(8 << 10).build_in(Heap::new());
    let kept = arena.alloc_str("kept");
    let held = arena.allocated_bytes_including_metadata();
    assert!(arena.try_alloc_slice_fill_copy(usize::MAX, 1u16).is_err());
    assert!(arena.try_alloc_slice_fill_copy(100_000, 1u16).is_err());
    assert!(arena.try_alloc([0u8; 50_000]).is_err());
    assert_eq!(arena.allocated_bytes_including_metadata(), held);
    assert_eq!(kept, "kept");
    assert_eq!(arena.allocation_limit_remaining(), Some((8 << 10) - held));
}

#[test]
fn nothing_and_the_over_aligned() {
    #[derive(Clone, Copy)]
    #[repr(align(65536))]
    struct Wide(u8);
    #[repr(align(4096))]
    struct Empty;
    let mut arena = Arena::new_in(Heap::new());
    for round in 0..3 {
        assert_eq!(std::ptr::from_ref(arena.alloc(Empty)).addr() % 4096, 0);
        assert!(arena.alloc_slice_fill_copy(0, 7u64).is_empty());
        arena.alloc(());
        assert_eq!(arena.alloc_str(""), "");
        if round == 0 {
            assert_eq!(arena.allocated_bytes(), 0);
        }
        let place = arena.alloc_layout(std::alloc::Layout::from_size_align(1, 65536).unwrap());
        assert_eq!(place.addr().get() % 65536, 0);
        let wide = arena.alloc_with(|| Wide(round));
        assert_eq!((std::ptr::from_ref(wide).addr() % 65536, wide.0), (0, round));
        arena.reset();
    }
}

#[test]
fn filling_that_ends_early_drops_what_was_made() {
    let counter = std::rc::Rc::new(());
    let mut arena = Arena::new_in(Heap::new());
    arena.alloc(1u8);
    let free = arena.chunk_capacity();
    let result = arena.alloc_slice_try_fill_with(9, |index| {
        if index < 5 { Ok(counter.clone()) } else { Err(index) }
    });
    assert_eq!(result, Err(5));
    assert_eq!((std::rc::Rc::strong_count(&counter), arena.chunk_capacity()), (1, free));
    // An iterator that lies about its length is not trusted.
    struct Liar(usize);
    impl Iterator for Liar {
        type Item = usize;
        fn next(&mut self) -> Option<usize> {
            self.0 = self.0.checked_sub(1)?;
            Some(self.0)
        }
    }
    impl ExactSizeIterator for Liar {
        fn len(&self) -> usize {
            10
        }
    }
    assert_eq!(arena.alloc_slice_fill_iter(Liar(3)), [2, 1, 0]);
    assert_eq!(arena.alloc_slice_fill_iter(Liar(30)).len(), 10);
    arena.reset();
}

#[test]
fn a_large_value_that_fails_gives_its_run_back() {
    let arena = Arena::new_in(Heap::new());
    let error = arena.alloc_try_with(|| Err::<[u8; 100_000], _>("no")).unwrap_err();
    assert_eq!((error, arena.allocated_bytes_including_metadata()), ("no", 0));
    let error = arena.alloc_slice_try_fill_with(100_000, |_| Err::<u8, _>("no")).unwrap_err();
    assert_eq!((error, arena.allocated_bytes_including_metadata()), ("no", 0));
}

#[test]
fn an_outlier_is_not_kept() {
    let mut arena = Arena::new_in(Heap::new());
    for round in 0..50 {
        let size = if round == 7 { 8 << 20 } else { 3000 };
        for _ in 0..3 {
            arena.alloc_slice_fill_copy(size / 50, 1u8);
            arena.alloc_slice_fill_copy(size, 1u8);
        }
        arena.reset();
        assert!(arena.allocated_bytes_including_metadata() <= 1 << 20);
    }
}

#[test]
fn a_hash_map_in_an_arena() {
    let arena = Arena::new_in(Heap::new());
    let mut map =
        hashbrown::HashMap::with_hasher_in(hashbrown::DefaultHashBuilder::default(), &arena);
    for key in 0..1000u32 {
        map.insert(key, key * 2);
    }
    assert!((0..1000).all(|key| map[&key] == key * 2));
    let mut newer = allocator_api2_04::vec::Vec::new_in(&arena);
    newer.extend(0..100_000u32);
    let held = arena.allocated_bytes_including_metadata();
    assert!(held < 900 << 10, "old buffers went back: {held}");
    assert_eq!(newer[99_999], 99_999);
}
