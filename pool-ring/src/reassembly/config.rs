//! How a `Reassembler` is made, and what limits it.

use super::policy::OverlapPolicy;
use super::reassembler::{ReassembleError, Reassembler};
use core::time::Duration;
use pool_core::PageSource;

/// Options of a [`Reassembler`], with defaults for each.
///
/// ```
/// use pool_ring::{OverlapPolicy, ReassemblerBuilder};
/// use std::time::Duration;
/// let builder = ReassemblerBuilder::new().window(1 << 20).max_gaps(64);
/// let stream = builder.policy(OverlapPolicy::Linux).max_age(Duration::from_secs(30)).build();
/// assert_eq!(stream.memory(), 0); // until something comes
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct ReassemblerBuilder {
    pub(super) window: usize,
    pub(super) max_gaps: usize,
    /// `None`: by the window.
    pub(super) max_notes: Option<usize>,
    pub(super) max_bytes: usize,
    pub(super) max_age: Duration,
    pub(super) policy: OverlapPolicy,
    pub(super) start: u64,
}

impl ReassemblerBuilder {
    /// A window of 64 KiB, 256 pieces behind gaps (and 1,280 notes), no other limit, the first byte counts.
    pub const fn new() -> Self {
        Self {
            window: 64 << 10,
            max_gaps: 256,
            max_notes: None,
            max_bytes: usize::MAX,
            max_age: Duration::MAX,
            policy: OverlapPolicy::First,
            start: 0,
        }
    }

    /// Segments are accepted up to `bytes` behind the first byte that is not consumed.
    pub const fn window(self, bytes: usize) -> Self {
        Self { window: bytes, ..self }
    }

    /// At most so many separate pieces behind gaps; segments that touch are one piece.
    pub const fn max_gaps(self, pieces: usize) -> Self {
        Self { max_gaps: pieces, ..self }
    }

    /// At most so many notes of 16 bytes about what is behind gaps. The policies `Bsd`, `BsdRight`, `Linux`, `Windows` and
    /// `Solaris` ask where each segment began and ended, so under them segments that touch are noted apart. The others need a note for
    /// each piece, and meet [`max_gaps`](Self::max_gaps) instead.
    ///
    /// By default `max_gaps`, and one for each 64 bytes of the window: whoever sends segments of 64 bytes or more on
    /// average does not meet it.
    ///
    /// ```
    /// use pool_ring::{OverlapPolicy, ReassembleError, ReassemblerBuilder};
    /// use std::time::Duration;
    /// let builder = ReassemblerBuilder::new().max_gaps(2).max_notes(3).policy(OverlapPolicy::Linux);
    /// let mut stream = builder.build();
    /// for offset in [8, 16, 24] {
    ///     stream.insert(offset, b"touching", Duration::ZERO)?; // one piece, three notes
    /// }
    /// let error = stream.insert(32, b"touching", Duration::ZERO).unwrap_err();
    /// assert_eq!(error, ReassembleError::TooManyNotes { asked: 4, limit: 3 });
    /// # Ok::<(), ReassembleError>(())
    /// ```
    pub const fn max_notes(self, notes: usize) -> Self {
        Self { max_notes: Some(notes), ..self }
    }

    /// Notes that there may be.
    pub(super) const fn most_notes(&self) -> usize {
        match self.max_notes {
            _ if self.policy.merges() => self.max_gaps,
            Some(notes) => notes,
            None => self.max_gaps.saturating_add(self.window / 64),
        }
    }

    /// Whether so many bytes of pages may be held.
    pub(super) const fn may_hold(&self, asked: usize) -> Result<(), ReassembleError> {
        let limit = self.max_bytes;
        if asked > limit {
            return Err(ReassembleError::OverLimit { asked, limit });
        }
        Ok(())
    }

    /// At most `bytes` of pages, for bytes of the stream and what is noted about them. A segment at the front is cut to what
    /// that allows, others are refused.
    pub const fn max_bytes(self, bytes: usize) -> Self {
        Self { max_bytes: bytes, ..self }
    }

    /// Once a gap has been open for longer than `age`, nothing behind it is accepted any more.
    pub const fn max_age(self, age: Duration) -> Self {
        Self { max_age: age, ..self }
    }

    /// What counts where segments overlap, by the policy's rule for streams.
    pub const fn policy(self, policy: OverlapPolicy) -> Self {
        Self { policy, ..self }
    }

    /// The stream begins at byte `offset`.
    pub const fn start(self, offset: u64) -> Self {
        Self { start: offset, ..self }
    }

    /// A reassembler over the process-wide source.
    #[cfg(feature = "std")]
    #[must_use]
    pub const fn build(self) -> Reassembler {
        self.build_in(pool_core::Global)
    }

    /// A reassembler over `source`, a handle.
    #[must_use]
    pub const fn build_in<S: PageSource + Clone>(self, source: S) -> Reassembler<S> {
        Reassembler::with(source, self, false)
    }
}

impl Default for ReassemblerBuilder {
    fn default() -> Self {
        Self::new()
    }
}
