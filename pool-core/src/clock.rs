//! Time as the caches see it, so that tests can make it pass.
#![forbid(unsafe_code)]

use core::time::Duration;
use std::sync::OnceLock;
use std::time::Instant;

/// A clock that never goes back. Any closure that returns the time since some fixed moment is one.
pub trait Clock {
    /// Time since a fixed moment of this clock's choice. Caches read it once in 64 hits, on slow paths and when told to.
    fn now(&self) -> Duration;
}

impl<F: Fn() -> Duration> Clock for F {
    fn now(&self) -> Duration {
        self()
    }
}

/// The system's monotonic clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Monotonic;

impl Clock for Monotonic {
    fn now(&self) -> Duration {
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed()
    }
}
