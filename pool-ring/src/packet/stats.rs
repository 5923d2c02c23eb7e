//! What a `PacketRing` has done.
#![forbid(unsafe_code)]

/// Figures of a [`PacketRing`](crate::PacketRing). Bytes are bytes, everything else is a count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PacketStats {
    /// Connections that have a partial now.
    pub partials: usize,
    /// Bytes of these partials.
    pub bytes: usize,
    /// What they cost of the budget.
    pub used: usize,
    /// The most that they ever cost, as far as they were stored.
    pub peak: usize,
    /// What they may cost.
    pub budget: usize,
    /// Bytes of pages acquired for all of it, the scratch and the blocks included.
    pub reserved: usize,
    /// Times a partial and what came after it were brought together.
    pub joins: u64,
    /// Bytes copied: into the store, within it and out of it again.
    pub copied: u64,
    /// Partials that had to go for others.
    pub evictions: u64,
    /// Partials that found no room themselves.
    pub rejected: u64,
    /// Reports of evicted or rejected connections that wait to be taken.
    pub reports: usize,
}
