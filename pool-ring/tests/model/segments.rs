//! A `Reassembler` and a `DatagramReassembler` against a map of bytes: for each place, the byte and which segment it is of. An
//! original is a run of bytes of one segment; what policies decide is written out here once more.

use super::Source;
use pool_core::PageSource;
use pool_ring::{
    Conflict, DatagramError, DatagramLimits, DatagramReassembler, Fragment, OverlapPolicy,
    ReassembleError, Reassembler, ReassemblerBuilder,
};
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

/// What a program does.
#[derive(Clone, Debug)]
pub enum Op {
    /// A segment that begins so far from the front (may be before it) and has so many bytes;
    /// honest ones have the stream's bytes.
    Insert {
        from: i16,
        len: u8,
        honest: bool,
    },
    Consume(u8),
    Shrink,
}

/// How a stream is put together.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    pub policy: OverlapPolicy,
    pub start: u64,
    /// With a limit on memory, places and lengths are [`SCALE`] times as large, so that pages count.
    pub max_bytes: Option<usize>,
}

const WINDOW: usize = 300;
const SCALE: usize = 20;
const GAPS: usize = 6;
const DATAGRAM_GAPS: usize = 24;

/// Notes that there may be: one for each 64 bytes, and the gaps.
const fn notes(window: usize, gaps: usize) -> usize {
    gaps + window / 64
}

/// What has come: for each place the byte, and which segment it is of.
struct Bytes {
    policy: OverlapPolicy,
    fragments: bool,
    map: BTreeMap<u64, (u8, u32)>,
}

impl Bytes {
    /// Whether the bytes of `new` count where it overlaps `old`.
    fn new_counts(&self, old: &Range<u64>, new: &Range<u64>) -> bool {
        use OverlapPolicy::{Bsd, BsdRight, First, Last, Linux, Reject, Solaris, Windows};
        use std::cmp::Ordering::{Equal, Greater, Less};
        // Where the new one starts, and where it ends, as seen from the old one.
        match (self.policy, self.fragments, new.start.cmp(&old.start), new.end.cmp(&old.end)) {
            (First | Reject, ..) => false,
            (Last, ..) => true,
            (Bsd | Linux, _, Less, _) | (Windows, false, Less, _) => true,
            (BsdRight, _, start, _) => start != Less,
            (Linux, true, Equal, _) | (Linux, false, Equal, Greater) => true,
            (Windows, true, Less, Greater) => true,
            (Solaris, true, Less, Equal | Greater) => true,
            (Solaris, false, _, Greater) | (Solaris, false, Less | Equal, Equal) => true,
            (Bsd | Linux | Windows | Solaris, ..) => false,
        }
    }

    /// Puts the bytes that count of a segment at `new` in.
    fn put(&mut self, new: Range<u64>, from: u64, segment: u32, byte: impl Fn(u64) -> u8) {
        let old_runs = self.runs(from);
        for at in new.clone() {
            let run = old_runs.iter().find(|run| run.contains(&at));
            if run.is_none_or(|run| self.new_counts(run, &new)) {
                self.map.insert(at, (byte(at), segment));
            }
        }
    }

    /// Runs of one segment behind `from`.
    fn runs(&self, from: u64) -> Vec<Range<u64>> {
        let mut runs: Vec<(Range<u64>, u32)> = Vec::new();
        for (&at, &(_, segment)) in self.map.range(from..) {
            match runs.last_mut() {
                Some((run, same)) if run.end == at && *same == segment => run.end += 1,
                _ => runs.push((at..at + 1, segment)),
            }
        }
        runs.into_iter().map(|(run, _)| run).collect()
    }

    /// Pieces as they must be noted: touching ones are one where borders do not count.
    fn pieces(&self, from: u64) -> Vec<Range<u64>> {
        let mut pieces: Vec<Range<u64>> = Vec::new();
        let merges = matches!(
            self.policy,
            OverlapPolicy::First | OverlapPolicy::Last | OverlapPolicy::Reject
        );
        for run in self.runs(from) {
            match pieces.last_mut() {
                Some(piece) if merges && piece.end == run.start => piece.end = run.end,
                _ => pieces.push(run),
            }
        }
        pieces
    }

    /// Pieces that do not touch.
    fn separate(&self, from: u64) -> usize {
        let pieces = self.pieces(from);
        let borders = pieces.windows(2).filter(|pair| pair[0].end == pair[1].start).count();
        pieces.len() - borders
    }

    /// Those that differ from what has come, with both bytes.
    fn differing(
        &self,
        new: Range<u64>,
        byte: impl Fn(u64) -> u8,
    ) -> impl Iterator<Item = (u64, u8, u8)> {
        new.filter_map(move |at| self.map.get(&at).map(|&(old, _)| (at, old, byte(at))))
            .filter(|(_, old, new)| old != new)
    }

    /// Behind the last byte.
    fn end(&self) -> u64 {
        self.map.keys().next_back().map_or(0, |&last| last + 1)
    }

    /// Whether this many pieces, with one more segment, are too many.
    fn check_refusal(&self, error: ReassembleError, from: u64, gaps: usize, most: usize) {
        match error {
            ReassembleError::TooManyGaps { asked, limit } => {
                assert!(limit == gaps && asked > limit && self.separate(from) == asked);
            }
            ReassembleError::TooManyNotes { asked, limit } => {
                assert!(limit == most && asked > limit && self.pieces(from).len() == asked);
            }
            error => panic!("{error}"),
        }
    }
}

/// The byte that honest segments have at a place.
fn honest_byte(at: u64) -> u8 {
    (at % 251 * 7) as u8
}

/// The bytes of a segment; lies are told apart by its number.
fn segment_bytes(offset: u64, len: usize, honest: bool, segment: u32) -> Vec<u8> {
    let lie = if honest { 0 } else { segment as u8 };
    (0..len as u64).map(|n| honest_byte(offset.wrapping_add(n)) ^ lie).collect()
}

pub struct Model {
    stream: Reassembler<Rc<Source>>,
    source: Rc<Source>,
    setup: Setup,
    scale: usize,
    window: usize,
    bytes: Bytes,
    front: u64,
    next: u64,
    segments: u32,
}

impl Model {
    pub fn new(source: Rc<Source>, setup: Setup) -> Self {
        let Setup { policy, start, max_bytes } = setup;
        let scale = if max_bytes.is_some() { SCALE } else { 1 };
        let window = scale * WINDOW;
        let builder = ReassemblerBuilder::new().window(window).max_gaps(GAPS).policy(policy);
        let builder = builder.max_bytes(max_bytes.unwrap_or(usize::MAX));
        Self {
            stream: builder.start(start).build_in(source.clone()),
            source,
            setup,
            scale,
            window,
            bytes: Bytes { policy, fragments: false, map: BTreeMap::new() },
            front: start,
            next: start,
            segments: 0,
        }
    }

    pub fn step(&mut self, op: &Op) {
        match *op {
            Op::Insert { from, len, honest } => {
                let from = i64::from(from) * self.scale as i64;
                let offset = self.front.saturating_add_signed(from);
                self.segments += 1;
                let len = usize::from(len) * self.scale;
                let bytes = segment_bytes(offset, len, honest, self.segments);
                self.insert(offset, &bytes);
            }
            Op::Consume(n) => {
                let n = self.stream.as_slice().len().min(usize::from(n) * self.scale);
                self.stream.consume(n);
                self.front += n as u64;
            }
            Op::Shrink => self.stream.shrink(),
        }
        self.check();
    }

    fn insert(&mut self, offset: u64, bytes: &[u8]) {
        let memory = self.stream.memory();
        let mut reported = Vec::new();
        let silent = self.segments % 2 == 0;
        let mut report = |conflict: Conflict<'_>| {
            assert_ne!(conflict.original, conflict.new);
            for (n, (old, new)) in conflict.original.iter().zip(conflict.new).enumerate() {
                if old != new {
                    reported.push((conflict.offset + n as u64, *old, *new));
                }
            }
        };
        let result = if silent {
            self.stream.insert(offset, bytes, Duration::ZERO)
        } else {
            self.stream.insert_reporting(offset, bytes, Duration::ZERO, &mut report)
        };
        assert!(result.is_ok() || self.stream.memory() == memory, "a refusal took memory");
        let Some(end) = offset.checked_add(bytes.len() as u64) else {
            assert!(matches!(result, Err(ReassembleError::Overflow { .. })));
            return;
        };
        let window_end = self.front.saturating_add(self.window as u64);
        let at_front = offset <= self.next;
        if end > window_end && !at_front {
            assert!(matches!(result, Err(ReassembleError::BeyondWindow { .. })));
            return;
        }
        // Byte by byte: what is there, what differs.
        let within = offset.max(self.front)..end.min(window_end).max(self.front);
        let place = |at: u64| bytes[(at - offset) as usize];
        let differing: Vec<_> = self.bytes.differing(within.clone(), place).collect();
        let missing = within.clone().filter(|at| !self.bytes.map.contains_key(at)).count();
        if self.setup.policy == OverlapPolicy::Reject && !differing.is_empty() {
            let first = ReassembleError::Conflicting { offset: differing[0].0 };
            assert_eq!(result, Err(first));
            return;
        }
        assert_eq!(reported, if silent { vec![] } else { differing.clone() });
        let undo = self.bytes.map.clone();
        let had_pieces = self.next < self.bytes.end();
        let covered = self.bytes.end().max(self.next);
        let new = within.start.max(self.next)..within.end;
        self.bytes.put(new, self.next, self.segments, place);
        let inserted = match result {
            Ok(inserted) => inserted,
            Err(error) => {
                self.check_refusal(error, at_front, had_pieces);
                self.bytes.map = undo;
                return;
            }
        };
        let outside = if within.is_empty() {
            end - end.min(self.front).max(offset)
        } else {
            end - within.end
        };
        let cut = inserted.beyond - outside as usize;
        if cut > 0 {
            self.check_cut(within.end - cut as u64, covered, at_front);
        }
        while self.bytes.map.contains_key(&self.next) {
            self.next += 1;
        }
        let pieces = self.bytes.pieces(self.next).len();
        assert!(self.bytes.separate(self.next) <= GAPS);
        assert!(pieces <= notes(self.window, GAPS));
        assert_eq!(inserted.accepted, missing - cut);
        assert_eq!(inserted.conflicting, differing.len());
        assert_eq!(inserted.accepted + inserted.duplicate + inserted.beyond, bytes.len());
    }

    /// A refused segment, which is in the map already: whether it had to be refused.
    fn check_refusal(&self, error: ReassembleError, at_front: bool, had_pieces: bool) {
        match error {
            // Before a piece there is room for what is missing.
            ReassembleError::Source(_) => {
                assert!(self.source.injected() > 0 && !(at_front && had_pieces));
            }
            ReassembleError::OverLimit { asked, limit } => {
                assert!(Some(limit) == self.setup.max_bytes && asked > limit);
                assert!(!at_front || limit < self.source.granule(), "the front was refused");
            }
            error => {
                assert!(!at_front, "the segment at the front was refused");
                let most = notes(self.window, GAPS);
                self.bytes.check_refusal(error, self.next, GAPS, most);
            }
        }
    }

    /// A segment that was cut where memory ends, at `end`: all that had come reached up to `covered`.
    fn check_cut(&mut self, end: u64, covered: u64, at_front: bool) {
        assert!(at_front && end >= covered);
        if self.source.injected() == 0 {
            let page = self.source.granule();
            assert_eq!(end - self.front, (self.setup.max_bytes.unwrap() / page * page) as u64);
        }
        self.bytes.map.split_off(&end);
    }

    fn check(&self) {
        assert_eq!((self.stream.front(), self.stream.next()), (self.front, self.next));
        let readable: Vec<u8> = (self.front..self.next).map(|at| self.bytes.map[&at].0).collect();
        assert_eq!(self.stream.as_slice(), readable);
        assert_eq!(self.stream.pieces().collect::<Vec<_>>(), self.bytes.pieces(self.next));
        assert!(self.stream.memory() <= self.setup.max_bytes.unwrap_or(usize::MAX));
        assert_eq!(self.source.inner().traffic().live_bytes, self.stream.memory());
    }

    /// Everything that is missing comes: all bytes behind gaps can be read, and are the model's.
    pub fn finish(&mut self) {
        let end = self.bytes.end().max(self.next);
        while self.next < end {
            let gap: Vec<u8> = (self.next..end)
                .take_while(|at| !self.bytes.map.contains_key(at))
                .map(honest_byte)
                .collect();
            let before = self.next;
            self.segments += 1;
            self.insert(self.next, &gap);
            self.check();
            if self.next == before {
                return; // The source refused.
            }
        }
    }
}

/// Runs a program against a stream.
pub fn run(source: Source, setup: Setup, ops: &[Op]) {
    let source = Rc::new(source);
    let mut model = Model::new(source.clone(), setup);
    for op in ops {
        model.step(op);
    }
    model.finish();
    drop(model);
    assert_eq!(source.inner().traffic().live_bytes, 0);
}

/// Runs the segments of a program as fragments of one datagram, which is whole in the end.
pub fn run_fragments(source: &Source, policy: OverlapPolicy, ops: &[Op]) {
    let limits = DatagramLimits {
        datagrams: 1,
        datagram_len: WINDOW,
        gaps: DATAGRAM_GAPS,
        ..DatagramLimits::default()
    };
    let hasher = std::hash::RandomState::new();
    let Ok(mut table) = DatagramReassembler::try_new_in(limits, policy, source, hasher) else {
        return;
    };
    let mut bytes = Bytes { policy, fragments: true, map: BTreeMap::new() };
    let mut segments = 0;
    let mut insert = |map: &mut Bytes, from: u64, len: usize, honest: bool| {
        segments += 1;
        let bytes = segment_bytes(from, len, honest, segments);
        let fragment = Fragment { offset: from as usize, last: false, bytes: &bytes };
        let result =
            table.insert((), fragment, Duration::ZERO).map(|whole| assert!(whole.is_none()));
        let error = match result {
            Ok(()) => None,
            Err(DatagramError::Refused(error)) => Some(error),
            Err(error) => panic!("{error}"),
        };
        let new = from..from + len as u64;
        let place = |at: u64| bytes[(at - from) as usize];
        if new.end > WINDOW as u64 {
            assert!(matches!(error, Some(ReassembleError::BeyondWindow { .. })));
            return false;
        }
        let first = map.differing(new.clone(), place).next();
        if let (OverlapPolicy::Reject, Some((offset, ..))) = (policy, first) {
            assert_eq!(error, Some(ReassembleError::Conflicting { offset }));
            return false;
        }
        let undo = map.map.clone();
        map.put(new, 0, segments, place);
        match error {
            None => return true,
            Some(ReassembleError::Source(_)) => assert!(source.injected() > 0),
            Some(error) => {
                map.check_refusal(error, 0, DATAGRAM_GAPS, notes(WINDOW, DATAGRAM_GAPS));
            }
        }
        map.map = undo;
        false
    };
    for op in ops {
        if let Op::Insert { from, len, honest } = *op {
            insert(&mut bytes, from.max(0) as u64, len.into(), honest);
        }
    }
    let end = bytes.end();
    for at in 0..end {
        let gap = (at..end).take_while(|at| !bytes.map.contains_key(at)).count();
        if gap > 0 && !insert(&mut bytes, at, gap, true) {
            return;
        }
    }
    let last = Fragment { offset: end as usize, last: true, bytes: &[] };
    if let Ok(whole) = table.insert((), last, Duration::ZERO) {
        let naive: Vec<u8> = bytes.map.values().map(|&(byte, _)| byte).collect();
        assert_eq!(whole.as_deref(), Some(&naive[..]));
    }
}
