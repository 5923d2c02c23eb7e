//! An inbox of one run of pages a connection.
#![forbid(unsafe_code)]

use super::inbox::{Figures, Inbox, Received};
use crate::kv::buffer::{Buffer, Buffers};
use crate::kv::reply::OutOfMemory;
use pool_core::PageSource;
use std::io::{self, Read};
use std::time::Duration;

/// An [`Inbox`] of one run of pages a connection, held only while bytes are pending.
#[derive(Debug)]
pub struct PageInbox<S: PageSource> {
    buffers: Buffers<S>,
    max_frame: usize,
}

impl<S: PageSource + Clone> PageInbox<S> {
    /// Runs from `source`, at most `max_frame` bytes (and their rounding) a connection.
    pub const fn new(source: S, max_frame: usize) -> Self {
        Self { buffers: Buffers::new(source), max_frame }
    }

    /// Reads into the connection's buffer; how much, and whether there was room for more.
    fn fill(
        &mut self,
        partial: &mut Option<Buffer<S>>,
        needed: usize,
        from: &mut impl Read,
    ) -> io::Result<(usize, bool)> {
        let none = |_| io::Error::from(io::ErrorKind::OutOfMemory);
        let buffer = match partial {
            Some(buffer) => buffer,
            None => partial.insert(self.buffers.get().map_err(none)?),
        };
        self.buffers.make_room(buffer, needed, self.max_frame).map_err(none)?;
        let room = buffer.spare_mut();
        let len = from.read(room)?;
        let is_short = len < room.len();
        buffer.commit(len);
        Ok((len, is_short))
    }

    fn settle(&mut self, partial: &mut Option<Buffer<S>>) {
        match partial {
            Some(buffer) if buffer.filled().is_empty() => self.discard(partial),
            Some(buffer) => self.buffers.shrink(buffer),
            None => {}
        }
    }
}

impl<S: PageSource + Clone> Inbox for PageInbox<S> {
    type Partial = Option<Buffer<S>>;
    type Received<'r>
        = PageReceived<'r, S>
    where
        Self: 'r;

    fn open(&mut self, _: u32) -> Option<Buffer<S>> {
        None
    }

    fn set_now(&mut self, _: Duration) {}

    fn read<'r>(
        &'r mut self,
        partial: &'r mut Option<Buffer<S>>,
        needed: usize,
        from: &mut impl Read,
    ) -> io::Result<Option<PageReceived<'r, S>>> {
        match self.fill(partial, needed, from) {
            Ok((0, _)) => {
                self.discard(partial);
                Ok(None)
            }
            Ok((fresh, is_short)) => {
                Ok(Some(PageReceived { inbox: self, partial, fresh, is_short }))
            }
            Err(error) => {
                self.settle(partial);
                Err(error)
            }
        }
    }

    fn resume<'r>(
        &'r mut self,
        partial: &'r mut Option<Buffer<S>>,
    ) -> io::Result<PageReceived<'r, S>> {
        Ok(PageReceived { inbox: self, partial, fresh: 0, is_short: false })
    }

    fn discard(&mut self, partial: &mut Option<Buffer<S>>) {
        if let Some(buffer) = partial.take() {
            self.buffers.put(buffer);
        }
    }

    #[inline]
    fn is_empty(_: &Option<Buffer<S>>) -> bool {
        // Connections do not share memory but for what nobody uses.
        true
    }

    fn next_lost(&mut self) -> Option<u32> {
        None
    }
}

/// A connection's buffer, in its turn.
#[derive(Debug)]
pub struct PageReceived<'r, S: PageSource> {
    inbox: &'r mut PageInbox<S>,
    partial: &'r mut Option<Buffer<S>>,
    fresh: usize,
    is_short: bool,
}

impl<S: PageSource + Clone> Received for PageReceived<'_, S> {
    #[inline]
    fn fresh(&self) -> usize {
        self.fresh
    }

    #[inline]
    fn is_short(&self) -> bool {
        self.is_short
    }

    #[inline]
    fn pending(&self) -> &[u8] {
        self.partial.as_ref().map_or(&[], Buffer::filled)
    }

    #[inline]
    fn consume(&mut self, len: usize) {
        if let Some(buffer) = self.partial {
            buffer.consume(len);
        }
    }

    #[inline]
    fn keep(self, _: usize) -> Result<(), OutOfMemory> {
        self.inbox.settle(self.partial);
        Ok(())
    }
}

impl<S: PageSource + Clone> Figures for PageReceived<'_, S> {
    fn observe(&self, visit: &mut dyn FnMut(&str, u64)) {
        self.inbox.observe(visit);
    }
}

impl<S: PageSource + Clone> Figures for PageInbox<S> {
    fn observe(&self, visit: &mut dyn FnMut(&str, u64)) {
        let (live, bytes) = self.buffers.live();
        visit("inbox_buffers", live as u64);
        visit("inbox_bytes", bytes as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pool_core::Heap;

    #[test]
    fn a_run_is_held_only_while_bytes_are_pending() {
        let mut inbox = PageInbox::new(Heap::new(), 1 << 20);
        let mut partial = inbox.open(0);
        let mut received = inbox.read(&mut partial, 0, &mut &b"abc"[..]).unwrap().unwrap();
        assert_eq!((received.fresh(), received.is_short()), (3, true));
        received.consume(2);
        received.keep(0).unwrap();
        let mut received = inbox.resume(&mut partial).unwrap();
        assert_eq!(received.pending(), b"c");
        received.consume(1);
        received.keep(0).unwrap();
        assert!(partial.is_none());
        assert!(inbox.read(&mut partial, 0, &mut &b""[..]).unwrap().is_none());
        assert!(partial.is_none());
    }
}
