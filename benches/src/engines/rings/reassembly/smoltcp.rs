//! `smoltcp`'s assembler (32 pieces) and its ring, as its TCP socket uses them: the yardstick.

use crate::segments::{Segment, Sink, Stream, WINDOW};
use smoltcp::storage::{Assembler, RingBuffer};

/// An assembler, a ring, and the number of the ring's first byte.
pub struct Smoltcp {
    assembler: Assembler,
    ring: RingBuffer<'static, u8>,
    front: u64,
}

impl Stream for Smoltcp {
    const NAME: &'static str = "smoltcp";

    fn new() -> Self {
        Self { assembler: Assembler::new(), ring: RingBuffer::new(vec![0; WINDOW]), front: 0 }
    }

    #[inline(always)]
    fn insert(&mut self, base: u64, segment: &Segment, sink: &mut impl Sink) {
        let offset = base + segment.offset;
        let known = self.front.saturating_sub(offset).min(segment.bytes.len() as u64);
        let bytes = &segment.bytes[known as usize..];
        if bytes.is_empty() {
            return;
        }
        let ahead = (offset + known - self.front) as usize;
        let written = self.ring.write_unallocated(ahead, bytes);
        debug_assert_eq!(written, bytes.len());
        let whole = self.assembler.add_then_remove_front(ahead, bytes.len());
        let whole = whole.expect("there are at most 32 pieces");
        if whole == 0 {
            return;
        }
        self.ring.enqueue_unallocated(whole);
        self.front += whole as u64;
        while !self.ring.is_empty() {
            self.ring.dequeue_many_with(|bytes| {
                sink.take(bytes);
                (bytes.len(), ())
            });
        }
    }
}
