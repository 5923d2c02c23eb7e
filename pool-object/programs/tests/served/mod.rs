//! Has the whole test binary served by `GlobalHeap`, and shows that it was, from the first test to what
//! is left when the last one is over.
#![cfg(all(unix, not(miri)))]

use pool_object::{GlobalHeap, SizeClass};
use std::alloc::Layout;
use std::ffi::c_int;

#[global_allocator]
static ALLOCATOR: GlobalHeap = GlobalHeap;

/// Live blocks of 72 bytes, which nobody else here has in such numbers.
fn live() -> usize {
    let class = SizeClass::of(Layout::new::<[u64; 9]>()).unwrap();
    GlobalHeap::heap().stats().classes[class.index()].live
}

/// When all tests are over, the heap is whole. (How much is still in use says nothing: whoever printed
/// a stack keeps its symbols.)
extern "C" fn at_the_end() {
    let heap = GlobalHeap::heap();
    heap.check().unwrap();
    let stats = heap.stats();
    let touched: usize = stats.used_classes().map(|class| class.touched_bytes).sum();
    assert!(stats.live() > 0 && touched > 1 << 20, "somebody else served this:\n{stats}");
}

#[test]
fn it_is_the_heap_that_serves() {
    let before = live();
    let boxes: Vec<Box<[u64; 9]>> = (0..100_000).map(|number| Box::new([number; 9])).collect();
    // What other threads' caches have is known as of a while ago, and other tests may have freed some.
    assert!(live() >= before + 80_000, "{before} and then {}", live());
    drop(boxes);
    // SAFETY: the function may be called at any time; if it panics the process is aborted.
    let error: c_int = unsafe { libc::atexit(at_the_end) };
    assert_eq!(error, 0);
}
