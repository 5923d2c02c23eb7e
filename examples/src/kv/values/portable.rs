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

impl<D: Data> Value<D> {
    /// A copy for another thread. O(elements).
    pub fn export(&self) -> Portable {
        let many = match self {
            Self::Text(bytes) => return Portable::Text(bytes.to_vec()),
            Self::Many(many) => &**many,
        };
        match many {
            Many::List(list) => {
                Portable::List(list.range(0, list.len()).map(<[u8]>::to_vec).collect())
            }
            Many::Hash(hash) => {
                let fields = hash.items().iter();
                let pairs = fields.map(|(field, value)| (field.to_vec(), value.to_vec()));
                Portable::Hash(pairs.collect(), hash.is_packed())
            }
            Many::Set(set) => {
                let elements = set.items().iter().map(|(element, ())| element.to_vec());
                Portable::Set(elements.collect(), set.is_of_numbers())
            }
            Many::Sorted(sorted) => {
                let pairs =
                    sorted.items().iter().map(|(element, score)| (element.to_vec(), *score));
                Portable::Sorted(pairs.collect(), sorted.is_packed())
            }
        }
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
