//! What a workload asks of an arena.
//!
//! An engine that takes part in arenas' workloads opens *regions*: places to allocate from that
//! are emptied at once. What a region can do, it says by the traits here, so that an engine is
//! measured where it can do the work and nowhere else.

use crate::engine::{Engine, Setup};
use std::alloc::Layout;
use std::ops::Range;
use std::ptr::NonNull;

/// An engine of arenas. Its store is what outlives each of them.
pub trait Regions: Engine {
    /// One arena; dropped, it gives everything back.
    type Region<'a>;
    /// A new one.
    fn open(store: &Self::Store) -> Self::Region<'_>;
}

/// Can be emptied and filled again.
pub trait Region {
    /// Makes all that was handed out free.
    fn reset(&mut self);
}

/// Holds values of one type.
pub trait Values<T>: Region {
    /// Moves a value in.
    #[allow(clippy::mut_from_ref, reason = "every call lends other memory")]
    fn value(&self, value: T) -> &mut T;
}

/// Hands out bytes of a length that is known when it runs.
pub trait Places: Region {
    /// Bytes of this layout, not initialised.
    fn place(&self, layout: Layout) -> NonNull<u8>;
}

/// Holds strings.
pub trait Texts: Region {
    /// Copies a string in.
    fn text<'a>(&'a self, text: &'a str) -> &'a str;
}

/// Holds a vector that does not know how long it will be.
pub trait Lists: Region {
    /// Pushes the numbers one by one.
    fn list(&self, items: Range<u32>) -> &[u32];
}

/// Says how many bytes it holds from the tier below, used or not.
pub trait Holds: Region {
    /// Bytes.
    fn held(&self) -> usize;
}

/// A region that lives as long as the program, as its store does: for those that stay warm from one
/// call of a case to the next. A case is set up a few times in a process, so this may leak.
#[must_use]
pub fn kept<E: Regions>(setup: Setup) -> E::Region<'static> {
    E::open(Box::leak(Box::new(E::build(setup))))
}

/// What an arena is built for that begins with the usual page and needs `capacity` bytes at most.
#[must_use]
pub fn growing(capacity: usize) -> Setup {
    Setup { chunk: FIRST, capacity }
}

/// What an arena is built for that has room for `capacity` bytes from the beginning.
#[must_use]
pub fn sized(capacity: usize) -> Setup {
    Setup { chunk: capacity, capacity }
}

/// Bytes of the first chunk unless a workload wants another: the default of ours, and what peers
/// are told.
pub const FIRST: usize = 4 << 10;
