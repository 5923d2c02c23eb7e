//! Any stream, cut anywhere into reads, through a ring of either kind whose capacity is fixed: the frames are those of a naive
//! split, and searches resume where they stopped, over the ends of laps, too.

mod model;

use pool_core::{Heap, PageSource};
use pool_ring::frame::{Decoded, Decoder, Delimiter, FixedLen, FrameError, LengthPrefix, Lines};
use pool_ring::{MirrorOr, RingBuf};
use proptest::prelude::*;
use std::sync::LazyLock;

const CAPACITY: usize = 4096;

#[derive(Clone, Copy, Debug)]
enum Kind {
    Length,
    Delimiter,
    Lines,
    Fixed(usize),
}

/// Its begin is its end, and a part of it may stand before it.
const DELIMITER: &[u8] = b"aab\na";

/// The frames of a stream, found without the decoders, and how many bytes they take.
fn split(kind: Kind, stream: &[u8]) -> (Vec<&[u8]>, usize) {
    let (mut frames, mut at) = (Vec::new(), 0);
    let find =
        |at: usize, what: &[u8]| stream[at..].windows(what.len()).position(|window| window == what);
    loop {
        let next = match kind {
            Kind::Length => stream[at..].split_at_checked(2).and_then(|(header, rest)| {
                let len = usize::from(header[0]) * 256 + usize::from(header[1]);
                (rest.len() >= len).then_some((2, len, 0))
            }),
            Kind::Delimiter => find(at, DELIMITER).map(|len| (0, len, DELIMITER.len())),
            Kind::Lines => find(at, b"\n").map(|len| match stream[at..][..len] {
                [.., b'\r'] => (0, len - 1, 2),
                _ => (0, len, 1),
            }),
            Kind::Fixed(len) => (stream.len() - at >= len).then_some((0, len, 0)),
        };
        let Some((before, len, behind)) = next else { return (frames, at) };
        frames.push(&stream[at + before..][..len]);
        at += before + len + behind;
    }
}

/// A decoder that is watched: what a ring says was seen has been seen, and is no frame.
struct Watched<D> {
    inner: D,
    resumed: usize,
}

impl<D> Decoder for Watched<D>
where
    D: for<'a> Decoder<Frame<'a> = &'a [u8], Error = FrameError>,
{
    type Frame<'a> = &'a [u8];
    type Error = FrameError;

    fn decode<'a>(&mut self, bytes: &'a [u8]) -> Result<Decoded<&'a [u8]>, FrameError> {
        self.inner.decode(bytes)
    }

    fn identity(&self) -> u64 {
        self.inner.identity()
    }

    fn decode_after<'a>(
        &mut self,
        bytes: &'a [u8],
        seen: usize,
    ) -> Result<Decoded<&'a [u8]>, FrameError> {
        assert!(seen < bytes.len());
        self.resumed += usize::from(seen > 0);
        assert!(matches!(self.inner.decode(&bytes[..seen]), Ok(Decoded::NeedMore(_))));
        self.inner.decode_after(bytes, seen)
    }
}

/// What is done with the next bytes of the stream.
#[derive(Clone, Copy, Debug)]
struct Cut {
    len: usize,
    /// By `read_from`; else by `push`.
    reads: bool,
    /// How many frames are taken out afterwards, if there are so many.
    frames: usize,
}

/// Runs a stream through a ring; returns how often a search resumed.
fn run<D, S>(kind: Kind, decoder: D, stream: &[u8], cuts: &[Cut], source: S) -> usize
where
    D: for<'a> Decoder<Frame<'a> = &'a [u8], Error = FrameError>,
    S: PageSource + Clone,
{
    let mut ring = RingBuf::try_with_capacity_in(CAPACITY, source).unwrap();
    let capacity = ring.capacity();
    let mut decoder = Watched { inner: decoder, resumed: 0 };
    let (frames, taken) = split(kind, stream);
    let mut expected = frames.into_iter();
    let mut rest = stream;
    for cut in cuts.iter().cycle() {
        let piece = &rest[..cut.len.min(rest.len())];
        let room = ring.capacity() - ring.len();
        let came = if cut.reads && room > 0 {
            ring.read_from(&mut &piece[..]).unwrap()
        } else {
            ring.push(piece)
        };
        rest = &rest[came..];
        // A full ring must be emptied.
        let most = if ring.len() == ring.capacity() { usize::MAX } else { cut.frames };
        for _ in 0..most {
            let Some(frame) = ring.decode(&mut decoder).unwrap() else { break };
            assert_eq!(Some(frame), expected.next());
        }
        if rest.is_empty() {
            break;
        }
    }
    while let Some(frame) = ring.decode(&mut decoder).unwrap() {
        assert_eq!(Some(frame), expected.next());
    }
    assert_eq!((expected.next(), ring.peek()), (None, &stream[taken..]));
    assert_eq!(ring.capacity(), capacity);
    decoder.resumed
}

/// One for all cases, as setting one up takes system calls.
static MIRROR: LazyLock<MirrorOr<Heap>> = LazyLock::new(|| MirrorOr::new(Heap::new()));

/// The same through both kinds of rings.
fn both(kind: Kind, stream: &[u8], cuts: &[Cut]) -> usize {
    fn either<S: PageSource + Clone>(kind: Kind, stream: &[u8], cuts: &[Cut], source: S) -> usize {
        let max = CAPACITY / 2;
        match kind {
            Kind::Length => run(kind, LengthPrefix::u16(max), stream, cuts, source),
            Kind::Delimiter => run(kind, Delimiter::new(DELIMITER, max), stream, cuts, source),
            Kind::Lines => run(kind, Lines::new(max), stream, cuts, source),
            Kind::Fixed(len) => run(kind, FixedLen::new(len), stream, cuts, source),
        }
    }
    let linear = either(kind, stream, cuts, &Heap::new());
    either(kind, stream, cuts, &*MIRROR) + linear
}

/// Frames of `kind`, one of each length, with bytes that look like delimiters in part.
fn stream(kind: Kind, lens: &[usize], mut seed: u64) -> Vec<u8> {
    let mut stream = Vec::new();
    for &len in lens {
        if matches!(kind, Kind::Length) {
            stream.extend_from_slice(&(len as u16).to_be_bytes());
        }
        stream.extend((0..len).map(|_| {
            seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            b"aaab\r\nxy"[(seed >> 61) as usize]
        }));
        match kind {
            Kind::Delimiter => stream.extend_from_slice(DELIMITER),
            Kind::Lines => stream.extend_from_slice(if len % 2 == 0 { b"\r\n" } else { b"\n" }),
            Kind::Length | Kind::Fixed(_) => {}
        }
    }
    stream
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Length),
        Just(Kind::Delimiter),
        Just(Kind::Lines),
        (1usize..600).prop_map(Kind::Fixed)
    ]
}

fn cut() -> impl Strategy<Value = Cut> {
    let len = prop_oneof![1usize..8, 1usize..200, 1usize..5000];
    (len, any::<bool>(), 0usize..6).prop_map(|(len, reads, frames)| Cut { len, reads, frames })
}

proptest! {
    #![proptest_config(model::config(150))]
    #[test]
    fn any_cut_of_any_stream(
        kind in kind(),
        lens in prop::collection::vec(prop_oneof![0usize..20, 0usize..1500], if cfg!(miri) { 0..4 } else { 0..30 }),
        end in 0usize..9,
        seed in any::<u64>(),
        cuts in prop::collection::vec(cut(), 1..20)
    ) {
        let mut stream = stream(kind, &lens, seed);
        // The last frame is not whole.
        stream.truncate(stream.len().saturating_sub(end));
        both(kind, &stream, &cuts);
    }
}

/// Frames longer than a read, of which several do not fit in a lap: each is looked at several times, and no byte twice.
#[test]
fn searches_resume_over_the_ends_of_laps() {
    let frames = if cfg!(miri) { 2 } else { 12 };
    for (kind, end) in [(Kind::Delimiter, DELIMITER), (Kind::Lines, b"\r\n")] {
        let stream = [&[b'a'; 1000], end].concat().repeat(frames);
        let cuts = [Cut { len: 7, reads: true, frames: 1 }];
        let resumed = both(kind, &stream, &cuts);
        // With each read but those behind the end of a frame.
        assert!(resumed >= 2 * (stream.len() / 7 - 2 * frames), "{kind:?}: {resumed}");
    }
    assert_eq!(MIRROR.fallbacks() > 0, cfg!(any(miri, not(target_os = "linux"))));
}
