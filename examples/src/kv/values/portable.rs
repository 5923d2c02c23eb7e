//! Values on their way from one thread's memory to another's.
#![forbid(unsafe_code)]

use super::{Hash, List, Many, Set, Sorted, Value};
use crate::kv::memory::{Data, Room};
use crate::kv::reply::OutOfMemory;

/// A copy of a value that belongs to no store: of plain memory, so that it may go to another thread. Only
/// commands that move a value between keys of two threads need it.
#[derive(Debug, PartialEq)]
pub enum Portable {
    /// Bytes.
    Text(Vec<u8>),
    /// Elements in order.
    List(Vec<Vec<u8>>),
    /// Fields with values, and whether Redis would pack them.
    Hash(Vec<(Vec<u8>, Vec<u8>)>, bool),
    /// Elements, and whether all are numbers.
    Set(Vec<Vec<u8>>, bool),
    /// Elements with scores, and whether Redis would pack them.
    Sorted(Vec<(Vec<u8>, f64)>, bool),
}

/// Bytes that an element takes besides its own: its vector, its score, and what its block has more.
const ELEMENT: usize = 48;

/// Copies bytes, as long as they are no more than a limit.
struct Copier {
    /// Bytes that may still be copied.
    left: usize,
}

impl Copier {
    /// A copy of `bytes`.
    fn copy(&mut self, bytes: &[u8]) -> Result<Vec<u8>, OutOfMemory> {
        let cost = bytes.len().saturating_add(ELEMENT);
        self.left = self.left.checked_sub(cost).ok_or(OutOfMemory)?;
        let mut copy = Vec::new();
        copy.try_reserve_exact(bytes.len()).map_err(|_| OutOfMemory)?;
        copy.extend_from_slice(bytes);
        Ok(copy)
    }

    /// What `copy` makes of each of so many.
    fn all<T, U>(
        &mut self,
        count: usize,
        items: impl Iterator<Item = T>,
        copy: impl Fn(&mut Self, T) -> Result<U, OutOfMemory>,
    ) -> Result<Vec<U>, OutOfMemory> {
        if count.checked_mul(ELEMENT).is_none_or(|least| least > self.left) {
            return Err(OutOfMemory);
        }
        let mut all = Vec::new();
        all.try_reserve_exact(count).map_err(|_| OutOfMemory)?;
        for item in items {
            all.push(copy(self, item)?);
        }
        Ok(all)
    }
}

impl<D: Data> Value<D> {
    /// A copy for another thread, and how many bytes it takes. O(elements).
    ///
    /// # Errors
    /// [`OutOfMemory`] if it would take more than `most` bytes, or there is no memory.
    pub fn export(&self, most: usize) -> Result<(Portable, usize), OutOfMemory> {
        let mut copier = Copier { left: most };
        let copy = self.copy_by(&mut copier)?;
        Ok((copy, most - copier.left))
    }

    fn copy_by(&self, copier: &mut Copier) -> Result<Portable, OutOfMemory> {
        let many = match self {
            Self::Text(bytes) => return Ok(Portable::Text(copier.copy(bytes)?)),
            Self::Many(many) => &**many,
        };
        Ok(match many {
            Many::List(list) => {
                let (len, elements) = (list.len(), list.range(0, list.len()));
                Portable::List(copier.all(len, elements, Copier::copy)?)
            }
            Many::Hash(hash) => {
                let fields = hash.items();
                let pairs = copier.all(fields.len(), fields.iter(), |copier, (field, value)| {
                    Ok((copier.copy(field)?, copier.copy(value)?))
                });
                Portable::Hash(pairs?, hash.is_packed())
            }
            Many::Set(set) => {
                let items = set.items();
                let elements = copier
                    .all(items.len(), items.iter(), |copier, (element, ())| copier.copy(element));
                Portable::Set(elements?, set.is_of_numbers())
            }
            Many::Sorted(sorted) => {
                let items = sorted.items();
                let pairs = copier.all(items.len(), items.iter(), |copier, (element, score)| {
                    Ok((copier.copy(element)?, *score))
                });
                Portable::Sorted(pairs?, sorted.is_packed())
            }
        })
    }

    /// A value of this store that is as `value`. O(elements).
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing is charged then.
    pub fn import(value: &Portable, room: &Room<D>) -> Result<Self, OutOfMemory> {
        let many = match value {
            Portable::Text(bytes) => return Ok(Self::Text(room.store(bytes, 0)?)),
            Portable::List(elements) => {
                let mut list = List::new(room);
                let filled = elements.iter().try_for_each(|bytes| list.push(false, bytes, room));
                whole(filled, Many::List(list), room)?
            }
            Portable::Hash(fields, packed) => {
                let mut hash = Hash::new(room);
                let filled = fields.iter().try_for_each(|(field, value)| {
                    hash.set(field, value, room)?;
                    Ok(())
                });
                hash.set_packed(*packed);
                whole(filled, Many::Hash(hash), room)?
            }
            Portable::Set(elements, numbers) => {
                let mut set = Set::new(room);
                let filled = elements.iter().try_for_each(|element| {
                    set.add(element, room)?;
                    Ok(())
                });
                set.set_of_numbers(*numbers);
                whole(filled, Many::Set(set), room)?
            }
            Portable::Sorted(elements, packed) => {
                let mut sorted = Sorted::new(room);
                let filled = elements.iter().try_for_each(|(element, score)| {
                    sorted.set(element, *score, room)?;
                    Ok(())
                });
                sorted.set_packed(*packed);
                whole(filled, Many::Sorted(sorted), room)?
            }
        };
        Self::boxed(many, room)
    }
}

/// `many` if it was filled; else it ends.
fn whole<D: Data>(
    filled: Result<(), OutOfMemory>,
    many: Many<D>,
    room: &Room<D>,
) -> Result<Many<D>, OutOfMemory> {
    match filled {
        Ok(()) => Ok(many),
        Err(error) => {
            many.discard(room);
            Err(error)
        }
    }
}
