//! The workloads of small objects, each of which has an end of its own.

pub mod batch;
pub mod hand_over;
pub mod hot;
pub mod list;
pub mod replace;
pub mod resident;

use crate::case::Case;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = hot::cases();
    cases.extend(batch::cases());
    cases.extend(replace::cases());
    cases.extend(hand_over::cases());
    cases.extend(list::cases());
    cases.extend(resident::cases());
    cases
}
