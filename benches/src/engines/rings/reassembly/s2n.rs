//! `s2n-quic-core`'s reassembler.

use crate::segments::{Segment, Sink, Stream};
use s2n_quic_core::buffer::Reassembler;
use s2n_quic_core::varint::VarInt;

/// It hands out `BytesMut`s.
pub struct S2n(Reassembler);

impl Stream for S2n {
    const NAME: &'static str = "s2n-quic";

    fn new() -> Self {
        Self(Reassembler::new())
    }

    #[inline(always)]
    fn insert(&mut self, base: u64, segment: &Segment, sink: &mut impl Sink) {
        let offset = VarInt::new(base + segment.offset).expect("below 2^62");
        self.0.write_at(offset, &segment.bytes).expect("it lies in the stream");
        while let Some(bytes) = self.0.pop() {
            sink.take(&bytes);
        }
    }
}
