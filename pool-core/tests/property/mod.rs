//! What property tests share.
#![forbid(unsafe_code)]

use proptest::prelude::ProptestConfig;
use proptest::test_runner::RngSeed;

/// The same programs each time, so that a test does not fail by chance (the fuzz targets look for new
/// ones); others with `PROPTEST_RNG_SEED=7`.
fn seed() -> RngSeed {
    match ProptestConfig::default().rng_seed {
        RngSeed::Random => RngSeed::Fixed(0),
        chosen => chosen,
    }
}

/// So many random programs, or the few that Miri has time for.
pub fn config(cases: u32, under_miri: u32) -> ProptestConfig {
    ProptestConfig {
        cases: if cfg!(miri) { under_miri } else { cases },
        failure_persistence: None,
        rng_seed: seed(),
        ..ProptestConfig::default()
    }
}
