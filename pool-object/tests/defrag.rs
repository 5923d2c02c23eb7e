//! Memory after a spike: most of what was live is gone, at random; what is left moves together.

use allocator_api2::{boxed::Box as PlainBox, vec::Vec as PlainVec};
use allocator_api2_04::vec::Vec as Vec04;
use pool_core::{Failing, Heap, PageSource, Stats};
use pool_object::{LocalHeap, PoolBox, Relocate, SmallAlloc, Traced};
use std::alloc::Layout;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }
}

type Handle = LocalHeap<Stats<Heap>>;

/// One of each kind of owner that moves.
enum Owner {
    Pool(PoolBox<[u8], Handle>),
    Text(PoolBox<str, Handle>),
    Value(PoolBox<[u64; 12], Handle>),
    Plain(PlainBox<[u8], Handle>),
    Vector(PlainVec<u8, Handle>),
    Vector04(Vec04<u8, Handle>),
}

impl Owner {
    fn new(number: usize, len: usize, heap: &Handle) -> Self {
        let (byte, heap) = (b'a' + (number % 26) as u8, heap.clone());
        match number % 6 {
            0 => Self::Pool(PoolBox::from_iter_in((0..len).map(|_| byte), heap)),
            1 => Self::Text(PoolBox::copy_from_str_in(
                &char::from(byte).to_string().repeat(len),
                heap,
            )),
            2 => Self::Value(PoolBox::new_in([number as u64; 12], heap)),
            3 => {
                let mut vector = PlainVec::with_capacity_in(len, heap);
                vector.resize(len, byte);
                Self::Plain(vector.into_boxed_slice())
            }
            4 => {
                let mut vector = PlainVec::with_capacity_in(len + 5, heap);
                vector.resize(len, byte);
                Self::Vector(vector)
            }
            _ => {
                let mut vector = Vec04::new_in(heap);
                vector.resize(len, byte);
                Self::Vector04(vector)
            }
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Pool(owner) => owner,
            Self::Text(owner) => owner.as_bytes(),
            Self::Value(_) => &[],
            Self::Plain(owner) => owner,
            Self::Vector(owner) => owner,
            Self::Vector04(owner) => owner,
        }
    }

    fn check(&self, number: usize, len: usize) {
        if let Self::Value(value) = self {
            assert_eq!(**value, [number as u64; 12]);
            return;
        }
        let byte = b'a' + (number % 26) as u8;
        assert!(self.bytes().len() == len && self.bytes().iter().all(|other| *other == byte));
    }
}

impl Relocate for Owner {
    fn relocate(&mut self) -> bool {
        match self {
            Self::Pool(owner) => owner.relocate(),
            Self::Text(owner) => owner.relocate(),
            Self::Value(owner) => owner.relocate(),
            Self::Plain(owner) => owner.relocate(),
            Self::Vector(owner) => owner.relocate(),
            Self::Vector04(owner) => owner.relocate(),
        }
    }
}

const SPIKE: usize = if cfg!(miri) { 150 } else { 700_000 };
const LEN: usize = if cfg!(miri) { 40 } else { 300 };

#[test]
fn after_a_spike_one_pass_is_enough() {
    let heap = Handle::new_in(Heap::new().counted());
    let mut random = Random(11);
    let mut owners: Vec<_> = (0..SPIKE)
        .map(|number| {
            let len = 1 + random.below(LEN);
            (number, len, Owner::new(number, len, &heap))
        })
        .collect();
    let spike = heap.stats().held_bytes();
    owners.retain(|_| random.below(16) == 0);
    heap.trim();
    let (before, live) = (heap.stats(), heap.stats().live_bytes());
    if !cfg!(miri) {
        assert!(before.held_bytes() > spike * 9 / 10, "nothing goes back by itself: {before}");
    }
    let hope = heap.mark_sparse(75);
    let mut moved = 0;
    for (_, _, owner) in &mut owners {
        moved += usize::from(owner.relocate());
        // The program goes on.
        drop(Owner::new(random.below(100), 1 + random.below(LEN), &heap));
    }
    heap.trim();
    let after = heap.stats();
    assert_eq!(heap.check(), Ok(()));
    owners.iter().for_each(|(number, len, owner)| owner.check(*number, *len));
    assert_eq!((after.live(), after.live_bytes()), (before.live(), live));
    let held = heap.source().traffic().live_bytes;
    if !cfg!(miri) {
        assert!(moved > owners.len() * 8 / 10, "{moved} of {}", owners.len());
        assert!(held * 10 <= live * 13, "{held} bytes for {live}\n{after}");
        assert!(before.held_bytes() - held >= hope * 9 / 10, "{hope} bytes were hoped for");
    }
    assert!(held <= before.held_bytes());
    drop(owners);
    assert_eq!((heap.stats().live(), heap.check()), (0, Ok(())));
}

/// Spans that a program cannot do without are not sparse, nor those that are nearly full.
#[test]
fn little_moves_when_little_is_to_be_had() {
    let heap = SmallAlloc::new_in(Heap::new());
    let layout = Layout::new::<[u8; 1024]>();
    let boxes: Vec<_> = (0..630).map(|_| PoolBox::new_in([1u8; 1024], &heap)).collect();
    assert_eq!(heap.mark_sparse(100), 0);
    // Each tenth: nine of ten spans would do, but to 90 % full is too much work.
    let mut number = 0;
    let mut boxes: Vec<_> =
        boxes.into_iter().filter(|_| (number += 1, number % 10 != 0).1).collect();
    assert_eq!(heap.mark_sparse(75), 0);
    assert_eq!(heap.mark_sparse(100), 64 << 10);
    let sparse = boxes.iter().filter(|value| heap.is_sparse(&raw const ***value, layout)).count();
    assert_eq!(sparse, boxes.iter_mut().map(Relocate::relocate).filter(|moved| *moved).count());
    assert!((1..63).contains(&sparse), "{sparse}");
    heap.flush();
    assert!(heap.spans().all(|span| span.used > 60));
}

type Refusing<'s> = SmallAlloc<&'s Failing<Heap>>;

/// Five spans, a fifth of whose blocks is live.
fn fifths<'h, 's>(heap: &'h Refusing<'s>) -> Vec<PoolBox<[u8; 1024], &'h Refusing<'s>>> {
    let mut boxes: Vec<_> = (0..5 * 63).map(|_| PoolBox::new_in([1u8; 1024], heap)).collect();
    let mut number = 0;
    boxes.retain(|_| (number += 1, number % 5 == 0).1);
    heap.flush();
    boxes
}

#[test]
fn what_is_refused_stays_where_it_is() {
    let counting = Failing::never(Heap::new());
    drop(fifths(&SmallAlloc::new_in(&counting)));
    // The next call of the source is for the table of sparse spans.
    let source = Failing::nth(Heap::new(), counting.calls());
    let heap = SmallAlloc::new_in(&source);
    let mut boxes = fifths(&heap);
    assert_eq!((heap.spans().count(), heap.mark_sparse(100)), (5, 0));
    assert_eq!(source.calls(), counting.calls() + 1);
    assert!(!boxes.iter_mut().any(Relocate::relocate));
    // The next time it has memory.
    assert_eq!(heap.mark_sparse(100), 4 << 16);
    assert_eq!(boxes.iter_mut().map(Relocate::relocate).filter(|moved| *moved).count(), 50);
    heap.trim();
    assert_eq!((heap.spans().count(), heap.stats().table_bytes), (1, 0));
    assert!(boxes.iter().all(|value| **value == [1u8; 1024]));
}

/// Blocks of sparse spans that were freed meanwhile do not stand in the way of those that move.
#[test]
fn a_program_that_goes_on_does_not_hinder_it() {
    let heap = SmallAlloc::new_in(Heap::new());
    let spans = if cfg!(miri) { 4 } else { 20 };
    let mut boxes: Vec<_> =
        (0..spans * 15).map(|number| PoolBox::new_in([number as u8; 4096], &heap)).collect();
    let mut number = 0;
    boxes.retain(|_| (number += 1, number % 4 == 0).1);
    heap.mark_sparse(75);
    let mut random = Random(5);
    for step in 0..4 * boxes.len() {
        // Some are replaced: their old blocks are the next ones handed out.
        let at = random.below(boxes.len());
        boxes[at] = PoolBox::new_in([step as u8; 4096], &heap);
        let len = boxes.len();
        boxes[step % len].relocate();
    }
    heap.trim();
    assert_eq!(heap.check(), Ok(()));
    assert!(heap.spans().count() <= spans * 3 / 10 + 1, "{}", heap.stats());
}

#[test]
#[cfg_attr(miri, ignore = "the unwinder takes long")]
fn a_traced_heap_knows_where_its_blocks_went() {
    let traced = Traced::new(SmallAlloc::new_in(Heap::new()));
    let mut boxes: Vec<_> = (0..4 * 63).map(|_| PoolBox::new_in([1u8; 1024], &traced)).collect();
    let mut number = 0;
    boxes.retain(|_| (number += 1, number % 4 == 0).1);
    traced.inner().mark_sparse(75);
    assert!(boxes.iter_mut().map(Relocate::relocate).filter(|moved| *moved).count() > 30);
    assert_eq!(traced.samples(), boxes.len());
    drop(boxes);
    assert_eq!(traced.samples(), 0);
}

#[test]
fn what_has_no_block_does_not_move() {
    let heap = LocalHeap::new_in(Heap::new());
    let mut nothing = (
        PlainVec::<u8, _>::new_in(heap.clone()),
        PlainVec::<(), _>::from_iter_in([(); 5], heap.clone()),
        PlainVec::<u8, _>::new_in(heap.clone()).into_boxed_slice(),
        PoolBox::new_in([1u8; 100_000], heap.clone()),
        None::<PoolBox<u8, Handle>>,
    );
    heap.mark_sparse(100);
    assert!(!nothing.0.relocate() && !nothing.1.relocate() && !nothing.2.relocate());
    assert!(!nothing.3.relocate() && !nothing.4.relocate());
}

trait FromIterIn<T, A> {
    fn from_iter_in(values: impl IntoIterator<Item = T>, alloc: A) -> Self;
}

impl<T, A: allocator_api2::alloc::Allocator> FromIterIn<T, A> for PlainVec<T, A> {
    fn from_iter_in(values: impl IntoIterator<Item = T>, alloc: A) -> Self {
        let mut vector = Self::new_in(alloc);
        vector.extend(values);
        vector
    }
}

#[test]
fn absurd_percentages_mark_what_can_be_marked() {
    let heap = SmallAlloc::new();
    let _boxed = PoolBox::new_in(1u64, &heap);
    assert!(heap.mark_sparse(usize::MAX) <= 1);
}
