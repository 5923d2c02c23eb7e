//! Replies of a connection that are not all there yet, in the order of their requests.
#![forbid(unsafe_code)]

use super::gather::{Finish, gather};
use super::ledger::Account;
use crate::kv::memory::append;
use crate::kv::reply::{OutOfMemory, Protocol, Reply, Sink};
use allocator_api2::alloc::Allocator;
use allocator_api2::vec::Vec;
use std::mem;

/// Replies in order: some there, some still to come from other threads.
pub struct Waiting<A: Allocator + Clone> {
    mail: A,
    /// The number of `slots[0]`.
    base: u64,
    slots: Vec<Slot<A>, A>,
    /// Charged with the bytes of those that are there, parts included.
    pub account: Account,
    /// The last reply that was urged.
    urged: Option<u64>,
}

enum Slot<A: Allocator> {
    Ready(Vec<u8, A>),
    Waits(Parts<A>),
}

/// What is to become one reply.
struct Parts<A: Allocator> {
    /// `None` if there is one part, which is the reply.
    finish: Option<Finish>,
    protocol: Protocol,
    missing: usize,
    replies: Vec<Vec<u8, A>, A>,
    /// From which part each element comes.
    order: Vec<u32, A>,
}

/// A reply in the making.
struct Joined<A: Allocator>(Vec<u8, A>);

impl<A: Allocator> Sink for Joined<A> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), OutOfMemory> {
        append(&mut self.0, bytes)
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    fn one_piece(&self) -> Option<&[u8]> {
        Some(&self.0)
    }

    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(&self.0[..])
    }
}

impl<A: Allocator + Clone> Waiting<A> {
    /// None yet.
    pub fn new(mail: A, account: Account) -> Self {
        Self { base: 0, slots: Vec::new_in(mail.clone()), account, urged: None, mail }
    }

    /// Replies that are there or waited for.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether all have been taken.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Bytes of those that are there and have to wait for others.
    pub const fn bytes(&self) -> usize {
        self.account.stored()
    }

    /// Whether the reply of this number is the next, and what other thread's reply comes is all of it: it
    /// is then taken as it comes, and needs no place here.
    pub fn pass(&mut self, number: u64) -> bool {
        let passes = number == self.base
            && matches!(self.slots.first(), Some(Slot::Waits(parts)) if parts.finish.is_none());
        if passes {
            self.slots.remove(0);
            self.base += 1;
        }
        passes
    }

    /// So many bytes are before these for the client to read. If all these wait for one reply, its number:
    /// it is to be urged. Once for each.
    pub fn settle(&mut self, behind: usize) -> Option<u64> {
        let urgent = self.account.settle(behind) && self.urged != Some(self.base);
        urgent.then(|| *self.urged.insert(self.base))
    }

    /// Bytes are to be stored.
    fn charge(&mut self, bytes: usize) -> Result<(), OutOfMemory> {
        if self.account.store(bytes) { Ok(()) } else { Err(OutOfMemory) }
    }

    /// Adds a reply of so many parts that are to come; its number.
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing has changed.
    pub fn expect(
        &mut self,
        finish: Option<Finish>,
        protocol: Protocol,
        parts: usize,
        order: &[u32],
    ) -> Result<u64, OutOfMemory> {
        let mut replies = Vec::new_in(self.mail.clone());
        replies.try_reserve_exact(parts).map_err(|_| OutOfMemory)?;
        replies.resize_with(parts, || Vec::new_in(self.mail.clone()));
        let mut places = Vec::new_in(self.mail.clone());
        places.try_reserve_exact(order.len()).map_err(|_| OutOfMemory)?;
        places.extend(order.iter().copied());
        self.slots.try_reserve(1).map_err(|_| OutOfMemory)?;
        let parts = Parts { finish, protocol, missing: parts, replies, order: places };
        self.slots.push(Slot::Waits(parts));
        Ok(self.base + self.slots.len() as u64 - 1)
    }

    /// Adds bytes of replies that are there.
    ///
    /// # Errors
    /// [`OutOfMemory`]: the reply is lost.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), OutOfMemory> {
        self.charge(bytes.len())?;
        if let Some(Slot::Ready(last)) = self.slots.last_mut() {
            append(last, bytes)?;
        } else {
            let mut first = Vec::new_in(self.mail.clone());
            append(&mut first, bytes)?;
            self.slots.try_reserve(1).map_err(|_| OutOfMemory)?;
            self.slots.push(Slot::Ready(first));
        }
        Ok(())
    }

    /// A part of a reply has come. One that nobody waits for is forgotten.
    ///
    /// # Errors
    /// [`OutOfMemory`]: the reply is lost.
    pub fn fill(
        &mut self,
        number: u64,
        part: usize,
        bytes: &[u8],
        drawn: u64,
    ) -> Result<(), OutOfMemory> {
        let index = number.checked_sub(self.base).and_then(|index| usize::try_from(index).ok());
        let Some(index) = index else { return Ok(()) };
        let Some(Slot::Waits(parts)) = self.slots.get_mut(index) else { return Ok(()) };
        let Some(place) = parts.replies.get_mut(part) else { return Ok(()) };
        if !self.account.store(bytes.len()) {
            return Err(OutOfMemory);
        }
        append(place, bytes)?;
        parts.missing -= 1;
        if parts.missing == 0 {
            let before = parts.replies.iter().map(Vec::len).sum();
            let whole = parts.whole(drawn, &self.mail)?;
            let len = whole.len();
            self.slots[index] = Slot::Ready(whole);
            self.charge(len)?;
            self.account.release(before);
        }
        Ok(())
    }

    /// Takes all replies that nothing before them is waited for, one behind the other.
    pub fn take(&mut self) -> impl Iterator<Item = Vec<u8, A>> + '_ {
        let is_there = |slot: &Slot<A>| matches!(slot, Slot::Ready(_));
        let count = self.slots.iter().take_while(|slot| is_there(slot)).count();
        self.base += count as u64;
        let account = &mut self.account;
        self.slots.drain(..count).filter_map(move |slot| match slot {
            Slot::Ready(bytes) => {
                account.release(bytes.len());
                Some(bytes)
            }
            Slot::Waits(_) => None,
        })
    }
}

impl<A: Allocator + Clone> Parts<A> {
    fn whole(&mut self, drawn: u64, mail: &A) -> Result<Vec<u8, A>, OutOfMemory> {
        let empty = || Vec::new_in(mail.clone());
        let Some(finish) = self.finish else {
            return Ok(self
                .replies
                .first_mut()
                .map_or_else(empty, |only| mem::replace(only, empty())));
        };
        let mut joined = Joined(empty());
        let parts: std::vec::Vec<&[u8]> = self.replies.iter().map(|part| &part[..]).collect();
        gather(finish, &parts, &self.order, drawn, &mut Reply::new(&mut joined, self.protocol))?;
        Ok(joined.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::crew::ledger::tests::terms;
    use allocator_api2::alloc::Global;

    #[test]
    fn replies_keep_their_order() {
        let terms = terms(1 << 20, 100);
        let account = Account::new(terms.clone(), 1).unwrap();
        let mut waiting = Waiting::new(Global, account);
        let taken = |waiting: &mut Waiting<Global>| {
            let all: std::vec::Vec<_> = waiting.take().flatten().collect();
            String::from_utf8(all).unwrap()
        };
        let one = waiting.expect(None, Protocol::Resp2, 1, &[]).unwrap();
        waiting.push(b"+a\r\n").unwrap();
        waiting.push(b"+b\r\n").unwrap();
        let two = waiting.expect(Some(Finish::Sum), Protocol::Resp2, 2, &[]).unwrap();
        waiting.fill(two, 0, b":1\r\n", 0).unwrap();
        assert_eq!((taken(&mut waiting), waiting.bytes()), (String::new(), 12));
        waiting.fill(one, 0, b"+1\r\n", 0).unwrap();
        assert_eq!((taken(&mut waiting), waiting.len()), ("+1\r\n+a\r\n+b\r\n".into(), 1));
        // Twice, or of a reply that there never was.
        waiting.fill(one, 0, b"+1\r\n", 0).unwrap();
        waiting.fill(two + 9, 0, b"+1\r\n", 0).unwrap();
        waiting.fill(two, 1, b":2\r\n", 0).unwrap();
        assert_eq!((taken(&mut waiting), waiting.bytes()), (":3\r\n".into(), 0));
        assert!(waiting.is_empty());
        let passing = waiting.expect(None, Protocol::Resp2, 1, &[]).unwrap();
        let behind = waiting.expect(Some(Finish::Ok), Protocol::Resp2, 2, &[]).unwrap();
        assert!(!waiting.pass(behind) && waiting.pass(passing) && !waiting.pass(passing));
        assert!(!waiting.pass(behind));
        waiting.fill(behind, 0, b"+OK\r\n", 0).unwrap();
        assert_eq!((waiting.bytes(), terms.budget.used()), (5, 5));
        waiting.fill(behind, 1, b"+OK\r\n", 0).unwrap();
        assert_eq!((terms.budget.used(), taken(&mut waiting)), (5, "+OK\r\n".into()));
        assert_eq!(waiting.push(&[b'x'; 2 << 20]), Err(OutOfMemory));
        waiting.push(b"x").unwrap();
        assert_eq!(terms.budget.used(), 1);
        drop(waiting);
        assert_eq!(terms.budget.used(), 0);
    }
}
