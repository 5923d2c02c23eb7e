//! The codecs of `tokio-util`, as a `FramedRead` calls them, without the task around it.

use crate::engine::{Engine, Setup};
use crate::stream::{Connections, Digest, HEADER, Lengths, Lines, connections, touched};
use bytes::BytesMut;
use std::ops::Range;
use tokio_util::codec::{Decoder, LengthDelimitedCodec, LinesCodec};

/// `LengthDelimitedCodec`: its frames are `BytesMut`s that share the buffer.
pub struct LengthCodec;

/// `LinesCodec`: its lines are new strings.
pub struct LineCodec;

/// What a `FramedRead` begins with.
const INITIAL: usize = 8 << 10;
const LONGEST: usize = 1 << 16;

/// A codec and a buffer for each connection.
pub struct Codecs<C>(Vec<(C, BytesMut)>);

impl<C> Codecs<C> {
    fn new(setup: Setup, codec: impl Fn() -> C) -> Self {
        let buffer = || touched(BytesMut::with_capacity(INITIAL), INITIAL);
        Self((0..connections(setup)).map(|_| (codec(), buffer())).collect())
    }
}

impl Engine for LengthCodec {
    const NAME: &'static str = "LengthDelimitedCodec";
    type Store = Codecs<LengthDelimitedCodec>;

    fn build(setup: Setup) -> Self::Store {
        let codec = || {
            let mut builder = LengthDelimitedCodec::builder();
            builder.max_frame_length(LONGEST).length_field_length(HEADER).new_codec()
        };
        Codecs::new(setup, codec)
    }
}

impl Engine for LineCodec {
    const NAME: &'static str = "LinesCodec";
    type Store = Codecs<LinesCodec>;

    fn build(setup: Setup) -> Self::Store {
        Codecs::new(setup, || LinesCodec::new_with_max_length(LONGEST))
    }
}

/// A codec for frames that are cut as `F` says.
pub trait Codec<F>: Decoder<Item: AsRef<[u8]>, Error: std::fmt::Debug> {}

impl Codec<Lengths> for LengthDelimitedCodec {}

impl<F, C: Codec<F>> Connections<F> for Codecs<C> {
    #[inline(always)]
    fn receive(&mut self, conn: usize, stream: &[u8], piece: Range<usize>, digest: &mut Digest) {
        let (codec, buffer) = &mut self.0[conn];
        buffer.extend_from_slice(&stream[piece]);
        while let Some(frame) = codec.decode(buffer).expect("the stream is right") {
            digest.frame(frame.as_ref());
        }
    }

    fn pinned(&self) -> u64 {
        // `capacity` tells what is left of a buffer, which is as long as at first, or new and as long.
        let rest = self.0.iter().map(|(_, buffer)| buffer.capacity()).max();
        assert!(rest <= Some(INITIAL), "a buffer has grown");
        (INITIAL * self.0.len()) as u64
    }
}

/// `LinesCodec` with its strings as bytes.
impl Codec<Lines> for LinesCodec {}
