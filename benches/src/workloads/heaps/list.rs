//! `list-free`: a list of a million nodes of 48 bytes is built, then freed node by node. `list-drop`: it
//! is freed with the heap that it is in, and only that is timed and counted. An operation is a node.
//!
//! Two words of a node are written. Each list of `list-drop` has a heap of its own. *Answers*: the sum of the nodes' numbers.

use crate::case::{Case, Point};
use crate::engine::Engine;
use crate::engines::heaps::{GlibcHeap, MimallocHeap, SharedAlloc, SmallAlloc, of_heaps};
use crate::heap::{Heap, Heaps, room};
use crate::opaque::escape;
use crate::workloads::{POOL_OBJECT, rounds};
use std::alloc::Layout;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

/// Nodes of a list.
const NODES: usize = if cfg!(miri) { 1000 } else { 1_000_000 };
/// Nodes under callgrind, in one list.
const SAMPLE: u64 = NODES as u64 / 4;

struct Node {
    next: Option<NonNull<Node>>,
    number: u64,
    _rest: [MaybeUninit<u64>; 4],
}

const LAYOUT: Layout = Layout::new::<Node>();
const _: () = assert!(LAYOUT.size() == 48);

pub(super) fn cases() -> Vec<Case> {
    let mut cases = of_heaps!(freed());
    cases.extend([
        dropped::<SmallAlloc>(),
        dropped::<SharedAlloc>(),
        dropped::<MimallocHeap>(),
        // Has nothing to drop: the list is freed node by node.
        dropped::<GlibcHeap>(),
    ]);
    cases
}

fn freed<E: Heaps>() -> Case {
    Case::new::<E>(POOL_OBJECT, "list-free", || {
        let heap = E::build(room(NODES * LAYOUT.size()));
        Box::new(move |n| {
            let mut sum = 0;
            let start = Instant::now();
            rounds(n, NODES, |count| {
                let list = build(&heap, count);
                sum += free(&heap, list);
            });
            let elapsed = start.elapsed();
            assert_eq!(sum, sum_of(n), "nodes are missing");
            elapsed
        })
    })
    .sample(SAMPLE)
    .at_least(NODES as u64)
    .remembering(over_time::<E>)
}

/// Looks at the memory while a list grows, and as many while it shrinks.
const LOOKS: usize = 20;

/// By how much the resident memory has grown while a list grows, is freed, and some time after.
fn over_time<E: Heaps>() -> Vec<Point> {
    let resident = || pool_core::process::resident_bytes().expect("the system tells") as u64;
    resident();
    let before = resident();
    let heap = E::build(room(NODES * LAYOUT.size()));
    let mut lists = Vec::with_capacity(LOOKS);
    let mut points = vec![(0, 0)];
    let mut look = || points.push((points.len() as u64, resident().saturating_sub(before)));
    for _ in 0..LOOKS {
        lists.push(build(&heap, NODES / LOOKS));
        look();
    }
    while let Some(list) = lists.pop() {
        free(&heap, list);
        look();
    }
    (0..LOOKS / 2).for_each(|_| look());
    points
}

fn dropped<E: Heaps>() -> Case {
    Case::new::<E>(POOL_OBJECT, "list-drop", || {
        Box::new(move |n| {
            let (mut sum, mut elapsed) = (0, Duration::ZERO);
            rounds(n, NODES, |count| {
                let heap = E::build(room(NODES * LAYOUT.size()));
                let list = build(&heap, count);
                let start = Instant::now();
                sum += let_go::<E>(heap, list);
                elapsed += start.elapsed();
            });
            assert_eq!(sum, sum_of(n), "nodes are missing");
            elapsed
        })
    })
    .sample(SAMPLE)
    .at_least(NODES as u64)
    .only_within("let_go")
}

/// What is measured of `list-drop`, by its name: a heap goes, with the list in it. Who drops a heap does not
/// go through it; its first node is looked at alone.
#[inline(never)]
#[allow(clippy::needless_pass_by_value, reason = "it is dropped here")]
fn let_go<E: Heaps>(heap: E::Store, list: Option<NonNull<Node>>) -> u64 {
    if E::NAME == GlibcHeap::NAME {
        return free(&heap, list);
    }
    list.map_or(0, |node| {
        // SAFETY: a live node.
        let last = unsafe { node.as_ref() }.number;
        last * (last + 1) / 2
    })
}

/// The sum of the numbers of so many nodes, in lists.
fn sum_of(n: u64) -> u64 {
    let of = |count: u64| count * count.saturating_sub(1) / 2;
    n / NODES as u64 * of(NODES as u64) + of(n % NODES as u64)
}

/// What is measured: nodes with the numbers from 0, the last one first.
#[inline(never)]
fn build<H: Heap>(heap: &H, count: usize) -> Option<NonNull<Node>> {
    let mut list = None;
    for number in 0..count as u64 {
        let node = heap.allocate(LAYOUT).cast::<Node>();
        // SAFETY: the block has room for a node, and is ours.
        unsafe { node.write(Node { next: list, number, _rest: [MaybeUninit::uninit(); 4] }) };
        escape(node.as_ptr().cast());
        list = Some(node);
    }
    list
}

/// What is measured as well; returns the sum of the nodes' numbers.
#[inline(never)]
fn free<H: Heap>(heap: &H, mut list: Option<NonNull<Node>>) -> u64 {
    let mut sum = 0;
    while let Some(node) = list {
        // SAFETY: a live node, which is freed below.
        let Node { next, number, .. } = unsafe { node.read() };
        sum += number;
        list = next;
        // SAFETY: allocated by `build` from this heap, and freed once.
        unsafe { heap.deallocate(node.cast(), LAYOUT) };
    }
    sum
}
