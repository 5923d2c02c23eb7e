//! What becomes of the rest of a batch.
#![forbid(unsafe_code)]

use super::conn::{Conn, Open};
use super::entries::{OFFERED, UNSEEN};
use super::large::Growth;
use super::ring::PacketRing;
use super::store::NoRoom;
use crate::error::Refused;
use crate::slots::NONE;
use pool_core::PageSource;

impl<S: PageSource + Clone> PacketRing<S> {
    /// Settles a batch that was forgotten, or that rests.
    #[inline(always)]
    pub(super) fn settle_forgotten(&mut self) {
        if self.open.resting {
            // There is room for it.
            let _ = self.settle();
            self.check();
        } else if self.open.active {
            self.settle_without_conn();
        }
    }

    /// Its connection cannot be told, but finds everything under the entry it knows: so that exists
    /// even if nothing is left.
    #[cold]
    fn settle_without_conn(&mut self) {
        let open = self.open;
        if !open.has_entry && (open.failed || open.start == open.end) {
            self.open.active = false;
            // If there is no room for it, the connection is told that it was evicted.
            if self.store.add(open.token, open.generation).is_err() {
                self.store.reject(None, open.token, open.generation);
            }
        } else if open.failed || open.start == open.end {
            self.open.active = false;
            self.store.empty(open.entry, open.block);
            // What comes next begins later than all others.
            self.store.restamp(open.entry, self.store.now);
        } else {
            self.note_since();
            // A refusal is noted, and the connection's handle is stale then.
            let _ = self.settle();
        }
        self.check();
    }

    /// Ends a batch: keeps what is left of it.
    #[inline(always)]
    pub(super) fn settle_for(&mut self, conn: &mut Conn) -> Result<(), Refused> {
        if !self.open.active {
            return Ok(());
        }
        if self.open.start == self.open.end || self.open.failed {
            self.open.active = false;
            if self.open.has_entry {
                self.store.drop_entry(self.open.entry, false);
            }
            conn.set_idle();
            self.check();
            return Ok(());
        }
        self.note_since();
        if self.may_rest() {
            self.open.resting = true;
            conn.chunk = self.store.chunks.peek();
        } else {
            // If it is refused, what `conn` knows of its entry is stale from now on.
            conn.chunk = self.settle()?;
        }
        self.check();
        Ok(())
    }

    /// If a frame was taken, what is left of the batch began with it; the first partial of a connection
    /// begins now, too.
    #[inline(always)]
    fn note_since(&mut self) {
        let Open { start, first, has_entry, since, .. } = self.open;
        if start != first || (!has_entry && since.is_none()) {
            self.open.since = Some(self.store.now);
        }
    }

    /// Whether what is left may stay in the scratch: if it is small, and nobody would have to be evicted for it.
    #[inline(always)]
    fn may_rest(&self) -> bool {
        let Open { start, end, block, has_entry, .. } = self.open;
        block == NONE && end - start <= self.gap && self.store.would_fit(end - start, has_entry)
    }

    /// Keeps what is left of a batch, which is something. Returns the first chunk, or `NONE`.
    #[inline]
    fn settle(&mut self) -> Result<u32, Refused> {
        (self.open.active, self.open.resting) = (false, false);
        let Open { start, end, .. } = self.open;
        let is_small = self.open.block == NONE && end - start <= self.gap;
        let kept = if is_small { self.settle_small() } else { self.settle_large(self.open) };
        match kept {
            Ok((entry, first)) => {
                let all = self.open.seen == end - start;
                let decoder = if all { self.number(self.open.seen_by) } else { self.unseen() };
                self.store.entries.set_seen_by(entry, decoder);
                Ok(first)
            }
            Err(_) => Err(self.settle_refused()),
        }
    }

    /// What is noted of bytes that no decoder has looked at.
    #[cold]
    #[inline(never)]
    fn unseen(&self) -> u8 {
        let Open { offered, start, first, .. } = self.open;
        if offered && start == first { OFFERED } else { UNSEEN }
    }

    /// The same for what fits in chunks. Returns the entry and the first chunk.
    #[inline(always)]
    fn settle_small(&mut self) -> Result<(u32, u32), NoRoom> {
        let Open { start, end, mut entry, token, generation, since, has_entry, .. } = self.open;
        if has_entry {
            if let Some(since) = since {
                self.store.restamp(entry, since);
            }
            self.store.charge_for(entry, end - start)?;
        } else {
            let since = since.unwrap_or(self.store.now);
            entry = self.store.add_for((token, generation), since, end - start)?;
        }
        Ok((entry, self.store.put(entry, &self.scratch[start..end])))
    }

    #[cold]
    fn settle_refused(&mut self) -> Refused {
        let Open { start, end, entry, has_entry, token, generation, .. } = self.open;
        self.store.reject(has_entry.then_some(entry), token, generation);
        Refused { bytes: end - start }
    }

    /// The same for what is in a block, or has to be put in one.
    #[cold]
    fn settle_large(&mut self, open: Open) -> Result<(u32, u32), NoRoom> {
        let Open { start, end, mut entry, hint, .. } = open;
        let len = end - start;
        let is_seen = open.seen == len;
        let growth = if is_seen { Growth::after(hint, len) } else { Growth::Unseen };
        if let (true, Some(since)) = (open.has_entry, open.since) {
            self.store.restamp(entry, since);
        }
        if open.block == NONE {
            let bytes = &self.scratch[start..end];
            if open.has_entry {
                self.store.keep_large(entry, bytes, growth)?;
            } else {
                let (who, since) = ((open.token, open.generation), open.since);
                let since = since.unwrap_or(self.store.now);
                entry = self.store.add_large(who, since, bytes, growth)?;
            }
        } else if start != open.first {
            self.store.block_rest(entry, open.block, start..end, growth)?;
        } else if is_seen {
            // What nobody has looked at may be whole, and need no more room.
            self.store.block_more(entry, open.block, hint)?;
        }
        Ok((entry, NONE))
    }
}
