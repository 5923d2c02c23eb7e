//! Instructions and cache misses of our engines by gungraun, 1,000 operations each:
//! `cargo bench -p benches --features gungraun --bench pool_core_ir`, with `gungraun-runner` of the
//! same version installed. `table` counts the same without it.
#![allow(missing_docs, reason = "the macros write public modules")]

use benches::{Prepared, find};
use gungraun::prelude::*;
use std::hint::black_box;

const OPERATIONS: u64 = 1000;

/// Not counted.
fn prepare(engine: &str, workload: &str) -> Prepared {
    find(workload, engine).expect("a case of this name").prepare()
}

#[library_benchmark]
#[bench::local_cache(prepare("LocalCache", "pair-16k"))]
#[bench::global(prepare("Global", "pair-16k"))]
#[bench::cache(prepare("Cache", "pair-16k"))]
#[bench::buddy(prepare("Buddy", "pair-16k"))]
#[bench::mmap(prepare("Mmap", "pair-16k"))]
#[bench::vec(prepare("Vec<ptr>", "pair-16k"))]
#[bench::array_queue(prepare("ArrayQueue<Run>", "pair-16k"))]
fn pair_16k(mut run: Prepared) -> Prepared {
    black_box(run(black_box(OPERATIONS)));
    run
}

#[library_benchmark]
#[bench::buddy(prepare("Buddy", "buddy-half"))]
#[bench::mmap(prepare("Mmap", "buddy-half"))]
#[bench::buddy_system(prepare("buddy_system Heap", "buddy-half"))]
fn buddy_half(mut run: Prepared) -> Prepared {
    black_box(run(black_box(OPERATIONS)));
    run
}

#[library_benchmark]
#[bench::buddy(prepare("Buddy", "buddy-singles-8k"))]
#[bench::mmap(prepare("Mmap", "buddy-singles-8k"))]
#[bench::frames(prepare("buddy_system Frames", "buddy-singles-8k"))]
fn buddy_singles_8k(mut run: Prepared) -> Prepared {
    black_box(run(black_box(OPERATIONS)));
    run
}

library_benchmark_group!(name = pool_core, benchmarks = [pair_16k, buddy_half, buddy_singles_8k]);

main!(library_benchmark_groups = pool_core);
