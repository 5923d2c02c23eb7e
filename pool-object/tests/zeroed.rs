//! Zeroed blocks: zeros whatever was in the memory before, and not written when it is known to be zero.

use pool_core::{Heap, PageError, PageSource, Request, Run};
use pool_object::{BlockAlloc, SharedAlloc, SmallAlloc};
use std::alloc::Layout;
use std::ptr::NonNull;

/// Fills what it hands out with a byte; and says, true or not, that it is all zeros.
struct Filled {
    byte: u8,
    says_zeroed: bool,
}

// SAFETY: runs are `Heap`'s, which keeps the contract. With another byte than 0 it lies about zeros, if it
// is told to: so a test sees what a heap takes on trust. All bytes stay initialised.
unsafe impl PageSource for Filled {
    fn granule(&self) -> usize {
        Heap::new().granule()
    }

    fn acquire(&self, request: Request) -> Result<Run, PageError> {
        let run = Heap::new().acquire(request)?;
        // SAFETY: the run is so long, and ours.
        unsafe { run.ptr().write_bytes(self.byte, run.len()) };
        Ok(run.with_zeroed(self.says_zeroed))
    }

    unsafe fn release(&self, run: Run) {
        // SAFETY: the caller's promise; it came from there.
        unsafe { Heap::new().release(run) };
    }
}

const HONEST: Filled = Filled { byte: 0, says_zeroed: true };
const DIRTY: Filled = Filled { byte: 0x5A, says_zeroed: false };
const LIAR: Filled = Filled { byte: 0x5A, says_zeroed: true };

/// Miri looks at each byte for long.
const LONG: usize = if cfg!(miri) { 1500 } else { 5000 };
const LONGEST: usize = if cfg!(miri) { 2049 } else { 32_768 };

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).unwrap()
}

fn bytes(block: NonNull<u8>, size: usize) -> &'static mut [u8] {
    // SAFETY: the block has so many bytes, all initialised by the source, and each test has it alone as
    // long as it lives.
    unsafe { std::slice::from_raw_parts_mut(block.as_ptr(), size) }
}

/// Whether all of them are this one. Miri compares slices at once.
fn all(bytes: &[u8], byte: u8) -> bool {
    *bytes == *vec![byte; bytes.len()]
}

/// Whether a fresh zeroed block of so many bytes was written.
fn is_written(heap: &dyn BlockAlloc, size: usize) -> bool {
    let block = heap.try_allocate_zeroed(layout(size)).unwrap();
    let bytes = bytes(block, size);
    let written = all(bytes, 0);
    assert!(written || all(bytes, 0x5A), "a part of {size} bytes");
    // SAFETY: allocated above, freed once.
    unsafe { heap.deallocate(block, layout(size)) };
    written
}

fn on_both(source: fn() -> Filled, test: impl Fn(&dyn BlockAlloc)) {
    test(&SmallAlloc::new_in(source()));
    test(&SharedAlloc::new_in(source()));
    test(&SharedAlloc::new_in(source()).with_cache_bytes(0));
}

#[test]
fn fresh_blocks_are_not_written() {
    for (size, written) in [(8, true), (1000, true), (1024, false), (LONG, false), (LONGEST, false)]
    {
        on_both(|| LIAR, |heap| assert_eq!(is_written(heap, size), written, "{size}"));
        on_both(|| DIRTY, |heap| assert!(is_written(heap, size), "{size}"));
    }
}

#[test]
fn each_block_of_a_fresh_span_is_fresh_once() {
    on_both(
        || LIAR,
        |heap| {
            // As many as fit into a span.
            let (size, count) = if cfg!(miri) { (4096, 15) } else { (2048, 31) };
            let blocks: Vec<_> =
                (0..count).map(|_| heap.try_allocate_zeroed(layout(size)).unwrap()).collect();
            let fresh = blocks.iter().filter(|block| bytes(**block, size)[0] == 0x5A).count();
            assert_eq!(fresh, count);
            for block in blocks {
                // SAFETY: allocated above, freed once.
                unsafe { heap.deallocate(block, layout(size)) };
            }
            // As many again as fit in the span: all of them were somebody's.
            for _ in 0..count {
                assert!(is_written(heap, size));
            }
        },
    );
}

#[test]
fn what_was_used_is_zeroed_whatever_its_class_was() {
    on_both(
        || HONEST,
        |heap| {
            let mut random = 1u64;
            for round in 0..if cfg!(miri) { 2 } else { 60 } {
                let mut blocks = Vec::new();
                for _ in 0..if cfg!(miri) { 4 } else { 100 } {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let size =
                        1 + (random >> 33) as usize % if round % 2 == 0 { 5000 } else { 1500 };
                    let zeroed = (random >> 60) % 2 == 0;
                    let block = match zeroed {
                        true => heap.try_allocate_zeroed(layout(size)).unwrap(),
                        false => heap.try_allocate(layout(size)).unwrap(),
                    };
                    let bytes = bytes(block, size);
                    assert!(!zeroed || all(bytes, 0), "{size}");
                    bytes.fill(0xFF);
                    blocks.push((block, size));
                }
                for (block, size) in blocks {
                    // SAFETY: allocated above, freed once.
                    unsafe { heap.deallocate(block, layout(size)) };
                }
            }
        },
    );
}

/// Spans that went empty serve another class: what that one did not touch is fresh still.
#[test]
fn a_spare_span_remembers_how_far_it_was_used() {
    let heap = SmallAlloc::new_in(LIAR);
    let blocks: Vec<_> = (0..8).map(|_| heap.allocate(layout(4096))).collect();
    for block in blocks {
        bytes(block, 4096).fill(1);
        // SAFETY: allocated above, freed once.
        unsafe { heap.deallocate(block, layout(4096)) };
    }
    heap.flush();
    assert_eq!(heap.stats().spare, 1);
    let fresh = |block: &NonNull<u8>| bytes(*block, 2048)[7] == 0x5A;
    let blocks: Vec<_> = (0..31).map(|_| heap.allocate_zeroed(layout(2048))).collect();
    // Sixteen stand where those eight were, or more, since a few are cut at once.
    let count = blocks.iter().filter(|block| fresh(block)).count();
    assert_eq!((heap.stats().spare, heap.spans().count()), (0, 1));
    assert!((1..=15).contains(&count), "{count}");
    let first = blocks.iter().position(fresh).unwrap();
    assert!(blocks[first..].iter().all(fresh), "none that is fresh stands before one that is not");
}
