//! `SlotTable` against a model, and at its edges.

#[path = "model/table.rs"]
mod model;
mod support;

use model::Op;
use pool_core::{Failing, Heap, PageError, PageSource};
use pool_object::{Key, SlotTable, TableError, TableStats};
use proptest::prelude::*;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use support::config;

fn op() -> impl Strategy<Value = Op> {
    let pick = any::<u16>();
    prop_oneof![
        6 => Just(Op::Insert),
        2 => any::<bool>().prop_map(Op::Entry),
        2 => (0u8..if cfg!(miri) { 12 } else { 255 }).prop_map(Op::Fill),
        2 => pick.prop_map(Op::Get),
        4 => pick.prop_map(Op::Stale),
        1 => any::<u64>().prop_map(Op::Foreign),
        2 => (pick, pick).prop_map(|(one, other)| Op::Change(one, other)),
        8 => pick.prop_map(Op::Remove),
        1 => any::<u8>().prop_map(Op::Retain),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(count, forget)| Op::Drain(count, forget)),
        1 => Just(Op::Clear),
        2 => Just(Op::Shrink),
        1 => (20u8..).prop_map(Op::Limit),
        1 => (0u8..if cfg!(miri) { 5 } else { 20 }).prop_map(Op::Reserve),
    ]
}

fn program() -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(op(), if cfg!(miri) { 5..8 } else { 0..80 })
}

proptest! {
    #![proptest_config(config(20, 1))]
    /// Small values (many slots a page), long ones (few a page, so that pages come and go), and
    /// generations that run out after a few tenants.
    #[test]
    fn programs_agree_with_the_model(program in program(), left in 0u32..20) {
        model::run::<8000>(&model::source(None), &program, 1 << 20);
        // Miri looks at a page's slots one by one, and these are many.
        if !cfg!(miri) {
            model::run::<0>(&model::source(None), &program, 0);
            model::run::<0>(&model::source(None), &program, (u32::MAX >> 1) - left);
        }
        model::run::<60_000>(&model::source(None), &program, (u32::MAX >> 1) - left);
    }
}

proptest! {
    #![proptest_config(config(5, 1))]
    #[test]
    fn programs_survive_a_refusal_at_every_step(program in program()) {
        let counting = model::source(None);
        model::run::<8000>(&counting, &program, 0);
        for call in 0..counting.calls().min(if cfg!(miri) { 2 } else { 30 }) {
            model::run::<8000>(&model::source(Some(call)), &program, 0);
        }
    }
}

#[test]
fn a_slot_is_used_again_at_once_and_its_old_keys_find_nothing() {
    let mut table = SlotTable::new_in(Heap::new());
    let mut old: Vec<Key> = Vec::new();
    for tenant in 0..if cfg!(miri) { 10 } else { 1000 } {
        let key = table.insert([tenant; 100]);
        assert!(old.iter().all(|key| table.get(*key).is_none()));
        assert!(old.last().is_none_or(|last| last.index() == key.index() && last < &key));
        old.push(key);
        assert_eq!(table.remove(key), Some([tenant; 100]));
    }
}

#[test]
fn a_slot_retires_before_its_generation_comes_again() {
    let mut table = SlotTable::new_in(Heap::new()).with_first_generation((u32::MAX >> 1) - 2);
    let mut keys = std::collections::HashSet::new();
    let value = [0u8; if cfg!(miri) { 1000 } else { 4 }];
    for _ in 0..3 {
        assert!(keys.insert(table.insert(value)));
        let key = *keys.iter().max().unwrap();
        table.remove(key);
    }
    assert_eq!(keys.iter().map(|key| key.index()).max(), Some(0));
    assert_eq!(table.insert(value).index(), 1, "slot 0 has retired");
    table.clear();
    table.check();
    // Its page cannot be had again, so another index comes next.
    table.shrink();
    assert!(table.capacity() == 0);
    let key = table.insert(value);
    assert!(key.index() >= 64 && keys.iter().all(|key| !table.contains(*key)));
    table.check();
}

#[test]
fn figures_are_what_is_there() {
    let source = Heap::new().counted();
    // Every third tenant of a slot is its last.
    let mut table = SlotTable::new_in(&source).with_first_generation((u32::MAX >> 1) - 2);
    assert_eq!(table.stats(), TableStats::default());
    let value = [0u8; if cfg!(miri) { 1000 } else { 100 }];
    let count = if cfg!(miri) { 100 } else { 1000 };
    let keys: Vec<Key> = (0..count).map(|_| table.insert(value)).collect();
    for _ in 0..3 {
        let last = table.insert(value);
        table.remove(last);
    }
    for &key in &keys[..count / 2] {
        table.remove(key);
    }
    let stats = table.stats();
    assert_eq!((stats.live, stats.peak, stats.retired), (count as u64 / 2, count as u64 + 1, 1));
    assert_eq!(stats.capacity as usize, table.capacity());
    assert_eq!(stats.bytes, source.traffic().live_bytes as u64);
    // One for each page, and one for the directory.
    assert_eq!(stats.pages as usize, source.traffic().live_runs() as usize - 1);
    let shown = stats.to_string();
    assert_eq!(shown.lines().count(), stats.fields().count());
    assert!(shown.lines().any(|line| line.starts_with("retired ") && line.ends_with(" 1")));

    table.clear();
    table.shrink();
    let stats = table.stats();
    assert_eq!((stats.live, stats.peak, stats.capacity), (0, count as u64 + 1, 0));
    assert_eq!((stats.retired, stats.pages), (0, 0));
    assert_eq!(stats.bytes, source.traffic().live_bytes as u64);
}

#[test]
fn pages_given_back_leave_their_generations() {
    let source = Heap::new().counted();
    let mut table = SlotTable::new_in(&source);
    let keys: Vec<Key> = (0..20).map(|_| table.insert([0u8; 8000])).collect();
    let kept = keys[19];
    let used: Vec<Key> = (0..10)
        .map(|_| {
            let key = keys[0].index();
            let found = table.iter().find(|(other, _)| other.index() == key).unwrap().0;
            table.remove(found);
            table.insert([1; 8000])
        })
        .collect();
    table.retain(|key, _| key == kept);
    // Two of three pages, and the third stays at its place.
    let place: *const _ = &table[kept];
    assert_eq!(table.shrink(), 2 * (64 << 10));
    assert!(std::ptr::eq(place, &table[kept]));
    let again: Vec<Key> = (0..19).map(|_| table.insert([2; 8000])).collect();
    for old in keys[..19].iter().chain(&used) {
        assert!(!table.contains(*old));
    }
    assert!(again.iter().any(|key| key.index() == keys[0].index()));
    drop(table);
    assert_eq!(source.traffic().live_bytes, 0);
}

/// Generations that many tenants of one slot have used up are the loss of its page alone.
#[test]
fn one_slots_many_tenants_take_nothing_from_other_pages() {
    const LAST: u32 = u32::MAX >> 1;
    type Long = [u8; 8000];
    let source = Heap::new().counted();
    let mut table = SlotTable::<Long, _>::new_in(&source).with_first_generation(LAST - 2);
    let mut ever = std::collections::HashSet::new();
    let mut insert = |table: &mut SlotTable<Long, _>| {
        let key = table.insert([0; 8000]);
        assert!(ever.insert(key), "no key comes twice");
        key
    };
    for _ in 0..2 {
        let key = insert(&mut table);
        table.remove(key);
        assert!(table.shrink() > 0 && table.capacity() == 0);
    }
    // The first page has one generation left, the others all three.
    let keys: Vec<Key> = (0..16).map(|_| insert(&mut table)).collect();
    let (hot, others): (Vec<Key>, Vec<Key>) = keys.iter().partition(|key| key.index() < 256);
    assert_eq!((hot.len(), others.len()), (8, 8));
    assert!(hot.iter().all(|key| key.generation() == LAST));
    assert!(others.iter().all(|key| key.generation() == LAST - 2));
    table.clear();
    table.check();
    table.shrink();
    // Of the first page no more is left, of the second two.
    for left in [2, 1] {
        let keys: Vec<Key> = (0..8).map(|_| insert(&mut table)).collect();
        assert!(keys.iter().all(|key| key.generation() == LAST + 1 - left), "{keys:?}");
        table.clear();
        table.shrink();
        table.check();
    }
    drop(table);
    assert_eq!(source.traffic().live_bytes, 0);
}

#[test]
fn shrinking_after_every_value_wears_its_own_page_alone() {
    const FIRST: u32 = (u32::MAX >> 1) - if cfg!(miri) { 3 } else { 100 };
    let mut table = SlotTable::new_in(Heap::new()).with_first_generation(FIRST);
    let mut last = None;
    for _ in 0..if cfg!(miri) { 9 } else { 1000 } {
        let key = table.insert([0u8; 8000]);
        assert!(last.is_none_or(|last| last < (key.index(), key.generation())));
        last = Some((key.index(), key.generation()));
        table.remove(key);
        table.shrink();
    }
    let each = (u32::MAX >> 1) - FIRST + 1;
    assert_eq!(last.unwrap().0 >> 8, if cfg!(miri) { 8 } else { 999 } / each);
    table.check();
}

#[test]
fn a_hundred_thousand_connections_cost_little_and_leave_nothing() {
    let count = if cfg!(miri) { 300 } else { 100_000 };
    let source = Heap::new().counted();
    let mut table = SlotTable::new_in(&source);
    for number in 0..count {
        table.insert([number as u8; 256]);
    }
    let beyond = source.traffic().live_bytes as f64 / count as f64 - 256.0;
    assert!(cfg!(miri) || beyond <= 6.0, "{beyond} bytes each beyond the value");
    table.clear();
    table.shrink();
    assert_eq!(source.traffic().live_bytes, 0);
}

#[test]
fn values_without_size_and_with_large_alignment() {
    let mut units = SlotTable::new_in(Heap::new());
    let keys: Vec<Key> = (0..if cfg!(miri) { 10 } else { 100 }).map(|_| units.insert(())).collect();
    assert!(keys.iter().all(|key| units.remove(*key).is_some()));
    assert!(units.is_empty());
    if !cfg!(miri) {
        units.check();
    }

    #[repr(align(4096))]
    struct Aligned(u8);
    #[repr(align(64))]
    struct Empty;
    let mut table = SlotTable::new_in(Heap::new());
    for number in 0..40 {
        let key = table.insert(Aligned(number));
        assert_eq!((&raw const table[key]).addr() % 4096, 0);
    }
    assert_eq!(table.iter().map(|(_, value)| value.0 as usize).sum::<usize>(), 39 * 20);
    let mut table = SlotTable::new_in(Heap::new());
    let key = table.insert(Empty);
    assert_eq!((&raw const table[key]).addr() % 64, 0);
}

#[test]
fn what_is_longer_than_a_page_has_a_longer_page() {
    let mut table = SlotTable::new_in(Heap::new().counted());
    let key = table.try_vacant_entry().unwrap().key();
    assert_eq!(table.source().traffic().live_runs(), 2);
    let entry = table.vacant_entry();
    assert_eq!(entry.key(), key);
    let value = entry.insert([7u8; 100_000]);
    assert_eq!(value[99_999], 7);
}

#[test]
fn refusals_say_why_and_change_nothing() {
    for call in 0..2 {
        let mut table = SlotTable::new_in(Failing::nth(Heap::new(), call));
        let refusal = table.try_insert(String::from("kept")).unwrap_err();
        assert_eq!(refusal.error, TableError::Source(PageError::Injected { call }));
        assert_eq!(refusal.value, "kept");
        assert!(table.is_empty());
        table.check();
        let key = table.insert(refusal.value);
        assert_eq!(table[key], "kept");
    }
    let mut none = SlotTable::new_in(Heap::new()).with_limit(0);
    assert_eq!(none.try_insert(1).unwrap_err().error, TableError::Full { live: 0, limit: 0 });
}

/// Long, so that a page has few: looking at all slots is slow under Miri.
struct Bomb(Rc<Cell<u32>>, bool, #[allow(dead_code, reason = "for its length")] [u8; 2000]);
impl Drop for Bomb {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
        assert!(!self.1, "a destructor panics");
    }
}

#[test]
fn a_panic_in_a_destructor_skips_no_other() {
    let dropped = Rc::new(Cell::new(0));
    let mut table = SlotTable::new_in(Heap::new());
    let fill = |table: &mut SlotTable<Bomb, Heap>| {
        (0..10)
            .map(|number| table.insert(Bomb(dropped.clone(), number == 3, [0; 2000])))
            .collect::<Vec<_>>()
    };
    fill(&mut table);
    assert!(catch_unwind(AssertUnwindSafe(|| table.clear())).is_err());
    assert_eq!((dropped.get(), table.len()), (10, 0));
    table.check();

    let keys = fill(&mut table);
    assert!(catch_unwind(AssertUnwindSafe(|| table.retain(|_, _| false))).is_err());
    assert!(!table.contains(keys[3]));
    assert_eq!(dropped.get() as usize + table.len(), 20);
    assert!(!table.is_empty(), "slots are used again the last one first");
    table.check();

    table.clear();
    dropped.set(0);
    fill(&mut table);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(table))).is_err());
    assert_eq!(dropped.get(), 10);
}

#[test]
fn a_panic_in_retain_changes_nothing() {
    let mut table = SlotTable::new_in(Heap::new());
    let keys = [0u8, 1, 2].map(|number| table.insert([number; 1000]));
    let result = catch_unwind(AssertUnwindSafe(|| {
        table.retain(|key, _| {
            assert!(key != keys[1], "on purpose");
            false
        });
    }));
    assert!(result.is_err());
    assert_eq!(table.iter().map(|(key, _)| key).collect::<Vec<_>>(), keys[1..]);
    table.check();
}

#[test]
fn tables_know_their_keys_from_others() {
    let (mut one, mut other) = (SlotTable::new_in(Heap::new()), SlotTable::new_in(Heap::new()));
    let (a, b) = (one.insert([1; 1000]), other.insert([2; 1000]));
    assert!(one.get(b).is_none() && other.get(a).is_none());
}

#[test]
fn a_refused_value_does_not_count_for_the_peak() {
    let mut table = SlotTable::new_in(Failing::nth(Heap::new(), 0)).with_limit(2);
    let value = |number: u8| [number; 1000];
    assert_eq!((table.try_insert(value(0)).is_ok(), table.peak()), (false, 0));
    table.insert(value(1));
    table.insert(value(2));
    let refusal = table.try_insert(value(3)).unwrap_err();
    assert_eq!(refusal.error, TableError::Full { live: 2, limit: 2 });
    assert_eq!(table.peak(), 2);
}
