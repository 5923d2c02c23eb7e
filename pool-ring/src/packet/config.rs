//! How a `PacketRing` is made, and what it does when it is full.
#![forbid(unsafe_code)]

use super::entries::MAX_CHAIN;
use super::ring::PacketRing;
use core::time::Duration;
use pool_core::{PageError, PageSource};

/// What to do when a partial must be kept and the budget is used up. Nobody goes for a partial that is refused in the end: whether
/// enough others may go is found out first. Each choice takes O(1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Those whose partial began first go first, but nobody whose partial began less than `min_age` ago:
    /// then the one that asks is refused. Without a minimum age the victim is, where connections take turns,
    /// always the one that would have been served next: at the limit every turn evicts.
    EvictOldest {
        /// How long a partial is safe; 0 for not at all.
        min_age: Duration,
    },
    /// Those with the most bytes go first (to the chunk up to 48 chunks, then to the power of two), but nobody with fewer than the one
    /// that asks will have (to the same measure): if that is not enough, it is refused.
    EvictLargest,
    /// The one that asks is refused.
    Reject,
}

impl Default for Policy {
    fn default() -> Self {
        Self::EvictOldest { min_age: Duration::from_secs(1) }
    }
}

/// Options of a [`PacketRing`], with defaults for each.
///
/// ```
/// use pool_ring::{PacketRing, Policy};
/// let ring = PacketRing::builder().budget(1 << 20).chunk(128).policy(Policy::Reject).try_build()?;
/// assert_eq!(ring.cost(300), 26 + 3 * (128 + 4));
/// # Ok::<(), pool_core::PageError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct PacketRingBuilder {
    pub(super) budget: usize,
    pub(super) scratch: usize,
    pub(super) large_from: usize,
    pub(super) chunk_shift: u32,
    pub(super) policy: Policy,
}

/// The most bytes of a partial in chunks: the ring rounds up to cache lines, and must stay below `MAX_CHAIN`.
const MOST_SMALL: usize = MAX_CHAIN - 64;

impl PacketRingBuilder {
    /// 16 MiB of partials, in chunks of 256 bytes, blocks from 16 KiB; reads of 64 KiB; the oldest evicted
    /// from an age of 1 s on.
    pub const fn new() -> Self {
        Self {
            budget: 16 << 20,
            scratch: 64 << 10,
            large_from: 16 << 10,
            chunk_shift: 8,
            policy: Policy::EvictOldest { min_age: Duration::from_secs(1) },
        }
    }

    /// At most `bytes` for partials, all that is kept about them included: the sum of
    /// [`PacketRing::cost`] over them never passes it. At most about 2^27 chunks: 32 GiB with those of 256 bytes.
    pub const fn budget(self, bytes: usize) -> Self {
        Self { budget: bytes, ..self }
    }

    /// The most bytes that one read brings, at least 64.
    pub const fn scratch(self, bytes: usize) -> Self {
        Self { scratch: if bytes < 64 { 64 } else { bytes }, ..self }
    }

    /// Partials of more than `bytes` (at least a chunk) get a block of their own, which is contiguous: they are
    /// read and decoded in place. Up to there partials are brought together in the scratch. At most 512 KiB - 64.
    pub const fn large_from(self, bytes: usize) -> Self {
        Self { large_from: if bytes < MOST_SMALL { bytes } else { MOST_SMALL }, ..self }
    }

    /// Chunks of `bytes`, rounded up to a power of two between 64 and 4096. Small ones waste less of
    /// their ends, large ones less for links.
    pub const fn chunk(self, bytes: usize) -> Self {
        let bytes = if bytes < 64 {
            64
        } else if bytes > 4096 {
            4096
        } else {
            bytes
        };
        Self { chunk_shift: bytes.next_power_of_two().ilog2(), ..self }
    }

    /// What to do when the budget is used up.
    pub const fn policy(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// A ring over the process-wide source.
    ///
    /// # Errors
    /// As [`try_build_in`](Self::try_build_in).
    #[cfg(feature = "std")]
    pub fn try_build(self) -> Result<PacketRing, PageError> {
        self.try_build_in(pool_core::Global)
    }

    /// A ring over `source`. The addresses for the whole budget are acquired here, and never again;
    /// memory is taken by what is touched of them if the source is one of untouched pages.
    ///
    /// # Errors
    /// What the source says, and [`PageError::TooLarge`] for a budget of too many chunks. A ring keeps clones of its source, so it is a handle: `Global`, a
    /// reference, an `Rc`, an `Arc`.
    pub fn try_build_in<S: PageSource + Clone>(
        self,
        source: S,
    ) -> Result<PacketRing<S>, PageError> {
        PacketRing::with(source, self)
    }
}

impl Default for PacketRingBuilder {
    fn default() -> Self {
        Self::new()
    }
}
