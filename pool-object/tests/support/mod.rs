//! What property tests share.
#![allow(dead_code, reason = "no test uses all of it")]

use proptest::prelude::ProptestConfig;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// So many random programs, or the few that Miri has time for.
pub fn config(cases: u32, under_miri: u32) -> ProptestConfig {
    ProptestConfig {
        cases: if cfg!(miri) { under_miri } else { cases },
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Runs programs whose panics are not worth a message each.
pub fn quietly(run: impl FnOnce()) {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = catch_unwind(AssertUnwindSafe(run));
    std::panic::set_hook(hook);
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}
