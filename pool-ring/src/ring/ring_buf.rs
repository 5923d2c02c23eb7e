//! `RingBuf`: the bytes of one connection, in one slice.

use crate::DefaultSource;
use crate::block::Block;
use crate::frame::{Decoded, Decoder, checked};
use core::fmt;
use core::mem::MaybeUninit;
use pool_core::{PageError, PageSource};
use thiserror::Error;

/// Bytes that come in at one end and go out at the other, always as **one** slice.
///
/// ```
/// use pool_ring::RingBuf;
/// let mut ring = RingBuf::with_capacity(4096);
/// ring.extend_from_slice(b"hello world")?;
/// assert_eq!(ring.peek(), b"hello world");
/// ring.consume(6);
/// assert_eq!(ring.peek(), b"world");
/// # Ok::<(), pool_ring::ReserveError>(())
/// ```
///
/// There are two kinds, with one interface; the pages that the source gives decide:
///
/// ```text
///   linear        ┌──────┬────────────────┬────────┐  when the spare end is too short, the filled
///   (default)     │ gone │     filled     │ spare  │  bytes move to the front; mostly there are
///                 └──────┴────────────────┴────────┘  none: an empty ring starts at the front again
///
///   mirrored      ┌───────┬───────────┬────┐┌ ─ ─ ─ ┬ ─ ─ ─ ─ ─ ┬ ─ ─ ┐
///   (over         │ lled  │   spare   │ fi ││  lled      the same       nothing ever moves
///    `Mirror`)    └───────┴───────────┴────┘└ ─ ─ ─ ┴ ─ ─ ─ ─ ─ ┴ ─ ─ ┘
///                                      ◄── filled ──►
/// ```
///
/// Linear rings are as fast as mirrored ones at 64 KiB, and cost no mappings; mirrored ones win
/// where rings are small beside what is in them. Over `MirrorOr` (feature `mirror`) a ring is mirrored
/// if the system allows it; [`is_mirrored`](Self::is_mirrored) says what was got. Both hold bytes, never a `T`.
///
/// A ring with capacity 0 holds no memory; pages come with [`try_reserve`](Self::try_reserve) and go with
/// [`shrink_to`](Self::shrink_to). It never grows by itself.
///
/// # Complexity
/// Everything O(1) and O(bytes copied); a linear ring moves each byte once more at most for each time that
/// the spare end is used up.
pub struct RingBuf<S: PageSource + Clone = DefaultSource> {
    block: Block<S>,
    /// Where the filled bytes begin: at most `tail`.
    head: usize,
    /// Where they end. They are initialised and lie within the block (within both views of one that
    /// shows twice), and are no more than its length. Positions run on while bytes are taken out; what puts bytes in
    /// brings them back first, by `rewind`.
    tail: usize,
    /// How many of these a decoder has seen to be no whole frame.
    seen: usize,
    /// Which one has.
    seen_by: u64,
    /// Whether spare bytes of pages that show twice were lent to be written with anything: they may not be initialised then,
    /// whatever the block says.
    lent: bool,
    source: S,
}

/// Why a ring has no more room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReserveError {
    /// More than `isize::MAX` bytes in all.
    #[error("{asked} more bytes than the {len} that are filled cannot be")]
    TooLarge {
        /// Bytes of room asked for.
        asked: usize,
        /// Bytes that are filled.
        len: usize,
    },
    /// The page source beneath refused.
    #[error("the ring's page source refused: {0}")]
    Source(#[source] PageError),
}

#[cfg(feature = "std")]
impl RingBuf {
    /// A ring over the process-wide source, without memory.
    #[must_use]
    pub const fn new() -> Self {
        Self::new_in(pool_core::Global)
    }

    /// A ring over the process-wide source with room for at least `bytes`.
    ///
    /// # Panics
    /// If there is no memory.
    #[must_use]
    #[track_caller]
    pub fn with_capacity(bytes: usize) -> Self {
        Self::try_with_capacity(bytes).unwrap_or_else(|error| panic!("{error}"))
    }

    /// A ring over the process-wide source with room for at least `bytes`.
    ///
    /// # Errors
    /// What the source says.
    pub fn try_with_capacity(bytes: usize) -> Result<Self, ReserveError> {
        Self::try_with_capacity_in(bytes, pool_core::Global)
    }
}

#[cfg(feature = "std")]
impl Default for RingBuf {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: PageSource + Clone> RingBuf<S> {
    /// A ring over `source`, a handle, without memory.
    pub const fn new_in(source: S) -> Self {
        Self { block: Block::empty(), head: 0, tail: 0, seen: 0, seen_by: 0, lent: false, source }
    }

    /// A ring over `source` with room for at least `bytes`.
    ///
    /// # Errors
    /// What the source says.
    pub fn try_with_capacity_in(bytes: usize, source: S) -> Result<Self, ReserveError> {
        let mut ring = Self::new_in(source);
        ring.try_reserve(bytes)?;
        Ok(ring)
    }

    /// Bytes that can be in it at once.
    #[inline]
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.block.len()
    }

    /// Bytes in it.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.tail - self.head
    }

    /// Whether there are none.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.tail == self.head
    }

    /// Whether its pages are mapped twice, so that bytes are never moved.
    #[must_use]
    pub fn is_mirrored(&self) -> bool {
        self.block.is_mirrored()
    }

    /// The source that its pages come from.
    #[must_use]
    pub const fn source(&self) -> &S {
        &self.source
    }

    /// All bytes in it, the oldest first.
    #[inline]
    #[must_use]
    pub fn peek(&self) -> &[u8] {
        // SAFETY: the filled bytes lie within the block and are initialised, by the invariant of
        // `tail`.
        unsafe { self.block.bytes_unchecked(self.head, self.len()) }
    }

    /// Takes `n` bytes out.
    ///
    /// # Panics
    /// If there are not that many.
    #[inline]
    #[track_caller]
    pub fn consume(&mut self, n: usize) {
        assert!(n <= self.len(), "{n} bytes consumed of {}", self.len());
        self.head += n;
        // What begins now is another frame.
        self.seen = 0;
    }

    /// Takes all bytes out.
    pub fn clear(&mut self) {
        self.consume(self.len());
    }

    /// Two halves for two threads, with what is filled in between; see [`spsc`](crate::spsc).
    ///
    /// ```
    /// use pool_ring::RingBuf;
    /// let mut ring = RingBuf::with_capacity(4096);
    /// ring.push(b"before");
    /// let (mut producer, mut consumer) = ring.split();
    /// assert_eq!(producer.write(b" and after"), 10);
    /// assert_eq!(consumer.read(), b"before and after");
    /// ```
    #[cfg(feature = "alloc")]
    #[must_use]
    pub fn split(mut self) -> (crate::spsc::Producer<S>, crate::spsc::Consumer<S>) {
        self.rewind();
        let len = self.len();
        crate::spsc::halves(self.block, self.head, len)
    }

    /// Brings the positions back to where they were a lap ago, or to the front, where the caches are warm, if there
    /// is nothing: then a linear ring need not move anything.
    #[inline(always)]
    fn rewind(&mut self) {
        if self.head == self.tail {
            (self.head, self.tail) = (0, 0);
        } else if self.head >= self.block.len() {
            // In the second view, that is.
            self.head -= self.block.len();
            self.tail -= self.block.len();
        }
    }

    /// Where the spare bytes begin, and how many can be had without moving anything.
    #[inline(always)]
    fn spare(&mut self) -> (usize, usize) {
        self.rewind();
        (self.tail, self.block.spare(self.tail, self.len()))
    }

    /// Brings all spare bytes into one piece.
    #[cold]
    pub(crate) fn make_contiguous(&mut self) {
        self.rewind();
        if self.head > 0 && !self.block.is_mirrored() {
            self.block.move_to_front(self.head..self.tail);
            (self.head, self.tail) = (0, self.len());
        }
    }

    /// Makes sure that at least `more` bytes can be written: by moving what there is to the front, or else
    /// by more pages, at least twice as many.
    ///
    /// # Errors
    /// [`ReserveError`]; the ring is as it was then.
    #[inline]
    pub fn try_reserve(&mut self, more: usize) -> Result<(), ReserveError> {
        if self.spare().1 >= more {
            return Ok(());
        }
        self.reserve_elsewhere(more)
    }

    #[cold]
    fn reserve_elsewhere(&mut self, more: usize) -> Result<(), ReserveError> {
        let len = self.len();
        if self.capacity() - len >= more {
            self.make_contiguous();
            return Ok(());
        }
        let error = ReserveError::TooLarge { asked: more, len };
        let least = len.checked_add(more).ok_or(error)?;
        if least > isize::MAX as usize {
            return Err(error);
        }
        let asked = least.max(self.capacity().saturating_mul(2));
        match self.move_to(asked) {
            Err(_) if asked > least => self.move_to(least),
            result => result,
        }
    }

    /// Gives pages back: the capacity becomes the least that the source has for `bytes` and what is
    /// filled, and none if both are 0.
    ///
    /// # Errors
    /// The smaller run could not be had; the ring is as it was.
    pub fn shrink_to(&mut self, bytes: usize) -> Result<(), ReserveError> {
        let least = self.len().max(bytes);
        if least == 0 {
            (self.block, self.head, self.tail) = (Block::empty(), 0, 0);
            self.lent = false;
        } else if least < self.capacity() {
            self.move_to(least)?;
        }
        Ok(())
    }

    /// Moves what there is to another block, if that is of another length.
    #[cold]
    fn move_to(&mut self, bytes: usize) -> Result<(), ReserveError> {
        let mut block = Block::new(self.source.clone(), bytes).map_err(ReserveError::Source)?;
        if block.len() != self.capacity() {
            block.write(0, self.peek());
            block.fence();
            (self.head, self.tail) = (0, self.len());
            (self.block, self.lent) = (block, false);
        }
        Ok(())
    }

    /// The spare bytes, initialised or not: what can be written without moving anything. More may be had by
    /// [`try_reserve`](Self::try_reserve). A safe reader that is given them afterwards finds them zeroed.
    #[inline]
    #[must_use]
    pub fn spare_capacity_mut(&mut self) -> &mut [MaybeUninit<u8>] {
        self.rewind();
        // Whoever gets them may write bytes that are not initialised.
        if self.block.is_mirrored() {
            self.lent = true;
        } else {
            self.block.forget_init(self.tail);
        }
        self.spare_mut()
    }

    /// The spare bytes, for those who write nothing that is not initialised.
    #[inline(always)]
    pub(crate) fn spare_mut(&mut self) -> &mut [MaybeUninit<u8>] {
        let (tail, spare) = self.spare();
        self.block.fence();
        self.block.uninit_mut(tail..tail + spare)
    }

    /// Says that the first `n` spare bytes have been written.
    ///
    /// ```
    /// # use pool_ring::RingBuf;
    /// let mut ring = RingBuf::with_capacity(64);
    /// ring.spare_capacity_mut()[0].write(b'x');
    /// // SAFETY: one byte was written.
    /// unsafe { ring.advance(1) };
    /// assert_eq!(ring.peek(), b"x");
    /// ```
    ///
    /// # Panics
    /// If there are not so many spare bytes.
    ///
    /// # Safety
    /// They are initialised.
    #[inline]
    pub unsafe fn advance(&mut self, n: usize) {
        let (tail, spare) = self.spare();
        assert!(n <= spare, "{n} bytes written of {spare}");
        // SAFETY: all below `tail` were initialised, for a ring is filled from byte 0 on, and the
        // `n` behind it are by the caller's promise.
        unsafe { self.block.assume_init(tail + n) };
        self.block.fence();
        self.tail = tail + n;
    }

    /// Lends spare bytes to `read`, initialised ones as a safe `Read` must be given, and counts as many as it
    /// says that it has written. `None`: there is no room.
    #[cfg(feature = "std")]
    #[inline(always)]
    pub(crate) fn fill_by<E>(
        &mut self,
        read: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Option<Result<usize, E>> {
        self.rewind();
        let mut tail = self.tail;
        // What is filled is initialised, so this is not negative.
        let mut ready = self.block.ready_end(self.head) - tail;
        if ready < LEAST || self.lent {
            (tail, ready) = self.initialise_spare()?;
        }
        self.block.fence();
        // SAFETY: spare bytes, below `readable`, and no more than the block has beside what is filled. If they were lent,
        // `initialise_spare` has zeroed them.
        let room = unsafe { self.block.bytes_mut_unchecked(tail, ready) };
        let result = read(room);
        self.block.fence();
        Some(result.map(|n| {
            // Whoever reads may lie; more was not lent.
            let n = n.min(ready);
            self.tail = tail + n;
            n
        }))
    }

    /// Reads once from a file descriptor into the spare bytes, which need not be initialised for that, and returns how many
    /// came; 0 at the end of the stream. There is no use for a vectored read: the spare bytes are one slice.
    ///
    /// ```
    /// use pool_ring::RingBuf;
    /// use std::{io::Write, os::unix::net::UnixStream};
    /// let (mut client, server) = UnixStream::pair()?;
    /// client.write_all(b"hello")?;
    /// let mut ring = RingBuf::with_capacity(4096);
    /// assert_eq!(ring.recv(&server)?, 5);
    /// assert_eq!(ring.peek(), b"hello");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// What the system says; [`StorageFull`](std::io::ErrorKind::StorageFull) if there is no room.
    #[cfg(all(feature = "fd", unix))]
    pub fn recv(&mut self, fd: impl std::os::fd::AsFd) -> std::io::Result<usize> {
        if self.spare().1 < LEAST.min(self.capacity() - self.len()) {
            self.make_contiguous();
        }
        let room = self.spare_mut();
        if room.is_empty() {
            return Err(super::io::full());
        }
        let n = crate::sys::read(fd, room)?;
        // SAFETY: the first `n` spare bytes are those that `read` has initialised.
        unsafe { self.advance(n) };
        Ok(n)
    }

    /// Makes spare bytes that are initialised: [`LEAST`] if there are that many, and at most [`FRESH`] that never
    /// were. Returns where they begin, and how many there are, unless that is 0.
    #[cfg(feature = "std")]
    #[cold]
    fn initialise_spare(&mut self) -> Option<(usize, usize)> {
        let least = LEAST.min(self.capacity() - self.len());
        if self.spare().1 < least {
            self.make_contiguous();
        }
        let (tail, spare) = self.spare();
        if core::mem::take(&mut self.lent) {
            // All of them, for it is not known which ones were written.
            self.block.fence();
            self.block.uninit_mut(tail..tail + spare).fill(MaybeUninit::new(0));
            self.block.fence();
        }
        if self.block.readable() - tail < least {
            self.block.fence();
            self.block.zeroed_mut(tail..tail + spare.min(FRESH));
        }
        let ready = spare.min(self.block.readable() - tail);
        (ready > 0).then_some((tail, ready))
    }

    /// Copies as many of `bytes` in as there is room for, and returns how many.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let (mut tail, mut spare) = self.spare();
        if spare < bytes.len() {
            self.make_contiguous();
            (tail, spare) = self.spare();
        }
        let n = bytes.len().min(spare);
        self.block.fence();
        self.block.write(tail, &bytes[..n]);
        self.block.fence();
        self.tail = tail + n;
        n
    }

    /// Copies all of `bytes` in, and makes room for them if need be.
    ///
    /// # Errors
    /// There is no room; nothing was copied.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) -> Result<(), ReserveError> {
        self.try_reserve(bytes.len())?;
        self.push(bytes);
        Ok(())
    }

    /// Takes one frame out and lends it, if there is a whole one. A search that found nothing resumes where it stopped, if the
    /// decoder is of the same [`identity`](Decoder::identity).
    ///
    /// ```
    /// use pool_ring::{RingBuf, frame::Lines};
    /// let mut ring = RingBuf::with_capacity(64);
    /// ring.extend_from_slice(b"one\ntw")?;
    /// let mut lines = Lines::new(80);
    /// assert_eq!(ring.decode(&mut lines), Ok(Some(&b"one"[..])));
    /// assert_eq!(ring.decode(&mut lines), Ok(None));
    /// ring.extend_from_slice(b"o\n")?;
    /// assert_eq!(ring.decode(&mut lines), Ok(Some(&b"two"[..])));
    /// # Ok::<(), pool_ring::ReserveError>(())
    /// ```
    ///
    /// # Errors
    /// The decoder's; nothing was taken.
    #[inline]
    pub fn decode<D: Decoder>(
        &mut self,
        decoder: &mut D,
    ) -> Result<Option<D::Frame<'_>>, D::Error> {
        let (head, len) = (self.head, self.len());
        if self.seen != 0 {
            let identity = decoder.identity();
            if self.seen_by != identity || identity == 0 {
                self.seen = 0;
            }
        }
        if self.seen == len {
            return Ok(None);
        }
        // SAFETY: as in `peek`.
        let filled = unsafe { self.block.bytes_unchecked(head, len) };
        match decoder.decode_after(filled, core::mem::take(&mut self.seen)) {
            Ok(Decoded::Frame { frame, consumed }) => {
                self.head = head + checked(consumed, len);
                Ok(Some(frame))
            }
            Ok(Decoded::NeedMore(_)) => {
                (self.seen, self.seen_by) = (len, decoder.identity());
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// A read is given at least so many bytes if there is room for them anywhere.
#[cfg(feature = "std")]
const LEAST: usize = 4 << 10;
/// What is zeroed at most for one read.
#[cfg(feature = "std")]
const FRESH: usize = 16 << 10;

impl<S: PageSource + Clone> fmt::Debug for RingBuf<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingBuf")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .field("mirrored", &self.is_mirrored())
            .finish_non_exhaustive()
    }
}
