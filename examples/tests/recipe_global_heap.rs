//! The recipe that replaces the program's allocator: in a test program of its own, which it then serves.
#![forbid(unsafe_code)]

#[path = "../examples/global_heap.rs"]
mod global_heap;

/// One test alone, for the figures are of the whole process.
#[test]
fn the_whole_programs_allocator() {
    global_heap::main().unwrap();
}
