//! `Key`: which slot, and which of its tenants.
#![forbid(unsafe_code)]

use crate::table::live::LIVE;
use core::fmt;
use core::num::NonZeroU64;

/// Names one value of a [`SlotTable`](crate::SlotTable): a slot's index and the *generation* of its
/// tenant. Eight bytes, and so is `Option<Key>`.
///
/// It goes through whatever hands a number back: a mio `Token`, epoll's `data`, `user_data` of
/// io_uring. An event that comes late, for a connection that is gone, finds nothing.
///
/// ```
/// use pool_object::{Key, SlotTable};
/// let mut connections = SlotTable::new();
/// let key = connections.insert("first");
/// let token: u64 = key.to_u64();
///
/// connections.remove(key);
/// let other = connections.insert("second"); // in the same slot
/// let late = Key::from_u64(token).unwrap();
/// assert_eq!(connections.get(late), None);
/// assert_eq!(connections.get(other), Some(&"second"));
/// assert_eq!(size_of::<Option<Key>>(), 8);
/// ```
///
/// A key is a number and nothing more. One that comes from another table, or that somebody
/// made up, may name some value or none; tables begin at different generations, which makes the
/// former unlikely.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Key(
    /// Generation in the upper half, `LIVE`; index in the lower.
    NonZeroU64,
);

impl Key {
    #[inline(always)]
    pub(crate) const fn new(generation: u32, index: u32) -> Self {
        // In the narrow half, where it takes one instruction; the branch goes away.
        let bits = ((generation | LIVE) as u64) << 32 | index as u64;
        match NonZeroU64::new(bits) {
            Some(bits) => Self(bits),
            None => unreachable!(),
        }
    }

    /// The key as a number, never 0.
    ///
    /// ```
    /// # let mut table = pool_object::SlotTable::new();
    /// # let key = table.insert(1);
    /// assert_eq!(pool_object::Key::from_u64(key.to_u64()), Some(key));
    /// ```
    #[inline(always)]
    #[must_use]
    pub const fn to_u64(self) -> u64 {
        self.0.get()
    }

    /// The key that [`to_u64`](Self::to_u64) made a number of. `None` if it can have been none.
    #[inline(always)]
    #[must_use]
    pub const fn from_u64(bits: u64) -> Option<Self> {
        match NonZeroU64::new(bits) {
            Some(bits) if bits.get() >> 32 & LIVE as u64 != 0 => Some(Self(bits)),
            _ => None,
        }
    }

    /// The slot's number: dense enough to index a table of one's own beside this one. Values that
    /// live at the same time have different ones.
    #[inline(always)]
    #[must_use]
    pub const fn index(self) -> u32 {
        self.0.get() as u32
    }

    /// The tenant's number in its slot, below 2³¹.
    #[inline(always)]
    #[must_use]
    pub const fn generation(self) -> u32 {
        self.live_generation() & !LIVE
    }

    /// What a slot has for a generation while the key's tenant is there.
    #[inline(always)]
    pub(crate) const fn live_generation(self) -> u32 {
        (self.0.get() >> 32) as u32
    }

    /// The key and `BITS` bits of the caller's own (say, which operation has finished) in one
    /// number. The bits are taken from the index, so they cost nothing, and it is `None` if the
    /// index needs them: with `BITS` 8, from 16 million slots on. `None`, too, if `tag` has
    /// more than `BITS` bits.
    ///
    /// ```
    /// use pool_object::{Key, SlotTable};
    /// const READ: u32 = 1;
    /// let mut table = SlotTable::new();
    /// let key = table.insert("connection");
    /// let user_data = key.with_tag::<8>(READ).unwrap();
    /// assert_eq!(Key::split_tag::<8>(user_data), Some((key, READ)));
    /// assert_eq!(key.with_tag::<8>(256), None);
    /// ```
    #[inline]
    #[must_use]
    pub const fn with_tag<const BITS: u32>(self, tag: u32) -> Option<u64> {
        const { assert!(BITS >= 1 && BITS <= 24, "a tag has 1 to 24 bits") };
        if self.index() >> (32 - BITS) != 0 || tag >> BITS != 0 {
            return None;
        }
        Some(self.to_u64() | (tag as u64) << (32 - BITS))
    }

    /// What [`with_tag`](Self::with_tag) put together. `None` if there is no key in it.
    #[inline]
    #[must_use]
    pub const fn split_tag<const BITS: u32>(bits: u64) -> Option<(Self, u32)> {
        const { assert!(BITS >= 1 && BITS <= 24, "a tag has 1 to 24 bits") };
        let mask = ((1u64 << BITS) - 1) << (32 - BITS);
        match Self::from_u64(bits & !mask) {
            Some(key) => Some((key, ((bits & mask) >> (32 - BITS)) as u32)),
            None => None,
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}g{})", self.index(), self.generation())
    }
}

impl From<Key> for u64 {
    fn from(key: Key) -> Self {
        key.to_u64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_and_numbers() {
        assert_eq!(size_of::<Option<Key>>(), 8);
        for generation in [1, 2, u32::MAX >> 1] {
            for index in [0, 1, u32::MAX] {
                let key = Key::new(generation, index);
                assert_eq!((key.generation(), key.index()), (generation, index));
                assert_eq!(Key::from_u64(key.to_u64()), Some(key));
            }
        }
        for none in [0, 1, u32::MAX as u64, 2 << 32, u64::MAX >> 1] {
            assert_eq!(Key::from_u64(none), None);
        }
        assert_eq!(std::format!("{:?}", Key::new(3, 7)), "Key(7g3)");
    }

    #[test]
    fn tags_take_bits_that_are_not_needed() {
        let key = Key::new(5, (1 << 24) - 1);
        for tag in [0, 1, 255] {
            assert_eq!(Key::split_tag::<8>(key.with_tag::<8>(tag).unwrap()), Some((key, tag)));
        }
        assert_eq!(key.with_tag::<8>(256), None);
        assert_eq!(Key::new(5, 1 << 24).with_tag::<8>(0), None);
        assert_eq!(
            Key::new(5, 1 << 24).with_tag::<7>(127).map(Key::split_tag::<7>),
            Some(Some((Key::new(5, 1 << 24), 127)))
        );
        assert_eq!(Key::split_tag::<8>(0xff00_0000), None);
    }
}
