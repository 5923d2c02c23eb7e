//! The contract of [`PageSource`] as a test: for those who implement a source or a layer.
//!
//! ```
//! use pool_core::testing::{self, Contract};
//! use pool_core::{Heap, PageSource};
//! # if cfg!(miri) { return } // tests/contract.rs does the same, smaller
//!
//! testing::contract(Heap::new);                       // any source
//! testing::contract_shared(|| Heap::new().counted()); // one that is `Send + Sync`: threads, too
//! // A small one, with nothing behind it: must run out, and be whole again afterwards.
//! Contract::new().most_bytes(1 << 20).finite(false).check(|| Heap::new().limited(1 << 20));
//! ```
//!
//! A source that breaks the contract makes the suite panic with the number of the clause (see
//! [`PageSource`]'s *Safety* section) and what was seen. What a program cannot see is not checked:
//! that pages come from where they should, that nothing ever allocates, that every interleaving of
//! threads is right. Run the suite under Miri and the sanitizers too; it is made for them.
//!
//! [`run_program`] runs a list of [`Op`]s, decoded from any bytes, against a source and a naive
//! model: the body of a property test or fuzz target.

mod clauses;
mod held;
mod program;
#[cfg(feature = "std")]
mod threads;

pub use program::{Op, Tally, run_program};

use crate::source::PageSource;

/// Asserts that `condition` holds, or panics naming the clause of [`PageSource`]'s contract.
macro_rules! clause {
    ($number:literal, $condition:expr, $($message:tt)+) => {
        assert!($condition, "clause {} of PageSource: {}", $number, format_args!($($message)+))
    };
}
use clause;

/// Checks a source that `make` makes, with the default [`Contract`].
///
/// # Panics
/// If a clause does not hold.
pub fn contract<S: PageSource>(make: impl Fn() -> S) {
    Contract::new().check(make);
}

/// Checks a source that threads may share, with the default [`Contract`].
///
/// # Panics
/// If a clause does not hold.
#[cfg(feature = "std")]
pub fn contract_shared<S: PageSource + Send + Sync>(make: impl Fn() -> S) {
    Contract::new().check_shared(make);
}

/// The suite, and what it may ask of the source.
///
/// ```
/// use core::mem::MaybeUninit;
/// use pool_core::Fixed;
/// use pool_core::testing::Contract;
/// # if cfg!(miri) { return } // it leaks
/// let block = || Box::leak(vec![MaybeUninit::uninit(); 1 << 20].into_boxed_slice());
/// Contract::new().most_bytes(1 << 20).finite(true).check(|| Fixed::new(block()));
/// ```
///
/// `make` is called for every part of the suite, so that each starts with a fresh source; two may
/// live at once. The suite gives everything back, but for what it finds broken.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Contract {
    most_bytes: usize,
    max_align: usize,
    finite: bool,
    outstanding: bool,
    may_fragment: bool,
    seed: u64,
    ops: usize,
}

impl Default for Contract {
    fn default() -> Self {
        Self::new()
    }
}

impl Contract {
    /// 16 MiB, alignments up to 2 MiB, not finite; 2,000 operations of a random program. Under Miri
    /// smaller.
    pub const fn new() -> Self {
        Self {
            most_bytes: if cfg!(miri) { 4 << 20 } else { 16 << 20 },
            max_align: 2 << 20,
            finite: false,
            outstanding: false,
            may_fragment: false,
            seed: 0,
            ops: if cfg!(miri) { 100 } else { 2000 },
        }
    }

    /// The most bytes of runs that the suite takes at once. The source must be able to give half of
    /// it in any pieces up to an eighth, however it rounds, and one piece of a quarter. At least 32
    /// granules make sense.
    pub const fn most_bytes(self, bytes: usize) -> Self {
        Self { most_bytes: bytes, ..self }
    }

    /// The strongest alignment that the source must give, in bytes, a power of two. No more than
    /// half of [`most_bytes`](Self::most_bytes) is asked for anyway.
    pub const fn max_align(self, align: usize) -> Self {
        Self { max_align: align, ..self }
    }

    /// Whether the source must refuse before more than [`most_bytes`](Self::most_bytes) are out,
    /// because it has no more: `Fixed`, `Limit`.
    pub const fn finite(self, finite: bool) -> Self {
        Self { finite, ..self }
    }

    /// Whether to drop a source while runs are out (clause 5), too. Off by default: most sources
    /// leak then, as they may, and leak checkers say so.
    pub const fn outstanding(self, outstanding: bool) -> Self {
        Self { outstanding, ..self }
    }

    /// Whether fewer runs may be had after use than when fresh, because what is free lies in pieces
    /// that are too short: a source that bumps, such as `Fixed`, beneath a cache. One must do.
    pub const fn may_fragment(self, may_fragment: bool) -> Self {
        Self { may_fragment, ..self }
    }

    /// The seed of the random parts, 0 by default: the same seed does the same.
    pub const fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// The number of operations of the random program and of each thread's work.
    pub const fn ops(self, ops: usize) -> Self {
        Self { ops, ..self }
    }

    /// Runs all that one thread can see.
    ///
    /// # Panics
    /// If a clause does not hold.
    pub fn check<S: PageSource>(&self, make: impl Fn() -> S) {
        clauses::check(self, &make);
    }

    /// Runs [`check`](Self::check), and takes the source to another thread with its runs.
    ///
    /// # Panics
    /// If a clause does not hold.
    #[cfg(feature = "std")]
    pub fn check_send<S: PageSource + Send>(&self, make: impl Fn() -> S) {
        self.check(&make);
        threads::moves_between_threads(self, &make);
    }

    /// Runs [`check_send`](Self::check_send), and uses the source from several threads at once.
    ///
    /// # Panics
    /// If a clause does not hold.
    #[cfg(feature = "std")]
    pub fn check_shared<S: PageSource + Send + Sync>(&self, make: impl Fn() -> S) {
        self.check_send(&make);
        threads::hammer(self, &make);
        threads::release_elsewhere(self, &make);
    }

    /// Runs `ops` against `source` and a naive model, as [`run_program`] does, within these bounds.
    ///
    /// # Panics
    /// If a clause does not hold.
    pub fn run_program<S: PageSource + ?Sized>(&self, source: &S, ops: &[Op]) -> Tally {
        program::run(self, source, ops)
    }
}
