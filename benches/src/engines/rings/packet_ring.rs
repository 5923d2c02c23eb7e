//! Ours: one ring for all connections.

use crate::engine::{Engine, Setup};
use crate::stream::{Connections, Digest, Lengths, Lines, connections};
use pool_ring::frame::{Decoder, LengthPrefix};
use pool_ring::{Conn, Policy};
use std::ops::Range;
use std::time::Duration;

/// `PacketRing` with its decoders.
pub struct PacketRing;

/// The same, told of a connection before its turn comes.
pub struct PacketRingSoon;

/// Longer frames are refused.
const LONGEST: usize = 1 << 16;
/// The budget for each connection: more than any partial of the workloads costs.
const EACH: usize = 26 + 6 * 260;

/// A ring, its connections, a decoder for all of them.
pub struct Ring<const SOON: bool = false> {
    ring: pool_ring::PacketRing,
    conns: Vec<Conn>,
    lengths: LengthPrefix,
    lines: pool_ring::frame::Lines,
}

/// A ring of this budget.
///
/// # Panics
/// If there is no memory.
#[must_use]
pub fn ring(budget: usize, policy: Policy) -> pool_ring::PacketRing {
    let builder = pool_ring::PacketRing::builder().budget(budget).policy(policy);
    builder.try_build().expect("there is memory")
}

impl<const SOON: bool> Ring<SOON> {
    fn new(setup: Setup) -> Self {
        let count = connections(setup);
        let mut ring = ring(count * EACH, Policy::EvictOldest { min_age: Duration::ZERO });
        let conns = (0..count).map(|token| ring.open(token as u32)).collect();
        let lengths = LengthPrefix::u32(LONGEST);
        Self { ring, conns, lengths, lines: pool_ring::frame::Lines::new(LONGEST) }
    }
}

impl Engine for PacketRing {
    const NAME: &'static str = "PacketRing";
    const OURS: bool = true;
    type Store = Ring;

    fn build(setup: Setup) -> Ring {
        Ring::new(setup)
    }
}

impl Engine for PacketRingSoon {
    const NAME: &'static str = "PacketRing, prefetch";
    const OURS: bool = true;
    type Store = Ring<true>;

    fn build(setup: Setup) -> Ring<true> {
        Ring::new(setup)
    }
}

#[inline(always)]
fn receive<D>(
    ring: &mut pool_ring::PacketRing,
    conn: &mut Conn,
    decoder: &mut D,
    mut bytes: &[u8],
    digest: &mut Digest,
) where
    D: for<'a> Decoder<Frame<'a> = &'a [u8], Error: std::fmt::Debug>,
{
    let mut batch = ring.feed(conn, decoder, &mut bytes).expect("nobody was evicted");
    while let Some(frame) = batch.next().expect("the stream is right") {
        digest.frame(frame);
    }
}

macro_rules! connections {
    ($framing:ty, $decoder:ident) => {
        impl<const SOON: bool> Connections<$framing> for Ring<SOON> {
            #[inline(always)]
            fn receive(
                &mut self,
                conn: usize,
                stream: &[u8],
                piece: Range<usize>,
                digest: &mut Digest,
            ) {
                let Self { ring, conns, $decoder, .. } = self;
                receive(ring, &mut conns[conn], $decoder, &stream[piece], digest);
            }

            #[inline(always)]
            fn soon(&mut self, conn: usize) {
                if SOON {
                    self.ring.prefetch(&self.conns[conn]);
                }
            }

            fn pinned(&self) -> u64 {
                self.ring.stats().used as u64
            }

            fn holders(&self) -> Option<u64> {
                Some(self.ring.stats().partials as u64)
            }
        }
    };
}

connections!(Lengths, lengths);
connections!(Lines, lines);
