//! Vectors with the arena as their allocator: where they grow, and what they leave behind.

use allocator_api2::alloc::Allocator;
use allocator_api2::vec::Vec;
use pool_arena::Arena;
use pool_core::{Heap, PageSource};
use std::alloc::Layout;

/// Chunks of 16 KiB, large objects from 1 KiB on.
fn arena() -> Arena<Heap> {
    Arena::builder().first_chunk(16 << 10).large_from(1 << 10).build_in(Heap::new())
}

#[test]
fn a_vector_grows_in_place_though_others_allocate() {
    let arena = arena();
    let mut numbers = Vec::new_in(&arena);
    numbers.extend([0u32; 5]);
    numbers.reserve(10); // here it moves to where it can grow
    let start = numbers.as_ptr();
    for number in 0..600 {
        numbers.push(number);
        arena.alloc(number);
    }
    assert_eq!(start, numbers.as_ptr());
    assert_eq!(numbers[5..], (0..600).collect::<std::vec::Vec<_>>());
}

#[test]
fn what_a_vector_had_is_free_again() {
    let arena = arena();
    arena.alloc(1);
    let free = arena.chunk_capacity();
    let mut bytes = Vec::new_in(&arena);
    for byte in 0..5000 {
        bytes.push(byte as u8);
    }
    assert!(arena.chunk_capacity() <= free - 5000);
    bytes.truncate(10);
    bytes.shrink_to_fit();
    assert!(arena.chunk_capacity() >= free - 16);
    assert_eq!(bytes, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    drop(bytes);
    assert_eq!(arena.chunk_capacity(), free);
}

/// A block that has grown as long as a large object, where such an object could stand.
#[test]
fn a_grown_vector_is_not_taken_for_a_large_object() {
    for before in if cfg!(miri) { 0..3 } else { 0..16 } {
        let arena = arena();
        arena.alloc(0u64);
        // Moves what comes next by 8 bytes at a time over all addresses that objects could have.
        let mut spacer = arena.tail_vec::<u64>();
        spacer.extend(0..before);
        assert_eq!(spacer.finish().len(), before as usize);
        let layout = |bytes| Layout::from_size_align(bytes, 8).unwrap();
        let mut block = Allocator::allocate(&&arena, layout(8)).unwrap().cast::<u8>();
        // SAFETY: the block has 8 bytes.
        unsafe { block.write_bytes(7, 8) };
        let mut len = 8;
        for new in [64, 1000, 1016, 1017, 1023, 1024, 1025, 3000, 3001] {
            // SAFETY: currently allocated with this layout.
            block = unsafe { Allocator::grow(&&arena, block, layout(len), layout(new)) }
                .unwrap()
                .cast();
            len = new;
            assert_eq!(arena.stats().large, 0);
        }
        for new in [2000, 1024, 1023, 500, 9] {
            // SAFETY: currently allocated with this layout.
            block = unsafe { Allocator::shrink(&&arena, block, layout(len), layout(new)) }
                .unwrap()
                .cast();
            len = new;
        }
        // SAFETY: 8 bytes were written and moved along.
        assert_eq!(unsafe { block.cast::<[u8; 8]>().read() }, [7; 8]);
        // SAFETY: currently allocated with this layout.
        unsafe { Allocator::deallocate(&&arena, block, layout(len)) };
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long there")]
fn a_large_vector_leaves_no_old_runs_behind() {
    let arena = Arena::builder().max_chunk(8 << 10).large_from(4 << 10).build_in(Heap::new());
    let mut bytes = Vec::with_capacity_in(4 << 10, &arena);
    for byte in 0..if cfg!(miri) { 20_000u32 } else { 100_000 } {
        bytes.push(byte as u8);
    }
    assert_eq!(arena.stats().large, 1);
    assert!(arena.allocated_bytes_including_metadata() < 256 << 10);
    drop(bytes);
    assert_eq!(arena.allocated_bytes_including_metadata(), 0);
}

#[test]
fn a_vector_survives_a_refusal() {
    let arena = Arena::new_in(Heap::new().limited(40 << 10));
    let mut bytes = Vec::new_in(&arena);
    let mut len = 0;
    while bytes.try_reserve(1).is_ok() {
        bytes.push(len as u8);
        len += 1;
    }
    assert!(len >= 8 << 10);
    assert!(bytes.iter().enumerate().all(|(at, &byte)| byte == at as u8));
}

/// Sizes that are not large until they are rounded, at an address where a large object could stand,
/// in front of bytes that somebody else has written.
#[test]
fn almost_large_objects_are_given_back_as_what_they_are() {
    for size in [65528, 65529, 65535, 65536] {
        for by_vector in [false, true] {
            let arena = Arena::try_with_capacity_in(1 << 20, Heap::new()).unwrap();
            let here = std::ptr::from_mut(arena.alloc(0u64)).addr();
            arena.alloc_slice_fill_copy((here - 65536 - 64) % 4096, 0u8);
            if by_vector {
                let bytes = Vec::<u8, _>::with_capacity_in(size, &arena);
                arena.alloc([0x41u8; 64]);
                drop(bytes);
            } else {
                let filled = arena.alloc_slice_try_fill_with(size, |index| {
                    if index == 0 {
                        arena.alloc([0x41u8; 64]);
                    }
                    if index < 3 { Ok(0x41u8) } else { Err(()) }
                });
                assert!(filled.is_err());
            }
            assert_eq!(arena.stats().large, 0);
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long there")]
fn a_tail_gives_its_runs_back_whatever_is_large() {
    let arena = Arena::builder().max_chunk(64 << 10).large_from(1 << 20).build_in(Heap::new());
    let mut tail = arena.tail_vec::<u64>();
    for number in 0..200_000 {
        tail.push(number);
    }
    drop(tail);
    let stats = arena.stats();
    assert_eq!(stats.large, 0);
    assert_eq!(stats.held, stats.chunk_bytes + stats.spare_bytes);
}

#[test]
#[cfg_attr(miri, ignore = "too long there")]
fn chunks_grow_with_long_objects_too() {
    let arena = Arena::new_in(Heap::new());
    for _ in 0..1000 {
        arena.alloc_slice_fill_copy(16_000, 0u8);
    }
    assert!(arena.stats().chunks < 40, "{}", arena.stats());
}
