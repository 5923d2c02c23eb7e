//! Mutex and atomics: the standard ones, or loom's under `--cfg loom`, so that a model can run every
//! interleaving of them.
#![forbid(unsafe_code)]

#[cfg(loom)]
use loom::sync as imp;
#[cfg(not(loom))]
use std::sync as imp;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub(crate) use imp::MutexGuard;
pub(crate) use imp::atomic::{AtomicUsize, Ordering::Relaxed};

/// A mutex that does not mind panics: no foreign code runs while one is held, so what it guards is
/// always whole.
#[derive(Debug)]
pub(crate) struct Mutex<T>(imp::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(imp::Mutex::new(value))
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(loom)]
pub(crate) use loom::thread;
#[cfg(not(loom))]
pub(crate) use std::thread;

/// Calls what may panic where nothing may. The panic hook has told of it; what it panics with is dropped,
/// or leaked if that panics as well.
pub(crate) fn swallow(call: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(call)) {
        core::mem::forget(catch_unwind(AssertUnwindSafe(|| drop(payload))));
    }
}
