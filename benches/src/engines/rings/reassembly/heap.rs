//! A heap of `Bytes` by offset, which is the idea of quinn's assembler. That one is private to its
//! crate, so these few lines stand for it; it does more, such as merging buffers that are hardly used.

use crate::segments::{Segment, Sink, Stream};
use bytes::Bytes;
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// Given each segment as `Bytes`, as where a datagram has memory of its own.
pub type HeapOfBytes = Heap<false>;

/// Given a slice, which it copies.
pub type HeapOfCopies = Heap<true>;

/// What has not been read, and where the first gap is.
pub struct Heap<const COPY: bool> {
    heap: BinaryHeap<Reverse<Part>>,
    front: u64,
}

/// Ordered by offset.
struct Part {
    offset: u64,
    bytes: Bytes,
}

impl Ord for Part {
    fn cmp(&self, other: &Self) -> Ordering {
        self.offset.cmp(&other.offset)
    }
}

impl PartialOrd for Part {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Part {
    fn eq(&self, other: &Self) -> bool {
        self.offset == other.offset
    }
}

impl Eq for Part {}

impl<const COPY: bool> Stream for Heap<COPY> {
    const NAME: &'static str = if COPY { "heap of Bytes, copied" } else { "heap of Bytes, given" };

    fn new() -> Self {
        Self { heap: BinaryHeap::new(), front: 0 }
    }

    #[inline(always)]
    fn insert(&mut self, base: u64, segment: &Segment, sink: &mut impl Sink) {
        let bytes = &segment.bytes;
        let bytes = if COPY { Bytes::copy_from_slice(bytes) } else { bytes.clone() };
        self.heap.push(Reverse(Part { offset: base + segment.offset, bytes }));
        while self.heap.peek().is_some_and(|part| part.0.offset <= self.front) {
            let Some(Reverse(Part { offset, bytes })) = self.heap.pop() else { return };
            let known = (self.front - offset).min(bytes.len() as u64) as usize;
            if known < bytes.len() {
                sink.take(&bytes[known..]);
                self.front = offset + bytes.len() as u64;
            }
        }
    }
}
