//! What a workload asks of a queue of bytes between two threads: messages arrive whole, each as one
//! slice.

use std::ops::Range;

/// A queue for messages of bytes.
pub trait Queue: 'static {
    /// What the tables call it.
    const NAME: &'static str;
    /// Whether it is ours.
    const OURS: bool = false;
    /// The writing half.
    type Sender: Sender;
    /// The reading half.
    type Receiver: Receiver;
    /// Both, with room for `bytes` between them.
    fn halves(bytes: usize) -> (Self::Sender, Self::Receiver);
}

/// Writes messages.
pub trait Sender: Send + 'static {
    /// Copies a message in; false if there is no room now.
    fn send(&mut self, message: &[u8]) -> bool;
}

/// Reads messages.
pub trait Receiver: Send + 'static {
    /// Lends the next message; false if there is none now.
    fn receive(&mut self, take: impl FnOnce(&[u8])) -> bool;
}

/// The given range of two slices, one behind the other, as one slice: copied if it goes round.
#[inline(always)]
pub fn round<'a>(
    whole: &'a mut Vec<u8>,
    first: &'a [u8],
    second: &'a [u8],
    range: Range<usize>,
) -> &'a [u8] {
    if let Some(message) = first.get(range.clone()) {
        return message;
    }
    whole.clear();
    whole.extend_from_slice(first.get(range.start..).unwrap_or_default());
    let skipped = range.start.saturating_sub(first.len());
    let rest = range.len() - whole.len();
    whole.extend_from_slice(&second[skipped..skipped + rest]);
    whole
}
