//! Ours: a ring for each connection.

use crate::engine::{Engine, Setup};
use crate::stream::{
    Connections, Digest, HEADER, Lengths, Lines, Slice, Slices, connections, touched,
};
use pool_core::{Global, PageSource};
use pool_ring::MirrorOr;
use pool_ring::frame::{Decoder, LengthPrefix};
use std::ops::Range;
use std::sync::Arc;

/// `RingBuf` in ordinary pages, its frames cut out by the same lines as those of peers.
pub struct RingBuf;

/// The same in pages that are mapped twice.
pub struct RingBufMirrored;

/// `RingBuf` with its own decoders.
pub struct RingBufDecoder;

/// Longer frames are refused.
const LONGEST: usize = 1 << 16;

/// A source of pages that are mapped twice.
pub(super) type Mirrored = Arc<MirrorOr<Global>>;

fn empty<S: PageSource + Clone>(bytes: usize, source: S) -> pool_ring::RingBuf<S> {
    pool_ring::RingBuf::try_with_capacity_in(bytes, source).expect("there is memory")
}

impl Engine for RingBuf {
    const NAME: &'static str = "RingBuf";
    const OURS: bool = true;
    type Store = Slices<pool_ring::RingBuf>;

    fn build(setup: Setup) -> Self::Store {
        Slices::new(setup, setup.chunk, |bytes| empty(bytes, Global))
    }
}

impl Engine for RingBufMirrored {
    const NAME: &'static str = "RingBuf, mirrored";
    const OURS: bool = true;
    type Store = Slices<pool_ring::RingBuf<Mirrored>>;

    fn build(setup: Setup) -> Self::Store {
        let source = Arc::new(MirrorOr::new(Global));
        Slices::new(setup, setup.chunk, |bytes| empty(bytes, Arc::clone(&source)))
    }
}

impl<S: PageSource + Clone> Slice for pool_ring::RingBuf<S> {
    #[inline(always)]
    fn push(&mut self, bytes: &[u8]) {
        let pushed = self.push(bytes);
        debug_assert_eq!(pushed, bytes.len());
    }

    #[inline(always)]
    fn bytes(&self) -> &[u8] {
        self.peek()
    }

    #[inline(always)]
    fn take(&mut self, n: usize) {
        self.consume(n);
    }

    fn room(&self) -> usize {
        self.capacity()
    }

    fn clear(&mut self) {
        self.clear();
    }
}

/// Rings, and a decoder for all of them.
pub struct Decoded {
    rings: Vec<pool_ring::RingBuf>,
    lengths: LengthPrefix,
    lines: pool_ring::frame::Lines,
}

impl Engine for RingBufDecoder {
    const NAME: &'static str = "RingBuf, decoder";
    const OURS: bool = true;
    type Store = Decoded;

    fn build(setup: Setup) -> Decoded {
        let ring = |_| touched(empty(setup.chunk, Global), setup.chunk);
        let rings = (0..connections(setup)).map(ring).collect();
        let lengths = LengthPrefix::u32(HEADER + LONGEST);
        Decoded { rings, lengths, lines: pool_ring::frame::Lines::new(LONGEST) }
    }
}

#[inline(always)]
fn receive<D>(ring: &mut pool_ring::RingBuf, decoder: &mut D, mut bytes: &[u8], digest: &mut Digest)
where
    D: for<'a> Decoder<Frame<'a> = &'a [u8], Error: std::fmt::Debug>,
{
    ring.read_from(&mut bytes).expect("there is room");
    debug_assert!(bytes.is_empty());
    while let Some(frame) = ring.decode(decoder).expect("the stream is right") {
        digest.frame(frame);
    }
}

macro_rules! connections {
    ($framing:ty, $decoder:ident) => {
        impl Connections<$framing> for Decoded {
            #[inline(always)]
            fn receive(
                &mut self,
                conn: usize,
                stream: &[u8],
                piece: Range<usize>,
                digest: &mut Digest,
            ) {
                receive(&mut self.rings[conn], &mut self.$decoder, &stream[piece], digest);
            }

            fn pinned(&self) -> u64 {
                self.rings.iter().map(|ring| ring.capacity() as u64).sum()
            }
        }
    };
}

connections!(Lengths, lengths);
connections!(Lines, lines);
