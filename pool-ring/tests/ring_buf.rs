//! Both kinds of `RingBuf` against a `VecDeque`.

mod model;

use pool_core::{Failing, Heap, Mirror, PageSource};
use pool_ring::frame::{LengthPrefix, Lines};
use pool_ring::{MirrorOr, ReserveError, RingBuf};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::io::{BufRead, ErrorKind, IoSlice, Read, Write};
use std::sync::LazyLock;

#[derive(Clone, Debug)]
enum Op {
    Push(u16),
    /// As three slices, of which the last may be empty.
    WriteVectored(u16),
    /// Through `spare_capacity_mut` and `advance`.
    Advance(u16),
    ReadFrom(u16),
    Consume(u16),
    Read(u16),
    WriteTo(u16),
    Reserve(u16),
    Shrink(u16),
    Clear,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0u16..6000).prop_map(Op::Push),
        2 => (0u16..6000).prop_map(Op::WriteVectored),
        4 => (0u16..6000).prop_map(Op::Advance),
        4 => (0u16..6000).prop_map(Op::ReadFrom),
        8 => (0u16..6000).prop_map(Op::Consume),
        2 => (0u16..6000).prop_map(Op::Read),
        2 => (0u16..6000).prop_map(Op::WriteTo),
        1 => (0u16..20000).prop_map(Op::Reserve),
        1 => (0u16..9000).prop_map(Op::Shrink),
        1 => Just(Op::Clear),
    ]
}

/// Takes at most so many bytes at once.
struct Sink(Vec<u8>, usize);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let n = bytes.len().min(self.1);
        self.0.extend(&bytes[..n]);
        Ok(n)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn run<S: PageSource + Clone>(source: S, ops: &[Op]) {
    let Ok(mut ring) = RingBuf::try_with_capacity_in(8192, source) else { return };
    let mut naive = VecDeque::new();
    let mut next = 0u8;
    let mut fresh = |n: usize| -> Vec<u8> {
        let mut step = || {
            next = next.wrapping_mul(5).wrapping_add(3);
            next
        };
        // Miri takes a microsecond or more for each that is made by itself.
        if cfg!(miri) { vec![step(); n] } else { (0..n).map(|_| step()).collect() }
    };
    for op in ops {
        let room = ring.capacity() - ring.len();
        match *op {
            Op::Push(n) => {
                let bytes = fresh(n.into());
                let pushed = ring.push(&bytes);
                assert_eq!(pushed, bytes.len().min(room));
                naive.extend(&bytes[..pushed]);
            }
            Op::WriteVectored(n) => {
                let bytes = fresh(n.into());
                let (first, rest) = bytes.split_at(bytes.len() / 3);
                let (second, third) = rest.split_at(rest.len() * usize::from(n % 3) / 2);
                let slices = [first, second, third].map(IoSlice::new);
                let written = ring.write_vectored(&slices).unwrap();
                assert_eq!(written, bytes.len().min(room));
                naive.extend(&bytes[..written]);
            }
            Op::Advance(n) => {
                let spare = ring.spare_capacity_mut();
                let most = if cfg!(miri) { 500 } else { 6000 };
                let n = spare.len().min(n.into()).min(most);
                let bytes = fresh(n);
                for (place, byte) in spare.iter_mut().zip(&bytes) {
                    place.write(*byte);
                }
                // SAFETY: `n` bytes were written.
                unsafe { ring.advance(n) };
                naive.extend(bytes);
            }
            Op::ReadFrom(n) => {
                let bytes = fresh(n.into());
                match ring.read_from(&mut &bytes[..]) {
                    Ok(read) => naive.extend(&bytes[..read]),
                    Err(error) => {
                        assert_eq!((error.kind(), room), (ErrorKind::StorageFull, 0));
                    }
                }
            }
            Op::Consume(n) => {
                let n = ring.len().min(n.into());
                ring.consume(n);
                naive.drain(..n);
            }
            Op::Read(n) => {
                let mut out = vec![0; n.into()];
                let n = ring.read(&mut out).unwrap();
                assert_eq!(naive.make_contiguous()[..n], out[..n]);
                naive.drain(..n);
            }
            Op::WriteTo(n) => {
                let mut sink = Sink(Vec::new(), n.into());
                let n = ring.write_to(&mut sink).unwrap();
                assert_eq!(naive.make_contiguous()[..n], sink.0);
                naive.drain(..n);
            }
            Op::Reserve(n) => match ring.try_reserve(n.into()) {
                Ok(()) => assert!(ring.spare_capacity_mut().len() >= n.into()),
                Err(error) => assert!(matches!(error, ReserveError::Source(_))),
            },
            Op::Shrink(n) => {
                let before = ring.capacity();
                let _ = ring.shrink_to(n.into());
                assert!(ring.capacity() <= before && ring.capacity() >= ring.len());
            }
            Op::Clear => {
                ring.clear();
                naive.clear();
            }
        }
        assert_eq!(ring.peek(), naive.make_contiguous());
        assert!(ring.fill_buf().unwrap().len() == naive.len());
    }
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(op(), 0..if cfg!(miri) { 12 } else { 100 })
}

/// One for all cases, as setting one up takes system calls.
static MIRROR: LazyLock<MirrorOr<Heap>> = LazyLock::new(|| MirrorOr::new(Heap::new()));

proptest! {
    #![proptest_config(model::config(200))]
    #[test]
    fn linear_rings_are_the_model(ops in ops()) {
        run(&Heap::new(), &ops);
    }
    #[test]
    fn mirrored_rings_are_the_model(ops in ops()) {
        run(&*MIRROR, &ops);
        prop_assert_eq!(MIRROR.fallbacks() > 0, cfg!(any(miri, not(target_os = "linux"))));
    }
    #[test]
    fn refusals_lose_nothing(ops in ops(), seed in any::<u64>()) {
        run(&Failing::seeded(Heap::new(), seed, 2), &ops);
    }
}

/// What magic-buffer lost: written by the second view, read by the first after the wrap. Without
/// the fence the optimised build reads what was there before.
#[test]
fn no_stale_bytes_after_a_wrap() {
    let mirror = MirrorOr::new(Heap::new());
    let mut ring = RingBuf::try_with_capacity_in(4096, &mirror).unwrap();
    assert_eq!(ring.is_mirrored(), cfg!(all(not(miri), target_os = "linux")));
    if !ring.is_mirrored() {
        return;
    }
    let n = ring.capacity();
    for round in 0..50u8 {
        ring.clear();
        assert_eq!(ring.push(&vec![1; n]), n);
        ring.consume(n - 1);
        // Byte 0 of the first view is written as byte n of both.
        let spare = ring.spare_capacity_mut();
        spare[0].write(round.wrapping_add(9));
        // SAFETY: one byte was written.
        unsafe { ring.advance(1) };
        ring.consume(1);
        assert_eq!(ring.peek(), [round.wrapping_add(9)]);
        let spare = ring.spare_capacity_mut();
        spare[0].write(round);
        // SAFETY: one byte was written.
        unsafe { ring.advance(1) };
        assert_eq!(ring.peek(), [round.wrapping_add(9), round]);
    }
}

#[test]
fn wrapping_frames_are_one_slice() {
    let mirror = MirrorOr::new(Heap::new());
    let heap = Heap::new();
    fn frames<S: PageSource + Clone>(source: S) -> usize {
        let mut ring = RingBuf::try_with_capacity_in(4096, source).unwrap();
        let mut codec = LengthPrefix::u16(2000);
        let mut found = 0;
        for n in 0..if cfg!(miri) { 30 } else { 3000usize } {
            let len = n * 7 % 700;
            ring.extend_from_slice(&(len as u16).to_be_bytes()).unwrap();
            ring.extend_from_slice(&vec![n as u8; len]).unwrap();
            if n % 3 == 2 {
                while let Some(frame) = ring.decode(&mut codec).unwrap() {
                    assert_eq!(frame.len(), found * 7 % 700);
                    assert_eq!(frame, vec![found as u8; frame.len()]);
                    found += 1;
                }
                assert_eq!(found, n + 1);
            }
        }
        found
    }
    assert_eq!(frames(&mirror), frames(&heap));
}

#[test]
fn searches_resume_only_within_one_frame() {
    let mut ring = RingBuf::with_capacity(4096);
    let mut lines = Lines::new(100);
    ring.push(b"abc");
    assert_eq!(ring.decode(&mut lines), Ok(None));
    ring.consume(1);
    ring.push(b"\n");
    assert_eq!(ring.decode(&mut lines), Ok(Some(&b"bc"[..])));
    ring.push(&[b'x'; 100]);
    assert!(ring.decode(&mut lines).is_err());
    assert_eq!(ring.len(), 100);
}

#[test]
fn mirrored_rings_are_recycled_and_linear_ones_take_over() {
    if cfg!(any(miri, not(target_os = "linux"))) {
        return;
    }
    let source = MirrorOr::with(Mirror::new(), Heap::new());
    let ring = RingBuf::try_with_capacity_in(10_000, &source).unwrap();
    assert!(ring.is_mirrored() && ring.capacity() == 16384);
    let first = ring.peek().as_ptr();
    drop(ring);
    let ring = RingBuf::try_with_capacity_in(10_000, &source).unwrap();
    assert_eq!(ring.peek().as_ptr(), first, "last in, first out");
    // More than a mirror has addresses for: the other source decides.
    let too_large = RingBuf::try_with_capacity_in(isize::MAX as usize - 1, &source);
    assert!(too_large.is_err());
    assert_eq!(source.fallbacks(), 0);
}

#[test]
fn limits_of_arithmetic() {
    let mut ring = RingBuf::with_capacity(1);
    ring.push(b"x");
    for asked in [usize::MAX, usize::MAX - 1, isize::MAX as usize] {
        let error = ring.try_reserve(asked).unwrap_err();
        assert_eq!(error, ReserveError::TooLarge { asked, len: 1 });
    }
    assert_eq!(ring.peek(), b"x");
    let mut none = RingBuf::new();
    assert_eq!((none.capacity(), none.push(b"x"), none.peek()), (0, 0, &b""[..]));
    assert_eq!(none.read_from(&mut &b"x"[..]).unwrap_err().kind(), ErrorKind::StorageFull);
    assert!(none.shrink_to(0).is_ok() && none.shrink_to(9).is_ok());
    assert!(none.spare_capacity_mut().is_empty());
}

/// Descriptors are read into bytes that were never written, with and without the end of a ring between them.
#[test]
#[cfg(all(unix, not(miri)))]
fn descriptors_are_read_into_both_kinds() {
    use std::os::unix::net::UnixStream;
    fn exchange<S: PageSource + Clone>(source: S) {
        let (mut client, server) = UnixStream::pair().unwrap();
        server.set_nonblocking(true).unwrap();
        let mut ring = RingBuf::try_with_capacity_in(4096, source).unwrap();
        let (mut sent, mut got) = (0u32, 0u32);
        for round in 0..300 {
            for _ in 0..round % 37 {
                client.write_all(&sent.to_ne_bytes()).unwrap();
                sent += 1;
            }
            if let Err(error) = ring.recv(&server) {
                let expected = [ErrorKind::WouldBlock, ErrorKind::StorageFull];
                assert!(expected.contains(&error.kind()), "{error}");
            }
            while ring.len() > 4 * (round % 5) + 4 {
                assert_eq!(ring.peek()[..4], got.to_ne_bytes());
                ring.consume(4);
                got += 1;
            }
        }
        drop(client);
        server.set_nonblocking(false).unwrap();
        while ring.recv(&server).unwrap() > 0 {}
        for word in ring.peek().chunks(4) {
            assert_eq!(word, got.to_ne_bytes());
            got += 1;
        }
        assert_eq!(got, sent);
    }
    exchange(&Heap::new());
    exchange(&*MIRROR);
    let mut none = RingBuf::new();
    let (_client, server) = UnixStream::pair().unwrap();
    assert_eq!(none.recv(&server).unwrap_err().kind(), ErrorKind::StorageFull);
}
