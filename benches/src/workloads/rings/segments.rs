//! `segments`: a stream in segments of 1,200 bytes, in order. `segments-shuffled`: in each 32 of them the order is
//! drawn, and one of ten comes twice, or overlaps with others. An operation is a segment; what has no gap before
//! it is read at once.
//!
//! The list of segments is for 1 MiB, and goes on from there over and over. *Answers*: how far the stream can be read after the last segment; before,
//! each of its bytes for a whole list.

use crate::case::Case;
use crate::engines::rings::{
    BTreeCopies, HeapOfBytes, HeapOfCopies, OneCopy, Reassembler, S2n, Smoltcp,
};
use crate::opaque::escape;
use crate::segments::{Segment, Sink, Stream, WINDOW};
use crate::workloads::{POOL_RING, Random};
use bytes::Bytes;
use std::time::Instant;

const STREAM: usize = 1 << 20;
const SEGMENT: usize = 1200;
/// Segments whose order is drawn.
const GROUP: usize = 32;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for shuffled in [false, true] {
        cases.extend([
            case::<Reassembler>(shuffled),
            case::<Smoltcp>(shuffled),
            case::<BTreeCopies>(shuffled),
            case::<HeapOfBytes>(shuffled),
            case::<HeapOfCopies>(shuffled),
            case::<S2n>(shuffled),
            case::<OneCopy>(shuffled),
        ]);
    }
    cases
}

fn case<S: Stream>(shuffled: bool) -> Case {
    let name = if shuffled { "segments-shuffled" } else { "segments" };
    let prepare = move || -> crate::Prepared {
        let list = draw(shuffled);
        let mut stream = S::new();
        let mut whole = Whole { position: 0, bytes: content() };
        for segment in &list {
            stream.insert(0, segment, &mut whole);
            assert_eq!(whole.position as u64, segment.front, "what can be read is not read");
        }
        let mut next = list.len();
        Box::new(move |n| {
            let mut reader = Reader { position: whole.position as u64, sum: 0 };
            let start = Instant::now();
            insert(&mut stream, &list, next, n as usize, &mut reader);
            let elapsed = start.elapsed();
            next += n as usize;
            whole.position = reader.position as usize;
            let last = list[(next - 1) % list.len()].front;
            let base = (next - 1) / list.len() * STREAM;
            assert_eq!(reader.position, base as u64 + last, "something is missing");
            elapsed
        })
    };
    let case = Case::plain(POOL_RING, name, S::NAME, S::OURS, prepare);
    let case = if S::FLOOR { case.floor() } else { case };
    case.sample(10_000)
}

/// The bytes of the stream.
fn content() -> Vec<u8> {
    let mut random = Random::new();
    (0..STREAM).map(|_| random.below(256) as u8).collect()
}

/// The segments in the order of their arrival.
fn draw(shuffled: bool) -> Vec<Segment> {
    let stream = content();
    let mut random = Random::new();
    let piece = |offset: usize, end: usize| Segment {
        offset: offset as u64,
        bytes: Bytes::copy_from_slice(&stream[offset..end.min(STREAM)]),
        front: 0,
    };
    let whole = (0..STREAM).step_by(SEGMENT).map(|at| piece(at, at + SEGMENT)).collect::<Vec<_>>();
    let mut list = Vec::new();
    for group in whole.chunks(GROUP) {
        let first = list.len();
        list.extend_from_slice(group);
        if !shuffled {
            continue;
        }
        let (from, to) = (group[0].offset as usize, group[group.len() - 1].offset as usize);
        for number in 0..group.len() / 10 {
            let at = from + random.below(to - from + 1);
            // Every other one is the same as one before; the rest begins and ends anywhere.
            let at = if number % 2 == 0 { at / SEGMENT * SEGMENT } else { at };
            list.push(piece(at, at + SEGMENT));
        }
        random.shuffle(&mut list[first..]);
    }
    tell_fronts(&mut list);
    list
}

fn tell_fronts(list: &mut [Segment]) {
    let mut came = vec![false; STREAM];
    let mut front = 0;
    for segment in list {
        let at = segment.offset as usize;
        came[at..at + segment.bytes.len()].fill(true);
        assert!(at + segment.bytes.len() <= front + WINDOW, "it is too far ahead");
        front += came[front..].iter().take_while(|came| **came).count();
        segment.front = front as u64;
    }
    assert_eq!(front, STREAM);
}

/// What is measured.
#[inline(never)]
fn insert(
    stream: &mut impl Stream,
    list: &[Segment],
    first: usize,
    count: usize,
    sink: &mut Reader,
) {
    let (mut lap, mut at) = (first / list.len(), first % list.len());
    for _ in 0..count {
        stream.insert((lap * STREAM) as u64, &list[at], sink);
        at += 1;
        if at == list.len() {
            (lap, at) = (lap + 1, 0);
        }
    }
}

/// Looks at the ends of what it is given.
struct Reader {
    position: u64,
    sum: u64,
}

impl Sink for Reader {
    #[inline(always)]
    fn take(&mut self, bytes: &[u8]) {
        escape(bytes.as_ptr().cast_mut());
        self.position += bytes.len() as u64;
        if let [first, .., last] = bytes {
            self.sum += u64::from(*first) + u64::from(*last);
        }
    }
}

/// Compares every byte.
struct Whole {
    position: usize,
    bytes: Vec<u8>,
}

impl Sink for Whole {
    fn take(&mut self, bytes: &[u8]) {
        let end = self.position + bytes.len();
        assert!(self.bytes[self.position..end] == *bytes, "these are not the stream's bytes");
        self.position = end;
    }
}
