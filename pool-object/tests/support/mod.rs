//! What property tests share.
#![allow(dead_code, reason = "no test uses all of it")]

use proptest::prelude::ProptestConfig;
use proptest::test_runner::RngSeed;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

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

/// Tests that are inside [`quietly`].
static QUIET: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static QUIET_HERE: Cell<bool> = const { Cell::new(false) };
}

/// Runs programs whose panics, or those of threads without a name that they start, are not worth a
/// message each. Other tests run meanwhile, and are heard.
pub fn quietly(run: impl FnOnce()) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let started = QUIET.load(Relaxed) > 0 && std::thread::current().name().is_none();
            if !QUIET_HERE.get() && !started {
                loud(info);
            }
        }));
    });
    QUIET.fetch_add(1, Relaxed);
    let outer = QUIET_HERE.replace(true);
    let result = catch_unwind(AssertUnwindSafe(run));
    QUIET_HERE.set(outer);
    QUIET.fetch_sub(1, Relaxed);
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}
