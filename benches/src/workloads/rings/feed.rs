//! Streams of frames, and how they come to connections: in pieces of 1 to 4,096 bytes, drawn before.
//!
//! All connections receive the same stream, about 256 KiB of whole frames, over and over, each from where it
//! is; they begin at frames that are drawn, so that at any time they are all over it. No piece goes beyond the stream's end. So what they have received at any time is known without counting along.

use crate::stream::{Connections, Digest, Framing, HEADER, Lengths, Lines};
use crate::workloads::Random;
use std::time::{Duration, Instant};

/// Bytes of a stream, about.
const STREAM: usize = 256 << 10;
/// The longest piece.
pub const PIECE: usize = 4096;
/// Pieces that are drawn, a power of two.
const CUTS: usize = 1 << 12;
/// How many turns before its own a connection is announced.
const AHEAD: usize = 8;

/// A stream of frames of one kind.
pub trait Frames: Framing {
    /// The least that a frame has, and the most.
    const LENGTHS: (usize, usize);
    /// Adds a frame of so many bytes.
    fn add(stream: &mut Vec<u8>, len: usize, random: &mut Random);
}

impl Frames for Lengths {
    const LENGTHS: (usize, usize) = (16, 1500);

    fn add(stream: &mut Vec<u8>, len: usize, random: &mut Random) {
        stream.extend_from_slice(&(len as u32).to_be_bytes());
        stream.extend((0..len).map(|_| random.below(256) as u8));
    }
}

impl Frames for Lines {
    const LENGTHS: (usize, usize) = (8, 120);

    fn add(stream: &mut Vec<u8>, len: usize, random: &mut Random) {
        stream.extend_from_slice(random.text(len).as_bytes());
        stream.extend_from_slice(b"\r\n");
    }
}

/// Lengths from the least to the most, each as often as any other, in an order that is drawn: what depends on their
/// mean should not depend on luck. Together they are about a stream.
fn lengths((least, most): (usize, usize), random: &mut Random) -> Vec<usize> {
    let count = STREAM / ((least + most) / 2);
    let mut lengths: Vec<_> =
        (0..count).map(|number| least + number * (most - least) / (count - 1)).collect();
    random.shuffle(&mut lengths);
    lengths
}

/// In which pieces, and in which order, connections receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turns {
    /// One after the other.
    Robin,
    /// At random.
    Random,
    /// One after the other, each piece one frame: requests.
    Whole,
}

/// What comes to connections, and how far it has come.
pub struct Feed {
    stream: Vec<u8>,
    /// The ends of its frames, and what they add up to there; first, nothing at 0.
    ends: Vec<(usize, Digest)>,
    cuts: Vec<u16>,
    turns: Turns,
    /// For each connection, how far its stream has come.
    positions: Vec<u32>,
    /// What the stream has up to where they were at first.
    before: Digest,
    /// Those of the next turns, drawn before, so that they can be announced.
    ahead: [u32; AHEAD],
    random: Random,
    turn: usize,
    /// Whole streams that have come.
    laps: u64,
    done: Digest,
    calls: usize,
}

impl Feed {
    /// For so many connections.
    ///
    /// # Panics
    /// If frames are not cut as they were put together.
    #[must_use]
    pub fn new<F: Frames>(connections: usize, turns: Turns) -> Self {
        let mut random = Random::new();
        let mut stream = Vec::new();
        for len in lengths(F::LENGTHS, &mut random) {
            F::add(&mut stream, len, &mut random);
        }
        let mut ends = vec![(0, Digest::default())];
        while let Some((frame, len)) = F::first(&stream[ends[ends.len() - 1].0..]) {
            let (end, mut digest) = ends[ends.len() - 1];
            digest.frame(frame);
            ends.push((end + len, digest));
        }
        assert_eq!(ends[ends.len() - 1].0, stream.len());
        let cuts = (0..CUTS).map(|_| 1 + random.below(PIECE) as u16).collect();
        let frame = |conn| if conn == 0 { 0 } else { random.below(ends.len() - 1) };
        let positions = (0..connections).map(frame).map(|frame| ends[frame].0 as u32).collect();
        let mut feed = Self {
            stream,
            ends,
            cuts,
            turns,
            positions,
            before: Digest::default(),
            ahead: [0; AHEAD],
            random,
            turn: 0,
            laps: 0,
            done: Digest::default(),
            calls: 0,
        };
        feed.before = feed.come();
        for turn in 0..AHEAD {
            feed.ahead[turn] = feed.draw(turn);
        }
        feed
    }

    /// Whose turn it is.
    #[inline(always)]
    fn draw(&mut self, turn: usize) -> u32 {
        if self.turns == Turns::Random {
            self.random.scaled(self.positions.len()) as u32
        } else {
            (turn % self.positions.len()) as u32
        }
    }

    /// Where the piece ends that begins at `from`.
    #[inline(always)]
    fn end(&self, from: usize) -> usize {
        if self.turns == Turns::Whole {
            // A stream knows its lengths; so does who sends it.
            let len = self.stream[from..].first_chunk().map_or(0, |len| u32::from_be_bytes(*len));
            from + HEADER + len as usize
        } else {
            let cut = usize::from(self.cuts[self.turn % CUTS]);
            (from + cut).min(self.stream.len())
        }
    }

    #[inline(always)]
    fn one<F>(&mut self, buffers: &mut impl Connections<F>) {
        let place = self.turn % AHEAD;
        let conn = self.ahead[place] as usize;
        let soon = self.draw(self.turn + AHEAD);
        self.ahead[place] = soon;
        buffers.soon(soon as usize);
        let from = self.positions[conn] as usize;
        let end = self.end(from);
        buffers.receive(conn, &self.stream, from..end, &mut self.done);
        let whole = end == self.stream.len();
        self.positions[conn] = if whole { 0 } else { end as u32 };
        self.laps += u64::from(whole);
        self.turn += 1;
    }

    /// So many turns.
    pub fn turns<F>(&mut self, buffers: &mut impl Connections<F>, count: usize) {
        for _ in 0..count {
            self.one(buffers);
        }
    }

    /// What is measured: turns until `n` frames have come, or a few more.
    #[inline(never)]
    fn frames<F>(&mut self, buffers: &mut impl Connections<F>, n: u64) {
        let end = self.done.frames + n;
        while self.done.frames < end {
            self.one(buffers);
        }
    }

    /// The time for `n` frames.
    ///
    /// # Panics
    /// If these were not the stream's frames; with many connections, only now and then is that found out.
    pub fn run<F>(&mut self, buffers: &mut impl Connections<F>, n: u64) -> Duration {
        let before = self.done.frames;
        let start = Instant::now();
        self.frames(buffers, n);
        let elapsed = start.elapsed();
        if self.calls % (self.positions.len() >> 14).max(1) == 0 {
            self.check();
        }
        self.calls += 1;
        elapsed.mul_f64(n as f64 / (self.done.frames - before) as f64)
    }

    /// Compares what was received with what had come.
    ///
    /// # Panics
    /// If it was something else.
    pub fn check(&self) {
        let expected = self.come().since(self.before);
        assert_eq!(self.done, expected, "these are not the stream's frames");
    }

    /// What the stream has, up to where each connection is, and once for each time that one has come to its end.
    fn come(&self) -> Digest {
        let whole = self.ends[self.ends.len() - 1].1.times(self.laps);
        let parts = self.positions.iter().map(|&at| {
            let behind = self.ends.partition_point(|(end, _)| *end <= at as usize);
            self.ends[behind - 1].1
        });
        parts.fold(whole, Digest::and)
    }

    /// Goes on until no connection has a part of a frame.
    pub fn settle<F>(&mut self, buffers: &mut impl Connections<F>) {
        for conn in 0..self.positions.len() {
            let from = self.positions[conn] as usize;
            let next = self.ends.partition_point(|(end, _)| *end < from);
            let end = self.ends[next].0;
            if end > from {
                buffers.receive(conn, &self.stream, from..end, &mut self.done);
                let whole = end == self.stream.len();
                self.positions[conn] = if whole { 0 } else { end as u32 };
                self.laps += u64::from(whole);
            }
        }
        self.check();
    }
}
