//! The operating system, and nothing else in this crate calls it.
//!
//! `unix` speaks to a real system; `fallback` stands in where there is none: without `std`, under
//! Miri, on targets that memmap2 does not reach.

#[cfg(not(all(feature = "std", unix, not(miri))))]
mod fallback;
#[cfg(not(all(feature = "std", unix, not(miri))))]
pub(crate) use fallback::*;
#[cfg(all(feature = "std", unix, not(miri)))]
mod unix;
#[cfg(all(feature = "std", unix, not(miri)))]
pub(crate) use unix::*;
#[cfg(feature = "mirror")]
pub(crate) mod mirror;
#[cfg(feature = "std")]
pub(crate) mod process;
