//! Time as the caches see it, so that tests can make it pass.
#![forbid(unsafe_code)]

use core::time::Duration;

/// A clock that never goes back. Any closure that returns the time since some fixed moment is one.
///
/// It must not use the cache that reads it, nor anything that stands above that cache: a lock up there
/// may be held. If it does, or panics, no memory is harmed; the cache takes no notice of the time then.
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
        crate::sys::monotonic()
    }
}
