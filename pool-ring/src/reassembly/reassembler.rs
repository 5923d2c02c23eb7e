//! `Reassembler`: a byte stream out of segments.

use super::config::ReassemblerBuilder;
use super::policy::{OverlapPolicy, Rules};
use super::spans::Spans;
use crate::DefaultSource;
use crate::block::Block;
use crate::table::Span;
use core::fmt;
use core::ops::Range;
use core::time::Duration;
use pool_core::{PageError, PageSource};
use thiserror::Error;

/// What became of a segment. `accepted + duplicate + beyond` is its length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inserted {
    /// Bytes that were missing.
    pub accepted: usize,
    /// Bytes that had come before, or were consumed already.
    pub duplicate: usize,
    /// Of the duplicate ones that are not consumed, how many differ from what came before.
    pub conflicting: usize,
    /// Bytes at the end for which there is no room in the window, or in the memory that can be had. Only a segment at
    /// the front is cut so; others are refused.
    pub beyond: usize,
}

/// A part of a segment that differs from what came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict<'a> {
    /// Where in the stream it begins.
    pub offset: u64,
    /// What came before.
    pub original: &'a [u8],
    /// What came now, as long.
    pub new: &'a [u8],
    /// Whether the policy takes the new bytes.
    pub replaced: bool,
}

/// Why a segment was refused. Nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReassembleError {
    /// It ends behind byte `u64::MAX` of the stream.
    #[error("{len} bytes at offset {offset} end beyond all streams")]
    Overflow {
        /// Where it begins.
        offset: u64,
        /// Its bytes.
        len: usize,
    },
    /// It ends beyond the window.
    #[error("bytes {offset} to {end} lie beyond the window, which ends at {window_end}")]
    BeyondWindow {
        /// Where it begins.
        offset: u64,
        /// Where it ends.
        end: u64,
        /// Where the window ends.
        window_end: u64,
    },
    /// There would be more separate pieces behind gaps than may be.
    #[error("there would be {asked} separate pieces; at most {limit} are allowed")]
    TooManyGaps {
        /// Pieces that there would be; those that touch are one.
        asked: usize,
        /// The limit.
        limit: usize,
    },
    /// More segments would have to be noted apart than may be, as the policy asks where each began and ended.
    #[error("{asked} segments would have to be noted apart; at most {limit} are allowed")]
    TooManyNotes {
        /// Notes that there would be.
        asked: usize,
        /// The limit, [`ReassemblerBuilder::max_notes`].
        limit: usize,
    },
    /// It would take more memory than is allowed.
    #[error("{asked} bytes of memory would be needed; at most {limit} are allowed")]
    OverLimit {
        /// Bytes of pages that there would be.
        asked: usize,
        /// The limit.
        limit: usize,
    },
    /// The oldest gap has been open for too long; only the segment at the front is accepted.
    #[error("a gap at offset {front} has been open for {age:?}, longer than {limit:?}")]
    Expired {
        /// Where it begins.
        front: u64,
        /// How long it has been open.
        age: Duration,
        /// The limit.
        limit: Duration,
    },
    /// A byte differs from what came before, and the policy is [`OverlapPolicy::Reject`].
    #[error("byte {offset} differs from what came before")]
    Conflicting {
        /// The first byte that differs.
        offset: u64,
    },
    /// The page source refused.
    #[error("the page source refused: {0}")]
    Source(#[from] PageError),
}

/// Puts segments of a stream in order: out of order, duplicated and overlapping ones, within hard limits.
///
/// ```
/// use pool_ring::ReassemblerBuilder;
/// use std::time::Duration;
/// let mut stream = ReassemblerBuilder::new().build();
/// let now = Duration::ZERO;
/// stream.insert(6, b"world", now)?;
/// assert_eq!(stream.as_slice(), b"");
/// stream.insert(0, b"hello ", now)?;
/// assert_eq!(stream.as_slice(), b"hello world");
/// stream.consume(6);
/// assert_eq!((stream.as_slice(), stream.front()), (&b"world"[..], 6));
/// # Ok::<(), pool_ring::ReassembleError>(())
/// ```
///
/// ```text
///   consumed │ can be read │  gap  │ piece │ gap │ piece │
///   ─────────┴─────────────┴───────┴───────┴─────┴───────┴──── ... ──┐
///          front          next                          front + window
/// ```
///
/// The bytes lie on pages of the source at their place in the window; nothing is held before the first
/// segment comes, and [`shrink`](Self::shrink) gives everything back when all is consumed. The segment at the front, which closes the first
/// gap, is **always** accepted as far as there is room: no limit on pieces or age refuses it (smoltcp once dropped just that one), and
/// where memory is short it is cut, up to the last piece at least, as what lies before a piece has its place. Only if it needs memory
/// to begin with, and none can be had, is it refused; like all refusals that changes nothing.
///
/// # Complexity
/// In order: O(bytes). Out of order: also O(log pieces + pieces overlapped), and moving at most
/// [`max_notes`](ReassemblerBuilder::max_notes) notes of 16 bytes.
pub struct Reassembler<S: PageSource + Clone = DefaultSource> {
    pub(super) block: Block<S>,
    /// Where in the block byte `front` stands.
    pub(super) head: usize,
    /// The first byte of the stream that is not consumed.
    pub(super) front: u64,
    /// Bytes from `front` on that can be read.
    pub(super) len: usize,
    /// What has come behind them; the first begins behind `front + len`.
    pub(super) spans: Spans<S>,
    /// When the first gap appeared, if there is one.
    pub(super) gap_since: Duration,
    pub(super) config: ReassemblerBuilder,
    /// Nothing can be read before all is there: so everything is noted in `spans`.
    pub(super) hold: bool,
    pub(super) source: S,
}

impl<S: PageSource + Clone> Reassembler<S> {
    pub(super) const fn with(source: S, config: ReassemblerBuilder, hold: bool) -> Self {
        Self {
            block: Block::empty(),
            head: 0,
            front: config.start,
            len: 0,
            spans: Spans::new(),
            gap_since: Duration::ZERO,
            config,
            hold,
            source,
        }
    }

    /// The place in the stream of the first byte that is not consumed.
    #[must_use]
    pub const fn front(&self) -> u64 {
        self.front
    }

    /// The place in the stream of the first byte that is missing.
    #[inline]
    #[must_use]
    pub const fn next(&self) -> u64 {
        self.front + self.len as u64
    }

    /// Bytes of pages that it holds.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.block.len() + self.spans.bytes()
    }

    /// What has come behind gaps, in order. Where the policy asks where segments began and ended, those that touch are apart.
    pub fn pieces(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.spans.all().iter().map(|span| span.start..span.end)
    }

    /// How long the first gap has been open at `now`; 0 if there is none.
    #[must_use]
    pub fn gap_age(&self, now: Duration) -> Duration {
        if self.spans.all().is_empty() {
            return Duration::ZERO;
        }
        now.saturating_sub(self.gap_since)
    }

    /// What can be read: all bytes up to the first that is missing.
    #[inline]
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.block.bytes(self.head..self.head + self.len)
    }

    /// Takes `n` bytes out.
    ///
    /// # Panics
    /// If so many cannot be read.
    #[inline]
    #[track_caller]
    pub fn consume(&mut self, n: usize) {
        assert!(n <= self.len, "{n} bytes consumed of {}", self.len);
        self.front += n as u64;
        self.head += n;
        self.len -= n;
        if self.len == 0 && self.spans.all().is_empty() {
            self.head = 0;
        }
    }

    /// Gives all pages back if nothing is in them, and those of the notes if there are none.
    pub fn shrink(&mut self) {
        self.spans.shrink();
        if self.len == 0 && self.spans.all().is_empty() {
            (self.block, self.head) = (Block::empty(), 0);
        }
    }

    /// Puts a segment in. `now` is the time passed since some moment of the caller's choice.
    ///
    /// # Errors
    /// [`ReassembleError`]; nothing has changed then.
    #[inline]
    pub fn insert(
        &mut self,
        offset: u64,
        bytes: &[u8],
        now: Duration,
    ) -> Result<Inserted, ReassembleError> {
        if offset == self.next() && self.spans.all().is_empty() && !self.hold {
            let at = self.head + self.len;
            let fits = bytes.len() <= self.config.window - self.len
                && bytes.len() as u64 <= u64::MAX - offset;
            if fits && bytes.len() <= self.block.len() - at && at <= self.block.init() {
                self.block.write_once(at, bytes);
                self.len += bytes.len();
                return Ok(Inserted { accepted: bytes.len(), ..Inserted::default() });
            }
        }
        match self.insert_quick(offset, bytes, now) {
            Some(inserted) => Ok(inserted),
            None => self.insert_slow(offset, bytes, now, &mut |_| {}),
        }
    }

    /// The same, and tells of every part that differs from what came before: for those who look for
    /// attacks. It is told before anything changes, also if the segment is refused for it.
    ///
    /// ```
    /// use pool_ring::{OverlapPolicy, ReassemblerBuilder};
    /// use std::time::Duration;
    /// let mut stream = ReassemblerBuilder::new().policy(OverlapPolicy::Last).build();
    /// stream.insert(4, b"evil", Duration::ZERO)?;
    /// let mut seen = Vec::new();
    /// let result = stream.insert_reporting(2, b"a good", Duration::ZERO, &mut |conflict| {
    ///     seen.push((conflict.offset, conflict.original.to_vec(), conflict.new.to_vec()));
    /// })?;
    /// assert_eq!(seen, [(4, b"evil".to_vec(), b"good".to_vec())]);
    /// assert_eq!((result.accepted, result.duplicate, result.conflicting), (2, 4, 4));
    /// # Ok::<(), pool_ring::ReassembleError>(())
    /// ```
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub fn insert_reporting(
        &mut self,
        offset: u64,
        bytes: &[u8],
        now: Duration,
        report: &mut dyn FnMut(Conflict<'_>),
    ) -> Result<Inserted, ReassembleError> {
        self.insert_slow(offset, bytes, now, report)
    }

    #[inline(never)]
    fn insert_slow(
        &mut self,
        offset: u64,
        bytes: &[u8],
        now: Duration,
        report: &mut dyn FnMut(Conflict<'_>),
    ) -> Result<Inserted, ReassembleError> {
        let overflow = ReassembleError::Overflow { offset, len: bytes.len() };
        let end = offset.checked_add(bytes.len() as u64).ok_or(overflow)?;
        let next = self.next();
        let at_front = offset <= next && !self.hold;
        let window_end = self.front.saturating_add(self.config.window as u64);
        if end > window_end && !at_front {
            return Err(ReassembleError::BeyondWindow { offset, end, window_end });
        }
        // What of it lies in the window and is not consumed.
        let whole = Span { start: offset.max(self.front), end: end.min(window_end) };
        if whole.start >= whole.end {
            let duplicate = self.front.min(end).saturating_sub(offset) as usize;
            return Ok(Inserted {
                duplicate,
                beyond: bytes.len() - duplicate,
                ..Inserted::default()
            });
        }
        let cut = |span: Span| &bytes[(span.start - offset) as usize..(span.end - offset) as usize];
        let mut fresh = Span { start: whole.start.max(next), end: whole.end };
        let near = self.spans.near(fresh);
        let (present, conflicting) =
            self.compare(whole, fresh, near.clone(), cut(whole), report)?;
        let mut beyond = (end - whole.end) as usize;
        let mut accepted = (whole.end - whole.start) as usize - present;
        // Where borders count, a mere duplicate may move some.
        let changes = accepted > 0 || conflicting > 0 || !self.config.policy.merges();
        if fresh.start < fresh.end && changes {
            let is_long = !self.has_room((fresh.end - self.front) as usize);
            if !at_front {
                self.room_behind(fresh, near.clone(), now, is_long)?;
            } else if is_long {
                // What is cut off lies beyond all that has come.
                fresh.end = self.front_room(fresh.end)?;
                let missed = (whole.end - fresh.end) as usize;
                (accepted, beyond) = (accepted - missed, beyond + missed);
            }
            self.put(fresh, near, at_front, cut, now);
            if is_long {
                self.settle();
            }
        }
        self.check();
        Ok(Inserted { accepted, duplicate: bytes.len() - accepted - beyond, conflicting, beyond })
    }

    /// What counts where segments overlap.
    pub(super) const fn rules(&self) -> Rules {
        Rules { policy: self.config.policy, fragments: self.hold }
    }

    /// Where byte `at` of the stream stands in the block.
    #[inline(always)]
    const fn place(&self, at: u64) -> usize {
        self.head + (at - self.front) as usize
    }

    /// Compares a segment with what came before: how many bytes are there already, and how many of
    /// them differ.
    fn compare(
        &self,
        whole: Span,
        fresh: Span,
        near: Range<usize>,
        bytes: &[u8],
        report: &mut dyn FnMut(Conflict<'_>),
    ) -> Result<(usize, usize), ReassembleError> {
        let rules = self.rules();
        let readable = Span { start: self.front, end: self.next() };
        let readable = (self.len > 0).then_some((readable, false));
        let behind = &self.spans.all()[near];
        let behind = behind.iter().map(|&span| (span, rules.replaces(span, fresh)));
        let (mut present, mut conflicting) = (0, 0);
        for (old, replaced) in readable.into_iter().chain(behind) {
            let (start, end) = (old.start.max(whole.start), old.end.min(whole.end));
            if start >= end {
                continue;
            }
            let original = self.block.bytes(self.place(start)..self.place(end));
            let new = &bytes[(start - whole.start) as usize..(end - whole.start) as usize];
            present += new.len();
            if original == new {
                continue;
            }
            conflicting += original.iter().zip(new).filter(|(old, new)| old != new).count();
            report(Conflict { offset: start, original, new, replaced });
            if rules.policy == OverlapPolicy::Reject {
                let same = original.iter().zip(new).take_while(|(old, new)| old == new).count();
                return Err(ReassembleError::Conflicting { offset: start + same as u64 });
            }
        }
        Ok((present, conflicting))
    }

    /// Writes what the policy takes of a segment, for which there is room, and notes it.
    fn put<'b>(
        &mut self,
        fresh: Span,
        near: Range<usize>,
        at_front: bool,
        cut: impl Fn(Span) -> &'b [u8],
        now: Duration,
    ) {
        let rules = self.rules();
        let (block, head, front) = (&mut self.block, self.head, self.front);
        let mut write = |span: Span| {
            block.write_at(head + (span.start - front) as usize, cut(span));
        };
        let had_gap = !self.spans.all().is_empty();
        if at_front {
            self.spans.pieces(fresh, near, rules, &mut write);
            let end = self.spans.absorb(fresh.end);
            self.len = (end - self.front) as usize;
            // Another gap is the first one now.
            self.gap_since = now;
        } else {
            self.spans.add(fresh, near, rules, write);
            if !had_gap {
                self.gap_since = now;
            }
        }
    }

    /// Whether all bytes up to `end` are there, in a datagram.
    #[cfg(feature = "std")]
    pub(super) fn is_whole(&self, end: u64) -> bool {
        let mut covered = self.front;
        for span in self.spans.all() {
            if span.start > covered {
                return false;
            }
            covered = span.end;
        }
        covered >= end
    }

    /// Where the last piece ends.
    #[cfg(feature = "std")]
    pub(super) fn last_end(&self) -> u64 {
        self.spans.all().last().map_or(self.next(), |span| span.end)
    }

    /// The first `len` bytes, of a datagram that is whole.
    #[cfg(feature = "std")]
    pub(super) fn datagram(&self, len: usize) -> &[u8] {
        self.block.bytes(self.head..self.head + len)
    }

    /// The invariants.
    pub(super) fn check(&self) {
        #[cfg(debug_assertions)]
        {
            let mut end = self.next();
            for (index, span) in self.spans.all().iter().enumerate() {
                assert!(span.start < span.end, "an empty piece");
                let first = index == 0 && !self.hold;
                assert!(if first { span.start > end } else { span.start >= end }, "not in order");
                assert!(!self.config.policy.merges() || index == 0 || span.start > end);
                end = span.end;
            }
            assert!(self.head + (end - self.front) as usize <= self.block.len());
            assert!((end - self.front) as usize <= self.config.window);
            let merges = self.config.policy.merges();
            let notes = self.spans.all().len();
            let runs = if merges { notes } else { self.spans.check_runs() };
            assert!(runs <= self.config.max_gaps && notes <= self.config.most_notes());
            assert!(self.memory() <= self.config.max_bytes);
        }
    }
}

impl<S: PageSource + Clone> fmt::Debug for Reassembler<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reassembler")
            .field("front", &self.front)
            .field("next", &self.next())
            .field("pieces", &self.spans.all().len())
            .finish_non_exhaustive()
    }
}
