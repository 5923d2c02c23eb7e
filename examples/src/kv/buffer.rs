//! A connection's bytes: one run of pages with a head and a tail, and the shop that sells them.
#![forbid(unsafe_code)]

use super::reply::OutOfMemory;
use super::seldom::warn_seldom;
use pool_core::{PageBytes, PageError, PageSource};

/// Bytes of a buffer when it is first acquired; runs round this up to their granule.
pub const FIRST_LEN: usize = 16 << 10;

/// The longest run that a cache of pages keeps by powers of two; a longer one has the length asked for.
const LONGEST_CLASS: usize = 8 << 20;

/// Bytes of the run for so many: what is not used is at most an eighth of a long one.
#[must_use]
pub fn run_for(bytes: usize) -> usize {
    match bytes.checked_next_power_of_two() {
        Some(class) if class <= LONGEST_CLASS => class.max(FIRST_LEN),
        Some(class) => bytes.next_multiple_of(class / 16),
        None => bytes,
    }
}

impl From<PageError> for OutOfMemory {
    fn from(error: PageError) -> Self {
        warn_seldom!(%error, "no run for a connection's bytes");
        Self
    }
}

/// One run: `[consumed | filled | spare]`.
#[derive(Debug)]
pub struct Buffer<S: PageSource> {
    run: PageBytes<S>,
    /// First byte that is not consumed; at most `tail`.
    head: usize,
    /// First byte that is not filled; at most the run's length.
    tail: usize,
}

impl<S: PageSource> Buffer<S> {
    /// Bytes that arrived and are not consumed.
    #[inline]
    #[must_use]
    pub fn filled(&self) -> &[u8] {
        &self.run[self.head..self.tail]
    }

    /// Room behind them.
    #[inline]
    pub fn spare_mut(&mut self) -> &mut [u8] {
        &mut self.run[self.tail..]
    }

    /// `len` bytes of the spare room have been filled.
    #[inline]
    pub fn commit(&mut self, len: usize) {
        self.tail = (self.tail + len).min(self.run.len());
    }

    /// Appends `bytes`, for which there must be room.
    pub fn push(&mut self, bytes: &[u8]) {
        self.spare_mut()[..bytes.len()].copy_from_slice(bytes);
        self.commit(bytes.len());
    }

    /// `len` bytes from the front are done with.
    #[inline]
    pub fn consume(&mut self, len: usize) {
        self.head = (self.head + len).min(self.tail);
    }

    /// Bytes of the run.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.run.len()
    }

    /// Moves the filled bytes to the front of the run.
    fn compact(&mut self) {
        self.run.copy_within(self.head..self.tail, 0);
        (self.head, self.tail) = (0, self.tail - self.head);
    }
}

/// Sells buffers out of a page source and counts what is out.
///
/// It keeps one empty buffer of the first size: connections are served one after another, so the
/// run that one has drained serves the next. That also saves zeroing a run for each read.
#[derive(Debug)]
pub struct Buffers<S: PageSource> {
    source: S,
    spare: Option<Buffer<S>>,
    /// Buffers that connections hold.
    live: usize,
    /// Their runs' bytes.
    live_bytes: usize,
}

impl<S: PageSource + Clone> Buffers<S> {
    /// Buffers out of `source`.
    pub const fn new(source: S) -> Self {
        Self { source, spare: None, live: 0, live_bytes: 0 }
    }

    /// The source that runs come from.
    pub const fn source(&self) -> &S {
        &self.source
    }

    /// Buffers out, and the bytes of their runs.
    #[must_use]
    pub const fn live(&self) -> (usize, usize) {
        (self.live, self.live_bytes)
    }

    /// An empty buffer.
    ///
    /// # Errors
    /// [`OutOfMemory`] when the source refuses.
    pub fn get(&mut self) -> Result<Buffer<S>, OutOfMemory> {
        self.get_for(FIRST_LEN)
    }

    /// An empty buffer with room for so many bytes.
    ///
    /// # Errors
    /// [`OutOfMemory`] when the source refuses.
    pub fn get_for(&mut self, bytes: usize) -> Result<Buffer<S>, OutOfMemory> {
        let spare = if bytes <= FIRST_LEN { self.spare.take() } else { None };
        let buffer = match spare {
            Some(buffer) => buffer,
            None => self.acquire(run_for(bytes))?,
        };
        self.live += 1;
        self.live_bytes += buffer.capacity();
        Ok(buffer)
    }

    /// Takes a buffer back, contents and all.
    pub fn put(&mut self, mut buffer: Buffer<S>) {
        self.live -= 1;
        self.live_bytes -= buffer.capacity();
        (buffer.head, buffer.tail) = (0, 0);
        if buffer.capacity() <= FIRST_LEN.max(self.source.granule()) {
            self.spare = Some(buffer);
        }
    }

    /// Makes room for at least one more byte: by moving what is left to the front, or by doubling
    /// as long as a run has no more than `max` bytes (and its rounding). Of `needed` bytes, all get room when a
    /// quarter has come: the last of many runs has the length that it must have.
    ///
    /// # Errors
    /// [`OutOfMemory`] when the source refuses or `max` bytes are filled; the buffer is unchanged.
    pub fn make_room(
        &mut self,
        buffer: &mut Buffer<S>,
        needed: usize,
        max: usize,
    ) -> Result<(), OutOfMemory> {
        if buffer.tail < buffer.capacity() {
            return Ok(());
        }
        // Moving less than half costs at most a copy a byte; beyond that doubling is cheaper.
        let (filled, capacity) = (buffer.filled().len(), buffer.capacity());
        if buffer.head > 0 && (filled <= capacity / 2 || capacity >= max) {
            buffer.compact();
            return Ok(());
        }
        if capacity >= max {
            return Err(OutOfMemory);
        }
        let least = if needed / 4 <= filled { needed } else { 0 };
        self.exchange(buffer, capacity.saturating_mul(2).max(least).min(max))
    }

    /// Makes room for `more` bytes behind the filled ones, growing as needed.
    ///
    /// # Errors
    /// [`OutOfMemory`] when the source refuses; the buffer is unchanged.
    pub fn reserve(&mut self, buffer: &mut Buffer<S>, more: usize) -> Result<(), OutOfMemory> {
        let wanted = buffer.filled().len().checked_add(more).ok_or(OutOfMemory)?;
        if wanted > buffer.capacity() {
            self.exchange(buffer, run_for(wanted))?;
        } else if buffer.spare_mut().len() < more {
            buffer.compact();
        }
        Ok(())
    }

    /// Moves the contents to a run of the first size if they fill less than half of one: a
    /// connection that had one long frame does not keep its run. If the source refuses, the long
    /// run stays.
    pub fn shrink(&mut self, buffer: &mut Buffer<S>) {
        if buffer.capacity() > FIRST_LEN.max(self.source.granule())
            && buffer.filled().len() <= FIRST_LEN / 2
        {
            let _ = self.exchange(buffer, FIRST_LEN);
        }
    }

    /// Moves the contents to a new run of `len` bytes; they must fit.
    fn exchange(&mut self, buffer: &mut Buffer<S>, len: usize) -> Result<(), OutOfMemory> {
        let mut new = self.acquire(len)?;
        let filled = buffer.filled();
        new.run[..filled.len()].copy_from_slice(filled);
        new.tail = filled.len();
        self.live_bytes = self.live_bytes - buffer.capacity() + new.capacity();
        *buffer = new;
        Ok(())
    }

    fn acquire(&self, len: usize) -> Result<Buffer<S>, OutOfMemory> {
        let run = self.source.clone().pages(len)?.into_bytes();
        Ok(Buffer { run, head: 0, tail: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pool_core::{Fixed, Heap};
    use std::mem::MaybeUninit;

    fn fill(buffer: &mut Buffer<Heap>, bytes: &[u8]) {
        buffer.spare_mut()[..bytes.len()].copy_from_slice(bytes);
        buffer.commit(bytes.len());
    }

    #[test]
    fn a_drained_run_serves_the_next_connection() {
        let mut buffers = Buffers::new(Heap::new());
        let buffer = buffers.get().unwrap();
        let address = buffer.filled().as_ptr();
        assert_eq!(buffers.live().0, 1);
        buffers.put(buffer);
        assert_eq!(buffers.live(), (0, 0));
        assert_eq!(buffers.get().unwrap().filled().as_ptr(), address);
    }

    #[test]
    fn room_is_made_by_moving_then_by_doubling_up_to_the_limit() {
        let mut buffers = Buffers::new(Heap::new());
        let mut buffer = buffers.get().unwrap();
        let first = buffer.capacity();
        fill(&mut buffer, &vec![b'a'; first]);
        buffer.consume(first - 3);
        buffers.make_room(&mut buffer, 0, 2 * first).unwrap();
        assert_eq!((buffer.capacity(), buffer.filled()), (first, &b"aaa"[..]));
        fill(&mut buffer, &vec![b'b'; first - 3]);
        buffers.make_room(&mut buffer, 0, 2 * first).unwrap();
        assert_eq!(buffer.capacity(), 2 * first);
        assert!(buffer.filled().starts_with(b"aaabb"));
        fill(&mut buffer, &vec![b'c'; first]);
        assert_eq!(buffers.make_room(&mut buffer, 0, 2 * first), Err(OutOfMemory));
        buffer.consume(2 * first - 5);
        buffers.shrink(&mut buffer);
        assert_eq!((buffer.capacity(), buffer.filled()), (first, &b"ccccc"[..]));
        assert_eq!(buffers.live(), (1, first));
    }

    #[test]
    fn what_is_announced_gets_room_when_a_quarter_has_come() {
        let mut buffers = Buffers::new(Heap::new());
        let mut buffer = buffers.get().unwrap();
        let first = buffer.capacity();
        let needed = 8 * first + 100;
        for expected in [2 * first, 4 * first, 8 * first + 100] {
            buffer.commit(usize::MAX / 2);
            buffers.make_room(&mut buffer, needed, 1 << 30).unwrap();
            assert!((expected..expected + first).contains(&buffer.capacity()));
        }
    }

    #[test]
    fn a_refusal_changes_nothing() {
        let mut memory = [MaybeUninit::uninit(); 80 << 10];
        let source = Fixed::new(&mut memory);
        let mut buffers = Buffers::new(&source);
        let mut buffer = buffers.get().unwrap();
        let capacity = buffer.capacity();
        buffer.commit(capacity);
        buffer.consume(capacity / 4);
        let (filled, live) = (buffer.filled().to_vec(), buffers.live());
        assert_eq!(buffers.reserve(&mut buffer, 200 << 10), Err(OutOfMemory));
        assert!(buffers.get_for(200 << 10).is_err());
        assert_eq!(buffers.make_room(&mut buffer, 0, 1 << 30), Ok(()));
        let capacity = buffer.capacity();
        buffer.commit(capacity);
        assert_eq!(buffers.make_room(&mut buffer, 0, 1 << 30), Err(OutOfMemory));
        assert!(buffer.filled().starts_with(&filled));
        assert_eq!(buffers.live(), (live.0, 2 * live.1));
    }

    #[test]
    fn room_grows_and_the_order_is_kept() {
        let mut buffers = Buffers::new(Heap::new());
        let mut buffer = buffers.get().unwrap();
        let mut expected = Vec::new();
        for round in 0..200u8 {
            let bytes = vec![round; usize::from(round) * 40];
            buffers.reserve(&mut buffer, bytes.len()).unwrap();
            buffer.push(&bytes);
            expected.extend_from_slice(&bytes);
            let done = expected.len() / 3;
            buffer.consume(done);
            expected.drain(..done);
            assert_eq!(buffer.filled(), expected);
        }
    }

    #[test]
    fn a_long_run_is_hardly_longer_than_what_is_in_it() {
        assert_eq!((run_for(0), run_for(FIRST_LEN + 1)), (FIRST_LEN, 2 * FIRST_LEN));
        assert_eq!((run_for(5 << 20), run_for(8 << 20)), (8 << 20, 8 << 20));
        for bytes in [(8 << 20) + 1, 60 << 20, (64 << 20) + 30, (512 << 20) + 20] {
            let run = run_for(bytes);
            assert!(run >= bytes && run - bytes <= bytes / 8 && run % 4096 == 0, "{bytes}: {run}");
        }
        assert_eq!(run_for(60 << 20), 60 << 20);
        assert_eq!(run_for((64 << 20) + 30), 72 << 20);
        assert_eq!(run_for(usize::MAX), usize::MAX);
        let mut buffers = Buffers::new(Heap::new());
        let buffer = buffers.get_for(9 << 20).unwrap();
        assert_eq!(buffers.live(), (1, buffer.capacity()));
        assert_eq!(buffer.capacity(), 9 << 20);
    }
}
