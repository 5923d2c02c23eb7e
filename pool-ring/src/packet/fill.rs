//! Reading: what has come is brought behind what was kept.
#![forbid(unsafe_code)]

use super::batch::Batch;
use super::conn::{Conn, Open};
use super::entries::{Form, LAST_GENERATION, UNSEEN};
use super::ring::PacketRing;
use super::stats::PacketStats;
use super::store::NoRoom;
use crate::error::ReadError;
use crate::frame::{Decoder, Hint};
use crate::slots::NONE;
use core::ops::Range;
use pool_core::PageSource;

impl<S: PageSource + Clone> PacketRing<S> {
    /// Reads by `read`, which gets a place and returns how much of it has been filled.
    #[inline(always)]
    pub(super) fn fill<'r, D: Decoder, E>(
        &'r mut self,
        conn: &'r mut Conn,
        decoder: &'r mut D,
        read: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<Batch<'r, D, S>, ReadError<E>> {
        // Foreign code, so before anything is read.
        let identity = decoder.identity();
        if self.open.resting && self.rests(conn) {
            return self.fill_behind(conn, decoder, identity, read);
        }
        self.settle_forgotten();
        let entry = self.lookup(conn).map_err(|_| ReadError::Evicted)?;
        let form = entry.map_or(Form::Empty, |entry| self.store.entries.form(entry));
        if let (Some(entry), Form::Block(block)) = (entry, form) {
            return self.fill_block(conn, decoder, identity, (entry, block), read);
        }
        // If it has no entry one is promised to it.
        let Some(place) = entry.or_else(|| self.store.entries.peek()) else {
            return Err(self.undrained());
        };
        let room = &mut self.scratch[self.gap..self.limit];
        let most = room.len();
        let len = read(room).map_err(ReadError::Io)?.min(most);
        if len == 0 {
            return self.at_end(conn, decoder);
        }
        let (mut start, mut seen) = (self.gap, 0);
        if let (Some(entry), Form::Chain(last)) = (entry, form) {
            let number = self.number(identity);
            let fresh = &self.scratch[self.gap..][..len];
            seen = self.store.seen(entry, number);
            let wait =
                if seen == 0 { None } else { decoder.wait(self.store.kept(entry, last), fresh) };
            if let Some(hint) = wait {
                (self.open.start, self.open.end) = (0, 0);
                return match self.store.append(entry, fresh, hint) {
                    Ok(()) => Ok(Batch::new(self, conn, decoder, len)),
                    Err(error) => Err(self.no_room(conn, entry, error)),
                };
            }
            start -= self.store.join(entry, last, &mut self.scratch[..self.gap]);
        }
        self.begin(conn, place, entry.is_some(), start..self.gap + len, (seen, identity));
        Ok(Batch::new(self, conn, decoder, len))
    }

    /// Whether what rests in the scratch is this connection's.
    #[inline(always)]
    pub(super) fn rests(&self, conn: &Conn) -> bool {
        let Open { entry, generation, token, resting, .. } = self.open;
        resting && (conn.entry, conn.generation, conn.token) == (entry, generation, token)
    }

    /// Reads on behind what rests in the scratch.
    #[inline(always)]
    fn fill_behind<'r, D: Decoder, E>(
        &'r mut self,
        conn: &'r mut Conn,
        decoder: &'r mut D,
        identity: u64,
        read: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<Batch<'r, D, S>, ReadError<E>> {
        if self.open.end > self.rest_to {
            self.move_resting();
        }
        let room = &mut self.scratch[self.open.end..self.limit];
        let most = room.len();
        let len = read(room).map_err(ReadError::Io)?.min(most);
        if len == 0 {
            return self.at_end(conn, decoder);
        }
        self.store.stats.joins += 1;
        let open = &mut self.open;
        (open.resting, open.offered) = (false, false);
        (open.first, open.hint) = (open.start, Hint::Unknown);
        if open.seen_by != identity || identity == 0 {
            (open.seen, open.seen_by) = (0, identity);
        }
        open.end += len;
        Ok(Batch::new(self, conn, decoder, len))
    }

    /// Moves what rests to the front of the scratch, where the caches are warm and there is room behind it. As many bytes as it
    /// has, that have come since it was there last, pay for it; it moves anyway where reads would get short.
    fn move_resting(&mut self) {
        let Open { start, end, .. } = self.open;
        if end - start > end - self.gap && self.limit - end >= end - self.gap {
            return;
        }
        // It fits in the gap, or would not rest.
        let to = self.gap - (end - start);
        self.scratch.copy_within(start..end, to);
        self.store.stats.copied += (end - start) as u64;
        (self.open.start, self.open.end) = (to, self.gap);
    }

    /// A batch of what was kept; `offered` at the end of its stream.
    #[cold]
    pub(super) fn again<'r, D: Decoder, E>(
        &'r mut self,
        conn: &'r mut Conn,
        decoder: &'r mut D,
        offered: bool,
    ) -> Result<Batch<'r, D, S>, ReadError<E>> {
        self.settle_forgotten();
        (self.open.start, self.open.end) = (0, 0);
        let Some(entry) = self.lookup(conn).map_err(|_| ReadError::Evicted)? else {
            return Ok(Batch::new(self, conn, decoder, 0));
        };
        let identity = decoder.identity();
        let number = self.number(identity);
        let (len, seen) = (self.store.len(entry), self.store.seen(entry, number));
        match self.store.entries.form(entry) {
            // A forgotten batch left nothing but it.
            Form::Empty => {
                self.store.drop_entry(entry, false);
                conn.set_idle();
            }
            Form::Chain(last) => {
                self.store.join(entry, last, &mut self.scratch[..self.gap]);
                self.begin(conn, entry, true, self.gap - len..self.gap, (seen, identity));
            }
            Form::Block(block) => {
                self.begin(conn, entry, true, 0..len, (seen, identity));
                self.open.block = block;
            }
        }
        self.open.offered = offered;
        Ok(Batch::new(self, conn, decoder, 0))
    }

    /// Reads into the block of a large partial.
    #[cold]
    fn fill_block<'r, D: Decoder, E>(
        &'r mut self,
        conn: &'r mut Conn,
        decoder: &'r mut D,
        identity: u64,
        (entry, block): (u32, u32),
        read: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<Batch<'r, D, S>, ReadError<E>> {
        let number = self.number(identity);
        let (had, seen) = (self.store.len(entry), self.store.seen(entry, number));
        if self.store.is_full(block) {
            // It was dropped without being looked at, and may be whole.
            if self.store.offer(block) {
                return self.again(conn, decoder, false);
            }
            if let Err(error) = self.store.block_more(entry, block, Hint::Unknown) {
                return Err(self.no_room(conn, entry, error));
            }
        }
        let room = self.store.block_room(block, had, self.limit - self.gap);
        let most = room.len();
        let len = read(room).map_err(ReadError::Io)?.min(most);
        if len == 0 {
            return self.at_end(conn, decoder);
        }
        self.store.block_filled(block, len);
        self.begin(conn, entry, true, 0..had + len, (seen, identity));
        self.open.block = block;
        Ok(Batch::new(self, conn, decoder, len))
    }

    /// Notes a batch of these bytes of the scratch, the first `seen` of which are no frame for the decoder
    /// of this identity. A connection that does not have the entry yet gets it promised, so that it finds
    /// its bytes again if the batch is forgotten.
    #[inline(always)]
    fn begin(
        &mut self,
        conn: &mut Conn,
        entry: u32,
        has_entry: bool,
        bytes: Range<usize>,
        (seen, seen_by): (usize, u64),
    ) {
        if !has_entry {
            self.serial = if self.serial == LAST_GENERATION { 1 } else { self.serial + 1 };
            conn.entry = entry;
            conn.generation = self.serial;
            conn.chunk = NONE;
        }
        self.open = Open {
            active: true,
            start: bytes.start,
            first: bytes.start,
            end: bytes.end,
            seen,
            seen_by,
            has_entry,
            entry,
            generation: conn.generation,
            token: conn.token,
            ..Open::NO
        };
    }

    /// The stream has ended. What nobody has looked at is lent before that is told, once: it may be whole frames.
    #[cold]
    #[inline(never)]
    fn at_end<'r, D: Decoder, E>(
        &'r mut self,
        conn: &'r mut Conn,
        decoder: &'r mut D,
    ) -> Result<Batch<'r, D, S>, ReadError<E>> {
        // Bytes that rest have an entry from here on.
        self.settle_forgotten();
        if let Ok(Some(entry)) = self.lookup(conn) {
            if self.store.entries.seen_by(entry) == UNSEEN {
                return self.again(conn, decoder, true);
            }
        }
        let partial = self.partial_len(conn);
        self.close(conn);
        Err(ReadError::Ended { partial })
    }

    #[cold]
    const fn undrained<E>(&self) -> ReadError<E> {
        ReadError::Unreported { reports: self.store.entries.noted() }
    }

    /// What a connection has is lost, as there is no room for more.
    #[cold]
    fn no_room<E>(&mut self, conn: &Conn, entry: u32, error: NoRoom) -> ReadError<E> {
        self.store.reject(Some(entry), conn.token, conn.generation);
        self.check();
        let PacketStats { used, budget, .. } = self.store.stats;
        ReadError::NoRoom { asked: error.asked, used, budget }
    }
}
