//! What a workload asks of reassembly: segments at offsets come in any order, some twice, some
//! overlapping, and what has no gap before it is read at once.

use bytes::Bytes;

/// Where a stream is read to.
pub trait Sink {
    /// The next bytes.
    fn take(&mut self, bytes: &[u8]);
}

/// A segment.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Its place in the stream.
    pub offset: u64,
    /// What it brings.
    pub bytes: Bytes,
    /// Where the first gap is after it has come.
    pub front: u64,
}

/// Puts a stream together.
pub trait Stream: 'static {
    /// What the tables call it.
    const NAME: &'static str;
    /// Whether it is ours.
    const OURS: bool = false;
    /// Whether it is the least that can be done.
    const FLOOR: bool = false;
    /// One whose first byte has the number 0.
    fn new() -> Self;
    /// Takes a segment, `base` bytes later in the stream than it says, and hands out all that can be
    /// read then. Only those who could not know look at `front`.
    fn insert(&mut self, base: u64, segment: &Segment, sink: &mut impl Sink);
}

/// The furthest that a segment is ahead of the first gap ends here.
pub const WINDOW: usize = 64 << 10;
