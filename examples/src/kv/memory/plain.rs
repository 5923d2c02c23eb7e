//! A strategy out of any allocator: everything of `Std`, but from there.
#![forbid(unsafe_code)]

use super::foreign::BlockPages;
use super::{Batch, Data, Limits, List, Memory, PageInbox, Scratch, Table};
use crate::kv::reply::{OutOfMemory, Sink};
use allocator_api2::alloc::Allocator;
use allocator_api2::vec::Vec;
use pool_core::{Budget, Limit, PageError, PageSource, Stats};
use std::rc::Rc;

/// An allocator by its name, which all of its values are.
pub trait Named: Data + Copy + Default + Send + std::fmt::Debug {
    /// What `--alloc` calls it.
    const NAME: &'static str;
}

/// Pages of the allocator, counted and within a budget.
pub type BlockStack<A> = Rc<Limit<Rc<Stats<BlockPages<A>>>>>;

/// Everything from one allocator.
#[derive(Debug)]
pub struct Plain<A: Named> {
    limits: Limits,
    partials: BlockStack<A>,
    backlog: BlockStack<A>,
}

impl<A: Named> Memory for Plain<A> {
    const NAME: &'static str = A::NAME;

    type Source = BlockStack<A>;
    type Inbox = PageInbox<Self::Source>;
    type Batch = BlockBatch<A>;
    type Data = A;
    type Table<T> = Places<T, A>;
    type Mail = A;

    fn new(limits: Limits) -> Result<Self, PageError> {
        let pages = Rc::new(BlockPages(A::default()).counted());
        let within =
            |name, bytes| Rc::new(Limit::with_budget(pages.clone(), Budget::named(name, bytes)));
        let partials = within("partials", limits.partials);
        let backlog = within("unread replies", limits.buffers / 4 * 3);
        Ok(Self { limits, partials, backlog })
    }

    fn source(&self) -> Self::Source {
        self.backlog.clone()
    }

    fn unread(&self) -> Budget {
        self.backlog.budget().clone()
    }

    fn inbox(&self) -> Result<Self::Inbox, PageError> {
        Ok(PageInbox::new(self.partials.clone(), self.limits.max_frame))
    }

    fn batch(&self) -> BlockBatch<A> {
        BlockBatch { bytes: Vec::new_in(A::default()) }
    }

    fn data(&self) -> A {
        A::default()
    }

    fn table<T>(&self) -> Places<T, A> {
        Places { places: Vec::new_in(A::default()), free: None, count: 0 }
    }

    fn mail() -> A {
        A::default()
    }
}

/// A batch whose replies lie in one vector, which is used again.
#[derive(Debug)]
pub struct BlockBatch<A: Allocator> {
    bytes: Vec<u8, A>,
}

/// Bytes that are kept from one batch to the next.
const KEPT: usize = 1 << 20;

impl<A: Named> Batch for BlockBatch<A> {
    type Scratch<'b> = Lists<A>;
    type Replies<'b> = Filled<'b, A>;

    #[inline]
    fn open(&mut self) -> (Lists<A>, Filled<'_, A>) {
        (Lists(A::default()), Filled { bytes: &mut self.bytes, filled: 0 })
    }

    #[inline]
    fn close(&mut self) {
        if self.bytes.len() > KEPT {
            self.bytes = Vec::new_in(A::default());
        }
    }
}

/// The beginning of a vector: what is behind it is of earlier batches, and is not zeroed again.
#[derive(Debug)]
pub struct Filled<'b, A: Allocator> {
    bytes: &'b mut Vec<u8, A>,
    filled: usize,
}

impl<A: Allocator> Sink for Filled<'_, A> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) -> Result<(), OutOfMemory> {
        let end = self.filled + bytes.len();
        if end > self.bytes.len() {
            let more = end.max(2 * self.bytes.len()) - self.bytes.len();
            self.bytes.try_reserve_exact(more).map_err(|_| OutOfMemory)?;
            self.bytes.resize(self.bytes.len() + more, 0);
        }
        self.bytes[self.filled..end].copy_from_slice(bytes);
        self.filled = end;
        Ok(())
    }

    #[inline]
    fn next(&mut self, len: usize) -> Option<&mut [u8]> {
        let room = self.bytes[self.filled..].get_mut(..len)?;
        self.filled += len;
        Some(room)
    }

    #[inline]
    fn len(&self) -> usize {
        self.filled
    }

    #[inline]
    fn truncate(&mut self, len: usize) {
        self.filled = self.filled.min(len);
    }

    #[inline]
    fn one_piece(&self) -> Option<&[u8]> {
        Some(&self.bytes[..self.filled])
    }

    #[inline]
    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(&self.bytes[..self.filled])
    }
}

/// Lists of the allocator.
#[derive(Clone, Copy, Debug)]
pub struct Lists<A>(A);

impl<A: Named> Scratch for Lists<A> {
    type List<T: Copy + Default + 'static> = Vec<T, A>;

    #[inline]
    fn list<T: Copy + Default + 'static>(self, _: usize) -> Vec<T, A> {
        Vec::new_in(self.0)
    }

    fn observe(self, _: &mut dyn FnMut(&str, u64)) {}
}

impl<T: Copy + Default, A: Allocator> List<T> for Vec<T, A> {
    #[inline]
    fn push(&mut self, item: T) -> Result<(), OutOfMemory> {
        self.try_reserve(1).map_err(|_| OutOfMemory)?;
        Vec::push(self, item);
        Ok(())
    }

    #[inline]
    fn extend(&mut self, items: &[T]) -> Result<(), OutOfMemory> {
        self.try_reserve(items.len()).map_err(|_| OutOfMemory)?;
        // Not `extend_from_slice`, which goes item by item in this vector.
        let len = self.len();
        self.resize(len + items.len(), T::default());
        self[len..].copy_from_slice(items);
        Ok(())
    }

    #[inline]
    fn clear(&mut self) {
        Vec::clear(self);
    }
}

/// A table of places in one vector; the free ones are linked. As in a `Slab`, tokens are indices.
#[derive(Debug)]
pub struct Places<T, A: Allocator> {
    places: Vec<Place<T>, A>,
    free: Option<usize>,
    count: usize,
}

#[derive(Debug)]
enum Place<T> {
    Taken(T),
    /// And the next free one.
    Free(Option<usize>),
}

impl<T, A: Allocator> Table<T> for Places<T, A> {
    fn insert_with<E: From<OutOfMemory>>(
        &mut self,
        make: impl FnOnce(usize) -> Result<T, E>,
    ) -> Result<usize, E> {
        let token = self.free.unwrap_or(self.places.len());
        if self.free.is_none() {
            self.places.try_reserve(1).map_err(|_| OutOfMemory)?;
        }
        let taken = Place::Taken(make(token)?);
        match self.places.get_mut(token) {
            Some(place) => {
                if let Place::Free(next) = std::mem::replace(place, taken) {
                    self.free = next;
                }
            }
            None => self.places.push(taken),
        }
        self.count += 1;
        Ok(token)
    }

    fn get(&self, token: usize) -> Option<&T> {
        match self.places.get(token)? {
            Place::Taken(thing) => Some(thing),
            Place::Free(_) => None,
        }
    }

    fn get_mut(&mut self, token: usize) -> Option<&mut T> {
        match self.places.get_mut(token)? {
            Place::Taken(thing) => Some(thing),
            Place::Free(_) => None,
        }
    }

    fn remove(&mut self, token: usize) -> Option<T> {
        let place = self.places.get_mut(token)?;
        match std::mem::replace(place, Place::Free(self.free)) {
            Place::Taken(thing) => {
                self.free = Some(token);
                self.count -= 1;
                Some(thing)
            }
            free @ Place::Free(_) => {
                *place = free;
                None
            }
        }
    }

    fn count(&self) -> usize {
        self.count
    }

    fn for_each(&mut self, mut visit: impl FnMut(usize, &mut T)) {
        for (token, place) in self.places.iter_mut().enumerate() {
            if let Place::Taken(thing) = place {
                visit(token, thing);
            }
        }
    }

    fn trim(&mut self) {
        while matches!(self.places.last(), Some(Place::Free(_))) {
            self.places.pop();
        }
        self.places.shrink_to_fit();
        self.free = None;
        for token in (0..self.places.len()).rev() {
            if matches!(self.places[token], Place::Free(_)) {
                self.places[token] = Place::Free(self.free.replace(token));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use allocator_api2::alloc::Global;

    impl Named for Global {
        const NAME: &'static str = "global";
    }

    #[test]
    fn replies_of_a_batch_begin_at_the_beginning() {
        let mut batch = BlockBatch { bytes: Vec::new_in(Global) };
        for round in 0..3 {
            let (lists, mut replies) = batch.open();
            let mut list = lists.list::<u32>(0);
            for number in 0..1000_u32 {
                replies.put(&number.to_le_bytes()).unwrap();
                List::extend(&mut list, &[number, round]).unwrap();
            }
            replies.truncate(8);
            assert_eq!(replies.one_piece(), Some(&[0, 0, 0, 0, 1, 0, 0, 0][..]));
            assert_eq!(list.as_slice()[1998..], [999, round]);
            batch.close();
        }
    }

    #[test]
    fn pages_come_from_the_allocator() {
        let pages = BlockPages(Global).counted();
        let mut bytes = (&pages).pages(100).unwrap().into_bytes();
        bytes.fill(1);
        assert_eq!(bytes.len(), 64 << 10);
        drop(bytes);
        assert!(pages.acquire(pool_core::Request::new(1 << 60)).is_err());
    }

    pub(super) fn empty<T>() -> Places<T, Global> {
        Places { places: Vec::new_in(Global), free: None, count: 0 }
    }

    #[test]
    fn places_are_used_again() {
        let mut table = empty();
        let insert = |table: &mut Places<char, Global>, thing| {
            table.insert_with(|_| Ok::<_, OutOfMemory>(thing)).unwrap()
        };
        let tokens: std::vec::Vec<_> = ('a'..'f').map(|thing| insert(&mut table, thing)).collect();
        for token in [tokens[1], tokens[4], tokens[3]] {
            assert!(table.remove(token).is_some() && table.remove(token).is_none());
        }
        table.trim();
        assert_eq!((table.count(), table.places.len()), (2, 3));
        assert_eq!((insert(&mut table, 'x'), insert(&mut table, 'y')), (1, 3));
        assert_eq!(table.get(1), Some(&'x'));
        assert_eq!(table.get(4), None);
    }
}
