//! What an arena knows of itself.
#![forbid(unsafe_code)]

use crate::arena::Arena;
use crate::chunk::Chunk;
use crate::large::Large;
use core::fmt;
use pool_core::PageSource;

/// Where an arena's memory is; see [`Arena::stats`]. Lengths are in bytes, metadata included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ArenaStats {
    /// Held from the source, open scopes and adopted arenas included.
    pub held: usize,
    /// The most that may be held; `None` for no limit.
    pub limit: Option<usize>,
    /// Chunks with objects.
    pub chunks: usize,
    /// Bytes of these.
    pub chunk_bytes: usize,
    /// Chunks without objects, kept for later.
    pub spare: usize,
    /// Bytes of these.
    pub spare_bytes: usize,
    /// Large objects.
    pub large: usize,
    /// Bytes of their runs.
    pub large_bytes: usize,
    /// Arenas that were adopted, as long as they were then.
    pub adopted_bytes: usize,
    /// Free in the current chunk.
    pub free: usize,
}

impl<S: PageSource> Arena<S> {
    /// Counts chunks, large objects and bytes. O(chunks + large objects).
    ///
    /// ```
    /// # use pool_arena::Arena;
    /// let arena = Arena::new();
    /// arena.alloc_slice_fill_copy(100_000, 0u8);
    /// arena.alloc_str("small");
    /// let stats = arena.stats();
    /// assert_eq!((stats.chunks, stats.large), (1, 1));
    /// assert_eq!(stats.held, stats.chunk_bytes + stats.large_bytes);
    /// println!("{stats}");
    /// ```
    #[must_use]
    pub fn stats(&self) -> ArenaStats {
        ArenaStats {
            held: self.held.get(),
            limit: self.allocation_limit(),
            chunks: self.used.iter().count(),
            chunk_bytes: self.used.iter().map(Chunk::len).sum(),
            spare: self.spare.iter().count(),
            spare_bytes: self.spare.bytes(),
            large: self.large.iter().count(),
            large_bytes: self.large.iter().map(Large::len).sum(),
            adopted_bytes: self.adopted.get(),
            free: self.tip.free(),
        }
    }
}

impl fmt::Display for ArenaStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { held, chunks, chunk_bytes, spare, spare_bytes, large, large_bytes, .. } = self;
        write!(
            f,
            "{held} bytes held: {chunks} chunks ({chunk_bytes}), {spare} spare ({spare_bytes}), \
             {large} large objects ({large_bytes})"
        )
    }
}
