//! Replies of a connection that are not all there yet, in the order of their requests.
#![forbid(unsafe_code)]

use super::gather::{Finish, gather};
use crate::kv::memory::{Data, append};
use crate::kv::reply::{OutOfMemory, Protocol, Reply, Sink};
use allocator_api2::vec::Vec;
use std::mem;

/// Replies in order: some there, some still to come from other threads.
pub struct Waiting<D: Data> {
    data: D,
    /// The number of `slots[0]`.
    base: u64,
    slots: Vec<Slot<D>, D>,
    /// Bytes of those that are there.
    ready: usize,
}

enum Slot<D: Data> {
    Ready(Vec<u8, D>),
    Waits(Parts<D>),
}

/// What is to become one reply.
struct Parts<D: Data> {
    /// `None` if there is one part, which is the reply.
    finish: Option<Finish>,
    protocol: Protocol,
    missing: usize,
    replies: Vec<Vec<u8, D>, D>,
    /// From which part each element comes.
    order: Vec<u32, D>,
}

/// A reply in the making.
struct Joined<D: Data>(Vec<u8, D>);

impl<D: Data> Sink for Joined<D> {
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

impl<D: Data> Waiting<D> {
    /// None yet.
    pub fn new(data: D) -> Self {
        Self { base: 0, slots: Vec::new_in(data.clone()), ready: 0, data }
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
        self.ready
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
        let mut replies = Vec::new_in(self.data.clone());
        replies.try_reserve_exact(parts).map_err(|_| OutOfMemory)?;
        replies.resize_with(parts, || Vec::new_in(self.data.clone()));
        let mut places = Vec::new_in(self.data.clone());
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
    /// [`OutOfMemory`]; nothing has changed.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), OutOfMemory> {
        if let Some(Slot::Ready(last)) = self.slots.last_mut() {
            append(last, bytes)?;
        } else {
            let mut first = Vec::new_in(self.data.clone());
            append(&mut first, bytes)?;
            self.slots.try_reserve(1).map_err(|_| OutOfMemory)?;
            self.slots.push(Slot::Ready(first));
        }
        self.ready += bytes.len();
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
        let Some(slot) = index.and_then(|index| self.slots.get_mut(index)) else { return Ok(()) };
        let Slot::Waits(parts) = slot else { return Ok(()) };
        let Some(place) = parts.replies.get_mut(part) else { return Ok(()) };
        append(place, bytes)?;
        parts.missing -= 1;
        if parts.missing == 0 {
            let whole = parts.whole(drawn, &self.data)?;
            self.ready += whole.len();
            *slot = Slot::Ready(whole);
        }
        Ok(())
    }

    /// Takes all replies that nothing before them is waited for, one behind the other.
    pub fn take(&mut self) -> impl Iterator<Item = Vec<u8, D>> + '_ {
        let is_there = |slot: &Slot<D>| matches!(slot, Slot::Ready(_));
        let count = self.slots.iter().take_while(|slot| is_there(slot)).count();
        self.base += count as u64;
        let ready = &mut self.ready;
        self.slots.drain(..count).filter_map(move |slot| match slot {
            Slot::Ready(bytes) => {
                *ready -= bytes.len();
                Some(bytes)
            }
            Slot::Waits(_) => None,
        })
    }
}

impl<D: Data> Parts<D> {
    fn whole(&mut self, drawn: u64, data: &D) -> Result<Vec<u8, D>, OutOfMemory> {
        let empty = || Vec::new_in(data.clone());
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
    use allocator_api2::alloc::Global;

    #[test]
    fn replies_keep_their_order() {
        let mut waiting = Waiting::new(Global);
        let taken = |waiting: &mut Waiting<Global>| {
            let all: std::vec::Vec<_> = waiting.take().flatten().collect();
            String::from_utf8(all).unwrap()
        };
        let one = waiting.expect(None, Protocol::Resp2, 1, &[]).unwrap();
        waiting.push(b"+a\r\n").unwrap();
        waiting.push(b"+b\r\n").unwrap();
        let two = waiting.expect(Some(Finish::Sum), Protocol::Resp2, 2, &[]).unwrap();
        waiting.fill(two, 0, b":1\r\n", 0).unwrap();
        assert_eq!((taken(&mut waiting), waiting.bytes()), (String::new(), 8));
        waiting.fill(one, 0, b"+1\r\n", 0).unwrap();
        assert_eq!((taken(&mut waiting), waiting.len()), ("+1\r\n+a\r\n+b\r\n".into(), 1));
        // Twice, or of a reply that there never was.
        waiting.fill(one, 0, b"+1\r\n", 0).unwrap();
        waiting.fill(two + 9, 0, b"+1\r\n", 0).unwrap();
        waiting.fill(two, 1, b":2\r\n", 0).unwrap();
        assert_eq!((taken(&mut waiting), waiting.bytes()), (":3\r\n".into(), 0));
        assert!(waiting.is_empty());
    }
}
