//! The workloads, one small file each: what is done, in which order, and what must come of it.

pub mod arenas;
pub mod first_touch;
pub mod half;
pub mod pair;
pub mod singles;
pub mod two_threads;

use crate::case::Case;

/// Bytes of a page, as the workloads count them.
pub const PAGE: usize = 4096;

/// The crate of runs.
pub const POOL_CORE: &str = "pool-core";

/// The crate of arenas.
pub const POOL_ARENA: &str = "pool-arena";

/// Every case that there is, those of a workload together.
#[must_use]
pub fn cases() -> Vec<Case> {
    let mut cases = pair::cases();
    cases.extend(two_threads::cases());
    cases.extend(half::cases());
    cases.extend(singles::cases());
    cases.extend(first_touch::cases());
    cases.extend(arenas::cases());
    cases
}

/// Marsaglia's xorshift: the same numbers on every machine.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The seed of all workloads.
    #[must_use]
    pub fn new() -> Self {
        Self(0x9E37_79B9_7F4A_7C15)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as usize % end
    }

    /// A string of so many bytes.
    pub fn text(&mut self, len: usize) -> String {
        (0..len).map(|_| char::from(b'a' + self.below(26) as u8)).collect()
    }
}

impl Default for Random {
    fn default() -> Self {
        Self::new()
    }
}
