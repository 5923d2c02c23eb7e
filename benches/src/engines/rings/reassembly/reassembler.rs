//! Ours.

use crate::segments::{Segment, Sink, Stream, WINDOW};
use pool_ring::ReassemblerBuilder;
use std::time::Duration;

/// `Reassembler`, the first bytes count where segments overlap.
pub struct Reassembler(pool_ring::Reassembler);

impl Stream for Reassembler {
    const NAME: &'static str = "Reassembler";
    const OURS: bool = true;

    fn new() -> Self {
        Self(ReassemblerBuilder::new().window(WINDOW).build())
    }

    #[inline(always)]
    fn insert(&mut self, base: u64, segment: &Segment, sink: &mut impl Sink) {
        let inserted = self.0.insert(base + segment.offset, &segment.bytes, Duration::ZERO);
        inserted.expect("it lies in the window");
        let bytes = self.0.as_slice();
        if !bytes.is_empty() {
            sink.take(bytes);
            let len = bytes.len();
            self.0.consume(len);
        }
    }
}
