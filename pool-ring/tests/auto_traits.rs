//! What is `Send` and `Sync`, and what is not (DESIGN, auto traits).

use pool_core::{Fixed, Global, Heap};
use pool_ring::spsc::{Consumer, Producer};
use pool_ring::{
    BytesPool, Codec, Conn, DatagramReassembler, MirrorOr, PacketRing, Reassembler, RingBuf,
};
use pool_ring::{ReadError, RecvError, Refused, ReserveError};
use static_assertions::{assert_impl_all, assert_not_impl_any};
use std::rc::Rc;
use std::sync::Arc;

assert_impl_all!(PacketRing: Send, Sync);
assert_not_impl_any!(PacketRing: Clone);
assert_not_impl_any!(PacketRing<Rc<Heap>>: Send, Sync);
assert_not_impl_any!(Conn: Send, Sync, Clone, Copy);
assert_not_impl_any!(pool_ring::Batch<'static, pool_ring::frame::Lines, Global>: Clone);

assert_impl_all!(RingBuf: Send, Sync, Default, std::io::BufRead, std::io::Write);
assert_not_impl_any!(RingBuf: Clone);
assert_not_impl_any!(RingBuf<Rc<Heap>>: Send, Sync);
assert_not_impl_any!(RingBuf<&'static Fixed<'static>>: Send, Sync);
assert_impl_all!(RingBuf<Arc<MirrorOr<Heap>>>: Send, Sync);

assert_impl_all!(Reassembler: Send, Sync);
assert_not_impl_any!(Reassembler<Rc<Heap>>: Send, Sync);
assert_impl_all!(DatagramReassembler<u32>: Send, Sync);
assert_not_impl_any!(DatagramReassembler<u32, Rc<Heap>>: Send, Sync);
assert_not_impl_any!(DatagramReassembler<*const u8>: Send, Sync);

assert_impl_all!(Producer: Send);
assert_impl_all!(Consumer: Send);
assert_not_impl_any!(Producer: Clone);
assert_not_impl_any!(Consumer: Clone);
assert_not_impl_any!(Producer<Rc<Heap>>: Send, Sync);
// `Send` but not `Sync`: both halves refer to one source from two threads.
assert_not_impl_any!(Producer<Fixed<'static>>: Send, Sync);
assert_not_impl_any!(Consumer<Fixed<'static>>: Send, Sync);

assert_impl_all!(BytesPool: Send, Sync, Copy);
assert_impl_all!(Codec<pool_ring::frame::Lines>: Send, Sync, Clone);
assert_impl_all!(ReadError<std::io::Error>: Send, Sync, std::error::Error);
assert_impl_all!(RecvError<pool_ring::frame::FrameError>: Send, Sync, std::error::Error);
assert_impl_all!(Refused: Copy, std::error::Error);
assert_impl_all!(ReserveError: Copy, std::error::Error);

#[cfg(target_os = "linux")]
mod uring {
    use pool_core::Heap;
    use pool_ring::{Received, UringError, UringEvent, UringReceiver};
    use static_assertions::{assert_impl_all, assert_not_impl_any};
    use std::rc::Rc;
    use std::sync::Arc;

    // It may move to another thread with what is in flight: the kernel knows addresses, not threads.
    assert_impl_all!(UringReceiver: Send);
    assert_impl_all!(UringReceiver<Arc<Heap>>: Send);
    assert_not_impl_any!(UringReceiver: Clone);
    assert_not_impl_any!(UringReceiver<Rc<Heap>>: Send, Sync);
    assert_not_impl_any!(Received<'static, Rc<Heap>>: Send, Sync, Clone);
    assert_not_impl_any!(UringEvent<'static, Rc<Heap>>: Send, Sync, Clone);
    assert_impl_all!(UringError: Send, Sync, std::error::Error);
}
