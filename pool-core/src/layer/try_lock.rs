//! `TryLock`: a lock that nobody ever waits for.

use crate::sync::atomic::{
    AtomicBool,
    Ordering::{Acquire, Relaxed, Release},
};
use crate::sync::cell::UnsafeCell;
use crate::sync::const_unless_loom;

/// Exclusive access for whoever comes first; everybody else is told so and goes elsewhere. Nobody
/// spins or sleeps, so a thread that is preempted (or was lost in a `fork`) inside delays no other.
#[derive(Debug)]
pub(crate) struct TryLock<T> {
    /// `true` while somebody is inside. The `Acquire` of entering reads what the `Release` of
    /// leaving has published.
    inside: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: it owns the value; moving it moves the value.
unsafe impl<T: Send> Send for TryLock<T> {}
// SAFETY: `&TryLock` gives `&mut T` to one thread at a time, as a mutex does.
unsafe impl<T: Send> Sync for TryLock<T> {}

impl<T> TryLock<T> {
    const_unless_loom! {
        /// The value, with nobody inside.
        pub(crate) fn new(value: T) -> Self {
            Self { inside: AtomicBool::new(false), value: UnsafeCell::new(value) }
        }
    }

    /// Turns `inside` from false to true, or fails and stores nothing.
    #[inline(always)]
    fn swap_in(&self) -> bool {
        self.inside.compare_exchange(false, true, Acquire, Relaxed).is_ok()
    }

    /// Runs `f` on the value, or returns `None` at once if somebody is inside. `f` must not
    /// panic: the lock would stay closed (nothing worse).
    #[inline]
    pub(crate) fn try_with<R>(&self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        if !self.swap_in() {
            return None;
        }
        // SAFETY: `inside` went from false to true by us, so no other call is between there and
        // the store below, and the value is reached nowhere else.
        let result = self.value.with_mut(|value| f(unsafe { &mut *value }));
        self.inside.store(false, Release);
        Some(result)
    }

    /// Goes in and stays, until [`leave`](Self::leave); `false` if somebody is inside. For `fork`,
    /// which must not happen while another thread is.
    #[cfg(all(unix, not(miri), not(loom)))]
    pub(crate) fn enter(&self) -> bool {
        self.swap_in()
    }

    /// Ends an [`enter`](Self::enter) that was granted.
    #[cfg(all(unix, not(miri), not(loom)))]
    pub(crate) fn leave(&self) {
        self.inside.store(false, Release);
    }
}
