//! Atomics and `Arc`: the standard ones, or loom's under `--cfg loom`, so that a model can run
//! every interleaving of them. Whatever is shared between threads takes them from here.
#![forbid(unsafe_code)]

#[cfg(not(loom))]
pub(crate) use core::sync::atomic;
#[cfg(loom)]
pub(crate) use loom::sync::atomic;

#[cfg(all(feature = "alloc", not(loom)))]
pub(crate) use alloc::sync::Arc;
#[cfg(all(feature = "alloc", loom))]
pub(crate) use loom::sync::Arc;

/// Lets another thread go first.
#[cfg(feature = "std")]
pub(crate) fn yield_now() {
    #[cfg(not(loom))]
    std::thread::yield_now();
    #[cfg(loom)]
    loom::thread::yield_now();
}

#[cfg(all(feature = "std", loom))]
pub(crate) use loom::cell;

/// `UnsafeCell` in the form that loom has, too.
#[cfg(all(feature = "std", not(loom)))]
pub(crate) mod cell {
    #[derive(Debug)]
    #[repr(transparent)]
    pub(crate) struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(core::cell::UnsafeCell::new(value))
        }

        #[inline(always)]
        pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
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
pub(crate) use const_unless_loom;

#[cfg(target_has_atomic = "64")]
type Word = u64;
#[cfg(target_has_atomic = "64")]
type AtomicWord = atomic::AtomicU64;
/// Some 32-bit machines have no wider atomics; counters wrap after 2^32 events there.
#[cfg(not(target_has_atomic = "64"))]
type Word = usize;
#[cfg(not(target_has_atomic = "64"))]
type AtomicWord = atomic::AtomicUsize;

/// A number of events. Relaxed throughout: it orders nothing and guards nothing.
#[derive(Debug)]
pub(crate) struct Counter(AtomicWord);

#[allow(clippy::unnecessary_cast, reason = "the word is narrower on some machines")]
impl Counter {
    const_unless_loom! {
        /// No events yet.
        pub(crate) fn new() -> Self {
            Self(AtomicWord::new(0))
        }
    }

    /// Counts `events` more and returns how many there were before.
    #[inline]
    pub(crate) fn add(&self, events: u64) -> u64 {
        self.0.fetch_add(events as Word, atomic::Ordering::Relaxed) as u64
    }

    /// Events so far.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(atomic::Ordering::Relaxed) as u64
    }

    /// Forgets all events.
    pub(crate) fn reset(&self) {
        self.0.store(0, atomic::Ordering::Relaxed);
    }
}
