//! Who goes when the budget is used up.
#![forbid(unsafe_code)]

use super::config::Policy;
use super::entries::{LISTS, NO_ENTRY};
use super::store::{NoRoom, Store};
use pool_core::PageSource;

/// An entry, and the list that it is in.
type Place = (usize, u32);

impl<S: PageSource + Clone> Store<S> {
    /// Evicts until the budget allows `more` bytes for the connection with the entry `own`, whose partial will cost
    /// `total`: nobody if that cannot be. Looks at no more entries than chunks are needed, and its own.
    #[cold]
    #[inline(never)]
    pub(super) fn evict_for(&mut self, more: usize, total: usize, own: u32) -> Result<(), NoRoom> {
        let refused = NoRoom { asked: total };
        // What can never be is refused before anybody is looked at.
        if total > self.stats.budget {
            return Err(refused);
        }
        let (mut room, mut last) = (self.stats.budget - self.stats.used, None);
        while room < more {
            let victim = self.victim(last, total, own).ok_or(refused)?;
            room += self.cost_of(victim.1);
            last = Some(victim);
        }
        while more > self.stats.budget - self.stats.used {
            // The same ones again, each as the first.
            let (_, victim) = self.victim(None, total, own).ok_or(refused)?;
            self.stats.evictions += 1;
            self.drop_entry(victim, true);
        }
        Ok(())
    }

    /// Who goes next, behind `last`, if anybody may.
    fn victim(&self, last: Option<Place>, total: usize, own: u32) -> Option<Place> {
        match self.policy {
            Policy::Reject => None,
            Policy::EvictOldest { .. } => {
                let entry = match last {
                    None => self.entries.first(0),
                    Some((_, last)) => self.entries.next(last),
                };
                let age = |entry| self.now.wrapping_sub(self.entries.stamp(entry));
                // If it would be the one that asks, nobody.
                let may_go = entry != NO_ENTRY && entry != own && age(entry) >= self.min_age;
                may_go.then_some((0, entry))
            }
            Policy::EvictLargest => {
                let first = || self.highest(LISTS - 1);
                let behind = |(list, entry)| self.behind(list, entry);
                let mut place = last.map_or_else(first, behind)?;
                if place.1 == own {
                    place = self.behind(place.0, own)?;
                }
                (place.0 >= self.list_for(total)).then_some(place)
            }
        }
    }

    /// The first entry of the highest list, at most `below`.
    fn highest(&self, below: usize) -> Option<Place> {
        let list = self.entries.highest(below)?;
        Some((list, self.entries.first(list)))
    }

    /// The entry behind this one, in its list or the next lower one.
    fn behind(&self, list: usize, entry: u32) -> Option<Place> {
        match self.entries.next(entry) {
            NO_ENTRY => self.highest(list.checked_sub(1)?),
            next => Some((list, next)),
        }
    }
}
