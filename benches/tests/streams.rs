//! What workloads of streams find out.

use benches::engine::Engine;
use benches::engines::rings::{BytesMut, Deque, LengthCodec, PacketRing, RingBuf};
use benches::stream::{Buffers, Connections, Digest, Framing, Lengths, Lines, buffers};
use benches::workloads::rings::feed::{Feed, Turns};
use std::ops::Range;

const CONNECTIONS: usize = 20;
const BUFFER: usize = 64 << 10;

/// Forgets what is left of a piece.
struct Forgetful;

impl<F: Framing> Connections<F> for Forgetful {
    fn receive(&mut self, _: usize, stream: &[u8], piece: Range<usize>, digest: &mut Digest) {
        let mut rest = &stream[piece];
        while let Some((frame, len)) = F::first(rest) {
            digest.frame(frame);
            rest = &rest[len..];
        }
    }

    fn pinned(&self) -> u64 {
        0
    }
}

#[test]
#[should_panic(expected = "these are not the stream's frames")]
fn a_buffer_that_forgets_is_found_out() {
    let mut feed = Feed::new::<Lines>(CONNECTIONS, Turns::Robin);
    feed.turns::<Lines>(&mut Forgetful, 100);
    feed.check();
}

/// Whole pieces leave nothing to forget.
#[test]
fn a_piece_of_a_request_is_a_frame() {
    let mut feed = Feed::new::<Lengths>(CONNECTIONS, Turns::Whole);
    feed.turns::<Lengths>(&mut Forgetful, 2000);
    feed.check();
}

/// Bytes that belong to connections in the middle of frames, and when all have whole ones.
fn pinned<E: Buffers<Lengths>>() -> (u64, u64) {
    let mut store = E::build(buffers(CONNECTIONS, BUFFER));
    let mut feed = Feed::new::<Lengths>(CONNECTIONS, Turns::Random);
    feed.turns(&mut store, 50 * CONNECTIONS);
    feed.check();
    let partly = store.pinned();
    feed.settle(&mut store);
    (partly, store.pinned())
}

#[test]
fn an_idle_connection_of_the_packet_ring_pins_nothing_and_others_do() {
    let (partly, idle) = pinned::<PacketRing>();
    assert!(partly > 0 && partly < (CONNECTIONS * 2048) as u64, "{partly}");
    assert_eq!(idle, 0);
    for (partly, idle) in [pinned::<BytesMut>(), pinned::<RingBuf>(), pinned::<Deque>()] {
        assert!(partly >= (CONNECTIONS * BUFFER) as u64 && idle == partly, "{partly} {idle}");
    }
    assert!(pinned::<LengthCodec>().1 > 0);
}

#[test]
fn the_floor_hands_out_the_same() {
    let mut store = benches::engines::rings::Copied::build(buffers(CONNECTIONS, BUFFER));
    let mut feed = Feed::new::<Lines>(CONNECTIONS, Turns::Random);
    feed.turns::<Lines>(&mut store, 5000);
    feed.check();
}
