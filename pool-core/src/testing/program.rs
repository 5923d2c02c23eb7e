//! Programs of operations against a source and the naive model.
#![forbid(unsafe_code)]

use super::held::Model;
use super::{Contract, clause, clauses};
use crate::error::PageError;
use crate::run::Request;
use crate::snapshot::Snapshot;
use crate::source::PageSource;

/// An operation on a source. An `index` picks one of the runs that are out, modulo their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Acquire a run, check it, fill it. Skipped where it would exceed the contract's bytes; a
    /// refusal is counted.
    Acquire {
        /// Bytes; 0 is taken as 1.
        len: u32,
        /// The alignment's binary logarithm, held down to the contract's strongest.
        align_shift: u8,
        /// Whether it must read as zeros.
        zeroed: bool,
    },
    /// Verify a run and release it.
    Release {
        /// Which one.
        index: u16,
    },
    /// Verify a run and fill it anew.
    Rewrite {
        /// Which one.
        index: u16,
    },
    /// Verify a run, decommit it, and fill it anew.
    Decommit {
        /// Which one.
        index: u16,
    },
    /// Trim, and verify all runs.
    Trim,
    /// Take a snapshot.
    Observe,
    /// Ask for what must be refused.
    Malformed {
        /// Which malformed request.
        index: u8,
    },
}

impl Op {
    /// Takes an operation from the front of `bytes`, which may be anything; `None` when they end.
    /// Made so that random bytes give useful programs: more runs come than go until many are out,
    /// and short runs are more frequent than long ones.
    ///
    /// ```
    /// use pool_core::testing::Op;
    /// let mut bytes: &[u8] = &[15, 12, 3, 0];
    /// assert_eq!(Op::decode(&mut bytes), Some(Op::Trim));
    /// assert_eq!(Op::decode(&mut bytes), Some(Op::Decommit { index: 3 }));
    /// assert_eq!(Op::decode(&mut bytes), None);
    /// ```
    pub fn decode(bytes: &mut &[u8]) -> Option<Self> {
        Some(match take::<1>(bytes)?[0] % 16 {
            0..=5 => {
                let [low, high, shape] = take(bytes)?;
                // 16 bits of mantissa, shifted by 0, 0, 1, .. 6: up to 4 MiB.
                let len =
                    u32::from(u16::from_le_bytes([low, high])) << (shape & 7).saturating_sub(1);
                // One in four asks for an alignment, from 4 KiB to 2 MiB.
                let aligned = shape & 0x60 == 0x60;
                let align_shift = if aligned { 12 + low % 10 } else { 0 };
                Self::Acquire { len, align_shift, zeroed: shape & 0x80 != 0 }
            }
            6..=10 => Self::Release { index: u16::from_le_bytes(take(bytes)?) },
            11 => Self::Rewrite { index: u16::from_le_bytes(take(bytes)?) },
            12 => Self::Decommit { index: u16::from_le_bytes(take(bytes)?) },
            13 => Self::Malformed { index: take::<1>(bytes)?[0] },
            14 => Self::Observe,
            _ => Self::Trim,
        })
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

/// What a program did: so that a test can tell that it tested something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Runs acquired; all were released.
    pub acquired: u64,
    /// Well-formed requests refused.
    pub refused: u64,
    /// Malformed requests made, all refused.
    pub malformed: u64,
}

/// Runs `ops` against `source` and a naive model, verifying every run before it goes and, at the
/// end, releasing all. Uses the default [`Contract`]'s bounds; see
/// [`Contract::run_program`] for others.
///
/// ```
/// use pool_core::testing::{Op, run_program};
/// use pool_core::{Heap, PageSource};
/// let source = Heap::new().counted();
/// let acquire = Op::Acquire { len: 10_000, align_shift: 14, zeroed: true };
/// let tally = run_program(&source, &[acquire, Op::Rewrite { index: 0 }]);
/// assert_eq!((tally.acquired, source.traffic().live_bytes), (1, 0));
/// ```
///
/// # Panics
/// If a clause of the contract does not hold.
pub fn run_program<S: PageSource + ?Sized>(source: &S, ops: &[Op]) -> Tally {
    run(&Contract::new(), source, ops)
}

pub(super) fn run<S: PageSource + ?Sized>(contract: &Contract, source: &S, ops: &[Op]) -> Tally {
    let mut model = Model::new();
    let mut tally = Tally::default();
    for &op in ops {
        step(contract, source, &mut model, &mut tally, op);
    }
    model.release_all(source, |n| n - 1);
    tally
}

fn step<S: PageSource + ?Sized>(
    contract: &Contract,
    source: &S,
    model: &mut Model,
    tally: &mut Tally,
    op: Op,
) {
    let pick = |index: u16, model: &Model| usize::from(index).checked_rem(model.runs());
    match op {
        Op::Acquire { len, align_shift, zeroed } => {
            let most = contract.max_align.min(contract.most_bytes / 8);
            let align = 1_usize.checked_shl(align_shift.into()).unwrap_or(most).min(most);
            let request = Request { len: (len as usize).max(1), align, zeroed };
            if model.bytes() + request.len.max(align) > contract.most_bytes / 2 {
                return;
            }
            match model.acquire(source, request) {
                Ok(()) => tally.acquired += 1,
                Err(error) => {
                    let well_formed =
                        !matches!(error, PageError::ZeroLength | PageError::BadAlign { .. });
                    clause!(11, well_formed, "{request:?} was refused: {error}");
                    tally.refused += 1;
                }
            }
        }
        Op::Release { index } => {
            if let Some(index) = pick(index, model) {
                model.release(source, index);
            }
        }
        Op::Rewrite { index } => {
            if let Some(index) = pick(index, model) {
                model.rewrite(index);
            }
        }
        Op::Decommit { index } => {
            if let Some(index) = pick(index, model) {
                model.decommit(source, index);
            }
        }
        Op::Trim => {
            source.trim();
            model.verify();
        }
        Op::Observe => source.observe(&mut Snapshot::default()),
        Op::Malformed { index } => {
            clauses::refuse(source, clauses::malformed(index.into()));
            tally.malformed += 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn any_bytes_decode_and_end() {
        let bytes: Vec<u8> = (0..=255).cycle().step_by(7).take(2000).collect();
        let mut rest = &bytes[..];
        let mut ops = 0;
        while let Some(op) = Op::decode(&mut rest) {
            ops += 1;
            if let Op::Acquire { len, align_shift, .. } = op {
                assert!(len <= 4 << 20 && align_shift <= 21);
            }
        }
        assert!(ops > 400 && rest.len() < 4);
    }
}
