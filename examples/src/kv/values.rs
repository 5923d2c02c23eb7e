//! What a key may hold: a string, a list, a hash, a set or a sorted set.
//!
//! ```text
//!  Value ─┬─ Text   bytes, beside their key in the store's table
//!         └─ Many ─┬─ List    a ring of elements
//!                  ├─ Hash ┐
//!                  ├─ Set  ├─ Dict: a dense array, and above a few elements a hash table over it
//!                  └─ Sorted, which adds the order: short blocks of places
//! ```
//!
//! Every element is charged to the [`Room`] when it comes and refunded when it goes, with its share
//! of the table around it. Tables grow and shrink with what is in them.
#![forbid(unsafe_code)]

mod dict;
mod hash;
mod list;
mod portable;
mod set;
mod sorted;

pub use dict::Dict;
pub use hash::Hash;
pub use list::List;
pub use portable::Portable;
pub use set::Set;
pub use sorted::{Score, Sorted};

use super::memory::{Bytes, Data, Room};
use super::reply::OutOfMemory;
use allocator_api2::boxed::Box;

/// Most elements of a hash, and of a sorted set, that Redis packs into one string.
const PACKED: usize = 128;

/// Most bytes of an element of such a string.
const PACKED_LEN: usize = 64;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bytes.
    Text,
    /// Elements with two ends.
    List,
    /// Fields with values.
    Hash,
    /// Elements that are there or not.
    Set,
    /// Elements by score.
    Sorted,
}

impl Kind {
    /// What `TYPE` calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::List => "list",
            Self::Hash => "hash",
            Self::Set => "set",
            Self::Sorted => "zset",
        }
    }
}

/// A key's value is of another type than the command needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("WRONGTYPE Operation against a key holding the wrong kind of value")]
pub struct WrongType;

/// What a key holds.
pub enum Value<D: Data> {
    /// Bytes.
    Text(Bytes<D>),
    /// Anything else.
    Many(Box<Many<D>, D>),
}

/// A value of many elements.
pub enum Many<D: Data> {
    /// Elements with two ends.
    List(List<D>),
    /// Fields with values.
    Hash(Hash<D>),
    /// Elements that are there or not.
    Set(Set<D>),
    /// Elements by score.
    Sorted(Sorted<D>),
}

/// Elements of a collection, with what belongs to each.
pub type Items<D, V> = [(Bytes<D>, V)];

/// One of the types of [`Many`].
pub trait Collection<D: Data>: Sized {
    /// An empty one.
    fn empty(room: &Room<D>) -> Many<D>;

    /// `many` as this type, if it is.
    fn of(many: &mut Many<D>) -> Option<&mut Self>;
}

/// Implements [`Collection`] for the type of that variant.
macro_rules! collections {
    ($($name:ident),*) => {$(
        impl<D: Data> Collection<D> for $name<D> {
            fn empty(room: &Room<D>) -> Many<D> {
                Many::$name($name::new(room))
            }

            fn of(many: &mut Many<D>) -> Option<&mut Self> {
                match many {
                    Many::$name(this) => Some(this),
                    _ => None,
                }
            }
        }
    )*};
}

collections!(List, Hash, Set, Sorted);

/// Bytes that a collection takes, its elements apart.
pub(in crate::kv) const fn many_cost<D: Data>() -> usize {
    size_of::<Many<D>>()
}

impl<D: Data> Value<D> {
    /// An empty collection.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn empty<T: Collection<D>>(room: &Room<D>) -> Result<Self, OutOfMemory> {
        Self::boxed(T::empty(room), room)
    }

    /// A collection in a block of its own; if there is no memory it is discarded.
    fn boxed(many: Many<D>, room: &Room<D>) -> Result<Self, OutOfMemory> {
        if room.charge(many_cost::<D>()).is_err() {
            many.discard(room);
            return Err(OutOfMemory);
        }
        match Box::try_new_uninit_in(room.alloc()) {
            Ok(place) => Ok(Self::Many(Box::write(place, many))),
            Err(_) => {
                room.refund(many_cost::<D>());
                many.discard(room);
                Err(OutOfMemory)
            }
        }
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Text(_) => Kind::Text,
            Self::Many(many) => match **many {
                Many::List(_) => Kind::List,
                Many::Hash(_) => Kind::Hash,
                Many::Set(_) => Kind::Set,
                Many::Sorted(_) => Kind::Sorted,
            },
        }
    }

    /// How Redis would keep it, if that follows from what it is; `None` for strings.
    pub fn encoding(&self) -> Option<&'static str> {
        let Self::Many(many) = self else { return None };
        Some(match &**many {
            Many::List(_) => "quicklist",
            Many::Hash(hash) if hash.is_packed() => "listpack",
            Many::Hash(_) => "hashtable",
            Many::Set(set) if set.is_of_numbers() => "intset",
            Many::Set(_) => "hashtable",
            Many::Sorted(sorted) if sorted.is_packed() => "listpack",
            Many::Sorted(_) => "skiplist",
        })
    }

    /// Whether it is a collection without elements, which is the same as none.
    pub fn is_empty_collection(&self) -> bool {
        let Self::Many(many) = self else { return false };
        match &**many {
            Many::List(list) => list.is_empty(),
            Many::Hash(hash) => hash.is_empty(),
            Many::Set(set) => set.is_empty(),
            Many::Sorted(sorted) => sorted.is_empty(),
        }
    }

    /// Bytes it is charged with. O(elements).
    pub fn cost(&self) -> usize {
        match self {
            Self::Text(bytes) => D::block(bytes.len()),
            Self::Many(many) => {
                many_cost::<D>()
                    + match &**many {
                        Many::List(list) => list.cost(),
                        Many::Hash(hash) => hash.cost(),
                        Many::Set(set) => set.cost(),
                        Many::Sorted(sorted) => sorted.cost(),
                    }
            }
        }
    }

    /// A copy of everything in it. O(elements).
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing is charged then.
    pub fn duplicate(&self, room: &Room<D>) -> Result<Self, OutOfMemory> {
        match self {
            Self::Text(bytes) => Ok(Self::Text(room.store(bytes, 0)?)),
            Self::Many(many) => {
                let copy = match &**many {
                    Many::List(list) => Many::List(list.duplicate(room)?),
                    Many::Hash(hash) => Many::Hash(hash.duplicate(room)?),
                    Many::Set(set) => Many::Set(set.duplicate(room)?),
                    Many::Sorted(sorted) => Many::Sorted(sorted.duplicate(room)?),
                };
                Self::boxed(copy, room)
            }
        }
    }

    /// Moves its blocks to places with more neighbours, those of at most `most` elements; how many.
    pub fn relocate(&mut self, most: usize) -> u64 {
        match self {
            Self::Text(bytes) => u64::from(D::relocate(bytes)),
            Self::Many(many) => match &mut **many {
                Many::List(list) if list.len() <= most => list.relocate(),
                Many::Hash(hash) if hash.len() <= most => hash.relocate(),
                Many::Set(set) if set.len() <= most => set.relocate(),
                Many::Sorted(sorted) if sorted.len() <= most => sorted.relocate(),
                _ => 0,
            },
        }
    }

    /// Ends it, and takes its charges back. O(elements).
    #[inline]
    pub fn discard(self, room: &Room<D>) {
        match self {
            Self::Text(bytes) => room.discard(bytes, 0),
            Self::Many(many) => Self::discard_many(many, room),
        }
    }

    #[cold]
    #[inline(never)]
    fn discard_many(many: Box<Many<D>, D>, room: &Room<D>) {
        room.refund(many_cost::<D>());
        Box::into_inner(many).discard(room);
    }
}

impl<D: Data> Many<D> {
    fn discard(self, room: &Room<D>) {
        match self {
            Self::List(list) => list.discard(room),
            Self::Hash(hash) => hash.discard(room),
            Self::Set(set) => set.discard(room),
            Self::Sorted(sorted) => sorted.discard(room),
        }
    }
}
