//! `frames`: one connection receives frames of 16 to 1,500 bytes behind their length, in pieces of 1 to
//! 4,096 bytes. `lines`: lines of 8 to 120 bytes instead. An operation is a frame, copying the bytes
//! as the system does at a read included.
//!
//! *Answers*: how many frames there were, their bytes, and the sum of their first words.

use super::feed::{Feed, Frames, PIECE, Turns};
use crate::case::Case;
use crate::engines::rings::{
    BytesMut, Copied, Deque, Drained, LengthCodec, LineCodec, Nothing, PacketRing, RingBuf,
    RingBufDecoder, RingBufMirrored, Ringbuf, Rtrb, SliceRing,
};
use crate::stream::{Buffers, Lengths, Lines, buffers};
use crate::workloads::POOL_RING;

/// Bytes of a connection's buffer.
pub const BUFFER: usize = 64 << 10;
/// Pieces before anything is measured: each engine has gone round its buffer a few times.
const WARM: usize = 8 * BUFFER / PIECE;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        case::<Lengths, Nothing>("frames"),
        case::<Lengths, RingBuf>("frames"),
        case::<Lengths, RingBufMirrored>("frames"),
        case::<Lengths, RingBufDecoder>("frames"),
        case::<Lengths, PacketRing>("frames"),
        case::<Lengths, BytesMut>("frames"),
        case::<Lengths, LengthCodec>("frames"),
        case::<Lengths, Deque>("frames"),
        case::<Lengths, Drained>("frames"),
        case::<Lengths, Ringbuf>("frames"),
        case::<Lengths, Rtrb>("frames"),
        case::<Lengths, SliceRing>("frames"),
        case::<Lengths, Copied>("frames"),
    ];
    cases.extend([
        case::<Lines, Nothing>("lines"),
        case::<Lines, RingBuf>("lines"),
        case::<Lines, RingBufDecoder>("lines"),
        case::<Lines, PacketRing>("lines"),
        case::<Lines, BytesMut>("lines"),
        case::<Lines, LineCodec>("lines"),
        case::<Lines, Deque>("lines"),
        case::<Lines, Drained>("lines"),
        case::<Lines, Ringbuf>("lines"),
        case::<Lines, Rtrb>("lines"),
        case::<Lines, SliceRing>("lines"),
        case::<Lines, Copied>("lines"),
    ]);
    cases
}

fn case<F: Frames, E: Buffers<F>>(name: &'static str) -> Case {
    Case::new::<E>(POOL_RING, name, || {
        let mut store = E::build(buffers(1, BUFFER));
        let mut feed = Feed::new::<F>(1, Turns::Robin);
        feed.turns(&mut store, WARM);
        Box::new(move |n| feed.run(&mut store, n))
    })
    .sample(20_000)
}
