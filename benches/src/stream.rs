//! What a workload asks of the buffers of connections: bytes come in pieces of any length, and frames
//! are to be cut out of them.

use crate::callgrind::counting;
use crate::engine::{Engine, Setup};
use crate::opaque::escape;
use std::ops::Range;

/// Where one frame ends and the next one begins.
pub trait Framing: 'static {
    /// The frame at the front of `bytes`, and what it takes of them, if it is whole.
    fn first(bytes: &[u8]) -> Option<(&[u8], usize)>;
}

/// Frames behind their length, 4 bytes, the highest first.
pub struct Lengths;

/// Frames before a line feed, and a carriage return if there is one.
pub struct Lines;

/// Bytes of a length.
pub const HEADER: usize = 4;

impl Framing for Lengths {
    #[inline(always)]
    fn first(bytes: &[u8]) -> Option<(&[u8], usize)> {
        let (header, rest) = bytes.split_first_chunk::<HEADER>()?;
        let len = u32::from_be_bytes(*header) as usize;
        Some((rest.get(..len)?, HEADER + len))
    }
}

impl Framing for Lines {
    #[inline(always)]
    fn first(bytes: &[u8]) -> Option<(&[u8], usize)> {
        let end = memchr::memchr(b'\n', bytes)?;
        let line = &bytes[..end];
        Some((line.strip_suffix(b"\r").unwrap_or(line), end + 1))
    }
}

/// What is remembered of frames: the answer of a workload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    /// How many there were.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The sum of their first four bytes, as numbers.
    pub numbers: u64,
}

impl Digest {
    /// One frame more. It is lent: whoever wants to keep it copies it.
    #[inline(always)]
    pub fn frame(&mut self, frame: &[u8]) {
        escape(frame.as_ptr().cast_mut());
        self.frames += 1;
        self.bytes += frame.len() as u64;
        let number = frame.first_chunk().map_or(0, |first| u32::from_le_bytes(*first));
        self.numbers = self.numbers.wrapping_add(u64::from(number));
    }

    /// What was added since `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            frames: self.frames - before.frames,
            bytes: self.bytes - before.bytes,
            numbers: self.numbers.wrapping_sub(before.numbers),
        }
    }

    /// Both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            frames: self.frames + other.frames,
            bytes: self.bytes + other.bytes,
            numbers: self.numbers.wrapping_add(other.numbers),
        }
    }

    /// So many times.
    #[must_use]
    pub fn times(self, count: u64) -> Self {
        Self {
            frames: self.frames * count,
            bytes: self.bytes * count,
            numbers: self.numbers.wrapping_mul(count),
        }
    }
}

/// Buffers of connections, by their number.
pub trait Connections<F> {
    /// A read brings these bytes of the stream to a connection: they are copied into its buffer, as
    /// the system does, and whole frames are told to `digest`.
    fn receive(&mut self, conn: usize, stream: &[u8], piece: Range<usize>, digest: &mut Digest);

    /// The connection will receive something soon.
    #[inline(always)]
    fn soon(&mut self, conn: usize) {
        let _ = conn;
    }

    /// Bytes that belong to connections and that nobody else can use now, without the handles by which
    /// connections know their buffers.
    fn pinned(&self) -> u64;

    /// Connections that have any of these bytes, where not all of them have.
    fn holders(&self) -> Option<u64> {
        None
    }
}

/// An engine of buffers.
pub trait Buffers<F>: Engine<Store: Connections<F>> {}

impl<F, E: Engine<Store: Connections<F>>> Buffers<F> for E {}

/// Buffers of `bytes` each for so many connections.
#[must_use]
pub fn buffers(connections: usize, bytes: usize) -> Setup {
    Setup { chunk: bytes, capacity: bytes * connections }
}

/// For how many connections.
#[must_use]
pub fn connections(setup: Setup) -> usize {
    setup.capacity / setup.chunk
}

/// A buffer whose bytes are one slice.
pub trait Slice {
    /// Copies bytes in; there is room.
    fn push(&mut self, bytes: &[u8]);
    /// All that is in it.
    fn bytes(&self) -> &[u8];
    /// Takes `n` bytes out.
    fn take(&mut self, n: usize);
    /// Bytes that it can hold, at least until something is taken out.
    fn room(&self) -> usize;
    /// Empty again, with all its room.
    fn clear(&mut self);
}

/// An empty buffer, which has written each of its `bytes` once if times are taken: what follows finds pages there.
pub fn touched<B: Slice>(mut buffer: B, bytes: usize) -> B {
    if !counting() {
        buffer.push(&vec![1; bytes]);
        buffer.clear();
    }
    buffer
}

/// A buffer for each connection, each of which is one slice.
pub struct Slices<B> {
    buffers: Vec<B>,
    /// Bytes of all when they were new. None grows later on.
    room: usize,
}

impl<B: Slice> Slices<B> {
    /// As many as `setup` asks for, of `bytes` each.
    pub fn new(setup: Setup, bytes: usize, buffer: impl Fn(usize) -> B) -> Self {
        let buffers = (0..connections(setup)).map(|_| touched(buffer(bytes), bytes));
        let buffers: Vec<_> = buffers.collect();
        let room = buffers.iter().map(Slice::room).sum();
        Self { buffers, room }
    }
}

impl<F: Framing, B: Slice> Connections<F> for Slices<B> {
    #[inline(always)]
    fn receive(&mut self, conn: usize, stream: &[u8], piece: Range<usize>, digest: &mut Digest) {
        let buffer = &mut self.buffers[conn];
        buffer.push(&stream[piece]);
        let bytes = buffer.bytes();
        let mut rest = bytes;
        while let Some((frame, len)) = F::first(rest) {
            digest.frame(frame);
            rest = &rest[len..];
        }
        let taken = bytes.len() - rest.len();
        buffer.take(taken);
    }

    fn pinned(&self) -> u64 {
        assert!(self.buffers.iter().map(Slice::room).sum::<usize>() <= self.room, "one has grown");
        self.room as u64
    }
}

/// A ring whose bytes are two slices where it goes round.
pub trait Halves {
    /// Copies bytes in; there is room.
    fn push(&mut self, bytes: &[u8]);
    /// All that is in it, in order.
    fn halves(&mut self) -> (&[u8], &[u8]);
    /// Takes `n` bytes out.
    fn take(&mut self, n: usize);
    /// Bytes that it can hold.
    fn room(&self) -> usize;
}

/// A ring for each connection. A frame that goes round is copied to a place where it is one slice: all who handle
/// frames want that.
pub struct Rings<B> {
    rings: Vec<B>,
    whole: Vec<u8>,
}

impl<B> Rings<B> {
    /// As many as `setup` asks for.
    pub fn new(setup: Setup, ring: impl Fn(usize) -> B) -> Self {
        let rings = (0..connections(setup)).map(|_| ring(setup.chunk)).collect();
        Self { rings, whole: Vec::with_capacity(setup.chunk) }
    }
}

impl<F: Framing, B: Halves> Connections<F> for Rings<B> {
    #[inline(always)]
    fn receive(&mut self, conn: usize, stream: &[u8], piece: Range<usize>, digest: &mut Digest) {
        let ring = &mut self.rings[conn];
        ring.push(&stream[piece]);
        let (mut first, second) = ring.halves();
        let mut taken = 0;
        while let Some((frame, len)) = F::first(first) {
            digest.frame(frame);
            (first, taken) = (&first[len..], taken + len);
        }
        if !second.is_empty() {
            taken += round::<F>(&mut self.whole, first, second, digest);
        }
        ring.take(taken);
    }

    fn pinned(&self) -> u64 {
        self.rings.iter().map(|ring| ring.room() as u64).sum()
    }
}

/// Frames of a ring that goes round, of which `first` begins with none that is whole; returns the bytes that
/// they take.
#[cold]
pub fn round<F: Framing>(
    whole: &mut Vec<u8>,
    first: &[u8],
    second: &[u8],
    digest: &mut Digest,
) -> usize {
    whole.clear();
    whole.extend_from_slice(first);
    whole.extend_from_slice(second);
    let mut rest = &whole[..];
    while let Some((frame, len)) = F::first(rest) {
        digest.frame(frame);
        rest = &rest[len..];
    }
    whole.len() - rest.len()
}
