//! Who goes when a `PacketRing` is full: nobody for what is refused in the end, and no more than needed.

use pool_core::{Failing, Heap, PageSource};
use pool_ring::frame::{LengthPrefix, Lines};
use pool_ring::{Conn, PacketRing, PacketRingBuilder, Policy, ReadError};
use std::time::Duration;

const fn oldest(seconds: u64) -> Policy {
    Policy::EvictOldest { min_age: Duration::from_secs(seconds) }
}

/// Feeds a part of a line that is looked at; whether it was kept.
fn put<S: PageSource + Clone>(ring: &mut PacketRing<S>, conn: &mut Conn, bytes: &[u8]) -> bool {
    let (mut rest, mut codec) = (bytes, Lines::new(1 << 20));
    while !rest.is_empty() {
        let Ok(mut batch) = ring.feed(conn, &mut codec, &mut rest) else { return false };
        assert_eq!(batch.next(), Ok(None));
        if batch.finish().is_err() {
            return false;
        }
    }
    true
}

fn open<S: PageSource + Clone>(ring: &mut PacketRing<S>, count: u32) -> Vec<Conn> {
    (0..count).map(|token| ring.open(token)).collect()
}

/// The ring is full of small partials, and a large one is refused: it was announced too large, or nobody
/// may go for it.
#[test]
fn what_is_refused_costs_nobody_else() {
    let heap = Heap::new();
    let page = heap.granule();
    for policy in [oldest(0), oldest(5), Policy::EvictLargest, Policy::Reject] {
        for budget in [3 * 286, page + 26, 2 * page] {
            let builder = PacketRingBuilder::new().budget(budget).large_from(256).policy(policy);
            let mut ring = builder.try_build_in(&heap).unwrap();
            let many = (budget / 286) as u32;
            let mut conns = open(&mut ring, many + 1);
            for conn in &mut conns[..many as usize] {
                assert!(put(&mut ring, conn, b"part"));
            }
            let used = ring.stats().used;
            let mut codec = LengthPrefix::u32(usize::MAX);
            let large = &mut conns[many as usize];
            let mut batch = ring.feed(large, &mut codec, &mut &[0xff; 300][..]).unwrap();
            assert_eq!(batch.next(), Ok(None));
            assert!(batch.finish().is_err());
            let stats = ring.stats();
            assert_eq!((stats.evictions, stats.rejected, stats.used), (0, 1, used), "{policy:?}");
            assert_eq!(ring.evicted().collect::<Vec<_>>(), [many]);
            assert!(conns[..many as usize].iter().all(|conn| ring.partial_len(conn) == 4));
        }
    }
}

/// A block that the source refuses, or for which nobody is large enough.
#[test]
fn a_block_that_cannot_be_had_costs_nobody_else() {
    let heap = Heap::new();
    let page = heap.granule();
    for (policy, refuses) in
        [(oldest(0), true), (Policy::EvictLargest, true), (Policy::EvictLargest, false)]
    {
        let builder = PacketRingBuilder::new().budget(2 * page).large_from(256).policy(policy);
        let counting = Failing::never(&heap);
        drop(builder.try_build_in(&counting).unwrap());
        let source = Failing::after(&heap, if refuses { counting.calls() } else { u64::MAX });
        let mut ring = builder.try_build_in(&source).unwrap();
        let many = (2 * page / 286) as u32;
        let mut conns = open(&mut ring, many + 1);
        for conn in &mut conns[..many as usize] {
            assert!(put(&mut ring, conn, b"part"));
        }
        assert!(!put(&mut ring, &mut conns[many as usize], &[b'x'; 300]));
        assert_eq!((ring.stats().evictions, ring.stats().rejected), (0, 1), "{policy:?}");
        assert_eq!(ring.evicted().collect::<Vec<_>>(), [many]);
    }
}

/// A block for which those that are old enough make room is had, and they go in order.
#[test]
fn a_block_that_can_be_had_costs_whom_it_must() {
    let heap = Heap::new();
    let page = heap.granule();
    let builder = PacketRingBuilder::new().budget(2 * page).large_from(256).policy(oldest(0));
    let mut ring = builder.try_build_in(&heap).unwrap();
    let many = 2 * page / 286;
    let mut conns = open(&mut ring, many as u32 + 1);
    for conn in &mut conns[..many] {
        assert!(put(&mut ring, conn, b"part"));
    }
    assert!(put(&mut ring, &mut conns[many], &[b'x'; 300]));
    let gone = (page + 26 - (2 * page - many * 286)).div_ceil(286);
    assert_eq!((ring.stats().evictions, ring.stats().rejected), (gone as u64, 0));
    assert!(ring.evicted().eq(0..gone as u32));
    assert_eq!(ring.stats().used, page + 26 + (many - gone) * 286);
    assert_eq!(ring.partial_len(&conns[many]), 300);
}

/// Some could go, but not enough: nobody does.
#[test]
fn nobody_goes_where_too_few_may() {
    let heap = Heap::new();
    let budget = 3 * 286;
    // The asker itself would be the next to go.
    let builder = PacketRingBuilder::new().budget(budget).policy(oldest(0));
    let mut ring = builder.try_build_in(&heap).unwrap();
    let mut conns = open(&mut ring, 3);
    for conn in &mut conns {
        assert!(put(&mut ring, conn, b"part"));
    }
    assert!(!put(&mut ring, &mut conns[1], &[b'x'; 3 * 256 - 4]));
    assert_eq!((ring.stats().evictions, ring.stats().rejected), (0, 1));
    assert_eq!(ring.evicted().collect::<Vec<_>>(), [1]);
    // The second is too young.
    let mut ring =
        PacketRingBuilder::new().budget(budget).policy(oldest(5)).try_build_in(&heap).unwrap();
    let mut conns = open(&mut ring, 4);
    for (conn, second) in conns.iter_mut().zip([0, 4, 4]) {
        ring.set_now(Duration::from_secs(second));
        assert!(put(&mut ring, conn, b"part"));
    }
    ring.set_now(Duration::from_secs(6));
    assert!(!put(&mut ring, &mut conns[3], &[b'x'; 512]));
    assert_eq!((ring.stats().evictions, ring.evicted().collect::<Vec<_>>()), (0, vec![3]));
    // The same where a partial that was not whole grows in place.
    assert!(put(&mut ring, &mut conns[1], b"more"));
    let error = {
        let mut codec = LengthPrefix::u16(60_000);
        ring.close(&mut conns[2]);
        let mut batch = ring.feed(&mut conns[2], &mut codec, &mut &b"\xea\x00-"[..]).unwrap();
        assert_eq!(batch.next(), Ok(None));
        drop(batch);
        assert!(put(&mut ring, &mut conns[1], b"between"));
        ring.feed(&mut conns[2], &mut codec, &mut &[b'x'; 700][..]).unwrap_err()
    };
    assert!(matches!(error, ReadError::NoRoom { .. }), "{error}");
    assert_eq!((ring.stats().evictions, ring.evicted().collect::<Vec<_>>()), (0, vec![2]));
    // One partial is as large as the one that asks, and the others are not.
    let builder = PacketRingBuilder::new().budget(546 + 3 * 286).policy(Policy::EvictLargest);
    let mut ring = builder.try_build_in(&heap).unwrap();
    let mut conns = open(&mut ring, 5);
    assert!(put(&mut ring, &mut conns[0], &[b'x'; 500]));
    for conn in &mut conns[1..4] {
        assert!(put(&mut ring, conn, b"part"));
    }
    assert!(put(&mut ring, &mut conns[4], &[b'x'; 500]));
    assert!(!put(&mut ring, &mut conns[4], &[b'x'; 600]));
    assert_eq!((ring.stats().evictions, ring.evicted().collect::<Vec<_>>()), (1, vec![0, 4]));
}
