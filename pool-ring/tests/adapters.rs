//! `bytes` and `tokio` over the structures of this crate.

use bytes::{Buf, BufMut, BytesMut};
use pool_core::{Heap, PageSource};
use pool_ring::frame::{Decoded, Delimiter, FixedLen, Hint, LengthPrefix, Lines};
use pool_ring::{
    BytesPool, Codec, MirrorOr, PacketRing, ReadError, ReassemblerBuilder, RecvError, RingBuf,
    recv_frames,
};
use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::codec::{Decoder, Encoder};

#[test]
fn rings_are_buffers() {
    let mirror = MirrorOr::new(Heap::new());
    let mut rings = [RingBuf::try_with_capacity_in(4096, &mirror).unwrap()];
    for ring in &mut rings {
        let mut next = 0u32;
        let mut expected = 0u32;
        for round in 0..200 {
            while ring.remaining_mut() >= 4 && next < (round + 1) * 700 {
                ring.put_u32(next);
                next += 1;
            }
            while ring.remaining() >= 4 && expected + 5 < next {
                assert_eq!(ring.get_u32(), expected);
                expected += 1;
            }
        }
    }
}

#[test]
fn large_frames_have_pages_of_their_own() {
    let heap = Arc::new(Heap::new().counted());
    let pool = BytesPool::new_in(heap.clone()).large_from(1000);
    let small = pool.try_copy(&[1; 999]).unwrap();
    assert_eq!(heap.traffic().live_bytes, 0);
    let large = pool.try_copy(&[2; 1000]).unwrap();
    assert!(heap.traffic().live_bytes > 0);
    let part = large.slice(10..20);
    drop((small, large));
    assert!(part.iter().all(|&byte| byte == 2) && heap.traffic().live_bytes > 0);
    drop(part);
    assert_eq!(heap.traffic().live_bytes, 0);

    let mut stream = ReassemblerBuilder::new().build();
    stream.insert(0, &[3; 5000], Duration::ZERO).unwrap();
    let taken = pool.try_take(&mut stream, 3000).unwrap();
    assert_eq!((taken.len(), stream.as_slice().len(), stream.front()), (3000, 2000, 3000));
}

fn codec<D>(codec: D, frames: &[&[u8]])
where
    Codec<D>: Decoder<Item = bytes::Bytes, Error = std::io::Error>
        + for<'a> Encoder<&'a [u8], Error = std::io::Error>,
    D: Copy,
{
    let mut sent = BytesMut::new();
    let mut codec = Codec::new(codec);
    for frame in frames {
        codec.encode(frame, &mut sent).unwrap();
    }
    for cut in 1..sent.len() {
        let mut bytes = BytesMut::new();
        let mut got = Vec::new();
        for piece in sent.chunks(cut) {
            bytes.extend_from_slice(piece);
            while let Some(frame) = codec.decode(&mut bytes).unwrap() {
                got.push(frame);
            }
        }
        assert_eq!(got, frames);
    }
}

#[test]
fn decoders_are_codecs() {
    codec(LengthPrefix::u24(100).little_endian(), &[b"one", b"", b"three"]);
    codec(LengthPrefix::varint(400), &[&[b'x'; 300], b"2"]);
    codec(Lines::new(100), &[b"one", b"", b"three"]);
    codec(Delimiter::new(b"<>", 100), &[b"one", b"", b"th>ree"]);
    codec(FixedLen::new(3), &[b"one", b"two"]);
    let mut lines = Codec::new(Lines::new(4));
    let error = lines.decode(&mut BytesMut::from("too long")).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);

    // A clone is for another stream.
    let mut lines = Codec::new(Lines::new(100));
    assert_eq!(lines.decode(&mut BytesMut::from("no line yet")).unwrap(), None);
    let mut other = lines.clone();
    assert_eq!(other.decode(&mut BytesMut::from("a\nbcdefghijkl")).unwrap().unwrap(), "a");
}

/// A decoder of its own error, that does not say who it is: every look is the first.
struct Pairs;

#[derive(Debug)]
struct Odd(u8);

impl std::fmt::Display for Odd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is odd", self.0)
    }
}

impl std::error::Error for Odd {}

impl pool_ring::frame::Decoder for Pairs {
    type Frame<'a> = &'a [u8];
    type Error = Odd;
    fn decode<'a>(&mut self, bytes: &'a [u8]) -> Result<Decoded<&'a [u8]>, Odd> {
        match bytes {
            [first, ..] if first % 2 == 1 => Err(Odd(*first)),
            [_, _, ..] => Ok(Decoded::Frame { frame: &bytes[..2], consumed: 2 }),
            _ => Ok(Decoded::NeedMore(Hint::Total(2))),
        }
    }
    fn decode_after<'a>(&mut self, bytes: &'a [u8], seen: usize) -> Result<Decoded<&'a [u8]>, Odd> {
        assert_eq!(seen, 0, "nobody is known to have looked at it");
        self.decode(bytes)
    }
}

#[test]
fn codecs_take_decoders_without_identity_and_with_errors_of_their_own() {
    let (mut codec, mut bytes) = (Codec::new(Pairs), BytesMut::new());
    bytes.extend_from_slice(&[2]);
    assert_eq!(codec.decode(&mut bytes).unwrap(), None);
    bytes.extend_from_slice(&[3, 5]);
    assert_eq!(codec.decode(&mut bytes).unwrap().unwrap(), &[2, 3][..]);
    let error = codec.decode(&mut bytes).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    assert_eq!(error.downcast::<Odd>().unwrap().0, 5);
}

/// A small frame that is kept does not keep a large buffer; a large one is not copied.
#[test]
fn small_frames_of_codecs_hold_no_buffers() {
    let mut codec = Codec::new(Lines::new(10_000));
    let mut bytes =
        BytesMut::from(&[&[b'x'; 511][..], b"\n", &[b'y'; 512], b"\nrest"].concat()[..]);
    let buffer = bytes.as_ptr().addr()..bytes.as_ptr().addr() + bytes.len();
    let small = codec.decode(&mut bytes).unwrap().unwrap();
    let large = codec.decode(&mut bytes).unwrap().unwrap();
    assert_eq!((small.len(), large.len(), &bytes[..]), (511, 512, &b"rest"[..]));
    assert!(!buffer.contains(&small.as_ptr().addr()));
    assert!(buffer.contains(&large.as_ptr().addr()));
}

fn block_on(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(tokio::task::LocalSet::new().run_until(future));
}

#[test]
fn rings_are_asynchronous_readers_and_writers() {
    block_on(async {
        let mut ring = RingBuf::with_capacity(4096);
        ring.write_all(b"a line\nmore").await.unwrap();
        let mut line = String::new();
        ring.read_line(&mut line).await.unwrap();
        let mut rest = Vec::new();
        ring.read_to_end(&mut rest).await.unwrap();
        assert_eq!((&line[..], &rest[..]), ("a line\n", &b"more"[..]));
        // All parts at once, as many bytes as there is room for.
        let room = ring.capacity();
        let (part, long) = ([1; 10], vec![2; room]);
        let parts = [&part[..], &[], &part, &long, &part].map(std::io::IoSlice::new);
        assert!(tokio::io::AsyncWrite::is_write_vectored(&ring));
        assert_eq!(ring.write_vectored(&parts).await.unwrap(), room);
        assert_eq!(ring.peek(), [&[1; 20][..], &long[20..]].concat());
        ring.consume(room);
        assert!(ring.write_all(&vec![0; room + 1]).await.is_err());
    });
}

/// A future that is dropped while it waits has read nothing, even if something has come; and once it has read it does not
/// wait again, so it cannot be dropped then.
#[test]
#[cfg_attr(miri, ignore = "sockets")]
fn receiving_is_cancelled_without_loss() {
    block_on(async {
        let ring = RefCell::new(PacketRing::try_new().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        let (mut conn, mut lines) = (ring.borrow_mut().open(0), Lines::new(100));
        let got = RefCell::new(Vec::new());
        let handle = |line: &[u8]| got.borrow_mut().push(line.to_vec());
        client.write_all(b"one\ntw").await.unwrap();
        while ring.borrow().stats().bytes < 2 {
            recv_frames(&ring, &mut conn, &mut lines, &socket, handle).await.unwrap();
        }
        for (later, is_dropped, count) in [(&b"o\nthr"[..], true, 2), (b"ee\nfour\n", false, 4)] {
            {
                let mut waiting = pin!(recv_frames(&ring, &mut conn, &mut lines, &socket, handle));
                let is_ready = poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_ready()));
                assert!(!is_ready.await);
                client.write_all(later).await.unwrap();
                socket.readable().await.unwrap();
                let is_ready = poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_ready()));
                assert!(is_dropped || is_ready.await);
            }
            while got.borrow().len() < count {
                recv_frames(&ring, &mut conn, &mut lines, &socket, handle).await.unwrap();
            }
        }
        assert_eq!(got.into_inner(), [&b"one"[..], b"two", b"three", b"four"]);
    });
}

/// Waiting tasks hold nothing, halves of frames cost chunks, and ends are seen.
#[test]
#[cfg_attr(miri, ignore = "sockets")]
fn tasks_share_one_ring() {
    block_on(async {
        let ring = Rc::new(RefCell::new(PacketRing::try_new().unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (mut clients, mut tasks) = (Vec::new(), Vec::new());
        for index in 0..20 {
            clients.push(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
            let (socket, _) = listener.accept().await.unwrap();
            let ring = ring.clone();
            tasks.push(tokio::task::spawn_local(async move {
                let mut conn = ring.borrow_mut().open(index);
                let (mut lines, mut all) = (Lines::new(100), Vec::new());
                loop {
                    let handle = |line: &[u8]| all.push(line.to_vec());
                    match recv_frames(&ring, &mut conn, &mut lines, &socket, handle).await {
                        Ok(_) => {}
                        Err(RecvError::Read(ReadError::Ended { partial })) => {
                            return (all, partial);
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            }));
        }
        tokio::task::yield_now().await;
        assert_eq!(ring.borrow().stats().used, 0);
        for client in &mut clients {
            client.write_all(b"one\ntw").await.unwrap();
        }
        while ring.borrow().stats().partials < 20 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(ring.borrow().stats().used, 20 * 286);
        for (index, client) in clients.iter_mut().enumerate() {
            client.write_all(if index % 2 == 0 { b"o\n" } else { b"o\nx" }).await.unwrap();
        }
        drop(clients);
        for (index, task) in tasks.into_iter().enumerate() {
            let (lines, partial) = task.await.unwrap();
            assert_eq!((lines, partial), (vec![b"one".to_vec(), b"two".to_vec()], index % 2));
        }
        assert_eq!(ring.borrow().stats().used, 0);
    });
}
