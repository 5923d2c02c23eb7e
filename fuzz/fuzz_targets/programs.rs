//! Any bytes as a program of operations, run against a stack that the first byte chooses, and
//! against the naive model of `pool_core::testing`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pool_core::testing::{Contract, Op};
use pool_core::{Budget, Cache, Failing, Heap, Limit, LocalCache, Mmap, PageSource};

/// Small, so that programs meet the limits.
const CONTRACT: Contract = Contract::new().most_bytes(8 << 20);

fn run(source: impl PageSource, ops: &[Op]) {
    let source = source.counted();
    let tally = CONTRACT.run_program(&source, ops);
    let traffic = source.traffic();
    assert_eq!((traffic.acquired, traffic.released), (tally.acquired, tally.acquired));
    assert_eq!(traffic.refused, tally.refused + tally.malformed);
    assert_eq!(traffic.live_bytes, 0);
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&choice, mut bytes)) = bytes.split_first() else { return };
    let ops: Vec<Op> = std::iter::from_fn(|| Op::decode(&mut bytes)).collect();
    match choice % 6 {
        0 => run(Mmap::new(), &ops),
        1 => run(LocalCache::with_max_bytes(Mmap::builder().retain(0).build(), 1 << 20), &ops),
        2 => run(Mmap::new().limited(2 << 20).cached().with_max_bytes(1 << 20), &ops),
        3 => run(Failing::seeded(Heap::new(), choice.into(), 3).cached_locally(), &ops),
        4 => run(Cache::new(Failing::seeded(Mmap::new(), choice.into(), 5)), &ops),
        _ => {
            let process = Budget::named("process", 3 << 20);
            let tenant = process.child("tenant", 1 << 20);
            run(Limit::with_budget(Heap::new(), tenant.clone()), &ops);
            assert_eq!((tenant.used(), process.used()), (0, 0));
        }
    }
});
