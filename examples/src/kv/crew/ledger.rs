//! How much of what threads send one another is under way, and how much of it clients have not read.
//!
//! Nobody knows how long a reply will be before the request is executed. So the limits act before that: a
//! thread puts a request of another's client off while that client leaves too much unread, or while too
//! many bytes of replies are under way to anybody. Requests wait in the same way for those before them, and
//! the connection is no longer read. What is under way is taken by its receiver in any case; and who stores
//! too much because one reply is missing has that one urged. So all this comes to an end.
#![forbid(unsafe_code)]

use super::post::{Item, Matter};
use crate::kv::memory::Limits;
use pool_core::{Budget, Charge};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Shorter replies are not counted one by one: a connection waits for few at a time.
const LONG: usize = 4 << 10;

/// Clients that are counted apart. Numbers go up one by one, so those who share a place came long one after
/// the other.
const PLACES: usize = 16 << 10;

/// What all threads count together.
#[derive(Debug)]
pub struct Ledger {
    /// Letters sent.
    letters: AtomicU64,
    /// Bytes of requests that are sent and not executed.
    asked: AtomicUsize,
    /// Bytes of replies that are sent and not received.
    answered: AtomicUsize,
    /// Bytes of long replies that are sent, and not read by the client: by its number.
    unread: std::vec::Vec<AtomicUsize>,
    /// Bytes of requests, and bytes of replies, beyond which others wait.
    enough: usize,
    /// Bytes of either beyond which they are refused.
    most: usize,
    /// Bytes that a client may leave unread.
    backlog: usize,
}

/// Bytes of a bundle, and of how many items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Of requests.
    pub asked: usize,
    /// Of replies.
    pub answered: usize,
}

impl Load {
    /// Of one item.
    #[must_use]
    pub const fn of(item: &Item) -> Self {
        let bytes = item.len + size_of::<Item>();
        match item.matter {
            Matter::Ask(_) => Self { asked: bytes, answered: 0 },
            Matter::Reply => Self { asked: 0, answered: bytes },
            Matter::Urge | Matter::Cancel => Self { asked: 0, answered: 0 },
        }
    }

    /// With another.
    pub const fn add(&mut self, other: Self) {
        self.asked += other.asked;
        self.answered += other.answered;
    }
}

impl Ledger {
    /// Nothing under way; `buffers` bytes may be, and a client may leave `backlog` of replies unread.
    #[must_use]
    pub fn new(limits: Limits, backlog: usize) -> Self {
        let zero = |_| AtomicUsize::new(0);
        let unread = (0..PLACES).map(zero).collect();
        let (letters, asked, answered) = Default::default();
        let (enough, most) = (limits.buffers / 8, limits.buffers);
        Self { letters, asked, answered, unread, enough, most, backlog }
    }

    /// A letter is sent.
    pub fn write(&self) {
        self.letters.fetch_add(1, Ordering::Relaxed);
    }

    /// Letters sent so far.
    #[must_use]
    pub fn letters(&self) -> u64 {
        self.letters.load(Ordering::Relaxed)
    }

    /// Bytes that are under way.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.asked.load(Ordering::Relaxed) + self.answered.load(Ordering::Relaxed)
    }

    /// A bundle sets off. (Relaxed, here and below: these are sums, and no memory depends on them.)
    pub fn send(&self, load: Load) {
        self.asked.fetch_add(load.asked, Ordering::Relaxed);
        self.answered.fetch_add(load.answered, Ordering::Relaxed);
    }

    /// It has been received, and its requests are done.
    pub fn receive(&self, load: Load) {
        self.asked.fetch_sub(load.asked, Ordering::Relaxed);
        self.answered.fetch_sub(load.answered, Ordering::Relaxed);
    }

    /// Whether so many bytes more of requests or replies may set off.
    #[must_use]
    pub fn has_room(&self, load: Load) -> bool {
        let fits = |sum: &AtomicUsize, more| {
            more == 0 || sum.load(Ordering::Relaxed).saturating_add(more) <= self.most
        };
        fits(&self.asked, load.asked) && fits(&self.answered, load.answered)
    }

    /// Bytes of replies that may still set off.
    #[must_use]
    pub fn room_for_replies(&self) -> usize {
        self.most.saturating_sub(self.answered.load(Ordering::Relaxed))
    }

    /// Whether those who can wait are to ask for nothing more.
    #[must_use]
    pub fn is_asked_enough(&self) -> bool {
        self.asked.load(Ordering::Relaxed) >= self.enough
    }

    /// Whether all requests are to be put off; `more` bytes of replies have not set off yet.
    #[must_use]
    pub fn is_answered_enough(&self, more: usize) -> bool {
        self.answered.load(Ordering::Relaxed).saturating_add(more) >= self.enough
    }

    /// Whether those of this client are.
    #[must_use]
    pub fn is_left_too_much(&self, client: u64) -> bool {
        self.unread(client).load(Ordering::Relaxed) >= self.backlog.max(1)
    }

    fn unread(&self, client: u64) -> &AtomicUsize {
        &self.unread[client as usize % PLACES]
    }

    /// A reply is sent to another thread's client.
    pub fn leave(&self, client: u64, len: usize) {
        if len >= LONG {
            self.unread(client).fetch_add(len, Ordering::Relaxed);
        }
    }

    /// It has come, and there is no such client any more.
    pub fn forget(&self, client: u64, len: usize) {
        if len >= LONG {
            self.unread(client).fetch_sub(len, Ordering::Relaxed);
        }
    }
}

/// What the connections of one thread need to keep replies that wait.
#[derive(Clone, Debug)]
pub struct Terms {
    /// What replies are charged to while they wait, with those that sockets did not take.
    pub budget: Budget,
    /// What all threads count.
    pub ledger: Arc<Ledger>,
}

/// One connection's account: it is settled when it is dropped.
#[derive(Debug)]
pub struct Account {
    terms: Rc<Terms>,
    client: u64,
    /// Of the replies that are stored.
    stored: Charge,
    /// Of those, and of those in the outbox behind them, what other threads believe unread.
    unread: usize,
}

impl Account {
    /// With nothing in it.
    #[must_use]
    pub fn new(terms: Rc<Terms>, client: u64) -> Option<Self> {
        let stored = terms.budget.charge(0).ok()?;
        Some(Self { stored, terms, client, unread: 0 })
    }

    /// So many bytes are to be stored; whether they may be.
    pub fn store(&mut self, bytes: usize) -> bool {
        self.stored.try_grow(bytes).is_ok()
    }

    /// They are no longer.
    pub fn release(&mut self, bytes: usize) {
        self.stored.shrink(bytes);
    }

    /// Bytes that are stored.
    #[must_use]
    pub const fn stored(&self) -> usize {
        self.stored.bytes()
    }

    /// A reply of another thread has come.
    pub const fn come(&mut self, len: usize) {
        if len >= LONG {
            self.unread += len;
        }
    }

    /// So many bytes are `behind`, for the client to read, and what is stored waits besides. If that is not
    /// too much, others may answer more. Whether it is, but only because of what is stored: then the reply
    /// that this waits for must come.
    pub fn settle(&mut self, behind: usize) -> bool {
        // With a limit of 0 one reply at a time still passes.
        let backlog = self.terms.ledger.backlog.max(1);
        if behind.saturating_add(self.stored()) >= backlog {
            return behind < backlog;
        }
        if self.unread > 0 {
            self.terms.ledger.unread(self.client).fetch_sub(self.unread, Ordering::Relaxed);
            self.unread = 0;
        }
        false
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.stored.shrink(usize::MAX);
        self.settle(0);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::kv::crew) fn terms(buffers: usize, backlog: usize) -> Rc<Terms> {
        let limits = Limits { max_frame: 0, memory: 0, partials: 0, buffers, no_huge_pages: false };
        let ledger = Arc::new(Ledger::new(limits, backlog));
        Rc::new(Terms { budget: Budget::named("unread replies", buffers), ledger })
    }

    #[test]
    fn who_does_not_read_is_put_off_and_nobody_else() {
        let terms = terms(1 << 20, 10_000);
        let (ledger, mut account) = (&terms.ledger, Account::new(terms.clone(), 7).unwrap());
        ledger.leave(7, 5000);
        assert!(!ledger.is_left_too_much(7));
        ledger.leave(7, 5000);
        ledger.leave(7, LONG - 1);
        assert!(ledger.is_left_too_much(7) && !ledger.is_left_too_much(8));
        account.come(5000);
        account.come(5000);
        assert!(!account.settle(10_000) && ledger.is_left_too_much(7));
        // What is stored waits for another reply.
        assert!(account.store(1));
        assert!(account.settle(9999) && ledger.is_left_too_much(7));
        account.release(1);
        assert!(!account.settle(9999) && !ledger.is_left_too_much(7));
        // Who leaves owes nothing, and what comes later is forgotten.
        ledger.leave(7, 10_000);
        ledger.leave(7, 10_000);
        account.come(10_000);
        drop(account);
        assert!(ledger.is_left_too_much(7));
        ledger.forget(7, 10_000);
        assert!(!ledger.is_left_too_much(7));
        assert_eq!(terms.budget.used(), 0);
    }

    #[test]
    fn too_much_under_way_puts_all_off() {
        let terms = terms(8000, 1 << 20);
        let ledger = &terms.ledger;
        let load = |asked, answered| Load { asked, answered };
        ledger.send(load(7000, 900));
        assert!(ledger.is_asked_enough());
        assert!(!ledger.is_answered_enough(99) && ledger.is_answered_enough(100));
        // Replies have room, though requests have none.
        assert!(!ledger.has_room(load(1001, 0)) && ledger.has_room(load(0, 7100)));
        assert!(!ledger.has_room(load(0, 7101)) && !ledger.has_room(load(0, usize::MAX)));
        ledger.receive(load(7000, 900));
        assert!(!ledger.is_asked_enough() && ledger.has_room(load(8000, 8000)));
    }
}
