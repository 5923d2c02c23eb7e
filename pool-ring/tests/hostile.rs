//! Safe code that means harm: readers and decoders that lie or panic, guards that are forgotten, handles of others, sizes at
//! the end of their types. Bytes may be lost; nothing else may.

use bytes::{Buf, BufMut};
use pool_core::{Heap, PageSource};
use pool_ring::frame::{Decoded, Decoder, Encoder, FrameError, Hint, Kept, LengthPrefix, Lines};
use pool_ring::{Codec, Conn, PacketRing, PacketRingBuilder, Policy, ReadError, RingBuf, spsc};
use pool_ring::{DatagramLimits, DatagramReassembler, Fragment, OverlapPolicy, ReassemblerBuilder};
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::hash::{BuildHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

/// Says that it has read as much as it is told to say, and writes as much as there is room for, or panics.
struct Says(usize, bool);

impl Read for Says {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        room.fill(b'x');
        if self.1 {
            std::panic::resume_unwind(Box::new("reader"));
        }
        Ok(self.0)
    }
}

impl Write for Says {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Ok(self.0)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Says that a frame took so many bytes, or panics; its frames are not of the stream.
#[derive(Clone, Copy)]
struct Took(usize, bool);

impl Decoder for Took {
    type Frame<'a> = &'static str;
    type Error = Infallible;
    fn decode(&mut self, bytes: &[u8]) -> Result<Decoded<&'static str>, Infallible> {
        if self.1 {
            std::panic::resume_unwind(Box::new("decoder"));
        }
        assert!(!bytes.is_empty());
        Ok(Decoded::Frame { frame: "elsewhere", consumed: self.0 })
    }
    fn wait(&mut self, _: Kept<'_>, _: &[u8]) -> Option<Hint> {
        (self.0 % 2 == 0).then_some(Hint::Total(self.0))
    }
}

#[test]
fn readers_that_lie_count_for_what_they_were_given() {
    let heap = Heap::new();
    let mut ring = RingBuf::try_with_capacity_in(4096, &heap).unwrap();
    for says in [usize::MAX, 4097, 5000, usize::MAX / 2 + 1] {
        ring.clear();
        ring.push(b"front");
        assert!(ring.read_from(&mut Says(says, false)).unwrap() <= ring.capacity() - 5);
        assert_eq!(&ring.peek()[..5], b"front");
        assert_eq!(ring.peek()[5..], vec![b'x'; ring.len() - 5]);
        let before = ring.len();
        assert_eq!(ring.write_to(&mut Says(says, false)).unwrap(), before);
        assert!(ring.is_empty());
    }
    ring.push(b"kept");
    let result = catch_unwind(AssertUnwindSafe(|| ring.read_from(&mut Says(1, true))));
    assert!(result.is_err() && ring.peek() == b"kept");
    let mut packets = PacketRingBuilder::new().scratch(100).try_build_in(&heap).unwrap();
    let (mut conn, mut lines) = (packets.open(0), Lines::new(1 << 20));
    for says in [usize::MAX, 101, 1000] {
        let batch = packets.read_from(&mut conn, &mut lines, &mut Says(says, false)).unwrap();
        assert!(batch.received() <= 100 && batch.rest().iter().all(|&byte| byte == b'x'));
    }
    // In a block, too.
    let mut packets =
        PacketRingBuilder::new().scratch(100).large_from(256).try_build_in(&heap).unwrap();
    let mut conn = packets.open(0);
    let rounds = if cfg!(miri) { 8 } else { 50 };
    for _ in 0..rounds {
        let mut batch =
            packets.read_from(&mut conn, &mut lines, &mut Says(usize::MAX, false)).unwrap();
        assert_eq!(batch.next(), Ok(None));
    }
    assert!(packets.partial_len(&conn) <= rounds * 100);
}

#[test]
fn decoders_that_lie_take_one_byte_or_all() {
    let heap = Heap::new();
    let mut packets = PacketRingBuilder::new().try_build_in(&heap).unwrap();
    for (took, frames) in [(0, 10), (1, 10), (3, 4), (usize::MAX, 1), (11, 1)] {
        let mut ring = RingBuf::try_with_capacity_in(64, &heap).unwrap();
        ring.push(b"0123456789");
        let (mut conn, mut seen) = (packets.open(1), 0);
        while let Some(frame) = ring.decode(&mut Took(took, false)).unwrap() {
            assert_eq!(frame, "elsewhere");
            seen += 1;
        }
        assert_eq!((seen, ring.len()), (frames, 0));
        let mut decoder = Took(took, false);
        let mut batch = packets.feed(&mut conn, &mut decoder, &mut &b"0123456789"[..]).unwrap();
        while batch.next().unwrap().is_some() {
            seen += 1;
        }
        assert_eq!(seen, 2 * frames);
    }
    let mut ring = RingBuf::try_with_capacity_in(64, &heap).unwrap();
    ring.push(b"kept");
    let result = catch_unwind(AssertUnwindSafe(|| ring.decode(&mut Took(1, true)).is_ok()));
    assert!(result.is_err() && ring.peek() == b"kept");
    let (mut conn, mut decoder) = (packets.open(2), Took(1, true));
    for _ in 0..3 {
        let result = catch_unwind(AssertUnwindSafe(|| {
            let mut batch = packets.feed(&mut conn, &mut decoder, &mut &b"abc"[..]).unwrap();
            batch.next().is_ok()
        }));
        assert!(result.is_err());
    }
    assert_eq!(packets.partial_len(&conn), 9);
    packets.close(&mut conn);
    assert_eq!(packets.stats().used, 0);
}

/// A decoder that reaches for the ring it decodes for finds it borrowed.
#[test]
fn rings_are_not_entered_twice() {
    struct Greedy(Rc<RefCell<PacketRing>>, Rc<Cell<u32>>);
    impl Decoder for Greedy {
        type Frame<'a> = ();
        type Error = Infallible;
        fn decode(&mut self, bytes: &[u8]) -> Result<Decoded<()>, Infallible> {
            assert!(self.0.try_borrow_mut().is_err());
            self.1.set(self.1.get() + 1);
            Ok(Decoded::Frame { frame: (), consumed: bytes.len() })
        }
    }
    let ring = Rc::new(RefCell::new(PacketRing::try_new().unwrap()));
    let calls = Rc::new(Cell::new(0));
    let mut greedy = Greedy(ring.clone(), calls.clone());
    let mut guard = ring.borrow_mut();
    let mut conn = guard.open(0);
    let mut batch = guard.feed(&mut conn, &mut greedy, &mut &b"x"[..]).unwrap();
    assert_eq!((batch.next(), batch.next()), (Ok(Some(())), Ok(None)));
    drop(batch);
    assert_eq!(calls.get(), 1);
}

/// Handles and rings swapped under each other's feet: wrong answers at most, and nothing is charged for ever.
#[test]
fn swapped_rings_and_handles_stay_whole() {
    let heap = Heap::new();
    let policy = Policy::EvictOldest { min_age: Duration::ZERO };
    let build =
        || PacketRingBuilder::new().budget(5 * 286).policy(policy).try_build_in(&heap).unwrap();
    let (mut one, mut two) = (build(), build());
    let mut conns: Vec<Conn> =
        (0..8).map(|n| if n % 2 == 0 { one.open(n) } else { two.open(n) }).collect();
    let mut lines = Lines::new(100);
    let mut random = 7u32;
    for _ in 0..if cfg!(miri) { 40 } else { 5000 } {
        random = random.wrapping_mul(747796405).wrapping_add(2891336453);
        let (n, what) = ((random >> 16) as usize % 8, random >> 24);
        match what % 16 {
            0 => std::mem::swap(&mut one, &mut two),
            1 => conns.swap(n, (n + 1) % 8),
            2 => one.close(&mut conns[n]),
            3 => one.evicted().for_each(drop),
            what => {
                let mut bytes = &b"par\ntial"[..what as usize % 8];
                let error = match one.feed(&mut conns[n], &mut lines, &mut bytes) {
                    Ok(batch) if what == 4 => {
                        std::mem::forget(batch);
                        None
                    }
                    Ok(mut batch) => {
                        while let Ok(Some(_)) = batch.next() {}
                        None
                    }
                    Err(error) => Some(error),
                };
                match error {
                    None => {}
                    Some(ReadError::Evicted) => one.close(&mut conns[n]),
                    Some(ReadError::Unreported { .. }) => one.evicted().for_each(drop),
                    Some(error) => panic!("{error}"),
                }
            }
        }
        assert!(one.stats().used <= one.stats().budget && two.stats().used <= two.stats().budget);
    }
}

#[test]
fn sizes_at_the_end_of_their_types_are_refused() {
    // With a limit: some allocators promise anything.
    let heap = Heap::new().limited(64 << 20).counted();
    let max = usize::MAX;
    for builder in [
        PacketRingBuilder::new().budget(max),
        PacketRingBuilder::new().scratch(max),
        PacketRingBuilder::new().large_from(max).scratch(max),
        PacketRingBuilder::new().large_from(max - 63).scratch(max - 1),
        PacketRingBuilder::new().large_from(isize::MAX as usize).budget(max),
        PacketRingBuilder::new().budget(64 << 30),
    ] {
        assert!(builder.try_build_in(&heap).is_err());
        assert_eq!(heap.traffic().live_bytes, 0);
    }
    let mut none = PacketRingBuilder::new()
        .budget(0)
        .scratch(0)
        .large_from(0)
        .chunk(0)
        .try_build_in(&heap)
        .unwrap();
    let (mut conn, mut lines) = (none.open(0), Lines::new(100));
    let mut batch = none.feed(&mut conn, &mut lines, &mut &b"whole\npart"[..]).unwrap();
    assert_eq!(batch.next(), Ok(Some(&b"whole"[..])));
    assert_eq!(batch.finish().unwrap_err().bytes, 4);
    assert_eq!(none.evicted().count(), 1);
    none.set_now(Duration::MAX);
    assert_eq!(none.older_than(Duration::MAX).count(), 0);
    let mut huge = LengthPrefix::u64(max);
    let large_from = if cfg!(miri) { 300 } else { 16 << 10 };
    let mut ring = PacketRingBuilder::new().large_from(large_from).try_build_in(&heap).unwrap();
    let mut conn = ring.open(0);
    for announced in [u64::MAX, u64::MAX - 8, 1 << 63, (1 << 31) - 8, u64::from(u32::MAX)] {
        let mut bytes = announced.to_be_bytes().to_vec();
        bytes.resize(if cfg!(miri) { 1000 } else { 40_000 }, 0);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            match ring.feed(&mut conn, &mut huge, &mut rest) {
                Ok(mut batch) => match batch.next() {
                    Ok(None) => drop(batch.finish()),
                    Err(_) => rest = &[],
                    Ok(Some(_)) => panic!("a frame of {announced} bytes"),
                },
                Err(_) => break,
            }
        }
        ring.close(&mut conn);
        assert_eq!(ring.stats().used, 0);
    }
    assert!(spsc::channel_in(max, Heap::new()).is_err());
}

#[test]
fn reassembly_takes_any_offset_and_any_limit() {
    let heap = Heap::new();
    let now = Duration::ZERO;
    for window in [0, 1, usize::MAX] {
        for max_gaps in [0, 1, 1000] {
            for start in [0, u64::MAX - 5, u64::MAX] {
                let builder =
                    ReassemblerBuilder::new().window(window).max_gaps(max_gaps).start(start);
                let mut stream = builder.max_bytes(1 << 20).build_in(&heap);
                for offset in
                    [0, 1, start, start.saturating_add(1), start / 2, u64::MAX - 1, u64::MAX]
                {
                    for bytes in [&b""[..], b"a", b"abc", &[7; 5000]] {
                        let before = stream.next();
                        match stream.insert(offset, bytes, now) {
                            Ok(inserted) => {
                                let all = inserted.accepted + inserted.duplicate + inserted.beyond;
                                assert_eq!(all, bytes.len());
                            }
                            Err(_) => assert_eq!(stream.next(), before),
                        }
                    }
                    let readable = stream.as_slice().len();
                    stream.consume(readable / 2);
                }
                assert!(stream.memory() <= 1 << 20);
            }
        }
    }
}

/// A key whose hash changes and whose equality is a coin, under a hasher that panics now and then.
#[derive(Clone, Copy)]
struct Coin(u32);

thread_local! {
    static TOSS: Cell<u32> = const { Cell::new(1) };
}

fn toss() -> u32 {
    TOSS.with(|toss| {
        toss.set(toss.get().wrapping_mul(747796405).wrapping_add(2891336453));
        toss.get() >> 16
    })
}

impl PartialEq for Coin {
    fn eq(&self, other: &Self) -> bool {
        if toss() % 50 == 0 {
            std::panic::resume_unwind(Box::new("eq"));
        }
        self.0 == other.0 && toss() % 2 == 0
    }
}
impl Eq for Coin {}
impl Hash for Coin {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u32(toss());
    }
}

#[derive(Clone, Copy)]
struct Dice;

impl BuildHasher for Dice {
    type Hasher = std::hash::DefaultHasher;
    fn build_hasher(&self) -> Self::Hasher {
        if toss() % 50 == 0 {
            std::panic::resume_unwind(Box::new("hasher"));
        }
        Self::Hasher::new()
    }
}

#[test]
fn keys_that_lie_lose_datagrams_and_no_memory() {
    let source = Rc::new(Heap::new().counted());
    let limits = DatagramLimits { datagrams: 8, bytes: 1 << 20, gaps: 8, ..Default::default() };
    let mut table =
        DatagramReassembler::try_new_in(limits, OverlapPolicy::First, source.clone(), Dice)
            .unwrap();
    for n in 0..if cfg!(miri) { 30 } else { 5000u32 } {
        let fragment = Fragment { offset: (n % 3) as usize * 8, last: n % 3 == 2, bytes: &[1; 8] };
        let now = Duration::from_secs(u64::from(n) / 20);
        let _ = catch_unwind(AssertUnwindSafe(|| match table.insert(Coin(n % 5), fragment, now) {
            Ok(Some(datagram)) if n % 2 == 0 => std::mem::forget(datagram),
            result => drop(result),
        }));
        assert!(table.stats().datagrams <= 8 && table.stats().bytes <= 1 << 20);
    }
    drop(table);
    assert_eq!(source.traffic().live_bytes, 0);
}

/// `Buf` and `BufMut`: a chunk is empty only if nothing remains, for every position of a ring.
#[test]
fn the_contracts_of_buffers_hold_at_every_position() {
    let heap = Heap::new();
    let mut ring = RingBuf::try_with_capacity_in(4096, &heap).unwrap();
    let n = ring.capacity();
    for head in (0..n).step_by(if cfg!(miri) { 3000 } else { 97 }) {
        for len in [n - head, 1, 7, 0].into_iter().take(if cfg!(miri) { 2 } else { 4 }) {
            ring.clear();
            ring.put_slice(&vec![1; head]);
            ring.put_slice(&vec![2; len.min(n - head)]);
            Buf::advance(&mut ring, head);
            assert_eq!(ring.remaining(), len.min(n - head));
            assert_eq!(ring.chunk().is_empty(), !ring.has_remaining());
            assert_eq!(ring.remaining_mut(), n - ring.len());
            assert_eq!(ring.chunk_mut().len() == 0, !ring.has_remaining_mut());
            let room = ring.remaining_mut();
            ring.put_slice(&vec![3; room]);
            assert_eq!((ring.remaining_mut(), ring.chunk_mut().len(), ring.len()), (0, 0, n));
            // A panic that tells of itself takes Miri half a minute.
            if !cfg!(miri) {
                assert!(catch_unwind(AssertUnwindSafe(|| ring.put_u8(9))).is_err());
                assert!(catch_unwind(AssertUnwindSafe(|| Buf::advance(&mut ring, n + 1))).is_err());
            }
            assert_eq!(ring.copy_to_bytes(n).len(), n);
        }
    }
    let mut none = RingBuf::new();
    assert!(!none.has_remaining() && !none.has_remaining_mut() && none.chunk_mut().len() == 0);
}

#[test]
fn halves_of_no_ring_and_forgotten_guards_do_nothing() {
    let (mut producer, mut consumer) = RingBuf::new().split();
    assert!(producer.grant(1).is_none() && producer.grant(usize::MAX).is_none());
    drop(producer.grant(0).unwrap());
    assert_eq!((producer.write(b"x"), consumer.read().len()), (0, 0));
    assert!(producer.send(b"").is_err() && consumer.recv().is_none());
    let (mut producer, mut consumer) = spsc::channel_in(4096, Heap::new()).unwrap();
    for _ in 0..if cfg!(miri) { 5 } else { 10_000 } {
        std::mem::forget(producer.grant(4096));
        producer.send(b"message").unwrap();
        std::mem::forget(consumer.recv());
        assert_eq!(&consumer.recv().unwrap()[..], b"message");
    }
    // Bytes that are no messages, read as such.
    producer.write(&[0xff; 100]);
    assert!(consumer.recv().is_none());
    assert_eq!(consumer.read(), [0xff; 100]);
    if !cfg!(miri) {
        assert!(catch_unwind(AssertUnwindSafe(|| consumer.consume(101))).is_err());
    }
    consumer.consume(100);
}

#[test]
fn codecs_of_lying_decoders_give_their_frames() {
    #[derive(Clone, Copy)]
    struct Static(usize);
    impl Decoder for Static {
        type Frame<'a> = &'a [u8];
        type Error = pool_ring::frame::FrameError;
        fn decode<'a>(&mut self, bytes: &'a [u8]) -> Result<Decoded<&'a [u8]>, Self::Error> {
            let frame = if bytes.len() % 2 == 0 { b"static" } else { &bytes[bytes.len() / 2..] };
            Ok(Decoded::Frame { frame, consumed: self.0 })
        }
    }
    const LONG: usize = if cfg!(miri) { 11 } else { 101 };
    for took in [0, 1, 2, 50, usize::MAX] {
        let mut codec = Codec::new(Static(took));
        let mut bytes = bytes::BytesMut::from(&[b'y'; 101][..LONG]);
        let mut frames = 0;
        while let Some(frame) = tokio_util::codec::Decoder::decode(&mut codec, &mut bytes).unwrap()
        {
            assert!(frame == "static" || frame.iter().all(|&byte| byte == b'y'));
            frames += 1;
        }
        assert_eq!(frames, LONG.div_ceil(took.clamp(1, LONG)));
    }
    assert!(LengthPrefix::u8(300).encode(&[0; 256], &mut [0; 300]).is_err());
}

/// What `write` counted is no longer counted once it can be written with anything.
#[test]
fn grants_publish_nothing_that_was_lent_uninitialised() {
    let (mut producer, mut consumer) = spsc::channel_in(64, Heap::new()).unwrap();
    let mut grant = producer.grant(8).unwrap();
    grant.write(b"secret!!");
    grant.as_uninit_mut()[0] = MaybeUninit::uninit();
    grant.publish();
    assert!(consumer.read().is_empty());
    let mut grant = producer.grant(8).unwrap();
    grant.write(b"lost");
    grant.as_uninit_mut().fill(MaybeUninit::uninit());
    assert_eq!((grant.write(b"front"), grant.write(b"-more")), (5, 3));
    grant.publish();
    assert_eq!(consumer.read(), b"front-mo");
    consumer.consume(8);
    let mut grant = producer.grant(8).unwrap();
    grant.write(b"head");
    for place in &mut grant.as_uninit_mut()[4..6] {
        place.write(b'+');
    }
    // SAFETY: four bytes were written by `write` and have not been touched since, and two behind them.
    unsafe { grant.commit(6) };
    assert_eq!(consumer.read(), b"head++");
}

/// Spare bytes that safe code may have made uninitialised are zeroed for a safe reader.
fn lent_spare_bytes_are_zeroed<S: PageSource + Clone>(source: S) {
    let mut ring = RingBuf::try_with_capacity_in(4096, source).unwrap();
    let n = ring.capacity();
    let lens = [0, 20, 1];
    let lens = if cfg!(miri) { &lens[..2] } else { &lens };
    for head in [8, n - 8, 0].into_iter().take(lens.len()) {
        for &len in lens {
            ring.clear();
            ring.push(&vec![b'#'; n]);
            ring.consume(n);
            // Where the ring starts at the front again nothing is skipped.
            ring.push(&vec![b'#'; head + 1]);
            ring.consume(head);
            ring.push(&vec![b'#'; len]);
            let kept = ring.len();
            // Miri sees each byte by itself.
            let few = if cfg!(miri) { 64 } else { n };
            let spare = ring.spare_capacity_mut().iter_mut();
            spare.take(few).for_each(|byte| *byte = MaybeUninit::uninit());
            let more = ring.push(b"+");
            let got = ring.read_from(&mut Silent(4)).unwrap();
            assert!(ring.peek()[..kept].iter().all(|&byte| byte == b'#'));
            assert!(ring.peek()[kept..kept + more].iter().all(|&byte| byte == b'+'));
            // Miri sees it if they are not initialised. What was filled and has moved away is.
            let was_moved = !ring.is_mirrored() && head > 0;
            let fresh = &ring.peek()[kept + more..];
            assert!(fresh.len() == got && fresh.iter().all(|&byte| byte == 0 || was_moved));
        }
    }
}

/// Says that it has written and does not.
struct Silent(usize);

impl Read for Silent {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        Ok(self.0.min(room.len()))
    }
}

#[test]
fn readers_are_never_lent_what_safe_code_made_uninitialised() {
    let heap = Heap::new();
    lent_spare_bytes_are_zeroed(&heap);
    #[cfg(all(target_os = "linux", not(miri)))]
    lent_spare_bytes_are_zeroed(&pool_ring::MirrorOr::new(Heap::new()));
    // Filled bytes stay initialised whatever comes next.
    let mut ring = RingBuf::try_with_capacity_in(4096, &heap).unwrap();
    ring.push(b"12345678");
    ring.consume(4);
    let spare = ring.spare_capacity_mut().iter_mut();
    spare.take(64).for_each(|byte| *byte = MaybeUninit::uninit());
    ring.try_reserve(ring.capacity() - 4).unwrap();
    assert_eq!(ring.peek(), b"5678");
    let spare = ring.spare_capacity_mut().iter_mut();
    spare.take(64).for_each(|byte| *byte = MaybeUninit::uninit());
    ring.try_reserve(ring.capacity()).unwrap();
    ring.push(b"9");
    assert_eq!(ring.peek(), b"56789");
}

#[test]
fn partials_in_chunks_stay_below_the_flag_in_their_length() {
    let most = PacketRingBuilder::new().large_from((512 << 10) - 64);
    for bytes in [1 << 19, 1 << 31, usize::MAX] {
        assert_eq!(PacketRingBuilder::new().large_from(bytes), most);
    }
    let ring = PacketRing::try_new().unwrap();
    assert_eq!((ring.cost(0), ring.cost(1), ring.cost(257)), (286, 286, 546));
    for len in [usize::MAX, usize::MAX - 255, usize::MAX / 256 * 255] {
        assert_eq!(ring.cost(len), usize::MAX);
    }
}

/// Looks for what it waits for where nothing was kept.
struct Far(usize);

impl Decoder for Far {
    type Frame<'a> = ();
    type Error = Infallible;
    fn decode(&mut self, _: &[u8]) -> Result<Decoded<()>, Infallible> {
        Ok(Decoded::NeedMore(Hint::Unknown))
    }
    fn wait(&mut self, kept: Kept<'_>, _: &[u8]) -> Option<Hint> {
        let mut word = [0; 4];
        assert_eq!(kept.copy_at(kept.len - 1, &mut word), 1);
        for at in [kept.len, kept.len + 1, 1 << 40, usize::MAX] {
            assert_eq!((kept.copy_at(at, &mut word), kept.copy_at(0, &mut [])), (0, 0));
        }
        self.0 += 1;
        Some(Hint::Unknown)
    }
    fn identity(&self) -> u64 {
        1
    }
}

/// A chain of chunks is a circle: it was followed for ever.
#[test]
fn looking_far_beyond_what_was_kept_ends_at_once() {
    let mut ring = PacketRing::try_new().unwrap();
    let (mut conn, mut other, mut far) = (ring.open(1), ring.open(2), Far(0));
    for _ in 0..4 {
        for conn in [&mut conn, &mut other] {
            let mut batch = ring.feed(conn, &mut far, &mut &[7; 300][..]).unwrap();
            assert_eq!(batch.next(), Ok(None));
        }
    }
    assert!(far.0 > 4);
}

#[test]
fn gaps_are_as_old_as_their_first_piece() {
    let s = Duration::from_secs;
    let mut stream = ReassemblerBuilder::new().max_age(s(30)).build();
    stream.insert(10, b"b", s(0)).unwrap();
    stream.insert(0, &[b'a'; 10], s(1)).unwrap();
    assert_eq!((stream.pieces().count(), stream.gap_age(s(20))), (0, s(0)));
    stream.insert(20, b"c", s(25)).unwrap();
    assert_eq!(stream.gap_age(s(26)), s(1));
    stream.insert(22, b"d", s(32)).unwrap();
    assert_eq!(stream.gap_age(s(32)), s(7));
    stream.insert(11, &[b'a'; 9], s(50)).unwrap();
    stream.insert(24, b"e", s(80)).unwrap();
    assert!(stream.insert(26, b"f", s(81)).is_err());
}

/// `encoded_len` is a bound, and `encode` may fail or lie.
#[test]
fn codecs_send_what_was_encoded_and_nothing_else() {
    struct Short(usize);
    impl Encoder for Short {
        fn encoded_len(&self, payload: &[u8]) -> Result<usize, FrameError> {
            Ok(payload.len() + 10)
        }
        fn encode(&self, payload: &[u8], out: &mut [u8]) -> Result<usize, FrameError> {
            out[..payload.len()].copy_from_slice(payload);
            if payload == b"bad" { Err(FrameError::BadLength) } else { Ok(self.0) }
        }
    }
    let mut bytes = bytes::BytesMut::new();
    for says in [0, 2, usize::MAX] {
        let mut codec = Codec::new(Short(says));
        bytes.clear();
        bytes.extend_from_slice(b"before ");
        tokio_util::codec::Encoder::encode(&mut codec, b"ok", &mut bytes).unwrap();
        let sent = bytes.len();
        assert_eq!(sent, 7 + says.min(12));
        assert!(tokio_util::codec::Encoder::encode(&mut codec, b"bad", &mut bytes).is_err());
        assert_eq!(bytes.len(), sent);
    }
}

#[test]
fn fragments_that_never_fit_push_nobody_out() {
    let heap = Heap::new();
    let build = |limits| {
        let hasher = std::hash::RandomState::new();
        DatagramReassembler::try_new_in(limits, OverlapPolicy::First, &heap, hasher).unwrap()
    };
    let mut put = {
        let limits =
            DatagramLimits { bytes: 128 << 10, datagram_len: 1 << 20, ..Default::default() };
        let mut table = build(limits);
        move |key: u32, offset, last| {
            let fragment = Fragment { offset, last, bytes: b"x" };
            let result = table.insert(key, fragment, Duration::ZERO).map(drop);
            (result.is_ok(), table.stats().datagrams, table.stats().evicted)
        }
    };
    let keys = if cfg!(miri) { 4 } else { 10 };
    for key in 0..keys {
        assert!(put(key, 8, key > 1).0);
    }
    for offset in [900_000, 128 << 10, (1 << 20) - 1, 1 << 20, usize::MAX] {
        assert_eq!(put(99, offset, false), (false, keys as usize, 0));
        assert_eq!(put(1, offset, false), (false, keys as usize, 0));
    }
    // What would fit alone does.
    assert!(put(99, 100_000, false).0);
    let limits = DatagramLimits { datagrams: 2, ..Default::default() };
    for limits in [limits, DatagramLimits { bytes: 20 << 10, ..limits }] {
        let mut table = build(limits);
        for key in 0..2u32 {
            let fragment = Fragment { offset: 8, last: true, bytes: b"x" };
            table.insert(key, fragment, Duration::ZERO).unwrap();
        }
        for (key, offset) in [(10, 1 << 20), (11, usize::MAX), (12, 1 << 16)] {
            let fragment = Fragment { offset, last: true, bytes: b"x" };
            assert!(table.insert(key, fragment, Duration::ZERO).is_err());
            assert_eq!((table.stats().datagrams, table.stats().evicted), (2, 0));
        }
    }
}
