//! The receiving side of a worker, as a strategy brings it.
#![forbid(unsafe_code)]

use crate::kv::reply::OutOfMemory;
use std::io::{self, Read};
use std::time::Duration;

/// Names and values for `INFO memory`.
pub trait Figures {
    /// Visits each.
    fn observe(&self, visit: &mut dyn FnMut(&str, u64));
}

/// Bytes in; what is no whole request yet is kept until the rest of it comes.
///
/// A connection's turn: [`read`](Self::read), then [`Received::pending`] and [`Received::consume`]
/// request by request, then [`Received::keep`].
pub trait Inbox: Figures {
    /// What a connection keeps between two turns. As long as nothing is pending it has no buffer.
    type Partial;
    /// What was read and what had been kept, as long as it is looked at.
    type Received<'r>: Received
    where
        Self: 'r;

    /// A new connection. `number` is what [`next_lost`](Self::next_lost) calls it.
    fn open(&mut self, number: u32) -> Self::Partial;

    /// Tells the time, on a clock of the caller's choice: for the ages of what is kept.
    fn set_now(&mut self, now: Duration);

    /// Reads once from `from`; `None` is the end of the stream.
    ///
    /// `needed`: the bytes that the request which is pending has at least, 0 if nobody knows. As
    /// long as they have not come an inbox need not show what is pending.
    ///
    /// # Errors
    /// Of kind `OutOfMemory` when there is no room for what is read or was kept (the connection is
    /// then to be closed: its stream has a hole), or the stream's own.
    fn read<'r>(
        &'r mut self,
        partial: &'r mut Self::Partial,
        needed: usize,
        from: &mut impl Read,
    ) -> io::Result<Option<Self::Received<'r>>>;

    /// What was kept, without a read: for a connection that was paused.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn resume<'r>(&'r mut self, partial: &'r mut Self::Partial) -> io::Result<Self::Received<'r>>;

    /// Ends the connection: its pending bytes are dropped.
    fn discard(&mut self, partial: &mut Self::Partial);

    /// Whether nothing is kept of a connection: then its turn has cost no other one anything.
    fn is_empty(partial: &Self::Partial) -> bool;

    /// The number of a connection that has lost its pending bytes to others, and is to be closed.
    fn next_lost(&mut self) -> Option<u32>;
}

/// The pending bytes of the connection whose turn it is.
pub trait Received: Figures {
    /// Bytes that the read has brought.
    fn fresh(&self) -> usize;

    /// Whether there was room for more: then the stream had no more at that moment.
    fn is_short(&self) -> bool;

    /// All bytes that are not consumed.
    fn pending(&self) -> &[u8];

    /// The first `len` of them are done with.
    fn consume(&mut self, len: usize);

    /// Ends the turn: keeps what is pending, in as little memory as it takes. `needed` as in
    /// [`Inbox::read`].
    ///
    /// # Errors
    /// [`OutOfMemory`]: the bytes are lost, and the connection is to be closed.
    fn keep(self, needed: usize) -> Result<(), OutOfMemory>;
}

/// A stream, and how much one read asked it for.
pub(super) struct Asked<'f, R> {
    from: &'f mut R,
    room: usize,
}

impl<'f, R: Read> Asked<'f, R> {
    pub(super) const fn new(from: &'f mut R) -> Self {
        Self { from, room: 0 }
    }

    /// Whether a read that brought `len` bytes left room.
    pub(super) const fn is_short(&self, len: usize) -> bool {
        len < self.room
    }
}

impl<R: Read> Read for Asked<'_, R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.room = room.len();
        self.from.read(room)
    }
}
