//! The engines of streams: buffers of connections, queues of bytes between threads, and reassembly,
//! one small file each.

mod bytes_mut;
mod codec;
mod copy;
mod packet_ring;
mod reassembly;
mod ring_buf;
mod ringbuf;
mod rtrb;
mod slice_ring;
mod slots;
mod spsc;
mod vec;
mod vec_deque;

pub use self::bytes_mut::{BytesMut, BytesMutSmall};
pub use self::codec::{LengthCodec, LineCodec};
pub use self::copy::{Copied, Nothing};
pub use self::packet_ring::{PacketRing, PacketRingSoon, Ring, ring};
pub use self::reassembly::{
    BTreeCopies, HeapOfBytes, HeapOfCopies, OneCopy, Reassembler, S2n, Smoltcp,
};
pub use self::ring_buf::{RingBuf, RingBufDecoder, RingBufMirrored};
pub use self::ringbuf::{Ringbuf, RingbufQueue};
pub use self::rtrb::{Rtrb, RtrbQueue};
pub use self::slice_ring::SliceRing;
pub use self::slots::Slots;
pub use self::spsc::{Spsc, SpscMirrored};
pub use self::vec::Drained;
pub use self::vec_deque::Deque;
