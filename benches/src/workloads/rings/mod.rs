//! The workloads of streams: bytes of messages that are not whole yet.

pub mod feed;
pub mod frames;
pub mod many;
pub mod queues;
pub mod segments;
pub mod storm;

use crate::case::Case;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = frames::cases();
    cases.extend(many::cases());
    cases.extend(storm::cases());
    cases.extend(queues::cases());
    cases.extend(segments::cases());
    cases
}
