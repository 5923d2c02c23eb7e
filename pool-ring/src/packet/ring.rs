//! `PacketRing`: reads of all connections through one scratch.
#![forbid(unsafe_code)]

use super::batch::Batch;
use super::config::PacketRingBuilder;
use super::conn::{Conn, IDLE, Open};
use super::decoders::Decoders;
use super::stats::PacketStats;
use super::store::{Store, is_before, millis};
use crate::DefaultSource;
use crate::error::{ReadError, Refused};
use crate::frame::Decoder;
use crate::slots::NONE;
use crate::table::Table;
use core::convert::Infallible;
use core::fmt;
use core::time::Duration;
use pool_core::{PageError, PageSource};

/// Reads the sockets of one worker, lends whole frames, and keeps what is left over until the rest of
/// it comes.
///
/// All reads go into one scratch that stays in the processor's caches. A connection's partial, if it has
/// one, is copied before the fresh bytes, so frames are always contiguous; only what is no whole frame is
/// stored afterwards. A connection that has sent whole frames holds **no memory** at all.
///
/// ```
/// use pool_ring::frame::Lines;
/// use pool_ring::PacketRing;
///
/// let mut ring = PacketRing::try_new()?;
/// let mut lines = Lines::new(1024);
/// let (mut anna, mut ben) = (ring.open(0), ring.open(1));
///
/// let mut batch = ring.feed(&mut anna, &mut lines, &mut &b"hello\r\nwor"[..]).unwrap();
/// assert_eq!(batch.next().unwrap(), Some(&b"hello"[..]));
/// assert_eq!(batch.next().unwrap(), None);
/// drop(batch); // "wor" is kept
///
/// drop(ring.feed(&mut ben, &mut lines, &mut &b"quit\n"[..]).unwrap()); // not looked at: kept
/// let mut batch = ring.feed(&mut anna, &mut lines, &mut &b"ld\r\n"[..]).unwrap();
/// assert_eq!(batch.next().unwrap(), Some(&b"world"[..]));
/// drop(batch);
/// assert!(anna.is_idle());
/// ring.close(&mut anna);
/// ring.close(&mut ben);
/// # Ok::<(), pool_core::PageError>(())
/// ```
///
/// # Memory
///
/// ```text
///            ┌──────── gap ────────┬───────────── scratch ──────────────┐
///  one ring  │        partial copy │ fresh bytes                        │  read, decoded, and free again
///            └─────────────────────┴────────────────────────────────────┘
///            ┌─────┬─────┬─────┬─────┬─────┬──
///    store   │chunk│chunk│chunk│chunk│ ... │    equal chunks, linked: 4 bytes each beside them
///            └─────┴─────┴─────┴─────┴─────┴──
///            entries of 26 bytes, only for connections with a partial; blocks for large partials
/// ```
///
/// A partial of n bytes costs `26 + ceil(n / 256) × 260` bytes of the budget, with chunks of 256; a large
/// one, 26 and its block. The budget is never passed, and nobody is evicted for what would fit: see [`cost`](Self::cost). The
/// design is that of cloudwu's `mread`, one ring for all connections, with O(1) for what takes a walk
/// there.
///
/// # What rests
///
/// What is left of the last batch stays in the scratch until another connection is read, and is settled then: so a socket that is
/// read several times in a row pays no copy for what lies between. It is counted as if it were stored
/// already: it rests only if the budget has room for it, and [`stats`](Self::stats), [`older_than`](Self::older_than) and
/// [`evicted`](Self::evicted) see it.
///
/// # Frames larger than the scratch
///
/// A partial of more than [`large_from`](PacketRingBuilder::large_from) bytes gets a contiguous block, of the announced length
/// or else growing twofold. What comes next is read into it and decoded in place, so that bytes of an announced
/// frame are copied at most once more after that. A length that is announced but has not arrived
/// reserves nothing: below `large_from` a partial has as many chunks as bytes, and a block is charged to the budget.
///
/// # Forgotten batches, panics
///
/// What was read and where it was read up to stands in the ring: a batch that is forgotten
/// ([`core::mem::forget`]) is settled by the next call. A panic while a frame is handled costs that frame.
///
/// # Complexity
/// A read: O(bytes) and O(1) beside that; evictions O(1) each and no more than chunks needed. A frame of n bytes that
/// trickles in: O(n) in all, if its decoder implements [`wait`](Decoder::wait), as all here do.
pub struct PacketRing<S: PageSource + Clone = DefaultSource> {
    /// `gap` bytes for what was kept, then those for what is fresh.
    pub(super) scratch: Table<u8, S>,
    pub(super) gap: usize,
    /// Where the fresh bytes end.
    pub(super) limit: usize,
    /// What rests in the scratch beyond here moves to its front before more is read, if that is paid for.
    pub(super) rest_to: usize,
    pub(super) open: Open,
    pub(super) store: Store<S>,
    /// The generation given last.
    pub(super) serial: u32,
    pub(super) decoders: Decoders,
}

#[cfg(feature = "std")]
impl PacketRing {
    /// A ring with the defaults of [`PacketRingBuilder`] over the process-wide source.
    ///
    /// # Errors
    /// What the source says.
    pub fn try_new() -> Result<Self, PageError> {
        PacketRingBuilder::new().try_build()
    }
}

impl PacketRing<DefaultSource> {
    /// Options for a ring.
    pub const fn builder() -> PacketRingBuilder {
        PacketRingBuilder::new()
    }
}

impl<S: PageSource + Clone> PacketRing<S> {
    /// How many decoders a ring tells apart by their [`identity`](Decoder::identity).
    pub const DECODERS: usize = Decoders::MOST;

    pub(super) fn with(source: S, config: PacketRingBuilder) -> Result<Self, PageError> {
        let gap = config.large_from.max(1 << config.chunk_shift);
        // More than there is memory for, if that is all of the addresses.
        let gap = gap.checked_next_multiple_of(64).unwrap_or(isize::MAX as usize);
        let asked = gap.saturating_add(config.scratch);
        let scratch = Table::<u8, S>::new(source.clone(), asked)?;
        let store = Store::new(source, PacketRingBuilder { large_from: gap, ..config })?;
        // So that a connection of another ring is not likely to be taken for one of this.
        let serial = (scratch.as_ptr().addr() as u32 >> 12).wrapping_mul(0x9e37_79b9) >> 1;
        let rest_to = gap + config.scratch / 8;
        let (open, decoders) = (Open::NO, Decoders::new());
        Ok(Self { scratch, gap, limit: asked, rest_to, open, store, serial, decoders })
    }

    /// The number of the decoder of this identity; 0 if it has none.
    #[inline(always)]
    pub(super) fn number(&mut self, identity: u64) -> u8 {
        let Self { decoders, store, .. } = self;
        // If nobody has a partial nobody remembers a number.
        decoders.number(identity, || store.entries.live() == 0)
    }

    /// A new connection, called `token` in reports of evictions: its index in the table of
    /// connections, say.
    pub fn open(&mut self, token: u32) -> Conn {
        Conn::new(token)
    }

    /// Frees what a connection has in the ring, a report about it included. It can be used again, for another stream.
    pub fn close(&mut self, conn: &mut Conn) {
        self.settle_forgotten();
        match self.lookup(conn) {
            Ok(None) => {}
            Ok(Some(entry)) => self.store.drop_entry(entry, false),
            Err(_) => self.store.entries.withdraw_note(conn.entry, conn.generation, conn.token),
        }
        conn.entry = IDLE;
        self.check();
    }

    /// Tells the time, as passed since some moment of the caller's choice: ages are measured on this
    /// clock, in milliseconds. Ages of more than 24 days are not told
    /// from small ones.
    pub fn set_now(&mut self, now: Duration) {
        self.store.now = millis(now);
    }

    /// What a partial of `len` bytes costs of the budget, in bytes, up to `large_from`; beyond, it is
    /// 26 bytes and what the source gives for the announced length, or for twice `len`.
    ///
    /// ```
    /// use pool_ring::PacketRing;
    /// let ring = PacketRing::try_new()?;
    /// assert_eq!((ring.cost(1), ring.cost(256), ring.cost(257)), (286, 286, 546));
    /// # Ok::<(), pool_core::PageError>(())
    /// ```
    #[must_use]
    pub fn cost(&self, len: usize) -> usize {
        self.store.cost_saturating(len)
    }

    /// Figures.
    #[must_use]
    pub fn stats(&self) -> PacketStats {
        let mut stats = self.store.stats();
        stats.reserved += self.scratch.bytes();
        if self.open.resting {
            let Open { start, end, has_entry, .. } = self.open;
            stats.partials += usize::from(!has_entry);
            stats.bytes += end - start;
            stats.used += self.store.cost_beside(end - start, has_entry);
            stats.peak = stats.peak.max(stats.used);
        }
        stats
    }

    /// Bytes of a connection's partial; 0 if it has none, or has lost it.
    #[must_use]
    pub fn partial_len(&self, conn: &Conn) -> usize {
        match self.lookup(conn) {
            _ if self.rests(conn) => self.open.end - self.open.start,
            Ok(Some(entry)) => self.store.len(entry),
            _ => 0,
        }
    }

    /// Brings what [`read_from`](Self::read_from) will look at into the processor's cache. Worth calling for the
    /// next connections of a long list of ready ones; without a partial it does nothing.
    #[inline]
    pub fn prefetch(&self, conn: &Conn) {
        if conn.entry == IDLE {
            return;
        }
        self.store.entries.place(conn.entry).map(crate::touch::prefetch);
        if conn.chunk != NONE {
            self.store.chunks.prefetch(conn.chunk);
        }
    }

    /// Takes the reports of connections whose partial was evicted, or was refused: those are to be closed.
    /// Call it after each round of reads. No report is ever lost: each waits in the entry of its partial, and when as many wait
    /// as partials would fit in the budget, reads of connections without a partial say
    /// [`ReadError::Unreported`].
    ///
    /// ```
    /// use pool_ring::{PacketRing, Policy, ReadError, frame::Lines};
    /// use core::time::Duration;
    /// let policy = Policy::EvictOldest { min_age: Duration::ZERO };
    /// let mut ring = PacketRing::builder().budget(600).policy(policy).try_build()?;
    /// let mut lines = Lines::new(100);
    /// let mut conns: Vec<_> = (0..3).map(|token| ring.open(token)).collect();
    /// for conn in &mut conns {
    ///     let _ = ring.feed(conn, &mut lines, &mut &b"half a li"[..]).unwrap();
    /// }
    /// assert_eq!(ring.evicted().collect::<Vec<_>>(), [0]); // two of 286 bytes fit
    /// let error = ring.feed(&mut conns[0], &mut lines, &mut &b"ne\n"[..]).unwrap_err();
    /// assert_eq!(error, ReadError::Evicted);
    /// ring.close(&mut conns[0]);
    /// # Ok::<(), pool_core::PageError>(())
    /// ```
    pub fn evicted(&mut self) -> impl Iterator<Item = u32> + '_ {
        self.settle_forgotten();
        core::iter::from_fn(|| self.store.entries.next_note())
    }

    /// The connections whose partial began before `deadline` (on the clock of [`set_now`](Self::set_now)) and is
    /// still not whole, however many bytes have come since: the slow loris. Oldest first, unless the policy
    /// is [`EvictLargest`](crate::Policy::EvictLargest).
    ///
    /// ```
    /// use pool_ring::{PacketRing, frame::Lines};
    /// use core::time::Duration;
    /// let mut ring = PacketRing::try_new()?;
    /// let (mut loris, mut lines) = (ring.open(7), Lines::new(1000));
    /// for second in 0..60 {
    ///     ring.set_now(Duration::from_secs(second));
    ///     drop(ring.feed(&mut loris, &mut lines, &mut &b"x"[..]).unwrap());
    /// }
    /// assert!(ring.older_than(Duration::from_secs(30)).eq([7])); // began more than 30 s ago
    /// assert_eq!(ring.older_than(Duration::ZERO).count(), 0);
    /// # ring.close(&mut loris);
    /// # Ok::<(), pool_core::PageError>(())
    /// ```
    ///
    /// # Complexity
    /// O(what is returned); with `EvictLargest` O(partials).
    pub fn older_than(&self, deadline: Duration) -> impl Iterator<Item = u32> + '_ {
        let deadline = millis(deadline);
        let Open { resting, entry, since, token, .. } = self.open;
        // What rests is the youngest if it began in the last batch, and else where its entry is.
        let entry = if resting && since.is_none() { entry } else { IDLE };
        let rests = since.filter(|&since| resting && is_before(since, deadline)).map(|_| token);
        self.store.older_than(deadline, entry).chain(rests)
    }

    /// Reads once from `source` and lends what came, together with what was kept, frame by frame.
    ///
    /// A stale `conn` is told [`ReadError::Evicted`] before anything is read; if reading would block,
    /// nothing was copied. A batch may have no frame. Call it until it would block. Where a large partial has no room left and was
    /// not looked at, as the batch was dropped, that comes first, once: nothing is read then. The same at the end of a stream: what is left that no
    /// decoder has looked at, such as frames that were not taken, comes once more, as a batch that has received nothing; the next read tells
    /// the end.
    ///
    /// # Errors
    /// See [`ReadError`].
    ///
    /// ```
    /// # use pool_ring::{PacketRing, ReadError, frame::LengthPrefix};
    /// # fn handle(_: &[u8]) {}
    /// fn readable(
    ///     ring: &mut PacketRing,
    ///     conn: &mut pool_ring::Conn,
    ///     socket: &mut std::net::TcpStream, // not blocking
    /// ) -> Result<(), Box<dyn std::error::Error>> {
    ///     let mut decoder = LengthPrefix::u32(1 << 20);
    ///     loop {
    ///         let mut batch = match ring.read_from(conn, &mut decoder, socket) {
    ///             Err(error) if error.is_would_block() => return Ok(()),
    ///             batch => batch?,
    ///         };
    ///         while let Some(frame) = batch.next()? {
    ///             handle(frame);
    ///         }
    ///     }
    /// }
    /// ```
    #[cfg(feature = "std")]
    #[inline]
    pub fn read_from<'r, D: Decoder, R: std::io::Read + ?Sized>(
        &'r mut self,
        conn: &'r mut Conn,
        decoder: &'r mut D,
        source: &mut R,
    ) -> Result<Batch<'r, D, S>, ReadError<std::io::Error>> {
        self.fill(conn, decoder, |room| {
            loop {
                match source.read(room) {
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    result => return result,
                }
            }
        })
    }

    /// The same for a file descriptor, a socket's say.
    ///
    /// # Errors
    /// See [`ReadError`].
    #[cfg(all(feature = "fd", unix))]
    #[inline]
    pub fn recv<'r, D: Decoder>(
        &'r mut self,
        conn: &'r mut Conn,
        decoder: &'r mut D,
        fd: impl std::os::fd::AsFd,
    ) -> Result<Batch<'r, D, S>, ReadError<std::io::Error>> {
        self.fill(conn, decoder, |room| crate::sys::read_over(fd, room))
    }

    /// The same for bytes that are in memory: takes as many from the front of `bytes` as a read would
    /// bring, and moves the slice behind them. An empty slice is no end
    /// of the stream: then the batch has what was kept, such as frames that were not taken from an earlier one.
    ///
    /// # Errors
    /// [`ReadError::Evicted`], [`ReadError::NoRoom`].
    #[inline]
    pub fn feed<'r, D: Decoder>(
        &'r mut self,
        conn: &'r mut Conn,
        decoder: &'r mut D,
        bytes: &mut &[u8],
    ) -> Result<Batch<'r, D, S>, ReadError<Infallible>> {
        if bytes.is_empty() {
            return self.again(conn, decoder, false);
        }
        self.fill(conn, decoder, |room| {
            let (now, later) = bytes.split_at(bytes.len().min(room.len()));
            room[..now.len()].copy_from_slice(now);
            *bytes = later;
            Ok(now.len())
        })
    }

    /// The connection's entry, or that its partial is lost.
    #[inline(always)]
    pub(super) fn lookup(&self, conn: &Conn) -> Result<Option<u32>, Refused> {
        if conn.entry == IDLE {
            Ok(None)
        } else if self.store.entries.is(conn.entry, conn.generation, conn.token) {
            Ok(Some(conn.entry))
        } else {
            Err(Refused { bytes: 0 })
        }
    }

    /// The invariants of the store, in tests with few connections after every change.
    #[inline(always)]
    pub(super) fn check(&self) {
        #[cfg(any(test, debug_assertions))]
        if (self.open.resting || !self.open.active) && self.store.entries.count() <= 300 {
            self.store.check();
        }
    }
}

impl<S: PageSource + Clone> fmt::Debug for PacketRing<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PacketRing").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::frame::Lines;
    use crate::packet::Policy;
    use crate::packet::entries::LAST_GENERATION;
    use pool_core::Heap;

    /// Generations begin anew, and no stale handle is taken for a note, for a free entry, or for a tenant.
    #[test]
    fn generations_wrap() {
        let heap = Heap::new();
        let policy = Policy::EvictOldest { min_age: Duration::ZERO };
        let builder = PacketRingBuilder::new().budget(2 * 286).policy(policy);
        let mut ring = builder.try_build_in(&heap).unwrap();
        ring.serial = LAST_GENERATION - 5;
        let mut lines = Lines::new(100);
        let mut stale = Vec::new();
        for round in 0..20 {
            let mut conn = ring.open(7);
            drop(ring.feed(&mut conn, &mut lines, &mut &b"part"[..]).unwrap());
            if round % 3 == 0 {
                // Its report is taken, so that its entry is free.
                ring.evicted().for_each(drop);
            }
            stale.push(conn);
        }
        assert!(ring.serial < 20 && ring.serial > 0);
        let live = stale.split_off(18);
        for mut conn in stale {
            assert_eq!(ring.partial_len(&conn), 0);
            let error = ring.feed(&mut conn, &mut lines, &mut &b"x"[..]).unwrap_err();
            assert_eq!(error, ReadError::Evicted);
            ring.close(&mut conn);
        }
        assert_eq!(ring.evicted().count(), 0, "reports went with their connections");
        for mut conn in live {
            assert_eq!(ring.partial_len(&conn), 4);
            ring.close(&mut conn);
        }
        assert_eq!(ring.stats().used, 0);
    }
}
