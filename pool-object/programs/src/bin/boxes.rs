//! Boxes of a number, made, looked at and dropped, as many as its argument says: what a program with `GlobalHeap`
//! registered as its allocator takes for them is counted by `.ci/bench.sh`, which runs this under callgrind.
#![forbid(unsafe_code)]

use pool_object::GlobalHeap;
use std::hint::black_box;

#[global_allocator]
static ALLOCATOR: GlobalHeap = GlobalHeap;

/// What is counted; the sum of what was in the boxes.
#[inline(never)]
fn pairs(boxes: u64) -> u64 {
    (0..boxes).map(|number| *black_box(Box::new(number))).sum()
}

fn main() {
    let boxes: u64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1000);
    assert_eq!(pairs(boxes), boxes * boxes.saturating_sub(1) / 2, "a box had another's content");
    assert_eq!(GlobalHeap::heap().check(), Ok(()));
}
