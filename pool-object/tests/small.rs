//! `SmallAlloc`: what goes back when, what is refused, what is found.

use core::alloc::Layout;
use core::ptr::NonNull;
use pool_core::{Heap, PageSource, Stats};
use pool_object::{AllocError, BlockAlloc, SizeClass, SmallAlloc};

type Counted = Stats<Heap>;

const SPAN: usize = 64 << 10;
/// Small blocks; Miri gets longer and so fewer ones.
const SIZE: usize = if cfg!(miri) { 4096 } else { 40 };
const BLOCK: Layout = match Layout::from_size_align(SIZE, 8) {
    Ok(layout) => layout,
    Err(_) => panic!(),
};
/// Such blocks in a span.
const IN_SPAN: usize = (SPAN - 64) / SIZE;

fn heap() -> SmallAlloc<Counted> {
    SmallAlloc::new_in(Heap::new().counted())
}

/// Bytes held for blocks.
fn held(heap: &SmallAlloc<Counted>) -> usize {
    heap.source().traffic().live_bytes - heap.stats().table_bytes
}

fn many<S: PageSource>(heap: &SmallAlloc<S>, layout: Layout, count: usize) -> Vec<NonNull<u8>> {
    (0..count).map(|_| heap.allocate(layout)).collect()
}

fn free<S: PageSource>(
    heap: &SmallAlloc<S>,
    layout: Layout,
    blocks: impl IntoIterator<Item = NonNull<u8>>,
) {
    for block in blocks {
        // SAFETY: the tests free each block once, with its layout.
        unsafe { heap.deallocate(block, layout) };
    }
}

/// In an order that is neither that of allocation nor its reverse.
fn shuffled(mut blocks: Vec<NonNull<u8>>) -> Vec<NonNull<u8>> {
    let mut seed = 1u64;
    for index in (1..blocks.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        blocks.swap(index, (seed >> 33) as usize % (index + 1));
    }
    blocks
}

#[test]
fn nothing_is_acquired_before_the_first_allocation() {
    let heap = heap();
    heap.flush();
    assert_eq!((heap.trim(), held(&heap), heap.check()), (0, 0, Ok(())));
}

#[test]
fn blocks_cost_no_more_than_their_size() {
    let heap = heap();
    let blocks = many(&heap, BLOCK, 4 * IN_SPAN);
    assert_eq!(held(&heap), 4 * SPAN);
    free(&heap, BLOCK, blocks);
}

#[test]
fn a_dropped_heap_returns_everything_live_or_not() {
    let source = Heap::new().counted();
    let heap = SmallAlloc::new_in(&source);
    for size in [1, 40, 500, 4000, 20_000, 100_000] {
        many(&heap, Layout::from_size_align(size, 8).unwrap(), 20);
    }
    assert!(source.traffic().live_bytes > 0);
    drop(heap);
    assert_eq!(source.traffic().live_bytes, 0);
}

#[test]
fn memory_goes_back_by_itself_within_the_reserve() {
    let spans = if cfg!(miri) { 6 } else { 100 };
    let reserves = [0, 3 * SPAN, SPAN, 2 << 20];
    for reserve in reserves.into_iter().take(if cfg!(miri) { 2 } else { 4 }) {
        let heap = heap();
        heap.set_reserve(reserve);
        let blocks = shuffled(many(&heap, BLOCK, spans * IN_SPAN));
        assert_eq!(held(&heap), spans * SPAN);
        free(&heap, BLOCK, blocks);
        assert!(held(&heap) <= reserve, "{} of {reserve}", held(&heap));
        heap.trim();
        assert_eq!(held(&heap), 0);
    }
}

#[test]
fn idle_classes_share_one_reserve() {
    let heap = heap();
    let reserve = 4 * SPAN;
    heap.set_reserve(reserve);
    let least = if cfg!(miri) { 1024 } else { 1 };
    let small = SizeClass::all().filter(|class| class.span_len() == SPAN && class.size() >= least);
    for class in small.step_by(if cfg!(miri) { 5 } else { 1 }) {
        let layout = Layout::from_size_align(class.size(), 8).unwrap();
        let blocks = many(&heap, layout, class.blocks() * 2);
        free(&heap, layout, blocks);
        assert!(held(&heap) <= reserve, "{}", held(&heap));
    }
    let tables = heap.stats().table_bytes;
    assert!(tables <= 256 << 10, "{tables}");
}

#[test]
fn going_up_and_down_does_not_ask_the_source() {
    let counts = [1, IN_SPAN + 1, 3 * IN_SPAN, 1000.min(IN_SPAN - 1), IN_SPAN, 2];
    for count in counts.into_iter().take(if cfg!(miri) { 3 } else { 6 }) {
        let heap = heap();
        let mut acquired = 0;
        for round in 0..5 {
            let blocks = shuffled(many(&heap, BLOCK, count));
            free(&heap, BLOCK, blocks);
            if round == 1 {
                acquired = heap.source().traffic().acquired;
            }
        }
        assert_eq!(heap.source().traffic().acquired, acquired, "{count}");
    }
}

#[test]
fn most_of_a_class_goes_back_though_some_of_it_stays() {
    let heap = heap();
    heap.set_reserve(0);
    let spans = if cfg!(miri) { 6 } else { 60 };
    let mut blocks = many(&heap, BLOCK, spans * IN_SPAN);
    let rest = blocks.split_off(blocks.len() - 10);
    free(&heap, BLOCK, blocks);
    // What the magazines have, and the span of the rest.
    assert!(held(&heap) <= 3 * SPAN, "{}", held(&heap));
    heap.trim();
    assert_eq!(held(&heap), SPAN);
    free(&heap, BLOCK, rest);
    assert_eq!(heap.source().traffic().live_bytes, 0);
}

#[test]
fn idle_memory_yields_to_whoever_needs_it() {
    let budget = 4 * SPAN;
    let heap = SmallAlloc::new_in(Heap::new().limited(budget));
    let blocks = many(&heap, BLOCK, 4 * IN_SPAN);
    assert!(matches!(heap.try_allocate(BLOCK), Err(AllocError::Source { .. })));
    free(&heap, BLOCK, blocks);
    // All of it idles in another class, and within the reserve.
    let other = Layout::new::<[u8; if cfg!(miri) { 2048 } else { 256 }]>();
    let blocks = many(&heap, other, 4 * ((SPAN - 64) / other.size()));
    let error = heap.try_allocate(Layout::new::<[u8; 2 * SPAN]>()).unwrap_err();
    assert!(error.to_string().contains("131072 bytes aligned to 1 were asked for"), "{error}");
    free(&heap, other, blocks);
    let large = Layout::new::<[u8; 2 * SPAN]>();
    let block = heap.allocate(large);
    free(&heap, large, [block]);
}

#[test]
fn large_blocks_grow_and_shrink_in_place_where_the_run_allows() {
    let heap = heap();
    let layout = |size| Layout::from_size_align(size, 8).unwrap();
    let block = heap.allocate(layout(100_000));
    let run = heap.stats().large_bytes;
    // SAFETY: live, of this heap, and of the layout it was last relaid to.
    let same = unsafe { heap.reallocate(block, layout(100_000), run) };
    assert_eq!(same, block);
    // SAFETY: as above.
    let same = unsafe { heap.reallocate(block, layout(run), run / 2) };
    assert_eq!(same, block);
    // SAFETY: as above.
    let moved = unsafe { heap.reallocate(block, layout(run / 2), run + 1) };
    assert_ne!(moved, block);
    // SAFETY: as above.
    let small = unsafe { heap.reallocate(moved, layout(run + 1), 100) };
    assert_eq!((heap.stats().large, heap.stats().live()), (0, 1));
    // SAFETY: as above.
    let error = unsafe { heap.try_reallocate(small, layout(100), usize::MAX) }.unwrap_err();
    assert_eq!(error, AllocError::TooLarge { size: usize::MAX, align: 8 });
    free(&heap, layout(100), [small]);
}

#[test]
fn alignments_are_met_up_to_spans_and_beyond() {
    let heap = heap();
    let (most, step) = if cfg!(miri) { (17, 4) } else { (20, 1) };
    for align in (0..=most).step_by(step).chain([most]).map(|log2| 1 << log2) {
        for size in [0, 1, align / 2 + 1, align, align + 1] {
            let layout = Layout::from_size_align(size, align).unwrap();
            let blocks = [heap.allocate(layout), heap.allocate_zeroed(layout)];
            assert!(blocks.iter().all(|block| block.addr().get() % align == 0), "{layout:?}");
            assert_ne!(blocks[0], blocks[1]);
            free(&heap, layout, blocks);
        }
    }
    assert_eq!((heap.stats().live(), heap.check()), (0, Ok(())));
}

#[test]
fn granules_longer_than_a_span_are_used_as_spans() {
    let heap = SmallAlloc::new_in(Heap::with_granule(1 << 18));
    let blocks = many(&heap, BLOCK, 2 * IN_SPAN);
    assert_eq!(heap.stats().held_bytes(), 3 << 18, "two spans, and the arrays of magazines");
    free(&heap, BLOCK, blocks);
    assert_eq!(heap.check(), Ok(()));
}

/// Sizes from 8 bytes to 1 MiB, replaced at random: after it has warmed up the heap holds no more.
#[test]
#[cfg_attr(miri, ignore = "too long")]
fn a_steady_state_does_not_grow() {
    let heap = heap();
    let mut seed = 9u64;
    let mut random = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize
    };
    let mut size = move || (8 << (random() % 18)) + random() % 8;
    let mut slots: Vec<Option<(NonNull<u8>, Layout)>> = vec![None; 1000];
    let mut peaks = [0; 4];
    for (quarter, peak) in peaks.iter_mut().enumerate() {
        for step in 0..50_000usize {
            let slot = &mut slots[(step * 7919 + quarter) % 1000];
            if let Some((block, layout)) = slot.take() {
                free(&heap, layout, [block]);
            }
            let layout = Layout::from_size_align(size(), 8).unwrap();
            *slot = Some((heap.allocate(layout), layout));
            if step % 100 == 0 {
                *peak = held(&heap).max(*peak);
            }
        }
    }
    let first = peaks[0].max(peaks[1]);
    assert!(peaks[3] <= first + first / 10, "{peaks:?}");
    for (block, layout) in slots.into_iter().flatten() {
        free(&heap, layout, [block]);
    }
    assert!(held(&heap) <= 2 << 20);
}

#[test]
fn a_heap_may_move_with_its_blocks() {
    let heap = heap();
    let layout = Layout::new::<u64>();
    let block = heap.allocate(layout).cast::<u64>();
    // SAFETY: a block for a u64, ours.
    unsafe { block.write(7) };
    let moved = Box::new(heap);
    // SAFETY: written above; the heap moved, its spans did not.
    assert_eq!(unsafe { block.read() }, 7);
    free(&moved, layout, [block.cast()]);
}

#[test]
fn check_finds_blocks_that_were_written_to_after_their_end() {
    let heap = heap();
    let blocks = many(&heap, BLOCK, 3);
    free(&heap, BLOCK, [blocks[0], blocks[1]]);
    assert_eq!(heap.check(), Ok(()));
    heap.flush();
    // SAFETY: the memory is still there, and the first word of a free block in a span is a link.
    let link =
        unsafe { blocks[1].cast::<Option<NonNull<u8>>>().replace(Some(NonNull::dangling())) };
    let corruption = heap.check().unwrap_err();
    assert_eq!(corruption.class.size(), SIZE);
    assert!(corruption.to_string().contains("written to"), "{corruption}");
    // SAFETY: as above; the list as it was.
    unsafe { blocks[1].cast().write(link) };
}

#[test]
#[cfg_attr(miri, ignore = "it leaks on purpose")]
fn check_finds_blocks_that_were_freed_twice() {
    let heap = heap();
    let blocks = many(&heap, BLOCK, 3);
    free(&heap, BLOCK, [blocks[0], blocks[1]]);
    // A crime, but so far nobody was handed the block.
    free(&heap, BLOCK, [blocks[0]]);
    assert!(heap.check().unwrap_err().to_string().contains("freed twice"));
    std::mem::forget(heap);
}

#[test]
fn spans_are_emptied_by_moving_what_is_in_them() {
    let mut heap = heap();
    let spans = if cfg!(miri) { 4 } else { 100 };
    let mut blocks = shuffled(many(&heap, BLOCK, spans * IN_SPAN));
    let mut rest = blocks.split_off(blocks.len() * 9 / 10);
    for (number, block) in rest.iter().enumerate() {
        // SAFETY: live, and 40 bytes long.
        unsafe { block.cast::<u64>().write(number as u64) };
    }
    free(&heap, BLOCK, blocks);
    let before = {
        heap.flush();
        heap.spans().count()
    };
    assert!(heap.mark_sparse(75) >= before / 2 * SPAN);
    for block in &mut rest {
        // SAFETY: live, and known by this pointer alone.
        if let Some(moved) = unsafe { heap.try_relocate(*block, BLOCK) } {
            *block = moved;
        }
    }
    heap.flush();
    for (number, block) in rest.iter().enumerate() {
        // SAFETY: live, and written above.
        assert_eq!(unsafe { block.cast::<u64>().read() }, number as u64);
    }
    heap.trim();
    assert_eq!(heap.check(), Ok(()));
    let after = heap.spans().count();
    assert_eq!(after, before.div_ceil(10), "a tenth was live");
    heap.clear();
}

#[test]
fn fresh_large_blocks_are_zero() {
    let heap = heap();
    let layout = Layout::new::<[u8; 100_000]>();
    for _ in 0..3 {
        let block = heap.allocate_zeroed(layout);
        // SAFETY: zeroed, so initialised, and so long.
        let bytes = unsafe { core::slice::from_raw_parts_mut(block.as_ptr(), 100_000) };
        assert!(*bytes == [0; 100_000]);
        bytes.fill(1);
        free(&heap, layout, [block]);
    }
}

/// Spans leave and are given back between two steps of who looks at them.
#[test]
fn spans_can_be_looked_at_while_they_change() {
    let heap = SmallAlloc::new_in(Heap::new());
    let mut blocks = many(&heap, BLOCK, 6 * IN_SPAN);
    let mut spans = heap.spans();
    let mut seen = 0;
    while spans.next().is_some() {
        seen += 1;
        let rest = blocks.split_off(blocks.len().saturating_sub(IN_SPAN));
        free(&heap, BLOCK, rest);
        heap.trim();
    }
    assert!((1..=6).contains(&seen), "{seen}");
    drop(spans);
    free(&heap, BLOCK, blocks);
}

#[test]
fn waste_outside_and_inside_of_blocks() {
    let heap = heap();
    let layout = |size| Layout::from_size_align(size, 8).unwrap();
    let of = |size| {
        let class = SizeClass::of(layout(size)).unwrap();
        heap.stats().classes[class.index()]
    };
    assert_eq!((of(24).outside_bytes(), of(24).inside_bytes_at_most()), (0, 0));
    // The next smaller classes are of 16 bytes, none, and 30 KiB.
    let all = [(24, 10, 10 * (24 - 17)), (8, 3, 3 * 7), (32 << 10, 2, 2 * ((2 << 10) - 1))];
    for (size, count, inside) in all {
        let blocks = many(&heap, layout(size), count);
        let stats = of(size);
        assert_eq!(stats.inside_bytes_at_most(), inside, "{size}");
        assert_eq!(stats.outside_bytes(), stats.held_bytes - count * size, "{size}");
        assert_eq!(stats.held_bytes, stats.class.span_len(), "{size}: one span has them all");
        free(&heap, layout(size), blocks);
        let stats = of(size);
        assert_eq!((stats.outside_bytes(), stats.inside_bytes_at_most()), (stats.held_bytes, 0));
    }
}
