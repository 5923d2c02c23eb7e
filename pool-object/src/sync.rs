//! Atomics, and a lock for a few instructions at a time: the standard ones, or loom's under
//! `--cfg loom`, so that a model can run every interleaving of them. A storage file.

#[cfg(not(loom))]
pub(crate) use core::sync::atomic;
#[cfg(loom)]
pub(crate) use loom::sync::atomic;

use atomic::AtomicBool;
use atomic::Ordering::{Acquire, Relaxed, Release};
#[cfg(loom)]
use loom::cell::UnsafeCell;

/// `UnsafeCell` in the form that loom has, too.
#[cfg(not(loom))]
#[repr(transparent)]
struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    const fn new(value: T) -> Self {
        Self(core::cell::UnsafeCell::new(value))
    }

    #[inline(always)]
    fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// A `const fn`; a plain `fn` under loom, whose atomics cannot be made at compile time.
macro_rules! const_unless_loom {
    ($(#[$meta:meta])* $vis:vis fn $($rest:tt)*) => {
        #[cfg(not(loom))]
        $(#[$meta])*
        $vis const fn $($rest)*
        #[cfg(loom)]
        $(#[$meta])*
        $vis fn $($rest)*
    };
}

/// Exclusive access to a value, for so short that waiting for it spins.
///
/// Not the standard library's mutex: that one allocates on some systems, can be poisoned, and
/// cannot be held over a `fork` by one function and released by another. Who waits longer gives
/// its time slice away, so that a holder that was preempted can go on.
pub(crate) struct Lock<T> {
    /// `true` while somebody is inside. The `Acquire` of entering reads what the `Release` of
    /// leaving has published.
    inside: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: it owns the value; moving it moves the value.
unsafe impl<T: Send> Send for Lock<T> {}
// SAFETY: `&Lock` gives `&mut T` to one thread at a time, as a mutex does.
unsafe impl<T: Send> Sync for Lock<T> {}

/// Looks at a taken lock before the time slice is given away.
const SPINS: usize = if cfg!(loom) { 1 } else { 64 };

impl<T> Lock<T> {
    const_unless_loom! {
        /// The value, with nobody inside.
        pub(crate) fn new(value: T) -> Self {
            Self { inside: AtomicBool::new(false), value: UnsafeCell::new(value) }
        }
    }

    /// Runs `f` on the value, when nobody else is inside. `f` must not panic (the lock would stay
    /// closed, nothing worse), and must not come here again.
    #[inline]
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        self.enter();
        // SAFETY: `inside` went from false to true by us, so no other call is between there and
        // the store below, and the value is reached nowhere else.
        let result = self.value.with_mut(|value| f(unsafe { &mut *value }));
        self.leave();
        result
    }

    /// Goes in and stays, until [`leave`](Self::leave).
    #[inline]
    pub(crate) fn enter(&self) {
        if self.inside.compare_exchange(false, true, Acquire, Relaxed).is_err() {
            self.wait();
        }
    }

    /// Ends an [`enter`](Self::enter) of this thread, or of the one that this is a forked copy of.
    #[inline]
    pub(crate) fn leave(&self) {
        self.inside.store(false, Release);
    }

    /// The value. Whoever uses it is inside, between `enter` and `leave`.
    #[cfg(all(feature = "std", not(loom)))]
    pub(crate) fn value(&self) -> *mut T {
        self.value.with_mut(|value| value)
    }

    #[cold]
    #[inline(never)]
    fn wait(&self) {
        loop {
            for _ in 0..SPINS {
                // Loom sees no difference, and has a step less to vary.
                let free = cfg!(loom) || !self.inside.load(Relaxed);
                if free && self.inside.compare_exchange(false, true, Acquire, Relaxed).is_ok() {
                    return;
                }
                pause();
            }
            yield_now();
        }
    }
}

#[cfg(not(loom))]
fn pause() {
    core::hint::spin_loop();
}

#[cfg(loom)]
fn pause() {}

/// Lets another thread go first.
fn yield_now() {
    #[cfg(all(feature = "std", not(loom)))]
    std::thread::yield_now();
    #[cfg(loom)]
    loom::thread::yield_now();
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_inside_with_another() {
        let lock = Lock::new(0u64);
        let rounds = if cfg!(miri) { 30 } else { 20_000 };
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| (0..rounds).for_each(|_| lock.with(|value| *value += 1)));
            }
        });
        assert_eq!(lock.with(|value| *value), 3 * rounds);
    }
}
