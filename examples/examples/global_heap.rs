//! The heap as the whole program's allocator: `cargo run -p examples --example global_heap`.
//!
//! `Box`, `Vec`, `String` and every library then use it, from every thread, without a change. Unlike other
//! allocators it can be asked: how much is live, how much is held, in which sizes of blocks.
#![forbid(unsafe_code)]

use pool_object::GlobalHeap;
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::mpsc;
use std::thread;

#[global_allocator]
static ALLOCATOR: GlobalHeap = GlobalHeap;

/// Builds something on one thread, drops it on another, and asks the heap.
pub fn main() -> Result<(), Box<dyn Error>> {
    let before = GlobalHeap::heap().stats().live_bytes();
    let (sender, receiver) = mpsc::channel();
    let builder = thread::spawn(move || {
        for round in 0..10_u32 {
            let map: BTreeMap<u32, String> =
                (0..1000).map(|index| (index, format!("{round}: {index}"))).collect();
            let _ = sender.send(map);
        }
    });
    let maps: Vec<_> = receiver.iter().collect();
    builder.join().map_err(|_| "the builder has panicked")?;
    assert_eq!(maps[3][&7], "3: 7");
    let with = GlobalHeap::heap().stats();
    println!("{with}");
    assert!(with.live_bytes() > before + 10 * 1000 * 16, "the maps are in this heap");

    drop(maps);
    let after = GlobalHeap::heap().stats().live_bytes();
    assert!(after < before + 64 * 1024, "{after} bytes are live, {before} before");
    println!("{} bytes given back", GlobalHeap::heap().trim());
    Ok(())
}
