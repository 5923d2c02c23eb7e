//! `Slots`: a fixed number of places for values, on pages of a source.

use core::mem::MaybeUninit;
use pool_core::{PageError, PageSource, Pages, Request};

/// No slot.
pub(crate) const NONE: u32 = u32::MAX;

/// Up to a fixed number of `T`s, each with a number for as long as it is in.
pub(crate) struct Slots<T, S: PageSource> {
    /// Long enough for `capacity` slots and aligned for them.
    pages: Pages<S>,
    capacity: u32,
    /// Slots below this were handed out at least once, so they are initialised.
    carved: u32,
    /// The free slot given back last.
    free: u32,
    len: u32,
    _owns: core::marker::PhantomData<T>,
}

/// What a slot holds.
enum Slot<T> {
    Full(T),
    /// The next free one.
    Free(u32),
}

// SAFETY: `Slots` owns its `T`s and its pages; both may move if they are `Send`.
unsafe impl<T: Send, S: PageSource + Send> Send for Slots<T, S> {}
// SAFETY: `&Slots` reads slots and gives `&T`; nothing changes through it.
unsafe impl<T: Sync, S: PageSource + Sync> Sync for Slots<T, S> {}

impl<T, S: PageSource> Slots<T, S> {
    /// Room for `capacity` values, at least one.
    pub(crate) fn new(source: S, capacity: u32) -> Result<Self, PageError> {
        let capacity = capacity.clamp(1, NONE - 1);
        let asked = size_of::<Slot<T>>().saturating_mul(capacity as usize);
        let request = Request::new(asked).align(align_of::<Slot<T>>());
        let pages = Pages::new(source, request)?;
        let _owns = core::marker::PhantomData;
        Ok(Self { pages, capacity, carved: 0, free: NONE, len: 0, _owns })
    }

    /// Bytes of its pages.
    pub(crate) const fn bytes(&self) -> usize {
        self.pages.len()
    }

    /// Values in it.
    pub(crate) const fn len(&self) -> usize {
        self.len as usize
    }

    /// The slots that were ever used.
    fn slots(&self) -> &[Slot<T>] {
        let first = self.pages.as_ptr().cast().as_ptr();
        // SAFETY: the run is owned, aligned and long enough by `new`, and its first `carved` slots
        // are initialised; `&self` allows no writes as long as the slice lives.
        unsafe { core::slice::from_raw_parts(first, self.carved as usize) }
    }

    /// The same, to be changed.
    fn slots_mut(&mut self) -> &mut [Slot<T>] {
        let first = self.pages.as_mut_ptr().cast().as_ptr();
        // SAFETY: as above, and `&mut self` makes it exclusive.
        unsafe { core::slice::from_raw_parts_mut(first, self.carved as usize) }
    }

    /// Puts a value in; gives it back if there is no room.
    pub(crate) fn insert(&mut self, value: T) -> Result<u32, T> {
        let index = self.free;
        if index != NONE {
            let slot = &mut self.slots_mut()[index as usize];
            if let Slot::Free(next) = core::mem::replace(slot, Slot::Full(value)) {
                self.free = next;
            }
        } else if self.carved < self.capacity {
            return Ok(self.carve(value));
        } else {
            return Err(value);
        }
        self.len += 1;
        Ok(index)
    }

    /// Puts a value into a slot that was never used.
    fn carve(&mut self, value: T) -> u32 {
        let index = self.carved;
        let first = self.pages.as_mut_ptr().cast::<MaybeUninit<Slot<T>>>();
        // SAFETY: `carved` is below `capacity`, so the slot lies within the run.
        let mut slot = unsafe { first.add(index as usize) };
        // SAFETY: within the run, aligned, exclusively borrowed; `MaybeUninit` may hold anything.
        let slot = unsafe { slot.as_mut() };
        slot.write(Slot::Full(value));
        self.carved += 1;
        self.len += 1;
        index
    }

    /// Takes a value out.
    pub(crate) fn remove(&mut self, index: u32) -> Option<T> {
        let free = self.free;
        let slot = self.slots_mut().get_mut(index as usize)?;
        if matches!(slot, Slot::Free(_)) {
            return None;
        }
        let old = core::mem::replace(slot, Slot::Free(free));
        self.free = index;
        self.len -= 1;
        match old {
            Slot::Full(value) => Some(value),
            Slot::Free(_) => None,
        }
    }

    /// A value.
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        match self.slots().get(index as usize)? {
            Slot::Full(value) => Some(value),
            Slot::Free(_) => None,
        }
    }

    /// A value, to be changed.
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        match self.slots_mut().get_mut(index as usize)? {
            Slot::Full(value) => Some(value),
            Slot::Free(_) => None,
        }
    }
}

impl<T, S: PageSource> Drop for Slots<T, S> {
    fn drop(&mut self) {
        if core::mem::needs_drop::<T>() {
            let slots: *mut [Slot<T>] = self.slots_mut();
            // SAFETY: all of them are initialised, and nobody uses them afterwards: the pages go
            // back next, as they are.
            unsafe { slots.drop_in_place() };
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use pool_core::Heap;
    use std::rc::Rc;

    #[test]
    fn numbers_are_reused_and_values_dropped_once() {
        let heap = Heap::new();
        let value = Rc::new(7);
        let mut slots = Slots::new(&heap, 2).unwrap();
        let first = slots.insert(value.clone()).unwrap();
        let second = slots.insert(value.clone()).unwrap();
        assert!(slots.insert(value.clone()).is_err());
        assert_eq!(Rc::strong_count(&value), 3);
        assert_eq!(slots.remove(first), Some(value.clone()));
        assert_eq!((slots.remove(first), slots.remove(99), slots.get(first)), (None, None, None));
        assert_eq!(slots.insert(value.clone()), Ok(first));
        assert_eq!((slots.len(), slots.get_mut(second).is_some()), (2, true));
        drop(slots);
        assert_eq!(Rc::strong_count(&value), 1);
    }
}
