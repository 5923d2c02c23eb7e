//! The workloads of arenas: objects come one by one and leave together.

pub mod lists;
pub mod outliers;
pub mod requests;
pub mod sizes;
pub mod texts;
pub mod threads;
pub mod values;

use crate::case::Case;

/// Objects that are in an arena before it is reset.
const OBJECTS: usize = 10_000;

/// Operations of one sample under callgrind, where an operation is an object: two rounds.
const SAMPLE: u64 = 2 * OBJECTS as u64;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = values::cases();
    cases.extend(sizes::cases());
    cases.extend(requests::cases());
    cases.extend(lists::cases());
    cases.extend(texts::cases());
    cases.extend(threads::cases());
    cases.extend(outliers::cases());
    cases
}
