//! Letters between threads: their form, and the post that carries them.
#![forbid(unsafe_code)]

use super::ledger::{Ledger, Load};
use super::together::{Outcome, Step};
use super::{Sharding, Share};
use crate::kv::memory::append;
use crate::kv::reply::{OutOfMemory, Protocol, digits};
use allocator_api2::alloc::Allocator;
use allocator_api2::vec::Vec;
use mio::Waker;
use std::collections::{HashMap, VecDeque};
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
    /// What it is.
    pub matter: Matter,
}

/// What an item is.
#[derive(Clone, Copy, Debug)]
pub enum Matter {
    /// A request.
    Ask(Ask),
    /// The reply to one.
    Reply,
    /// "The reply of this ticket is the next that my client gets: do not put it off."
    Urge,
    /// "My client has left: forget what it has asked for."
    Cancel,
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
    /// How many they are.
    pub load: Load,
}

/// A request that is put off.
#[derive(Debug)]
pub struct PutOff<A: Allocator> {
    /// From which thread it is.
    pub from: usize,
    /// The request.
    pub item: Item,
    /// Its bytes.
    pub bytes: Vec<u8, A>,
}

/// Those of a client.
#[derive(Debug)]
pub struct PutOffs<A: Allocator> {
    queue: VecDeque<PutOff<A>>,
    /// Up to this number its replies are waited for by all behind them.
    urged: Option<u64>,
}

impl<A: Allocator> PutOffs<A> {
    /// Whether the next is urgent.
    fn is_urged(&self) -> bool {
        let next = self.queue.front().map(|next| next.item.ticket.reply);
        next.is_some_and(|next| self.urged.is_some_and(|urged| next <= urged))
    }
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
    /// What all threads count of that.
    pub ledger: Arc<Ledger>,
    /// Requests that are put off, by the number of their client, in order.
    pub put_off: HashMap<u64, PutOffs<A>>,
    /// The clients among them, in turns.
    pub turns: VecDeque<u64>,
    /// Whether some thread holds others. One at a time may.
    pub holding: Arc<AtomicBool>,
    /// Whether the server ends.
    pub stop: Arc<AtomicBool>,
}

/// How often a thread that waits for another looks whether the server ends.
const LOOK: Duration = Duration::from_millis(50);

impl<A: Allocator + Clone> Post<A> {
    /// Puts a request of another thread off, if it is not to be executed now; `None` if it is.
    ///
    /// # Errors
    /// [`OutOfMemory`]: it cannot be kept either.
    pub fn try_put_off(
        &mut self,
        from: usize,
        item: &Item,
        bytes: &[u8],
    ) -> Option<Result<(), OutOfMemory>> {
        let client = item.ticket.client;
        let waits = !self.put_off.is_empty() && self.put_off.contains_key(&client);
        let ledger = &self.ledger;
        (waits || ledger.is_left_too_much(client) || ledger.is_answered_enough(self.answered_now()))
            .then(|| self.keep(from, item, bytes))
    }

    #[cold]
    fn keep(&mut self, from: usize, item: &Item, bytes: &[u8]) -> Result<(), OutOfMemory> {
        let mut kept = Vec::new_in(self.mail.clone());
        append(&mut kept, bytes)?;
        // It stays under way.
        self.ledger.send(Load::of(item));
        let client = item.ticket.client;
        let put_offs = self.put_off.entry(client).or_insert_with(|| {
            self.turns.push_back(client);
            PutOffs { queue: VecDeque::new(), urged: None }
        });
        put_offs.queue.push_back(PutOff { from, item: *item, bytes: kept });
        Ok(())
    }

    /// Whether any request is put off.
    pub fn has_put_off(&self) -> bool {
        !self.turns.is_empty()
    }

    /// A request that was put off and is to be executed now; clients have turns.
    #[cold]
    pub fn next_put_off(&mut self) -> Option<PutOff<A>> {
        if self.ledger.is_answered_enough(self.answered_now()) {
            return None;
        }
        for _ in 0..self.turns.len() {
            let client = self.turns.pop_front()?;
            // Who has left has no turn any more.
            let Some(put_offs) = self.put_off.get_mut(&client) else { continue };
            if self.ledger.is_left_too_much(client) && !put_offs.is_urged() {
                self.turns.push_back(client);
                continue;
            }
            let next = put_offs.queue.pop_front();
            if put_offs.queue.is_empty() {
                self.put_off.remove(&client);
            } else {
                self.turns.push_back(client);
            }
            if let Some(next) = &next {
                self.ledger.receive(Load::of(&next.item));
            }
            return next;
        }
        None
    }

    /// What is put off for this client up to this reply is to be so no longer.
    pub fn urged(&mut self, ticket: Ticket) {
        if let Some(put_offs) = self.put_off.get_mut(&ticket.client) {
            put_offs.urged = Some(ticket.reply);
        }
    }

    /// A client has left: what is put off for it is forgotten. (As a server of one thread does not look at
    /// what such a one has still sent.)
    pub fn cancelled(&mut self, client: u64) {
        for PutOff { item, .. } in self.put_off.remove(&client).into_iter().flat_map(|of| of.queue)
        {
            self.ledger.receive(Load::of(&item));
        }
    }

    /// Says something about a client and a reply to all others.
    ///
    /// # Errors
    /// [`OutOfMemory`]: some are not told.
    pub fn tell_all(&mut self, client: u64, reply: u64, matter: Matter) -> Result<(), OutOfMemory> {
        let ticket = Ticket { client, reply, part: 0 };
        let me = self.share.me;
        let mut others = (0..self.share.of).filter(|&other| other != me);
        others.try_for_each(|other| self.put(other, ticket, matter, |_| Ok(())))
    }

    /// Bytes of replies of this round, which have not set off yet.
    fn answered_now(&self) -> usize {
        self.outgoing.iter().flatten().map(|bundle| bundle.load.answered).sum()
    }

    /// Puts a request or a reply into the bundle for a thread; `write` appends its bytes.
    ///
    /// # Errors
    /// [`OutOfMemory`]; the bundle is as it was.
    pub fn put(
        &mut self,
        to: usize,
        ticket: Ticket,
        matter: Matter,
        write: impl FnOnce(&mut Vec<u8, A>) -> Result<(), OutOfMemory>,
    ) -> Result<(), OutOfMemory> {
        let Self { share, mail, outgoing, ledger, .. } = self;
        let bundle = outgoing[to].get_or_insert_with(|| Bundle {
            from: share.me,
            items: Vec::new_in(mail.clone()),
            bytes: Vec::new_in(mail.clone()),
            load: Load::default(),
        });
        let before = bundle.bytes.len();
        bundle.items.try_reserve(1).map_err(|_| OutOfMemory)?;
        if let Err(error) = write(&mut bundle.bytes) {
            bundle.bytes.truncate(before);
            return Err(error);
        }
        let item = Item { ticket, len: bundle.bytes.len() - before, matter };
        let mut load = bundle.load;
        load.add(Load::of(&item));
        if !ledger.has_room(load) {
            bundle.bytes.truncate(before);
            return Err(OutOfMemory);
        }
        bundle.load = load;
        bundle.items.push(item);
        Ok(())
    }

    /// Sends all bundles of the round.
    pub fn flush(&mut self) {
        for to in 0..self.outgoing.len() {
            if let Some(bundle) = self.outgoing[to].take() {
                self.ledger.send(bundle.load);
                self.send(to, Letter::Bundle(bundle));
            }
        }
    }

    /// Sends a letter. (A thread that has ended gets none, and nobody waits for its reply any more.)
    pub fn send(&self, to: usize, letter: Letter<A>) {
        self.ledger.write();
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
