use super::*;
use allocator_api2::alloc::Global;
use std::collections::HashSet;

fn store(memory: usize) -> Store<Global> {
    Store::new(Global, memory, Eviction::None)
}

#[test]
fn set_get_remove_charge_and_refund() {
    let mut store = store(1 << 20);
    store.set(b"k", b"one").unwrap();
    let one = store.budget().used;
    store.set(b"k", &[3; 50]).unwrap();
    assert_eq!(store.budget().used, one + 32);
    assert_eq!(store.get(b"k"), Ok(Some(&[3; 50][..])));
    assert!(store.remove(b"k") && !store.remove(b"k") && store.is_empty());
    assert_eq!(store.budget().used, 0);
}

#[test]
fn a_refused_set_changes_nothing() {
    let mut store = store(300);
    store.set(b"k", &[1; 90]).unwrap();
    let used = store.budget().used;
    assert_eq!(store.set(b"k", &[2; 190]), Err(OutOfMemory));
    assert_eq!(store.set(b"other", &[2; 50]), Err(OutOfMemory));
    assert_eq!((store.budget().used, store.len()), (used, 1));
    assert_eq!(store.get(b"k"), Ok(Some(&[1; 90][..])));
}

#[test]
fn entries_end() {
    let mut store = store(1 << 20);
    let (past, future) = (Some(Some(1)), Some(Some(now() + 1_000_000_000)));
    for index in 0..50u8 {
        let end = if index % 2 == 0 { past } else { future };
        store.put(&[index], b"v", Form::Any, end).unwrap();
    }
    assert_eq!(store.get(&[0]), Ok(None));
    assert_eq!((store.mortal(), store.len()), (49, 49));
    assert!(store.get(&[1]).unwrap().is_some());
    let mut seen = 0;
    assert_eq!(store.scan(now(), 0, 100, |key, _| seen += usize::from(key[0] % 2)), 0);
    assert_eq!(seen, 25);
    while store.expire_some(10) {}
    store.expire_some(100);
    assert_eq!((store.len(), store.expired()), (25, 25));
    assert!(store.set_end(&[1], None) && !store.set_end(&[0], None));
    assert_eq!((store.mortal(), store.end(&[1]), store.end(&[0])), (24, Some(None), None));
    store.clear();
    assert_eq!((store.budget().used, store.mortal()), (0, 0));
}

#[test]
fn nothing_is_written_behind_what_has_ended() {
    let mut store = store(1 << 20);
    let past = Some(Some(1));
    store.put(b"k", b"hello", Form::Any, past).unwrap();
    assert_eq!(store.write_at(b"k", None, b"x"), Ok(1));
    assert_eq!(store.end(b"k"), Some(None));
    assert_eq!(store.write_at(b"k", None, b"yz"), Ok(3));
    assert_eq!(store.get(b"k"), Ok(Some(&b"xyz"[..])));
    store.put(b"k", b"hello", Form::Any, past).unwrap();
    assert_eq!(store.write_at(b"k", Some(2), b"!"), Ok(3));
    assert_eq!(store.get(b"k"), Ok(Some(&b"\0\0!"[..])));
    store.put(b"old", b"", Form::Any, past).unwrap();
    assert_eq!((store.rename(b"k", b"old"), store.rename(b"k", b"old")), (Ok(true), Ok(false)));
    assert_eq!((store.len(), store.end(b"old")), (1, Some(None)));
}

#[test]
fn a_scan_meets_all_that_stay() {
    let mut store = store(1 << 20);
    let name = |index: u32| index.to_le_bytes();
    for index in 0..1000 {
        store.set(&name(index), b"").unwrap();
    }
    let (mut seen, mut cursor, mut round) = (HashSet::new(), 0, 0);
    loop {
        cursor = store.scan(now(), cursor, 7, |key, _| {
            seen.insert(key.to_vec());
        });
        if cursor == 0 {
            break;
        }
        // The odd ones go meanwhile, others come.
        store.remove(&name((round * 2 + 1) % 1000));
        store.set(&name(1000 + round), b"").unwrap();
        round += 1;
    }
    assert!((0..1000).step_by(2).all(|index| seen.contains(&name(index)[..])));
}
