//! An inbox of one run of pages a connection.
#![forbid(unsafe_code)]

use super::{Inbox, ReadSome};
use crate::kv::buffer::{Buffer, Buffers};
use pool_core::PageSource;
use std::io::{self, Read};

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
}

impl<S: PageSource + Clone> Inbox for PageInbox<S> {
    type Partial = Option<Buffer<S>>;

    fn read(&mut self, partial: &mut Self::Partial, from: &mut impl Read) -> io::Result<ReadSome> {
        let none = |_| io::Error::from(io::ErrorKind::OutOfMemory);
        let buffer = match partial {
            Some(buffer) => buffer,
            None => partial.insert(self.buffers.get().map_err(none)?),
        };
        self.buffers.make_room(buffer, self.max_frame).map_err(none)?;
        let room = buffer.spare_mut();
        let len = from.read(room)?;
        let short = len < room.len();
        buffer.commit(len);
        Ok(ReadSome { len, short })
    }

    #[inline]
    fn pending<'a>(&'a self, partial: &'a Self::Partial) -> &'a [u8] {
        partial.as_ref().map_or(&[], Buffer::filled)
    }

    #[inline]
    fn consume(&mut self, partial: &mut Self::Partial, len: usize) {
        if let Some(buffer) = partial {
            buffer.consume(len);
        }
    }

    fn settle(&mut self, partial: &mut Self::Partial) {
        match partial {
            Some(buffer) if buffer.filled().is_empty() => self.discard(partial),
            Some(buffer) => self.buffers.shrink(buffer),
            None => {}
        }
    }

    fn discard(&mut self, partial: &mut Self::Partial) {
        if let Some(buffer) = partial.take() {
            self.buffers.put(buffer);
        }
    }

    fn observe(&self, visit: &mut dyn FnMut(&str, u64)) {
        let (live, bytes) = self.buffers.live();
        visit("inbox_buffers", live as u64);
        visit("inbox_bytes", bytes as u64);
        for (name, value) in self.buffers.source().snapshot().fields() {
            visit(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pool_core::Heap;

    #[test]
    fn a_run_is_held_only_while_bytes_are_pending() {
        let mut inbox = PageInbox::new(Heap::new(), 1 << 20);
        let mut partial = None;
        let read = inbox.read(&mut partial, &mut &b"abc"[..]).unwrap();
        assert_eq!(read, ReadSome { len: 3, short: true });
        inbox.consume(&mut partial, 2);
        inbox.settle(&mut partial);
        assert_eq!(inbox.pending(&partial), b"c");
        inbox.consume(&mut partial, 1);
        inbox.settle(&mut partial);
        assert!(partial.is_none());
    }
}
