//! Random programs against the structures of this crate and naive models of them: shared by the
//! property tests and the fuzz targets.
#![allow(dead_code, reason = "each test uses its own part")]

pub mod packets;
pub mod segments;

use pool_core::{Failing, Heap, PageSource, Stats};

pub type Source = Failing<Stats<Heap>>;

/// A source that refuses call `nth`, if any.
pub fn source(nth: Option<u64>) -> Source {
    let heap = Heap::new().counted();
    match nth {
        Some(nth) => Failing::nth(heap, nth),
        None => Failing::never(heap),
    }
}

/// How often a property is tried: with the same programs each time, unless `PROPTEST_RNG_SEED` says otherwise.
/// New ones are what the fuzz targets look for.
pub fn config(cases: u32) -> proptest::prelude::ProptestConfig {
    proptest::prelude::ProptestConfig {
        cases: if cfg!(miri) { 1 } else { cases },
        failure_persistence: None,
        rng_seed: match std::env::var("PROPTEST_RNG_SEED").map(|seed| seed.parse()) {
            Ok(Ok(seed)) => seed,
            _ => proptest::test_runner::RngSeed::Fixed(7),
        },
        ..Default::default()
    }
}
