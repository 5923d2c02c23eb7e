//! The workloads, one small file each: what is done, in which order, and what must come of it.

pub mod arenas;
pub mod first_touch;
pub mod half;
pub mod heaps;
pub mod pair;
pub mod pools;
pub mod rings;
pub mod singles;
pub mod system;
pub mod tables;
pub mod two_threads;

use crate::case::Case;

/// Bytes of a page, as the workloads count them.
pub const PAGE: usize = 4096;

/// The crate of runs.
pub const POOL_CORE: &str = "pool-core";

/// The crate of arenas.
pub const POOL_ARENA: &str = "pool-arena";

/// The crate of objects.
pub const POOL_OBJECT: &str = "pool-object";

/// The crate of streams.
pub const POOL_RING: &str = "pool-ring";

/// Every case that there is, those of a workload together.
#[must_use]
pub fn cases() -> Vec<Case> {
    let mut cases = pair::cases();
    cases.extend(two_threads::cases());
    cases.extend(half::cases());
    cases.extend(singles::cases());
    cases.extend(first_touch::cases());
    cases.extend(system::cases());
    cases.extend(arenas::cases());
    cases.extend(heaps::cases());
    cases.extend(pools::cases());
    cases.extend(tables::cases());
    cases.extend(rings::cases());
    cases
}

/// Calls `round` with `most` operations at a time until `n` are done.
#[inline(always)]
fn rounds(n: u64, most: usize, mut round: impl FnMut(usize)) {
    let mut left = n;
    while left > 0 {
        let count = left.min(most as u64);
        round(count as usize);
        left -= count;
    }
}

/// 32 bits as a share of `end`.
#[inline(always)]
fn scale(bits: u64, end: usize) -> usize {
    ((bits * end as u64) >> 32) as usize
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

    #[inline(always)]
    fn step(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.step() >> 32) as usize % end
    }

    /// A number below `end`, without a division: for loops that are measured.
    #[inline(always)]
    pub fn scaled(&mut self, end: usize) -> usize {
        ((u128::from(self.step()) * end as u128) >> 64) as usize
    }

    /// Two such numbers of one step.
    #[inline(always)]
    pub fn pair(&mut self, first: usize, second: usize) -> (usize, usize) {
        let step = self.step();
        (scale(step >> 32, first), scale(step & u64::from(u32::MAX), second))
    }

    /// Another order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for index in (1..items.len()).rev() {
            items.swap(index, self.below(index + 1));
        }
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
