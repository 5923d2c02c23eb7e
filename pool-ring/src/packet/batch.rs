//! `Batch`: the frames of one read.
#![forbid(unsafe_code)]

use super::conn::Conn;
use super::ring::PacketRing;
use super::stats::PacketStats;
use crate::error::Refused;
use crate::frame::{Decoded, Decoder, Hint, checked};
use crate::slots::NONE;
use core::fmt;
use pool_core::PageSource;

/// What one read has brought, together with what was kept before: frames, lent one after another.
///
/// When it is dropped, what is left over is kept in the ring: what is no whole frame yet, and frames
/// that were not taken. If there is no room for that, the connection is reported by
/// [`PacketRing::evicted`], and its next read says so; [`finish`](Self::finish) says it at once.
#[must_use = "frames are taken by `next`; what is not taken is kept"]
pub struct Batch<'r, D: Decoder, S: PageSource + Clone> {
    ring: &'r mut PacketRing<S>,
    conn: &'r mut Conn,
    decoder: &'r mut D,
    received: usize,
}

impl<'r, D: Decoder, S: PageSource + Clone> Batch<'r, D, S> {
    #[inline(always)]
    pub(super) fn new(
        ring: &'r mut PacketRing<S>,
        conn: &'r mut Conn,
        decoder: &'r mut D,
        received: usize,
    ) -> Self {
        Self { ring, conn, decoder, received }
    }

    /// Lends the next frame; `None` when there is no other whole one. It is no `Iterator`: a frame
    /// must be done with before the next one is looked for.
    ///
    /// ```compile_fail,E0499
    /// # use pool_ring::{PacketRing, frame::Lines};
    /// # let mut ring = PacketRing::try_new().unwrap();
    /// # let mut conn = ring.open(0);
    /// # let mut lines = Lines::new(100);
    /// let mut batch = ring.feed(&mut conn, &mut lines, &mut &b"a\nb\n"[..]).unwrap();
    /// let first = batch.next().unwrap();
    /// let second = batch.next().unwrap();
    /// assert_ne!(first, second);
    /// ```
    ///
    /// # Errors
    /// The decoder's. What is left of the stream is thrown away then: close the connection.
    #[inline(always)]
    #[allow(clippy::should_implement_trait, reason = "what it lends borrows the batch")]
    pub fn next(&mut self) -> Result<Option<D::Frame<'_>>, D::Error> {
        let ring = &mut *self.ring;
        let open = &mut ring.open;
        if open.start == open.end {
            return Ok(None);
        }
        let all =
            if open.block == NONE { &*ring.scratch } else { ring.store.block_bytes(open.block) };
        let bytes = &all[open.start..open.end];
        // Committed before the decoder runs, which is foreign code.
        let seen = core::mem::take(&mut open.seen);
        match self.decoder.decode_after(bytes, seen) {
            Ok(Decoded::Frame { frame, consumed }) => {
                open.start += checked(consumed, bytes.len());
                Ok(Some(frame))
            }
            Ok(Decoded::NeedMore(hint)) => {
                open.seen = bytes.len();
                open.hint = hint;
                Ok(None)
            }
            Err(error) => {
                open.failed = true;
                Err(error)
            }
        }
    }

    /// Bytes that this read has brought.
    #[must_use]
    pub const fn received(&self) -> usize {
        self.received
    }

    /// Figures of the ring, as [`PacketRing::stats`]: for handlers of frames that show them. What is in this batch is
    /// in none of them, but an entry of a connection that has had a partial before.
    ///
    /// ```
    /// use pool_ring::{PacketRing, frame::Lines};
    /// let mut ring = PacketRing::try_new()?;
    /// let (mut conn, mut lines) = (ring.open(0), Lines::new(100));
    /// let mut batch = ring.feed(&mut conn, &mut lines, &mut &b"INFO\nhalf"[..]).unwrap();
    /// if batch.next().unwrap() == Some(b"INFO") {
    ///     assert_eq!((batch.stats().partials, batch.stats().bytes), (0, 0));
    /// }
    /// drop(batch);
    /// assert_eq!((ring.stats().partials, ring.stats().bytes), (1, 4));
    /// # ring.close(&mut conn);
    /// # Ok::<(), pool_core::PageError>(())
    /// ```
    #[must_use]
    pub fn stats(&self) -> PacketStats {
        self.ring.stats()
    }

    /// What was not taken yet, as bytes: for a protocol that changes in mid-stream. Empty if what has
    /// come was put beside what was kept without being looked at.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        let open = &self.ring.open;
        if !open.active {
            return &[];
        }
        match open.block {
            NONE => &self.ring.scratch[open.start..open.end],
            block => &self.ring.store.block_bytes(block)[open.start..open.end],
        }
    }

    /// Takes `len` bytes of the rest, or all, without decoding them.
    pub fn skip(&mut self, len: usize) {
        let open = &mut self.ring.open;
        let len = len.min(open.end - open.start);
        if len > 0 {
            open.start += len;
            (open.seen, open.hint) = (0, Hint::Unknown);
        }
    }

    /// Keeps what is left over, as dropping the batch does.
    ///
    /// ```
    /// use pool_ring::{PacketRing, Policy, frame::Lines};
    /// let mut ring = PacketRing::builder().budget(300).policy(Policy::Reject).try_build()?;
    /// let (mut conn, mut lines) = (ring.open(0), Lines::new(1000));
    /// let batch = ring.feed(&mut conn, &mut lines, &mut &[b'x'; 257][..]).unwrap();
    /// assert_eq!(batch.finish().unwrap_err().bytes, 257); // two chunks cost 546
    /// # ring.close(&mut conn);
    /// # Ok::<(), pool_core::PageError>(())
    /// ```
    ///
    /// # Errors
    /// There was no room for it: close the connection.
    #[inline]
    pub fn finish(self) -> Result<(), Refused> {
        let settled = self.ring.settle_for(self.conn);
        // Dropping it would settle it again, which finds nothing to do.
        core::mem::forget(self);
        settled
    }
}

impl<D: Decoder, S: PageSource + Clone> Drop for Batch<'_, D, S> {
    #[inline(always)]
    fn drop(&mut self) {
        // A refusal is noted for `PacketRing::evicted`.
        let _ = self.ring.settle_for(self.conn);
    }
}

impl<D: Decoder, S: PageSource + Clone> fmt::Debug for Batch<'_, D, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { conn, received, .. } = self;
        f.debug_struct("Batch")
            .field("conn", conn)
            .field("received", received)
            .field("rest", &self.rest().len())
            .finish_non_exhaustive()
    }
}
