//! `bytes` and `tokio` over the structures of this crate.

use bytes::{Buf, BufMut, BytesMut};
use pool_core::{Heap, PageSource};
use pool_ring::frame::{Delimiter, FixedLen, LengthPrefix, Lines};
use pool_ring::{
    BytesPool, Codec, MirrorOr, PacketRing, ReadError, ReassemblerBuilder, RecvError, RingBuf,
    recv_frames,
};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
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
        let room = ring.capacity();
        assert!(ring.write_all(&vec![0; room + 1]).await.is_err());
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
