//! An inbox of one packet ring for all connections of a worker.
#![forbid(unsafe_code)]

use super::inbox::{Asked, Figures, Inbox, Received};
use crate::kv::reply::OutOfMemory;
use crate::kv::seldom::warn_seldom;
use pool_core::{PageError, PageSource};
use pool_ring::frame::{Decoded, Decoder, Hint, Kept, identity};
use pool_ring::{Batch, Conn, PacketRing, PacketStats, Policy, ReadError, Refused};
use std::cell::Cell;
use std::convert::Infallible;
use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::rc::Rc;
use std::time::Duration;

/// How long a partial is safe from those that find no room. Whoever is evicted has had this long to
/// send the rest.
const SAFE: Duration = Duration::from_secs(1);

impl From<Refused> for OutOfMemory {
    fn from(error: Refused) -> Self {
        warn_seldom!(%error, "no room for a partial");
        Self
    }
}

/// An [`Inbox`] over a [`PacketRing`]: all connections are read into one scratch, and what is left of
/// a read lies in chunks of 256 bytes until the rest comes. An idle connection has 16 bytes here, all
/// of them in its own record.
#[derive(Debug)]
pub struct PacketInbox<S: PageSource + Clone> {
    ring: PacketRing<S>,
    decoder: Announced,
    /// The decoder's.
    needed: Rc<Cell<usize>>,
}

impl<S: PageSource + Clone> PacketInbox<S> {
    /// At most `budget` bytes for all partials together. The addresses come from `source` at once; memory
    /// is taken by those that are used.
    ///
    /// # Errors
    /// What `source` says.
    pub fn new(source: S, budget: usize) -> Result<Self, PageError> {
        let policy = Policy::EvictOldest { min_age: SAFE };
        let ring = PacketRing::builder().budget(budget).policy(policy).try_build_in(source)?;
        let needed = Rc::<Cell<usize>>::default();
        Ok(Self { ring, decoder: Announced { needed: needed.clone() }, needed })
    }
}

/// The ring's view of RESP. Requests are found by the worker's parser, which goes on where it stopped;
/// the ring need only know how long the pending one is going to be.
#[derive(Debug)]
struct Announced {
    /// Bytes that the pending request has at least; 0 if that is not known. Shared with
    /// [`PacketReceived`], since the ring's batch borrows the decoder.
    needed: Rc<Cell<usize>>,
}

impl Announced {
    /// For the ring, which has room made for a long request. An announced length is worth nothing until
    /// half of it has come: till then room grows twofold.
    fn hint(&self, len: usize) -> Hint {
        match self.needed.get() {
            needed if needed > len && needed / 2 <= len => Hint::Total(needed),
            _ => Hint::Unknown,
        }
    }
}

impl Decoder for Announced {
    type Frame<'a> = Infallible;
    type Error = Infallible;

    fn decode(&mut self, bytes: &[u8]) -> Result<Decoded<Infallible>, Infallible> {
        Ok(Decoded::NeedMore(self.hint(bytes.len())))
    }

    fn identity(&self) -> u64 {
        const { identity(b"resp", 0) }
    }

    /// What is pending is not brought together before all of it has come.
    fn wait(&mut self, kept: Kept<'_>, fresh: &[u8]) -> Option<Hint> {
        let len = kept.len + fresh.len();
        (len < self.needed.get()).then(|| self.hint(len))
    }
}

/// What one read has brought, before what was kept.
pub struct PacketReceived<'r, S: PageSource + Clone> {
    batch: Batch<'r, Announced, S>,
    needed: &'r Cell<usize>,
    is_short: bool,
}

impl<S: PageSource + Clone> fmt::Debug for PacketReceived<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PacketReceived").field("batch", &self.batch).finish_non_exhaustive()
    }
}

impl<S: PageSource + Clone> Inbox for PacketInbox<S> {
    type Partial = Conn;
    type Received<'r>
        = PacketReceived<'r, S>
    where
        Self: 'r;

    fn open(&mut self, number: u32) -> Conn {
        self.ring.open(number)
    }

    fn set_now(&mut self, now: Duration) {
        self.ring.set_now(now);
    }

    #[inline]
    fn read<'r>(
        &'r mut self,
        conn: &'r mut Conn,
        needed: usize,
        from: &mut impl Read,
    ) -> io::Result<Option<PacketReceived<'r, S>>> {
        let shared = &*self.needed;
        if !conn.is_idle() {
            shared.set(needed);
        }
        let mut asked = Asked::new(from);
        match self.ring.read_from(conn, &mut self.decoder, &mut asked) {
            Ok(batch) => {
                let is_short = asked.is_short(batch.received());
                Ok(Some(PacketReceived { batch, needed: shared, is_short }))
            }
            Err(ReadError::Ended { .. }) => Ok(None),
            Err(error) => Err(explain(error)),
        }
    }

    fn resume<'r>(&'r mut self, conn: &'r mut Conn) -> io::Result<PacketReceived<'r, S>> {
        let needed = &*self.needed;
        let kept = self.ring.feed(conn, &mut self.decoder, &mut &[][..]);
        let batch = kept.map_err(|_| io::Error::from(ErrorKind::OutOfMemory))?;
        Ok(PacketReceived { batch, needed, is_short: false })
    }

    fn discard(&mut self, conn: &mut Conn) {
        self.ring.close(conn);
    }

    #[inline]
    fn is_empty(conn: &Conn) -> bool {
        conn.is_idle()
    }

    fn next_lost(&mut self) -> Option<u32> {
        self.ring.evicted().next()
    }
}

/// The stream's own error, or that there was no room.
#[cold]
fn explain(error: ReadError<io::Error>) -> io::Error {
    match error {
        ReadError::Io(error) => error,
        ReadError::Ended { .. } => ErrorKind::UnexpectedEof.into(),
        lost => {
            warn_seldom!(error = %lost, "a partial is lost");
            ErrorKind::OutOfMemory.into()
        }
    }
}

impl<S: PageSource + Clone> Received for PacketReceived<'_, S> {
    #[inline]
    fn fresh(&self) -> usize {
        self.batch.received()
    }

    #[inline]
    fn is_short(&self) -> bool {
        self.is_short
    }

    #[inline]
    fn pending(&self) -> &[u8] {
        self.batch.rest()
    }

    #[inline]
    fn consume(&mut self, len: usize) {
        self.batch.skip(len);
    }

    #[inline]
    fn keep(mut self, needed: usize) -> Result<(), OutOfMemory> {
        if needed > 0 {
            self.needed.set(needed);
            // Tells the ring, which asks the decoder, that these bytes alone are no request.
            let Ok(_) = self.batch.next();
        }
        Ok(self.batch.finish()?)
    }
}

impl<S: PageSource + Clone> Figures for PacketReceived<'_, S> {
    fn observe(&self, visit: &mut dyn FnMut(&str, u64)) {
        tell(&self.batch.stats(), visit);
    }
}

impl<S: PageSource + Clone> Figures for PacketInbox<S> {
    fn observe(&self, visit: &mut dyn FnMut(&str, u64)) {
        tell(&self.ring.stats(), visit);
    }
}

/// The ring's figures.
fn tell(stats: &PacketStats, visit: &mut dyn FnMut(&str, u64)) {
    let &PacketStats { partials, bytes, used, peak, budget, reserved, .. } = stats;
    let &PacketStats { joins, copied, evictions, rejected, .. } = stats;
    for (name, value) in [
        ("inbox_partials", partials),
        ("inbox_bytes", bytes),
        ("inbox_used", used),
        ("inbox_peak", peak),
        ("inbox_budget", budget),
        ("inbox_reserved", reserved),
    ] {
        visit(name, value as u64);
    }
    for (name, value) in [
        ("inbox_joins", joins),
        ("inbox_copied", copied),
        ("inbox_evictions", evictions),
        ("inbox_rejected", rejected),
    ] {
        visit(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pool_core::{Heap, Limit};

    fn inbox(budget: usize) -> PacketInbox<Rc<Heap>> {
        PacketInbox::new(Rc::new(Heap::new()), budget).unwrap()
    }

    /// Reads `bytes`, and shows what is pending then.
    fn read(inbox: &mut PacketInbox<Rc<Heap>>, conn: &mut Conn, bytes: &[u8]) -> Vec<u8> {
        let received = inbox.read(conn, 0, &mut &bytes[..]).unwrap().unwrap();
        assert_eq!(received.fresh(), bytes.len());
        let pending = received.pending().to_vec();
        received.keep(0).unwrap();
        pending
    }

    #[test]
    fn nothing_is_held_unless_bytes_are_pending() {
        let mut inbox = inbox(1 << 20);
        let mut conn = inbox.open(7);
        let mut received = inbox.read(&mut conn, 0, &mut &b"abc"[..]).unwrap().unwrap();
        assert!(received.is_short());
        received.consume(2);
        received.keep(0).unwrap();
        assert_eq!(inbox.ring.partial_len(&conn), 1);
        assert_eq!(read(&mut inbox, &mut conn, b"de"), b"cde");
        let mut received = inbox.resume(&mut conn).unwrap();
        assert_eq!(received.pending(), b"cde");
        received.consume(3);
        received.keep(0).unwrap();
        assert!(conn.is_idle());
        assert_eq!(inbox.ring.stats().used, 0);
    }

    /// What was kept for later is shown once more at the end of its stream, as a read that brings nothing.
    #[test]
    fn requests_that_wait_outlive_the_end_of_their_stream() {
        let mut inbox = inbox(1 << 20);
        let mut conn = inbox.open(7);
        read(&mut inbox, &mut conn, b"abc");
        assert_eq!(read(&mut inbox, &mut conn, b""), b"abc");
        assert!(inbox.read(&mut conn, 0, &mut &b""[..]).unwrap().is_none());
        assert!(conn.is_idle());
    }

    #[test]
    fn an_announced_request_is_shown_when_it_has_come() {
        let mut inbox = inbox(1 << 20);
        let mut conn = inbox.open(7);
        let frame: Vec<u8> = (0..100_000).map(|index| index as u8).collect();
        let mut shown = Vec::new();
        for mut piece in frame.chunks(999) {
            while !piece.is_empty() {
                let received = inbox.read(&mut conn, frame.len(), &mut piece).unwrap().unwrap();
                shown = received.pending().to_vec();
                received.keep(frame.len()).unwrap();
                // Charged for what has come, not for what was announced.
                let (len, used) = (inbox.ring.partial_len(&conn), inbox.ring.stats().used);
                assert!(used <= 4 * len + 4096, "{used} for {len}");
            }
        }
        assert!(shown == frame);
        // As long as it had not all come, chunks were not brought together.
        assert!(inbox.ring.stats().copied <= 4 * frame.len() as u64);
    }

    #[test]
    fn the_oldest_makes_room_and_is_named() {
        let mut inbox = inbox(600);
        let mut conns: Vec<_> = (0..3).map(|number| inbox.open(number)).collect();
        inbox.set_now(Duration::from_secs(1));
        for conn in &mut conns[..2] {
            read(&mut inbox, conn, b"half");
        }
        inbox.set_now(Duration::from_secs(3));
        read(&mut inbox, &mut conns[2], b"half");
        assert_eq!(inbox.next_lost(), Some(0));
        assert_eq!(inbox.next_lost(), None);
        let error = inbox.read(&mut conns[0], 0, &mut &b"rest"[..]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        assert_eq!(read(&mut inbox, &mut conns[1], b"rest"), b"halfrest");
    }

    #[test]
    fn no_room_is_said_at_once() {
        let mut inbox = inbox(600);
        let mut conn = inbox.open(1);
        let received = inbox.read(&mut conn, 0, &mut &[b'x'; 700][..]).unwrap().unwrap();
        assert_eq!(received.keep(0), Err(OutOfMemory));
        inbox.discard(&mut conn);
        assert_eq!(inbox.next_lost(), None);
        let dry = Rc::new(Limit::new(Heap::new(), 4096));
        assert!(PacketInbox::new(dry, 1 << 20).is_err());
    }
}
