//! `ArenaBuilder`: what can be chosen about an arena.
#![forbid(unsafe_code)]

use crate::arena::Arena;
use crate::shared::SyncArena;
use crate::tip::MIN_ALIGN;
use pool_core::PageSource;

/// The smallest run that any source sells: a page of 4 KiB.
const SMALLEST: usize = 4 << 10;
/// No option makes objects large that are smaller: a fast path need not ask for these.
pub(crate) const LEAST_LARGE: usize = SMALLEST / 4;
/// The most that the options may ask for, so that sums of a few of them cannot overflow.
const MOST: usize = (isize::MAX as usize / 16) & !(SMALLEST - 1);

/// What was chosen. All lengths are in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Config {
    /// From `SMALLEST` to `MOST`.
    pub(crate) first_chunk: usize,
    /// From `first_chunk` to `MOST`.
    pub(crate) max_chunk: usize,
    /// From `LEAST_LARGE` to `MOST`, a multiple of `MIN_ALIGN`.
    pub(crate) large_from: usize,
    pub(crate) retain: usize,
    pub(crate) limit: usize,
    pub(crate) zero_on_reset: bool,
}

impl Config {
    pub(crate) const DEFAULT: Self = Self {
        first_chunk: SMALLEST,
        max_chunk: 1 << 20,
        large_from: 64 << 10,
        retain: 1 << 20,
        limit: usize::MAX,
        zero_on_reset: false,
    };

    /// The most bytes that the fast path may see: any request that fits is small.
    #[inline(always)]
    pub(crate) const fn window(&self) -> usize {
        self.large_from - MIN_ALIGN
    }
}

/// Options of an [`Arena`], all with defaults.
///
/// ```
/// use pool_arena::Arena;
/// let arena = Arena::builder()
///     .first_chunk(16 << 10)
///     .large_from(64 << 10)
///     .retain(1 << 20)
///     .limit(8 << 20)
///     .build();
/// assert_eq!(arena.alloc_str("hello"), "hello");
/// ```
///
/// The idea of a threshold above which a request bypasses the chunks is nginx's
/// (`ngx_palloc_large`); that it is one number of its own, and not tied to the chunk, is ours.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct ArenaBuilder {
    config: Config,
}

impl Default for ArenaBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl ArenaBuilder {
    /// The defaults: chunks from 4 KiB to 1 MiB, large objects from 64 KiB, 1 MiB retained, no
    /// limit, no zeroing.
    pub const fn new() -> Self {
        Self { config: Config::DEFAULT }
    }

    /// Bytes of the first chunk, at least 4 KiB. Each further one is twice as long as the one
    /// before, up to [`max_chunk`](Self::max_chunk). Default 4 KiB.
    pub fn first_chunk(mut self, bytes: usize) -> Self {
        self.config.first_chunk = bytes.clamp(SMALLEST, MOST);
        self.config.max_chunk = self.config.max_chunk.max(self.config.first_chunk);
        self
    }

    /// Bytes of the longest chunk; growth stops here. Values with an alignment beyond that may
    /// still need a longer one. Default 1 MiB.
    pub fn max_chunk(mut self, bytes: usize) -> Self {
        self.config.max_chunk = bytes.clamp(SMALLEST, MOST);
        self.config.first_chunk = self.config.first_chunk.min(self.config.max_chunk);
        self
    }

    /// From how many bytes on an object is *large* and gets a run of its own, which is given back
    /// as soon as the object is deallocated. At least 1 KiB, rounded up to 8 bytes; default 64 KiB.
    pub fn large_from(mut self, bytes: usize) -> Self {
        self.config.large_from = bytes.clamp(LEAST_LARGE, MOST).next_multiple_of(MIN_ALIGN);
        self
    }

    /// The most bytes of chunks that [`Arena::reset`] keeps; the rest goes back to the source, so
    /// that one outlier is not paid for ever. Large objects are never kept. 0 keeps nothing;
    /// default 1 MiB.
    pub fn retain(mut self, bytes: usize) -> Self {
        self.config.retain = bytes;
        self
    }

    /// The most bytes that the arena may hold, chunks, large objects, metadata and open scopes
    /// together; as [`Arena::set_allocation_limit`]. Default: no limit.
    pub fn limit(mut self, bytes: usize) -> Self {
        self.config.limit = bytes;
        self
    }

    /// Whether memory is overwritten with zeros before it is used again or goes back to the
    /// source, at a reset, the end of a scope, a rewind, or when an object is given back: for
    /// secrets. It costs a pass over all chunks that were used, or lent to a scope. Default `false`.
    pub fn zero_on_reset(mut self, zero: bool) -> Self {
        self.config.zero_on_reset = zero;
        self
    }

    /// An arena over the process-wide source. Nothing is acquired before the first allocation.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn build(self) -> Arena {
        self.build_in(pool_core::Global)
    }

    /// An arena over `source`. Nothing is acquired before the first allocation.
    #[must_use]
    pub fn build_in<S: PageSource>(self, source: S) -> Arena<S> {
        Arena::with_config(source, self.config)
    }

    /// As [`build`](Self::build), an arena that threads may share.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn build_sync(self) -> SyncArena {
        self.build_sync_in(pool_core::Global)
    }

    /// As [`build_in`](Self::build_in), an arena that threads may share.
    #[must_use]
    pub fn build_sync_in<S: PageSource>(self, source: S) -> SyncArena<S> {
        SyncArena::with_config(source, self.config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_clamped() {
        let config = ArenaBuilder::new().first_chunk(0).large_from(0).config;
        assert_eq!((config.first_chunk, config.large_from), (4096, 1024));
        let config = ArenaBuilder::new().first_chunk(1 << 20).config;
        assert_eq!(config.max_chunk, 1 << 20);
        let config = ArenaBuilder::new().max_chunk(usize::MAX).large_from(usize::MAX).config;
        assert!(config.max_chunk <= isize::MAX as usize / 16);
        assert_eq!(config.window() % 8, 0);
    }
}
