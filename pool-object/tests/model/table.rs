//! Operations on a table, and a naive model that must agree with it: for the property tests, and for
//! the fuzz target.

use pool_core::{Failing, Heap, PageSource, Stats};
use pool_object::{Key, SlotTable};
use std::cell::Cell;
use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

/// What a program may do. Numbers pick among what is there.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    Insert,
    /// A vacant entry, used or not.
    Entry(bool),
    /// So many inserts in a row.
    Fill(u8),
    Get(u16),
    /// A key of any tenant that there ever was.
    Stale(u16),
    /// Any number at all.
    Foreign(u64),
    Change(u16, u16),
    Remove(u16),
    /// Keep those whose number has one of these bits.
    Retain(u8),
    /// Drain so many, then drop the rest or forget the drain.
    Drain(u8, bool),
    Clear,
    Shrink,
    Limit(u8),
    /// Make room for so many, and fill it.
    Reserve(u8),
}

/// A value that counts how many of its kind there are.
pub struct Value<const PAD: usize> {
    number: u64,
    _pad: [u8; PAD],
    alive: Rc<Cell<usize>>,
}

impl<const PAD: usize> Value<PAD> {
    fn new(number: u64, alive: &Rc<Cell<usize>>) -> Self {
        alive.set(alive.get() + 1);
        Self { number, _pad: [number as u8; PAD], alive: alive.clone() }
    }
}

impl<const PAD: usize> Drop for Value<PAD> {
    fn drop(&mut self) {
        self.alive.set(self.alive.get() - 1);
    }
}

pub type Source = Failing<Stats<Heap>>;

pub fn source(refuse: Option<u64>) -> Source {
    match refuse {
        None => Failing::never(Heap::new().counted()),
        Some(call) => Failing::nth(Heap::new().counted(), call),
    }
}

/// The table and what it should be.
struct Pair<'a, const PAD: usize> {
    table: SlotTable<Value<PAD>, &'a Source>,
    model: BTreeMap<Key, u64>,
    /// Every key there ever was.
    ever: Vec<Key>,
    seen: HashSet<Key>,
    alive: Rc<Cell<usize>>,
    limit: usize,
    next: u64,
}

/// Runs a program on both. Values are `PAD` bytes longer than need be; generations begin at `first`.
pub fn run<const PAD: usize>(source: &Source, program: &[Op], first: u32) {
    let table = SlotTable::new_in(source).with_first_generation(first);
    let mut pair = Pair::<PAD> {
        table,
        model: BTreeMap::new(),
        ever: Vec::new(),
        seen: HashSet::new(),
        alive: Rc::default(),
        limit: usize::MAX,
        next: 0,
    };
    for &op in program {
        pair.step(op);
        // Miri takes a second for that.
        if !cfg!(miri) {
            pair.check();
        }
    }
    pair.check();
    let alive = pair.alive.clone();
    drop(pair);
    assert_eq!(alive.get(), 0, "all values were dropped");
    assert_eq!(source.inner().traffic().live_bytes, 0, "all memory went back");
}

impl<const PAD: usize> Pair<'_, PAD> {
    fn value(&mut self) -> Value<PAD> {
        self.next += 1;
        Value::new(self.next, &self.alive)
    }

    fn pick(&self, pick: u16) -> Option<Key> {
        let place = (pick as usize).checked_rem(self.model.len())?;
        self.model.keys().nth(place).copied()
    }

    fn note(&mut self, key: Key, number: u64) {
        assert!(self.seen.insert(key), "no key comes twice");
        assert_eq!(Key::from_u64(key.to_u64()), Some(key));
        self.ever.push(key);
        self.model.insert(key, number);
    }

    fn insert(&mut self) {
        let value = self.value();
        let (number, before) = (value.number, self.table.len());
        match self.table.try_insert(value) {
            Ok(key) => {
                assert!(before < self.limit);
                self.note(key, number);
            }
            Err(refusal) => {
                assert_eq!(refusal.value.number, number);
                assert_eq!(self.table.len(), before);
            }
        }
    }

    fn reserve(&mut self, values: usize) {
        let fits = self.table.len().saturating_add(values) <= self.limit;
        if self.table.try_reserve(values).is_err() {
            return;
        }
        assert!(fits, "a limit is a limit");
        let calls = self.table.source().calls();
        (0..values).for_each(|_| self.insert());
        assert_eq!(self.table.source().calls(), calls, "there was room");
    }

    fn entry(&mut self, used: bool) {
        let value = self.value();
        let number = value.number;
        let Ok(entry) = self.table.try_vacant_entry() else { return };
        if used {
            let key = entry.key();
            let place: *const _ = entry.insert(value);
            assert!(std::ptr::eq(place, &self.table[key]));
            self.note(key, number);
        } else {
            // It has no destructor: forgotten or dropped is the same.
            let _ = entry;
        }
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Insert => self.insert(),
            Op::Entry(used) => self.entry(used),
            Op::Fill(times) => (0..times).for_each(|_| self.insert()),
            Op::Get(pick) => {
                let Some(key) = self.pick(pick) else { return };
                assert_eq!(self.table.get(key).unwrap().number, self.model[&key]);
            }
            Op::Stale(pick) => {
                let Some(place) = (pick as usize).checked_rem(self.ever.len()) else { return };
                let key = self.ever[place];
                let found = self.table.get(key).map(|value| value.number);
                assert_eq!(found, self.model.get(&key).copied());
                assert_eq!(self.table.contains(key), found.is_some());
            }
            Op::Foreign(bits) => {
                let Some(key) = Key::from_u64(bits) else { return };
                let found = self.table.get_mut(key).map(|value| value.number);
                assert_eq!(found, self.model.get(&key).copied());
            }
            Op::Change(one, other) => self.change(one, other),
            Op::Remove(pick) => {
                let Some(key) = self.pick(pick) else { return };
                let value = self.table.remove(key).unwrap();
                assert_eq!(Some(value.number), self.model.remove(&key));
                assert!(self.table.remove(key).is_none());
            }
            Op::Retain(bits) => {
                let wanted = |number: u64| number as u8 & bits != 0;
                self.table.retain(|_, value| wanted(value.number));
                self.model.retain(|_, number| wanted(*number));
            }
            Op::Drain(count, forget) => self.drain(count, forget),
            Op::Clear => {
                self.table.clear();
                self.model.clear();
            }
            Op::Shrink => {
                let before = self.table.source().inner().traffic().live_bytes;
                let bytes = self.table.shrink();
                let after = self.table.source().inner().traffic().live_bytes;
                assert_eq!(before - after, bytes);
                assert!(self.table.capacity() == 0 || !self.model.is_empty());
            }
            Op::Reserve(values) => self.reserve(values as usize),
            Op::Limit(values) => {
                self.limit = values as usize;
                self.table.set_limit(self.limit);
            }
        }
    }

    fn change(&mut self, one: u16, other: u16) {
        let (Some(one), Some(other)) = (self.pick(one), self.pick(other)) else { return };
        match self.table.get_disjoint_mut([one, other]) {
            Some([a, b]) => {
                assert_ne!(one, other);
                std::mem::swap(&mut a.number, &mut b.number);
                let (a, b) = (self.model[&one], self.model[&other]);
                self.model.insert(one, b);
                self.model.insert(other, a);
            }
            None => assert_eq!(one, other),
        }
        self.table.values_mut().for_each(|value| value.number += 1000);
        self.model.values_mut().for_each(|number| *number += 1000);
    }

    fn drain(&mut self, count: u8, forget: bool) {
        let mut drain = self.table.drain();
        for (key, value) in drain.by_ref().take(count as usize) {
            assert_eq!(self.model.remove(&key), Some(value.number));
        }
        assert_eq!(drain.len(), self.model.len());
        if forget {
            std::mem::forget(drain);
        } else {
            drop(drain);
            self.model.clear();
        }
    }

    fn check(&self) {
        self.table.check();
        assert_eq!(self.table.len(), self.model.len());
        assert_eq!(self.alive.get(), self.model.len());
        assert!(self.table.peak() >= self.table.len());
        let mut last = None;
        for (key, value) in &self.table {
            assert_eq!(self.model.get(&key), Some(&value.number));
            assert!(last < Some(key.index()), "in the order of slots");
            last = Some(key.index());
        }
        let folded = self.table.iter().fold(0, |sum, (key, value)| {
            assert_eq!(self.model.get(&key), Some(&value.number));
            sum + 1
        });
        assert!(self.table.keys().eq(self.table.iter().map(|(key, _)| key)));
        let sum: u64 = self.table.values().map(|value| value.number).sum();
        assert_eq!(sum, self.model.values().sum());
        assert_eq!((folded, self.table.iter().len()), (self.model.len(), self.model.len()));
    }
}
