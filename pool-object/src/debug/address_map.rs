//! A map from addresses to facts, in pages of its own: it may stand in an allocator that is the
//! global one. A storage file.

use core::marker::PhantomData;
use pool_core::{Global, PageError, PageSource, Pages};

/// Open addressing with linear probing, at most half full.
#[derive(Debug)]
pub(crate) struct AddressMap<V> {
    /// At least `slots` initialised slots stand at its start.
    pages: Option<Pages<Global>>,
    /// 0 or a power of two.
    slots: usize,
    len: usize,
    marker: PhantomData<V>,
}

/// Free if the address is 0.
#[derive(Clone, Copy)]
struct Slot<V> {
    address: usize,
    value: V,
}

impl<V: Copy + Default> AddressMap<V> {
    pub(crate) const fn new() -> Self {
        Self { pages: None, slots: 0, len: 0, marker: PhantomData }
    }

    fn all(&mut self) -> &mut [Slot<V>] {
        let Some(pages) = &mut self.pages else { return &mut [] };
        let first = pages.as_mut_ptr().cast().as_ptr();
        // SAFETY: by the invariant of `pages` so many initialised slots stand there, aligned to a
        // page; `&mut self` makes the borrow exclusive.
        unsafe { core::slice::from_raw_parts_mut(first, self.slots) }
    }

    /// The slot of an address, or the free one where it would go.
    fn find(&mut self, address: usize) -> Option<&mut Slot<V>> {
        let mask = self.slots.checked_sub(1)?;
        let mut index = home(address, mask);
        let slots = self.all();
        while slots[index].address != address && slots[index].address != 0 {
            index = (index + 1) & mask;
        }
        Some(&mut slots[index])
    }

    pub(crate) fn get(&mut self, address: usize) -> Option<&mut V> {
        self.find(address).filter(|slot| slot.address != 0).map(|slot| &mut slot.value)
    }

    /// Notes `value` at an address that is not 0, in place of what was there.
    pub(crate) fn insert(&mut self, address: usize, value: V) -> Result<(), PageError> {
        if 2 * (self.len + 1) > self.slots {
            self.grow()?;
        }
        if let Some(slot) = self.find(address) {
            let new = slot.address == 0;
            *slot = Slot { address, value };
            self.len += usize::from(new);
        }
        Ok(())
    }

    fn grow(&mut self) -> Result<(), PageError> {
        let slots = (2 * self.slots).max(64);
        let mut pages = Global.pages(slots * size_of::<Slot<V>>())?;
        let first = pages.as_mut_ptr().cast::<Slot<V>>();
        for index in 0..slots {
            // SAFETY: so many slots fit into the pages.
            let slot = unsafe { first.add(index) };
            // SAFETY: in the pages, which are ours, and aligned.
            unsafe { slot.write(Slot { address: 0, value: V::default() }) };
        }
        let mut old = core::mem::replace(
            self,
            Self { pages: Some(pages), slots, len: 0, marker: PhantomData },
        );
        for slot in old.all().iter().filter(|slot| slot.address != 0) {
            self.insert(slot.address, slot.value)?;
        }
        Ok(())
    }

    pub(crate) fn remove(&mut self, address: usize) -> Option<V> {
        let mask = self.slots.checked_sub(1)?;
        let mut hole = home(address, mask);
        let slots = self.all();
        while slots[hole].address != address {
            if slots[hole].address == 0 {
                return None;
            }
            hole = (hole + 1) & mask;
        }
        let value = slots[hole].value;
        // Whoever stands behind the hole, and would be looked for at or before it, moves into it.
        let mut index = (hole + 1) & mask;
        while slots[index].address != 0 {
            let wanted = home(slots[index].address, mask);
            if index.wrapping_sub(wanted) & mask >= index.wrapping_sub(hole) & mask {
                slots[hole] = slots[index];
                hole = index;
            }
            index = (index + 1) & mask;
        }
        slots[hole].address = 0;
        self.len -= 1;
        Some(value)
    }

    /// What is noted, in no order.
    pub(crate) fn iter(&mut self) -> impl Iterator<Item = (usize, &mut V)> {
        let slots = self.all().iter_mut().filter(|slot| slot.address != 0);
        slots.map(|slot| (slot.address, &mut slot.value))
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }
}

/// Where the search for an address begins.
fn home(address: usize, mask: usize) -> usize {
    // Fibonacci hashing; the upper half has the mixed bits.
    let mixed = ((address >> 3) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    mixed as usize & mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn it_is_a_map() {
        let (mut ours, mut model, mut seed) = (AddressMap::new(), BTreeMap::new(), 5u64);
        let steps = if cfg!(miri) { 150 } else { 20_000u32 };
        for step in 0..steps {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let address = 8 * ((seed >> 40) as usize % 500 + 1);
            if seed >> 61 < 5 {
                ours.insert(address, step).unwrap();
                model.insert(address, step);
            } else {
                assert_eq!(ours.remove(address), model.remove(&address));
            }
            assert_eq!(ours.get(address).copied(), model.get(&address).copied());
            assert_eq!(ours.len(), model.len());
        }
        let all: BTreeMap<_, _> = ours.iter().map(|(address, value)| (address, *value)).collect();
        assert_eq!(all, model);
    }
}
