//! Letters between threads: their form, and the post that carries them.
#![forbid(unsafe_code)]

use super::together::{Outcome, Step};
use super::{Sharding, Share};
use crate::kv::memory::append;
use crate::kv::reply::{OutOfMemory, Protocol, digits};
use allocator_api2::alloc::Allocator;
use allocator_api2::vec::Vec;
use mio::Waker;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

/// Where a reply belongs: the connection, its place among the replies that are waited for, and which of
/// its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The connection's number.
    pub client: u64,
    /// The reply's number.
    pub reply: u64,
    /// The part's.
    pub part: usize,
}

/// One request or one reply, whose bytes are in its [`Bundle`].
#[derive(Clone, Copy, Debug)]
pub struct Item {
    /// Where the reply belongs.
    pub ticket: Ticket,
    /// How many bytes it has; they are behind those of the items before it.
    pub len: usize,
    /// Of a request.
    pub ask: Option<Ask>,
}

/// How a request is to be executed.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// What the client speaks.
    pub protocol: Protocol,
    /// Whether it is a part of a request, which is counted where it came from.
    pub part: bool,
}

/// What one thread has for another at the end of a round.
#[derive(Debug)]
pub struct Bundle<A: Allocator> {
    /// The sender.
    pub from: usize,
    /// Requests and replies, in order.
    pub items: Vec<Item, A>,
    /// Their bytes, one behind the other.
    pub bytes: Vec<u8, A>,
}

/// A letter.
#[derive(Debug)]
pub enum Letter<A: Allocator> {
    /// Requests and replies.
    Bundle(Bundle<A>),
    /// "Do only what I say, until I release you", from that thread.
    Hold(usize),
    /// "I hold still."
    Held,
    /// Something to be done by a thread that holds still.
    Step(Step),
    /// What came of it.
    Stepped(Outcome),
    /// "Go on."
    Release,
}

/// One way to a thread.
#[derive(Debug)]
pub struct Way<A: Allocator> {
    /// Where letters go in.
    pub sender: Sender<Letter<A>>,
    /// Wakes its event loop.
    pub waker: Arc<Waker>,
}

impl<A: Allocator> Clone for Way<A> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), waker: self.waker.clone() }
    }
}

/// A thread's view of the others.
pub struct Post<A: Allocator + Clone> {
    /// Who it is.
    pub share: Share,
    /// Whose keys are whose.
    pub sharding: Sharding,
    /// What letters are made of.
    pub mail: A,
    /// To each thread, itself included.
    pub ways: std::vec::Vec<Way<A>>,
    /// From all of them.
    pub mailbox: Receiver<Letter<A>>,
    /// Letters that had to wait while it held still, or held others.
    pub deferred: VecDeque<Letter<A>>,
    /// For each thread, what this round has for it.
    pub outgoing: std::vec::Vec<Option<Bundle<A>>>,
    /// Whether some thread holds others. One at a time may.
    pub holding: Arc<AtomicBool>,
    /// Whether the server ends.
    pub stop: Arc<AtomicBool>,
}

/// How often a thread that waits for another looks whether the server ends.
const LOOK: Duration = Duration::from_millis(50);

impl<A: Allocator + Clone> Post<A> {
    /// The bundle for a thread.
    fn bundle(&mut self, to: usize) -> &mut Bundle<A> {
        let (from, mail) = (self.share.me, &self.mail);
        self.outgoing[to].get_or_insert_with(|| Bundle {
            from,
            items: Vec::new_in(mail.clone()),
            bytes: Vec::new_in(mail.clone()),
        })
    }

    /// Puts a request or a reply into the bundle for a thread; `write` appends its bytes.
    ///
    /// # Errors
    /// [`OutOfMemory`]; the bundle is as it was.
    pub fn put(
        &mut self,
        to: usize,
        ticket: Ticket,
        ask: Option<Ask>,
        write: impl FnOnce(&mut Vec<u8, A>) -> Result<(), OutOfMemory>,
    ) -> Result<(), OutOfMemory> {
        let bundle = self.bundle(to);
        let before = bundle.bytes.len();
        bundle.items.try_reserve(1).map_err(|_| OutOfMemory)?;
        if let Err(error) = write(&mut bundle.bytes) {
            bundle.bytes.truncate(before);
            return Err(error);
        }
        let len = bundle.bytes.len() - before;
        bundle.items.push(Item { ticket, len, ask });
        Ok(())
    }

    /// Sends all bundles of the round.
    pub fn flush(&mut self) {
        for to in 0..self.outgoing.len() {
            if let Some(bundle) = self.outgoing[to].take() {
                self.send(to, Letter::Bundle(bundle));
            }
        }
    }

    /// Sends a letter. (A thread that has ended gets none, and nobody waits for its reply any more.)
    pub fn send(&self, to: usize, letter: Letter<A>) {
        let way = &self.ways[to];
        if way.sender.send(letter).is_ok() {
            let _ = way.waker.wake();
        }
    }

    /// The next letter, if there is one.
    pub fn receive(&mut self) -> Option<Letter<A>> {
        self.deferred.pop_front().or_else(|| self.mailbox.try_recv().ok())
    }

    /// Waits for a letter that is `wanted`, and puts all others off; `None` if the server ends.
    pub fn wait<T>(
        &mut self,
        mut wanted: impl FnMut(Letter<A>) -> Result<T, Letter<A>>,
    ) -> Option<T> {
        while !self.stop.load(Ordering::Acquire) {
            let Ok(letter) = self.mailbox.recv_timeout(LOOK) else { continue };
            match wanted(letter) {
                Ok(found) => return Some(found),
                Err(other) => self.deferred.push_back(other),
            }
        }
        None
    }
}

/// Appends `*3\r\n` or `$3\r\n`.
fn append_header<A: Allocator>(
    out: &mut Vec<u8, A>,
    kind: u8,
    value: usize,
) -> Result<(), OutOfMemory> {
    let mut text = [kind; 23];
    let at = digits(value as u64, &mut text[1..21]);
    text[at] = kind;
    text[21..].copy_from_slice(b"\r\n");
    append(out, &text[at..])
}

/// Appends a request of `count` words.
///
/// # Errors
/// [`OutOfMemory`]; a part may have been appended.
pub fn append_request<'w, A: Allocator>(
    out: &mut Vec<u8, A>,
    count: usize,
    words: impl Iterator<Item = &'w [u8]>,
) -> Result<(), OutOfMemory> {
    append_header(out, b'*', count)?;
    for word in words {
        append_header(out, b'$', word.len())?;
        append(out, word)?;
        append(out, b"\r\n")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use allocator_api2::alloc::Global;

    #[test]
    fn requests_are_arrays() {
        let mut out = Vec::new_in(Global);
        let words: [&[u8]; 3] = [b"SET", b"", b"0123456789ab"];
        append_request(&mut out, 3, words.into_iter()).unwrap();
        assert_eq!(&out[..], b"*3\r\n$3\r\nSET\r\n$0\r\n\r\n$12\r\n0123456789ab\r\n");
    }
}
