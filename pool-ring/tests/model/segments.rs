//! A `Reassembler` against a map of bytes: for each place, the byte and which segment it is of. An original
//! is a run of bytes of one segment; what policies decide is written out here once more.

use super::Source;
use pool_ring::{Conflict, OverlapPolicy, ReassembleError, Reassembler, ReassemblerBuilder};
use std::collections::BTreeMap;
use std::ops::Range;
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

pub const WINDOW: usize = 300;
const GAPS: usize = 6;
/// One for each 64 bytes of the window.
const NOTES: usize = GAPS + WINDOW / 64;

pub struct Model {
    stream: Reassembler<std::rc::Rc<Source>>,
    policy: OverlapPolicy,
    bytes: BTreeMap<u64, (u8, u32)>,
    front: u64,
    next: u64,
    segments: u32,
}

/// The byte that honest segments have at a place.
fn honest_byte(at: u64) -> u8 {
    (at % 251 * 7) as u8
}

/// Whether the bytes of `new` count where it overlaps `old`.
fn new_counts(policy: OverlapPolicy, old: &Range<u64>, new: &Range<u64>) -> bool {
    match policy {
        OverlapPolicy::First | OverlapPolicy::Reject => false,
        OverlapPolicy::Last => true,
        OverlapPolicy::Bsd => new.start < old.start,
        OverlapPolicy::BsdRight => new.start >= old.start,
        OverlapPolicy::Linux => new.start <= old.start,
        OverlapPolicy::Windows => new.start < old.start && old.end < new.end,
        OverlapPolicy::Solaris => new.start < old.start && old.end <= new.end,
    }
}

impl Model {
    pub fn new(source: std::rc::Rc<Source>, policy: OverlapPolicy, start: u64) -> Self {
        let builder = ReassemblerBuilder::new().window(WINDOW).max_gaps(GAPS).policy(policy);
        Self {
            stream: builder.start(start).build_in(source),
            policy,
            bytes: BTreeMap::new(),
            front: start,
            next: start,
            segments: 0,
        }
    }

    pub fn step(&mut self, op: &Op) {
        match *op {
            Op::Insert { from, len, honest } => {
                let offset = self.front.saturating_add_signed(from.into());
                self.segments += 1;
                let lie = if honest { 0 } else { self.segments as u8 };
                let bytes: Vec<u8> = (0..u64::from(len))
                    .map(|n| honest_byte(offset.wrapping_add(n)) ^ lie)
                    .collect();
                self.insert(offset, &bytes);
            }
            Op::Consume(n) => {
                let n = self.stream.as_slice().len().min(n.into());
                self.stream.consume(n);
                self.front += n as u64;
            }
            Op::Shrink => self.stream.shrink(),
        }
        self.check();
    }

    /// Runs of one segment behind what can be read.
    fn runs(&self) -> Vec<Range<u64>> {
        let mut runs: Vec<(Range<u64>, u32)> = Vec::new();
        for (&at, &(_, segment)) in self.bytes.range(self.next..) {
            match runs.last_mut() {
                Some((run, same)) if run.end == at && *same == segment => run.end += 1,
                _ => runs.push((at..at + 1, segment)),
            }
        }
        runs.into_iter().map(|(run, _)| run).collect()
    }

    /// Pieces as they must be noted: touching ones are one where borders do not count.
    fn pieces(&self) -> Vec<Range<u64>> {
        let mut pieces: Vec<Range<u64>> = Vec::new();
        let merges = matches!(
            self.policy,
            OverlapPolicy::First | OverlapPolicy::Last | OverlapPolicy::Reject
        );
        for run in self.runs() {
            match pieces.last_mut() {
                Some(piece) if merges && piece.end == run.start => piece.end = run.end,
                _ => pieces.push(run),
            }
        }
        pieces
    }

    /// Pieces that do not touch.
    fn separate(&self) -> usize {
        let pieces = self.pieces();
        let borders = pieces.windows(2).filter(|pair| pair[0].end == pair[1].start).count();
        pieces.len() - borders
    }

    fn insert(&mut self, offset: u64, bytes: &[u8]) {
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
        let Some(end) = offset.checked_add(bytes.len() as u64) else {
            assert!(matches!(result, Err(ReassembleError::Overflow { .. })));
            return;
        };
        let window_end = self.front.saturating_add(WINDOW as u64);
        let at_front = offset <= self.next;
        if end > window_end && !at_front {
            assert!(matches!(result, Err(ReassembleError::BeyondWindow { .. })));
            return;
        }
        // Byte by byte: what is there, what differs.
        let within = offset.max(self.front)..end.min(window_end).max(self.front);
        let place = |at: u64| bytes[(at - offset) as usize];
        let there = |at: &u64| self.bytes.contains_key(at);
        let differing: Vec<_> = (within.clone())
            .filter_map(|at| self.bytes.get(&at).map(|&(old, _)| (at, old, place(at))))
            .filter(|(_, old, new)| old != new)
            .collect();
        let accepted = within.clone().filter(|at| !there(at)).count();
        if self.policy == OverlapPolicy::Reject && !differing.is_empty() {
            let first = ReassembleError::Conflicting { offset: differing[0].0 };
            assert_eq!(result, Err(first));
            return;
        }
        assert_eq!(reported, if silent { vec![] } else { differing.clone() });
        let undo = self.bytes.clone();
        let new = within.start.max(self.next)..within.end;
        let old_runs = self.runs();
        for at in new.clone() {
            let run = old_runs.iter().find(|run| run.contains(&at));
            if run.is_none_or(|run| new_counts(self.policy, run, &new)) {
                self.bytes.insert(at, (place(at), self.segments));
            }
        }
        let inserted = match result {
            Ok(inserted) => inserted,
            Err(ReassembleError::TooManyGaps { asked, limit }) => {
                assert!(!at_front, "the segment at the front was refused");
                assert!(limit == GAPS && asked > limit && self.separate() == asked);
                self.bytes = undo;
                return;
            }
            Err(ReassembleError::TooManyNotes { asked, limit }) => {
                assert!(!at_front, "the segment at the front was refused");
                assert!(limit == NOTES && asked > limit && self.pieces().len() == asked);
                self.bytes = undo;
                return;
            }
            Err(ReassembleError::Source(_)) => {
                self.bytes = undo;
                return;
            }
            Err(error) => panic!("{error}"),
        };
        while self.bytes.contains_key(&self.next) {
            self.next += 1;
        }
        assert!(self.separate() <= GAPS && self.pieces().len() <= NOTES.max(GAPS));
        assert_eq!(inserted.accepted, accepted);
        assert_eq!(inserted.conflicting, differing.len());
        let beyond = if within.is_empty() {
            end - end.min(self.front).max(offset)
        } else {
            end - within.end
        };
        assert_eq!(inserted.beyond as u64, beyond);
        assert_eq!(inserted.accepted + inserted.duplicate + inserted.beyond, bytes.len());
    }

    fn check(&self) {
        assert_eq!((self.stream.front(), self.stream.next()), (self.front, self.next));
        let readable: Vec<u8> = (self.front..self.next).map(|at| self.bytes[&at].0).collect();
        assert_eq!(self.stream.as_slice(), readable);
        assert_eq!(self.stream.pieces().collect::<Vec<_>>(), self.pieces());
    }

    /// Everything that is missing comes: all bytes behind gaps can be read, and are the model's.
    pub fn finish(&mut self) {
        let end = self.bytes.keys().next_back().map_or(self.next, |&last| last + 1);
        while self.next < end {
            let gap: Vec<u8> = (self.next..end)
                .take_while(|at| !self.bytes.contains_key(at))
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

/// Runs a program, beginning at `start`.
pub fn run(source: Source, policy: OverlapPolicy, start: u64, ops: &[Op]) {
    let source = std::rc::Rc::new(source);
    let mut model = Model::new(source.clone(), policy, start);
    for op in ops {
        model.step(op);
    }
    model.finish();
    drop(model);
    assert_eq!(source.inner().traffic().live_bytes, 0);
}
