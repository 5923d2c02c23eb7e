//! Sorted sets: elements by score.
#![forbid(unsafe_code)]

use super::{Dict, PACKED, PACKED_LEN};
use crate::kv::memory::{Bytes, Data, Room};
use crate::kv::reply::OutOfMemory;
use allocator_api2::vec::Vec;
use std::cmp::Ordering;

/// Where an element stands; never NaN. Both zeros are the same.
pub type Score = f64;

/// Elements of a block; half as many when a full one is split.
const BLOCK: usize = 128;

/// Elements by score, and by their bytes where scores are the same.
pub struct Sorted<D: Data> {
    scores: Dict<Score, D>,
    /// Places in `scores` in order: blocks of at most [`BLOCK`], none of them empty. To add or to
    /// remove moves half a block, and where a block comes or goes the list of them: for a million
    /// elements that is a fraction of what a balanced tree would take of memory, and as fast.
    order: Vec<Vec<u32, D>, D>,
    /// Whether Redis would still pack it into one string.
    packed: bool,
}

impl<D: Data> Sorted<D> {
    /// An empty one.
    pub fn new(room: &Room<D>) -> Self {
        let order = Vec::new_in(room.alloc());
        Self { scores: Dict::new(room), order, packed: true }
    }

    /// Bytes of the order that an element is charged with.
    #[must_use]
    pub const fn share() -> usize {
        8
    }

    /// Elements.
    pub fn len(&self) -> usize {
        self.scores.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.scores.is_empty()
    }

    /// Whether it was always short, in elements and in bytes of each.
    pub const fn is_packed(&self) -> bool {
        self.packed
    }

    /// Says whether it is packed: of one that comes from elsewhere.
    pub(super) const fn set_packed(&mut self, packed: bool) {
        self.packed = packed;
    }

    /// The score of an element.
    pub fn score(&self, element: &[u8], room: &Room<D>) -> Option<Score> {
        let place = self.scores.find(element, room)?;
        Some(self.scores.items()[place].1)
    }

    /// Where the element at `place` stands to another.
    fn compare(&self, place: u32, score: Score, element: &[u8]) -> Ordering {
        let (name, present) = &self.scores.items()[place as usize];
        let by_score = present.partial_cmp(&score).unwrap_or(Ordering::Equal);
        by_score.then_with(|| (**name).cmp(element))
    }

    /// The block and the place in it where an element stands, or would stand.
    fn position(&self, score: Score, element: &[u8]) -> (usize, usize) {
        let before = |place: u32| self.compare(place, score, element) == Ordering::Less;
        let block = self.order.partition_point(|block| block.last().is_some_and(|&at| before(at)));
        let inside =
            self.order.get(block).map_or(0, |block| block.partition_point(|&at| before(at)));
        (block, inside)
    }

    /// Sets the score of an element; whether it is new.
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing has changed.
    pub fn set(
        &mut self,
        element: &[u8],
        score: Score,
        room: &Room<D>,
    ) -> Result<bool, OutOfMemory> {
        // What Redis packs is no longer a floating-point number then.
        let packs = self.packed && element.len() <= PACKED_LEN && self.len() < PACKED;
        let score = if packs && score == 0.0 { 0.0 } else { score };
        match self.scores.find(element, room) {
            Some(place) => self.move_to(place, element, score, room).map(|()| false),
            None => self.add(element, score, room).map(|()| true),
        }
    }

    fn add(&mut self, element: &[u8], score: Score, room: &Room<D>) -> Result<(), OutOfMemory> {
        room.charge(Self::share())?;
        let added = self.make_room(score, element, room).and_then(|position| {
            let place = self.scores.len() as u32;
            self.scores.insert(element, score, room).map_err(|(error, _)| error)?;
            Ok((place, position))
        });
        match added {
            Ok((place, (block, inside))) => {
                self.order[block].insert(inside, place);
                self.packed &= element.len() <= PACKED_LEN && self.len() <= PACKED;
                Ok(())
            }
            Err(error) => {
                room.refund(Self::share());
                self.order.retain(|block| !block.is_empty());
                Err(error)
            }
        }
    }

    fn move_to(
        &mut self,
        place: usize,
        element: &[u8],
        score: Score,
        room: &Room<D>,
    ) -> Result<(), OutOfMemory> {
        let (block, inside) = self.make_room(score, element, room)?;
        let old = self.scores.items()[place].1;
        let (old_block, mut old_inside) = self.position(old, element);
        self.order[block].insert(inside, place as u32);
        old_inside += usize::from(old_block == block && inside <= old_inside);
        self.take_at(old_block, old_inside);
        if let Some(present) = self.scores.value_mut(place) {
            *present = score;
        }
        Ok(())
    }

    /// Where an element is to be put, with room for it. Blocks may have been split, and the only one
    /// may be empty.
    fn make_room(
        &mut self,
        score: Score,
        element: &[u8],
        room: &Room<D>,
    ) -> Result<(usize, usize), OutOfMemory> {
        self.order.try_reserve(1).map_err(|_| OutOfMemory)?;
        if self.order.is_empty() {
            self.order.push(Vec::new_in(room.alloc()));
        }
        let (mut block, mut inside) = self.position(score, element);
        if block == self.order.len() {
            block -= 1;
            inside = self.order[block].len();
        }
        if self.order[block].len() == BLOCK {
            let mut upper = Vec::new_in(room.alloc());
            upper.try_reserve_exact(BLOCK).map_err(|_| OutOfMemory)?;
            upper.extend(self.order[block].drain(BLOCK / 2..));
            self.order.insert(block + 1, upper);
            if inside > BLOCK / 2 {
                (block, inside) = (block + 1, inside - BLOCK / 2);
            }
        }
        self.order[block].try_reserve(1).map_err(|_| OutOfMemory)?;
        Ok((block, inside))
    }

    /// Takes a place out of the order.
    fn take_at(&mut self, block: usize, inside: usize) {
        self.order[block].remove(inside);
        if self.order[block].is_empty() {
            self.order.remove(block);
        }
    }

    /// Removes an element; its score, if it was there.
    pub fn remove(&mut self, element: &[u8], room: &Room<D>) -> Option<Score> {
        let place = self.scores.find(element, room)?;
        let score = self.scores.items()[place].1;
        let (block, inside) = self.position(score, element);
        self.remove_at(place, block, inside, room);
        Some(score)
    }

    /// Removes the element that is [first](Self::first), if there is one.
    pub fn remove_first(&mut self, room: &Room<D>) {
        if let Some(&place) = self.order.first().and_then(|block| block.first()) {
            self.remove_at(place as usize, 0, 0, room);
        }
    }

    fn remove_at(&mut self, place: usize, block: usize, inside: usize, room: &Room<D>) {
        self.take_at(block, inside);
        let last = self.len() - 1;
        if place < last {
            // The last element is about to move into the hole.
            let (name, score) = &self.scores.items()[last];
            let (block, inside) = self.position(*score, name);
            self.order[block][inside] = place as u32;
        }
        self.scores.remove_at(place, false, room);
        room.refund(Self::share());
    }

    /// The element with the lowest score.
    pub fn first(&self) -> Option<&(Bytes<D>, Score)> {
        let place = *self.order.first()?.first()?;
        self.items().get(place as usize)
    }

    /// All elements, in no order.
    pub fn items(&self) -> &[(Bytes<D>, Score)] {
        self.scores.items()
    }

    /// Elements from rank `start` to before `end`, from the lowest score on or from the highest.
    pub fn range(
        &self,
        start: usize,
        end: usize,
        reverse: bool,
    ) -> impl Iterator<Item = &(Bytes<D>, Score)> {
        let count = end.min(self.len()).saturating_sub(start);
        // Whole blocks are skipped by their lengths.
        let (mut skip, mut blocks) = (start, 0);
        let mut lengths = self.order.iter().map(Vec::len);
        let next = |lengths: &mut dyn DoubleEndedIterator<Item = usize>| {
            if reverse { lengths.next_back() } else { lengths.next() }
        };
        while let Some(len) = next(&mut lengths).filter(|&len| len <= skip) {
            (skip, blocks) = (skip - len, blocks + 1);
        }
        let rest =
            if reverse { &self.order[..self.order.len() - blocks] } else { &self.order[blocks..] };
        let upwards = (!reverse).then(|| rest.iter().flatten());
        let downwards = reverse.then(|| rest.iter().flatten().rev());
        let places = upwards.into_iter().flatten().chain(downwards.into_iter().flatten());
        places.skip(skip).take(count).filter_map(|&place| self.items().get(place as usize))
    }

    /// Bytes that it is charged with.
    pub fn cost(&self) -> usize {
        self.scores.cost() + self.len() * Self::share()
    }

    /// Moves its blocks; how many.
    pub fn relocate(&mut self) -> u64 {
        self.scores.relocate(|_| false)
    }

    /// A copy.
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing is charged then.
    pub fn duplicate(&self, room: &Room<D>) -> Result<Self, OutOfMemory> {
        let mut copy = Self::new(room);
        for (element, score) in self.items() {
            if let Err(error) = copy.set(element, *score, room) {
                copy.discard(room);
                return Err(error);
            }
        }
        copy.packed = self.packed;
        Ok(copy)
    }

    /// Ends it.
    pub fn discard(self, room: &Room<D>) {
        room.refund(self.len() * Self::share());
        self.scores.discard(room, drop);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use allocator_api2::alloc::Global;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::vec::Vec;

    proptest! {
        #![proptest_config(crate::kv::same_each_time(32))]
        #[test]
        fn as_a_tree(steps in prop::collection::vec((0..4u8, 0..500u16, 0..40u8), 0..1500)) {
            let room = Room::new(Global, usize::MAX);
            let mut sorted = Sorted::new(&room);
            let mut model: BTreeSet<(u8, Vec<u8>)> = BTreeSet::new();
            for (step, name, score) in steps {
                let name = name.to_be_bytes().to_vec();
                let old = model.iter().find(|(_, other)| *other == name).cloned();
                let before = old.as_ref().map(|(score, _)| f64::from(*score));
                prop_assert_eq!(sorted.score(&name, &room), before);
                if let Some(old) = &old {
                    model.remove(old);
                }
                if step == 0 {
                    prop_assert_eq!(sorted.remove(&name, &room), before);
                } else {
                    let new = sorted.set(&name, f64::from(score), &room);
                    prop_assert_eq!(new, Ok(old.is_none()));
                    model.insert((score, name));
                }
                prop_assert_eq!(sorted.first().map(|(name, _)| name.to_vec()),
                    model.first().map(|(_, name)| name.clone()));
            }
            for (start, end) in [(0, usize::MAX), (3, 200), (150, 400), (600, 700)] {
                let names = |reverse| -> Vec<_> {
                    sorted.range(start, end, reverse).map(|(name, _)| name.to_vec()).collect()
                };
                let count = end.saturating_sub(start);
                let expected = model.iter().map(|(_, name)| name.clone());
                prop_assert!(names(false).into_iter().eq(expected.clone().skip(start).take(count)));
                prop_assert!(names(true).into_iter().eq(expected.rev().skip(start).take(count)));
            }
            prop_assert_eq!(sorted.cost(), room.budget().used);
            sorted.duplicate(&room).unwrap().discard(&room);
            sorted.discard(&room);
            prop_assert_eq!(room.budget().used, 0);
        }
    }
}
