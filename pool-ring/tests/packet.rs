//! What a `PacketRing` promises, one by one.

use pool_core::{Failing, Heap, PageSource};
use pool_ring::frame::{Decoded, Decoder, Delimiter, Hint, Kept, LengthPrefix, Lines};
use pool_ring::{Batch, Conn, PacketRing, PacketRingBuilder, Policy, ReadError, RingBuf};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

const NOW: Policy = Policy::EvictOldest { min_age: Duration::ZERO };

type Ring<'h> = PacketRing<&'h Heap>;

fn lines() -> Lines {
    Lines::new(1 << 20)
}

/// Feeds bytes that are no whole line.
fn put(ring: &mut Ring<'_>, conn: &mut Conn, bytes: &[u8]) -> bool {
    let mut rest = bytes;
    let mut codec = lines();
    while !rest.is_empty() {
        let Ok(mut batch) = ring.feed(conn, &mut codec, &mut rest) else { return false };
        assert_eq!(batch.next(), Ok(None));
        if batch.finish().is_err() {
            return false;
        }
    }
    true
}

fn frames<D>(mut batch: Batch<'_, D, &Heap>) -> Vec<Vec<u8>>
where
    D: for<'a> pool_ring::frame::Decoder<Frame<'a> = &'a [u8]>,
    D::Error: std::fmt::Debug,
{
    let mut all = Vec::new();
    while let Some(frame) = batch.next().unwrap() {
        all.push(frame.to_vec());
    }
    all
}

#[test]
fn the_first_eviction_is_where_the_formula_says() {
    let heap = Heap::new();
    for (chunk, len) in [(256, 1usize), (256, 256), (256, 257), (64, 1000), (128, 700)] {
        for policy in [NOW, Policy::EvictLargest, Policy::Reject] {
            let cost = 26 + len.div_ceil(chunk) * (chunk + 4);
            for spare in [0, cost - 1] {
                let builder = PacketRingBuilder::new().chunk(chunk).policy(policy);
                let mut ring = builder.budget(50 * cost + spare).try_build_in(&heap).unwrap();
                assert_eq!(ring.cost(len), cost);
                let mut conns: Vec<_> = (0..51).map(|token| ring.open(token)).collect();
                for conn in &mut conns[..50] {
                    assert!(put(&mut ring, conn, &vec![b'x'; len]));
                }
                let stats = ring.stats();
                assert_eq!((stats.used, stats.partials), (50 * cost, 50));
                assert_eq!((stats.evictions, stats.rejected), (0, 0));
                let kept = put(&mut ring, &mut conns[50], &vec![b'x'; len]);
                let stats = ring.stats();
                assert_eq!(kept, policy != Policy::Reject);
                assert_eq!((stats.evictions, stats.rejected), (kept.into(), (!kept).into()));
                let reported: Vec<_> = ring.evicted().collect();
                assert_eq!(reported, [if kept { 0 } else { 50 }]);
            }
        }
    }
}

#[test]
fn an_idle_connection_costs_nothing() {
    let heap = Heap::new();
    let mut ring = PacketRingBuilder::new().try_build_in(&heap).unwrap();
    let reserved = ring.stats().reserved;
    let mut conns: Vec<_> = (0..10_000).map(|token| ring.open(token)).collect();
    let mut codec = LengthPrefix::u16(1000);
    for conn in &mut conns {
        drop(ring.feed(conn, &mut codec, &mut &b"\x00\x05he"[..]).unwrap());
    }
    let stats = ring.stats();
    assert_eq!((stats.partials, stats.bytes), (10_000, 40_000));
    assert_eq!(stats.used, 10_000 * (26 + 260));
    for conn in &mut conns {
        let batch = ring.feed(conn, &mut codec, &mut &b"llo"[..]).unwrap();
        assert_eq!(frames(batch), [b"hello"]);
        assert!(conn.is_idle());
    }
    let stats = ring.stats();
    assert_eq!((stats.partials, stats.bytes, stats.used), (0, 0, 0));
    assert_eq!(stats.reserved, reserved);
    assert!(size_of::<Conn>() <= 16);
}

/// Lends its bytes in pieces, then would block.
struct Pieces(VecDeque<Vec<u8>>);

impl Read for Pieces {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let Some(piece) = self.0.front_mut() else { return Err(ErrorKind::WouldBlock.into()) };
        let len = piece.len().min(room.len());
        room[..len].copy_from_slice(&piece[..len]);
        piece.drain(..len);
        if piece.is_empty() {
            self.0.pop_front();
        }
        Ok(len)
    }
}

#[test]
fn reads_that_would_block_copy_nothing_and_ends_say_what_is_missing() {
    let heap = Heap::new();
    let mut ring = PacketRingBuilder::new().try_build_in(&heap).unwrap();
    let mut conn = ring.open(7);
    let mut codec = lines();
    let mut source = Pieces([b"half".to_vec()].into());
    assert!(frames(ring.read_from(&mut conn, &mut codec, &mut source).unwrap()).is_empty());
    let before = ring.stats();
    let error = ring.read_from(&mut conn, &mut codec, &mut source).unwrap_err();
    assert!(error.is_would_block());
    assert_eq!(ring.stats(), before);
    let error = ring.read_from(&mut conn, &mut codec, &mut io::empty()).unwrap_err();
    assert!(matches!(error, ReadError::Ended { partial: 4 }));
    assert!(conn.is_idle() && ring.stats().used == 0);
}

/// What a `Batch` promises: frames that were not taken are kept, at the end of a stream, too, wherever they are.
#[test]
fn frames_not_taken_outlive_the_end_of_their_stream() {
    /// A decoder that does not say who it is.
    struct Nameless(Lines);
    impl Decoder for Nameless {
        type Frame<'a> = &'a [u8];
        type Error = pool_ring::frame::FrameError;
        fn decode<'a>(&mut self, bytes: &'a [u8]) -> Result<Decoded<&'a [u8]>, Self::Error> {
            self.0.decode(bytes)
        }
    }
    let heap = Heap::new();
    let builder = PacketRingBuilder::new().chunk(64).large_from(128);
    let (line, mut nobody) = ([b'x'; 300], io::empty());
    for (first, elsewhere) in [(&b"a"[..], false), (b"a", true), (&line, false), (&line, true)] {
        let stream = [first, b"\nb\nhal"].concat();
        let mut ring = builder.try_build_in(&heap).unwrap();
        let (mut conn, mut other, mut codec) = (ring.open(0), ring.open(1), lines());
        let mut between = |ring: &mut Ring<'_>| {
            if elsewhere {
                assert!(put(ring, &mut other, b"y"));
            }
        };
        drop(ring.feed(&mut conn, &mut codec, &mut &stream[..]).unwrap());
        between(&mut ring);
        // One by one; a batch of which one was taken is not the last.
        for frame in [first, b"b"] {
            let mut batch = ring.read_from(&mut conn, &mut codec, &mut nobody).unwrap();
            assert_eq!((batch.received(), batch.next().unwrap()), (0, Some(frame)));
            drop(batch);
            between(&mut ring);
        }
        let mut batch = ring.read_from(&mut conn, &mut codec, &mut nobody).unwrap();
        assert_eq!(batch.next(), Ok(None));
        drop(batch);
        between(&mut ring);
        let error = ring.read_from(&mut conn, &mut codec, &mut nobody).unwrap_err();
        assert!(matches!(error, ReadError::Ended { partial: 3 }), "{error}");
        assert!(conn.is_idle());

        // What was looked at ends at once, whoever did.
        let mut nameless = Nameless(lines());
        let mut batch = ring.feed(&mut conn, &mut nameless, &mut &line[..]).unwrap();
        assert_eq!(batch.next(), Ok(None));
        drop(batch);
        between(&mut ring);
        let error = ring.read_from(&mut conn, &mut nameless, &mut nobody).unwrap_err();
        assert!(matches!(error, ReadError::Ended { partial: 300 }), "{error}");

        // Whoever never looks comes to the end, too, and not only the last one.
        let mut conns = [ring.open(2), ring.open(3)];
        for conn in &mut conns {
            drop(ring.feed(conn, &mut codec, &mut &stream[..]).unwrap());
        }
        for _ in 0..2 {
            for conn in &mut conns {
                drop(ring.read_from(conn, &mut codec, &mut nobody));
            }
        }
        assert!(conns.iter().all(Conn::is_idle));
        assert_eq!(ring.stats().partials, usize::from(elsewhere));

        // A stream that goes on behind its end has another one.
        drop(ring.feed(&mut conn, &mut codec, &mut &stream[..]).unwrap());
        between(&mut ring);
        drop(ring.read_from(&mut conn, &mut codec, &mut nobody).unwrap());
        between(&mut ring);
        drop(ring.feed(&mut conn, &mut codec, &mut &b"f\n"[..]).unwrap());
        between(&mut ring);
        let mut batch = ring.read_from(&mut conn, &mut codec, &mut nobody).unwrap();
        for frame in [first, b"b", b"half"] {
            assert_eq!(batch.next().unwrap(), Some(frame));
        }
        drop(batch);
        assert!(conn.is_idle());
    }
}

#[test]
#[cfg(all(unix, not(miri)))]
fn descriptors_are_read_as_sources_are() {
    use std::io::Write;
    let heap = Heap::new();
    let mut ring =
        PacketRingBuilder::new().large_from(500).scratch(300).try_build_in(&heap).unwrap();
    let (mut client, server) = std::os::unix::net::UnixStream::pair().unwrap();
    server.set_nonblocking(true).unwrap();
    let (mut conn, mut codec, mut got) = (ring.open(3), LengthPrefix::u16(3000), 0);
    for len in [0usize, 5, 299, 300, 2000, 7] {
        client.write_all(&(len as u16).to_be_bytes()).unwrap();
        client.write_all(&vec![got; len]).unwrap();
        let error = loop {
            match ring.recv(&mut conn, &mut codec, &server) {
                Ok(mut batch) => {
                    while let Some(frame) = batch.next().unwrap() {
                        assert_eq!(frame, vec![got; len]);
                        got += 1;
                    }
                }
                Err(error) => break error,
            }
        };
        assert!(error.is_would_block());
    }
    client.write_all(b"\x01").unwrap();
    assert_eq!(ring.recv(&mut conn, &mut codec, &server).unwrap().next(), Ok(None));
    drop(client);
    let error = ring.recv(&mut conn, &mut codec, &server).unwrap_err();
    assert!(matches!(error, ReadError::Ended { partial: 1 }));
    assert_eq!((got, ring.stats().used), (6, 0));
}

#[test]
fn an_announcement_reserves_nothing() {
    let heap = Heap::new();
    let builder = PacketRingBuilder::new().budget(1 << 20).policy(NOW);
    let mut ring = builder.try_build_in(&heap).unwrap();
    let reserved = ring.stats().reserved;
    // Refused by the decoder before anything is kept.
    let (mut conn, mut codec) = (ring.open(0), LengthPrefix::u32(1 << 19));
    let mut batch = ring.feed(&mut conn, &mut codec, &mut &b"\xff\xff\xff\xff"[..]).unwrap();
    assert!(batch.next().is_err());
    drop(batch);
    assert!(conn.is_idle());
    // Allowed by the decoder: 4 bytes have come, one chunk is used.
    let mut conns: Vec<_> = (0..1000).map(|token| ring.open(token)).collect();
    let mut codec = LengthPrefix::u32(1 << 19);
    for conn in &mut conns {
        let mut batch = ring.feed(conn, &mut codec, &mut &b"\x00\x07\xff\xf0"[..]).unwrap();
        assert_eq!(batch.next(), Ok(None));
    }
    let stats = ring.stats();
    assert_eq!((stats.used, stats.evictions), (1000 * 286, 0));
    assert_eq!(stats.reserved, reserved);
    // A frame that no budget can hold is refused, and nobody had to go.
    let mut codec = LengthPrefix::u32(usize::MAX);
    let mut conn = ring.open(5000);
    let piece = [&b"\xff\xff\xff\xf0"[..], &[0; 20_000]].concat();
    let batch = ring.feed(&mut conn, &mut codec, &mut &piece[..]).unwrap();
    let mut batch = batch;
    assert_eq!(batch.next(), Ok(None));
    assert!(batch.finish().is_err());
    assert_eq!((ring.stats().evictions, ring.stats().rejected), (0, 1));
    assert_eq!(ring.evicted().collect::<Vec<_>>(), [5000]);
}

#[test]
fn the_minimum_age_protects_the_young() {
    let heap = Heap::new();
    let policy = Policy::EvictOldest { min_age: Duration::from_secs(5) };
    let mut ring =
        PacketRingBuilder::new().budget(3 * 286).policy(policy).try_build_in(&heap).unwrap();
    let mut conns: Vec<_> = (0..5).map(|token| ring.open(token)).collect();
    for (second, conn) in conns[..3].iter_mut().enumerate() {
        ring.set_now(Duration::from_secs(second as u64));
        assert!(put(&mut ring, conn, b"partial"));
    }
    // More of the same line makes it no younger.
    assert!(put(&mut ring, &mut conns[0], b" still"));
    assert!(!put(&mut ring, &mut conns[3], b"partial"));
    assert_eq!(ring.evicted().collect::<Vec<_>>(), [3]);
    let old =
        |ring: &Ring<'_>, second| ring.older_than(Duration::from_secs(second)).collect::<Vec<_>>();
    assert_eq!((old(&ring, 0), old(&ring, 1), old(&ring, 9)), (vec![], vec![0], vec![0, 1, 2]));
    ring.set_now(Duration::from_secs(5));
    assert!(put(&mut ring, &mut conns[4], b"partial"));
    assert_eq!(ring.evicted().collect::<Vec<_>>(), [0]);
    assert_eq!(old(&ring, 9), [1, 2, 4]);
}

#[test]
fn the_largest_goes_first_but_not_for_a_larger_one() {
    let heap = Heap::new();
    let builder = PacketRingBuilder::new().policy(Policy::EvictLargest);
    let mut ring = builder.budget(286 + 546 + 806).try_build_in(&heap).unwrap();
    let mut conns: Vec<_> = (0..6).map(|token| ring.open(token)).collect();
    assert!(put(&mut ring, &mut conns[0], &[b'x'; 200]));
    assert!(put(&mut ring, &mut conns[1], &[b'x'; 700]));
    assert!(put(&mut ring, &mut conns[2], &[b'x'; 400]));
    assert!(put(&mut ring, &mut conns[3], &[b'x'; 100]));
    assert_eq!(ring.evicted().collect::<Vec<_>>(), [1]);
    // Now 1, 2 and 1 chunks. Five chunks are more than anybody has.
    assert!(!put(&mut ring, &mut conns[4], &[b'x'; 1200]));
    assert_eq!(ring.evicted().collect::<Vec<_>>(), [4]);
    // The own entry is the largest: nobody else goes for it, and it is refused.
    assert!(put(&mut ring, &mut conns[2], &[b'x'; 300]));
    assert!(!put(&mut ring, &mut conns[2], &[b'x'; 900]));
    assert_eq!(ring.evicted().collect::<Vec<_>>(), [2]);
    assert_eq!(ring.stats().partials, 2);
}

#[test]
fn the_oldest_is_refused_itself_when_it_grows_too_far() {
    let heap = Heap::new();
    let mut ring =
        PacketRingBuilder::new().budget(3 * 286).policy(NOW).try_build_in(&heap).unwrap();
    let mut conns: Vec<_> = (0..3).map(|token| ring.open(token)).collect();
    for conn in &mut conns {
        assert!(put(&mut ring, conn, b"partial"));
    }
    assert!(!put(&mut ring, &mut conns[0], &[b'x'; 300]));
    assert_eq!(ring.evicted().collect::<Vec<_>>(), [0]);
    // A younger one that grows pushes the oldest out.
    assert!(put(&mut ring, &mut conns[2], &[b'x'; 500]));
    assert!(!put(&mut ring, &mut conns[0], b"stale"));
    ring.close(&mut conns[0]);
    assert_eq!((ring.stats().evictions, ring.stats().rejected), (0, 1));
}

#[test]
fn evictions_are_no_more_than_chunks_needed() {
    let heap = Heap::new();
    let mut ring =
        PacketRingBuilder::new().budget(600 * 286).policy(NOW).try_build_in(&heap).unwrap();
    let mut conns: Vec<_> = (0..2000).map(|token| ring.open(token)).collect();
    let mut random = 1u32;
    let mut reported = 0;
    for conn in &mut conns {
        // Late, and still none is lost.
        if ring.stats().reports > 500 {
            reported += ring.evicted().count() as u64;
        }
        random = random.wrapping_mul(747796405).wrapping_add(2891336453);
        let len = (random >> 16) as usize % 3000 + 1;
        let before = ring.stats().evictions;
        assert!(put(&mut ring, conn, &vec![b'x'; len]));
        assert!(ring.stats().evictions - before <= len.div_ceil(256) as u64);
    }
    assert!(ring.stats().evictions > 1000);
    assert_eq!(reported + ring.stats().reports as u64, ring.stats().evictions);
    assert_eq!(reported + ring.evicted().count() as u64, ring.stats().evictions);
}

/// Nobody takes reports: each waits all the same, and then nothing more is read.
#[test]
fn no_report_is_lost() {
    let heap = Heap::new();
    let mut ring =
        PacketRingBuilder::new().budget(10 * 286).policy(NOW).try_build_in(&heap).unwrap();
    let mut conns: Vec<_> = (0..100).map(|token| ring.open(token)).collect();
    let kept = conns.iter_mut().position(|conn| !put(&mut ring, conn, b"partial")).unwrap();
    let stats = ring.stats();
    assert_eq!((stats.partials, stats.reports, stats.evictions), (10, kept - 10, kept as u64 - 10));
    assert!(stats.reports > 10);
    let mut source = Pieces([b"line\n".to_vec()].into());
    let mut codec = lines();
    let error = ring.read_from(&mut conns[kept], &mut codec, &mut source).unwrap_err();
    assert!(matches!(error, ReadError::Unreported { reports } if reports == kept - 10));
    assert_eq!(source.0.len(), 1, "nothing was read");
    // Those with a partial go on.
    drop(ring.feed(&mut conns[kept - 1], &mut codec, &mut &b"\n"[..]).unwrap());
    let reported: Vec<u32> = ring.evicted().collect();
    assert!(reported.into_iter().eq(0..kept as u32 - 10));
    let batch = ring.read_from(&mut conns[kept], &mut codec, &mut source).unwrap();
    assert_eq!(frames(batch), [b"line"]);
}

/// What a decoder has announced is forgotten with the frame that it was about, and never taken for an end
/// of the stream if it was too little.
#[test]
fn wrong_and_stale_announcements_end_no_stream() {
    /// Frames of a length that it does not tell, and says wrongly.
    struct Liar;
    impl Decoder for Liar {
        type Frame<'a> = &'a [u8];
        type Error = std::convert::Infallible;
        fn decode<'a>(&mut self, bytes: &'a [u8]) -> Result<Decoded<&'a [u8]>, Self::Error> {
            Ok(match bytes.get(..1000) {
                Some(frame) => Decoded::Frame { frame, consumed: 1000 },
                None => Decoded::NeedMore(Hint::Total(100 + bytes.len() / 100 * 100)),
            })
        }
        fn wait(&mut self, kept: Kept<'_>, fresh: &[u8]) -> Option<Hint> {
            let len = kept.len + fresh.len();
            (len < 1000 && len % 3 == 0).then_some(Hint::Total(len.min(700)))
        }
        fn identity(&self) -> u64 {
            1
        }
    }
    let heap = Heap::new();
    let builder = PacketRingBuilder::new().chunk(64).large_from(64).scratch(256);
    for (piece, skip) in [(50, 0), (90, 0), (100, 0), (100, 33), (7, 1)] {
        let mut ring = builder.try_build_in(&heap).unwrap();
        let (mut anna, mut ben, mut liar) = (ring.open(0), ring.open(1), Liar);
        let (mut taken, mut fed) = (0, 0);
        for n in 0..100u32 {
            let bytes = [n as u8; 100];
            let mut bytes = &bytes[..piece];
            while !bytes.is_empty() {
                let mut batch = ring.feed(&mut anna, &mut liar, &mut bytes).unwrap();
                while let Some(frame) = batch.next().unwrap() {
                    taken += frame.len();
                }
                let before = batch.rest().len();
                batch.skip(skip);
                taken += before - batch.rest().len();
            }
            fed += piece;
            if n % 3 == 0 {
                drop(ring.feed(&mut ben, &mut liar, &mut &b"x"[..]).unwrap());
            }
        }
        assert_eq!(taken + ring.partial_len(&anna), fed);
    }
}

#[test]
fn a_forgotten_batch_loses_nothing() {
    let heap = Heap::new();
    let mut ring = PacketRingBuilder::new().try_build_in(&heap).unwrap();
    let (mut anna, mut ben) = (ring.open(0), ring.open(1));
    let mut codec = lines();
    for _ in 0..3 {
        let mut batch = ring.feed(&mut anna, &mut codec, &mut &b"one\ntwo\nthr"[..]).unwrap();
        assert_eq!(batch.next().unwrap(), Some(&b"one"[..]));
        std::mem::forget(batch);
        let batch = ring.feed(&mut ben, &mut codec, &mut &b"other\n"[..]).unwrap();
        std::mem::forget(batch);
        let batch = ring.feed(&mut anna, &mut codec, &mut &b"ee\n"[..]).unwrap();
        assert_eq!(frames(batch), [&b"two"[..], b"three"]);
        let batch = ring.feed(&mut ben, &mut codec, &mut &b""[..]).unwrap();
        assert_eq!(frames(batch), [b"other"]);
    }
    // Forgotten with nothing left over: the connection is as good as before.
    let mut batch = ring.feed(&mut anna, &mut codec, &mut &b"all\n"[..]).unwrap();
    assert_eq!(batch.next().unwrap(), Some(&b"all"[..]));
    std::mem::forget(batch);
    let batch = ring.feed(&mut anna, &mut codec, &mut &b"again\n"[..]).unwrap();
    assert_eq!(frames(batch), [b"again"]);
    assert_eq!(ring.stats().partials, 0);
}

#[test]
fn a_panic_costs_the_frame_that_was_handled() {
    let heap = Heap::new();
    let mut ring = PacketRingBuilder::new().try_build_in(&heap).unwrap();
    let mut conn = ring.open(0);
    let mut codec = lines();
    let result = catch_unwind(AssertUnwindSafe(|| {
        let mut batch = ring.feed(&mut conn, &mut codec, &mut &b"bad\ngood\nha"[..]).unwrap();
        let _frame = batch.next().unwrap();
        std::panic::resume_unwind(Box::new("handler"));
    }));
    assert!(result.is_err());
    let batch = ring.feed(&mut conn, &mut codec, &mut &b"lf\n"[..]).unwrap();
    assert_eq!(frames(batch), [&b"good"[..], b"half"]);
}

#[test]
fn a_source_that_panics_changes_nothing() {
    struct Bad;
    impl Read for Bad {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            std::panic::resume_unwind(Box::new("source"));
        }
    }
    let heap = Heap::new();
    let mut ring = PacketRingBuilder::new().try_build_in(&heap).unwrap();
    let mut conn = ring.open(0);
    assert!(put(&mut ring, &mut conn, b"kept"));
    let mut codec = lines();
    let result = catch_unwind(AssertUnwindSafe(|| {
        let _ = ring.read_from(&mut conn, &mut codec, &mut Bad);
    }));
    assert!(result.is_err());
    let batch = ring.feed(&mut conn, &mut codec, &mut &b"\n"[..]).unwrap();
    assert_eq!(frames(batch), [b"kept"]);
}

#[test]
fn stale_and_foreign_connections_are_told_before_anything_is_read() {
    let heap = Heap::new();
    let build = || PacketRingBuilder::new().budget(300).policy(NOW).try_build_in(&heap).unwrap();
    let (mut ring, mut other) = (build(), build());
    let (mut anna, mut ben) = (ring.open(0), ring.open(1));
    assert!(put(&mut ring, &mut anna, b"secret"));
    assert!(put(&mut ring, &mut ben, b"pushes it out"));
    let mut codec = lines();
    let mut source = Pieces([b"never read".to_vec()].into());
    for _ in 0..2 {
        let error = ring.read_from(&mut anna, &mut codec, &mut source).unwrap_err();
        assert!(matches!(error, ReadError::Evicted));
    }
    assert_eq!(source.0.len(), 1);
    let mut carl = other.open(1);
    assert!(put(&mut other, &mut carl, b"elsewhere"));
    assert_eq!(ring.feed(&mut carl, &mut codec, &mut &b"x"[..]).unwrap_err(), ReadError::Evicted);
    ring.close(&mut anna);
    assert!(put(&mut ring, &mut anna, b"new stream"));
}

#[test]
fn several_frames_and_halves_of_headers_in_any_cut() {
    let heap = Heap::new();
    let builder = PacketRingBuilder::new().chunk(64).large_from(128).scratch(64);
    let payloads: Vec<Vec<u8>> = (0..40).map(|n| vec![n; n as usize * 13 % 300]).collect();
    let mut stream = Vec::new();
    for payload in &payloads {
        stream.extend((payload.len() as u32).to_be_bytes());
        stream.extend(payload);
    }
    for cut in (1..150).step_by(if cfg!(miri) { 50 } else { 1 }) {
        let mut ring = builder.try_build_in(&heap).unwrap();
        let mut conn = ring.open(0);
        let mut codec = LengthPrefix::u32(1000);
        let mut got = Vec::new();
        for piece in stream.chunks(cut) {
            let mut piece = piece;
            while !piece.is_empty() {
                got.extend(frames(ring.feed(&mut conn, &mut codec, &mut piece).unwrap()));
            }
        }
        assert_eq!(got, payloads);
        assert_eq!(ring.stats().used, 0);
    }
}

#[test]
fn refused_blocks_cost_their_connection_only() {
    let heap = Heap::new();
    let counting = Failing::never(&heap);
    drop(PacketRingBuilder::new().try_build_in(&counting).unwrap());
    let source = Failing::after(&heap, counting.calls());
    let mut ring = PacketRingBuilder::new().try_build_in(&source).unwrap();
    let (mut small, mut large) = (ring.open(0), ring.open(1));
    let mut codec = lines();
    let mut batch = ring.feed(&mut small, &mut codec, &mut &b"small"[..]).unwrap();
    assert_eq!(batch.next(), Ok(None));
    drop(batch);
    let bytes = vec![b'x'; 20_000];
    let mut batch = ring.feed(&mut large, &mut codec, &mut &bytes[..]).unwrap();
    assert_eq!(batch.next(), Ok(None));
    assert_eq!(batch.finish().unwrap_err().bytes, 20_000);
    assert_eq!(ring.evicted().collect::<Vec<_>>(), [1]);
    assert_eq!((ring.partial_len(&small), ring.partial_len(&large)), (5, 0));
    assert_eq!(source.inner().granule(), heap.granule());
}

/// What one decoder has seen to be no frame may be one for another on the same stream.
#[test]
fn a_change_of_decoder_begins_the_search_anew() {
    let heap = Heap::new();
    let builder = PacketRingBuilder::new().chunk(64).large_from(128).scratch(1024);
    let long = [b'x'; 200];
    for kept in [&b"one;tw"[..], &[b"one;", &long[..]].concat()] {
        for elsewhere in [false, true] {
            let mut ring = builder.try_build_in(&heap).unwrap();
            let (mut conn, mut other) = (ring.open(0), ring.open(1));
            let (mut lines, mut colons) = (Lines::new(1000), Delimiter::new(b":", 1000));
            let mut semicolons = Delimiter::new(b";", 1000);
            let mut looked_at = |ring: &mut Ring<'_>, conn: &mut Conn| {
                let mut batch = ring.feed(conn, &mut lines, &mut &kept[..]).unwrap();
                assert_eq!(batch.next(), Ok(None));
                drop(batch);
                // Another delimiter is another decoder, too.
                let mut batch = ring.feed(conn, &mut colons, &mut &b"o"[..]).unwrap();
                assert_eq!(batch.next(), Ok(None));
            };
            for fresh in [&b""[..], b"thr", b"th;"] {
                looked_at(&mut ring, &mut conn);
                if elsewhere {
                    drop(ring.feed(&mut other, &mut semicolons, &mut &b"x"[..]).unwrap());
                }
                let mut batch = ring.feed(&mut conn, &mut semicolons, &mut &fresh[..]).unwrap();
                assert_eq!(batch.next(), Ok(Some(&b"one"[..])), "{elsewhere} {fresh:?}");
                drop(batch);
                ring.close(&mut conn);
            }
            ring.close(&mut other);
        }
    }
    let mut ring = RingBuf::try_with_capacity_in(64, &heap).unwrap();
    ring.push(b"one;two:");
    assert_eq!(ring.decode(&mut Lines::new(100)), Ok(None));
    assert_eq!(ring.decode(&mut Delimiter::new(b";", 100)), Ok(Some(&b"one"[..])));
    assert_eq!(ring.decode(&mut Delimiter::new(b";", 100)), Ok(None));
    assert_eq!(ring.decode(&mut Delimiter::new(b":", 100)), Ok(Some(&b"two"[..])));
}

/// More decoders than a ring has numbers for: all find their frames, the known ones without another look.
#[test]
fn more_decoders_than_numbers() {
    let heap = Heap::new();
    let mut ring = PacketRingBuilder::new().try_build_in(&heap).unwrap();
    let delimiters: Vec<[u8; 2]> = (0..100).map(|n| [b'=', n + 128]).collect();
    for round in 0..2 {
        let mut conns: Vec<_> = (0..100).map(|token| ring.open(token)).collect();
        for (conn, delimiter) in conns.iter_mut().zip(&delimiters) {
            let mut codec = Delimiter::new(delimiter, 100);
            let mut batch = ring.feed(conn, &mut codec, &mut &b"frame="[..]).unwrap();
            assert_eq!(batch.next(), Ok(None));
        }
        for (n, (conn, delimiter)) in conns.iter_mut().zip(&delimiters).enumerate() {
            let copied = ring.stats().copied;
            let mut codec = Delimiter::new(delimiter, 100);
            let batch = ring.feed(conn, &mut codec, &mut &b"-"[..]).unwrap();
            assert!(batch.rest().is_empty() == (n < PacketRing::<&Heap>::DECODERS), "{n} {round}");
            drop(batch);
            assert!(ring.stats().copied > copied || n == 99);
            let mut batch = ring.feed(conn, &mut codec, &mut &delimiter[..]).unwrap();
            assert_eq!(batch.next(), Ok(Some(&b"frame=-"[..])));
            drop(batch);
            ring.close(conn);
        }
        // Nobody remembers a number now: they are given anew.
    }
}

/// A large frame that is whole, in a batch that is dropped without being looked at, waits where it is: it
/// needs no more room than it has.
#[test]
fn whole_frames_in_blocks_wait_unseen() {
    let heap = Heap::new();
    let total = 2 * heap.granule();
    let bytes: Vec<u8> =
        ((total - 4) as u32).to_be_bytes().into_iter().chain((4..total).map(|n| n as u8)).collect();
    for policy in [Policy::Reject, NOW] {
        for cut in [total / 2, total] {
            let builder = PacketRingBuilder::new().budget(total + 2000).policy(policy);
            let mut ring = builder.large_from(1024).try_build_in(&heap).unwrap();
            let (mut conn, mut other) = (ring.open(0), ring.open(1));
            let mut codec = LengthPrefix::u32(1 << 20);
            drop(ring.feed(&mut other, &mut codec, &mut &b"\0"[..]).unwrap());
            let mut first = &bytes[..cut];
            if cut < total {
                let mut batch = ring.feed(&mut conn, &mut codec, &mut first).unwrap();
                assert_eq!(batch.next(), Ok(None));
            }
            let mut rest = &bytes[if cut < total { cut } else { 0 }..];
            while !rest.is_empty() {
                ring.feed(&mut conn, &mut codec, &mut rest).unwrap().finish().unwrap();
            }
            assert_eq!((ring.partial_len(&conn), ring.stats().evictions), (total, 0));
            // There is no room behind it, so it comes before anything is read.
            let mut source = &b"\0\0\0\x02ok"[..];
            let mut batch = ring.read_from(&mut conn, &mut codec, &mut source).unwrap();
            assert_eq!((batch.received(), batch.rest().len()), (0, total));
            if policy == Policy::Reject && cut < total {
                // Whoever does not look then, either, needs more room to read on: a loop ends.
                drop(batch);
                let error = ring.read_from(&mut conn, &mut codec, &mut source).unwrap_err();
                assert!(matches!(error, ReadError::NoRoom { .. }), "{error}");
                continue;
            }
            assert_eq!(batch.next(), Ok(Some(&bytes[4..])));
            assert_eq!(batch.next(), Ok(None));
            drop(batch);
            let mut batch = ring.read_from(&mut conn, &mut codec, &mut source).unwrap();
            assert_eq!(batch.next(), Ok(Some(&b"ok"[..])));
            drop(batch);
            assert_eq!(ring.evicted().count(), 0);
        }
    }
}
