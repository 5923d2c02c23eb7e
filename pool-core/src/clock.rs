//! Time as the caches see it, so that tests can make it pass.
#![forbid(unsafe_code)]

use core::time::Duration;

/// A clock that never goes back. Any closure that returns the time since some fixed moment is one.
///
/// A cache reads a clock of the user's in [`tick`](crate::Cache::tick) alone, and not while it serves
/// somebody who is in the midst of something: so the clock may do what it likes, use that cache and what
/// stands above it among them. If it panics, or calls `tick`, the cache takes no notice of the time then.
pub trait Clock {
    /// Time since a fixed moment of this clock's choice.
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
        crate::sys::monotonic()
    }
}
