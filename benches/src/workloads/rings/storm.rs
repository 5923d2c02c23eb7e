//! `storm`: 100,000 connections in turn leave a part of a frame behind, 16 to 1,500 bytes, in a ring that has room
//! for half of them: every turn evicts somebody. An operation is a turn, taking the reports included.
//!
//! The table says how long single turns take: a clock is read before and after each, which is in the
//! times. *Answers*: no turn evicts more than it needs chunks, each connection that was evicted is reported once, nobody else is,
//! and the budget is never passed.

use crate::case::{Case, Tail};
use crate::engine::{Engine, Setup};
use crate::engines::rings::ring;
use crate::workloads::{POOL_RING, Random};
use pool_ring::frame::LengthPrefix;
use pool_ring::{Conn, PacketRing, Policy, ReadError};
use std::time::{Duration, Instant};

const CONNECTIONS: usize = if cfg!(miri) { 100 } else { 100_000 };
/// What `ring` has room for, about: half of what all would cost.
const BUDGET: usize = CONNECTIONS / 2 * (26 + 7 * 260 / 2);
const CHUNK: usize = 256;
const LONGEST: usize = 1500;
/// Lengths that are drawn, a power of two.
const DRAWN: usize = 1 << 12;

/// Who has waited longest goes.
struct Oldest;
/// Who has most goes.
struct Largest;
/// Who asks goes.
struct Rejected;

macro_rules! engine {
    ($engine:ident, $name:literal, $policy:expr) => {
        impl Engine for $engine {
            const NAME: &'static str = $name;
            const OURS: bool = true;
            type Store = PacketRing;

            fn build(setup: Setup) -> PacketRing {
                ring(setup.capacity, $policy)
            }
        }
    };
}

engine!(Oldest, "PacketRing", Policy::EvictOldest { min_age: Duration::ZERO });
engine!(Largest, "PacketRing, largest", Policy::EvictLargest);
engine!(Rejected, "PacketRing, reject", Policy::Reject);

pub(super) fn cases() -> Vec<Case> {
    vec![case::<Oldest>(), case::<Largest>(), case::<Rejected>()]
}

fn case<E: Engine<Store = PacketRing>>() -> Case {
    Case::new::<E>(POOL_RING, "storm", || {
        let mut storm = Storm::new(E::build(SETUP));
        Box::new(move |n| {
            let start = Instant::now();
            storm.turns(n as usize);
            let elapsed = start.elapsed();
            storm.check();
            elapsed
        })
    })
    .with_tail(|| {
        let mut storm = Storm::new(E::build(SETUP));
        let tail = Tail::of((0..4 * CONNECTIONS).map(|_| {
            let start = Instant::now();
            storm.turns(1);
            start.elapsed()
        }));
        storm.check();
        tail
    })
}

const SETUP: Setup = Setup { chunk: CHUNK, capacity: BUDGET };

struct Storm {
    ring: PacketRing,
    conns: Vec<Conn>,
    decoder: LengthPrefix,
    /// A header that announces more than ever comes, and bytes behind it.
    bytes: Vec<u8>,
    lens: Vec<u16>,
    turn: usize,
    reported: u64,
    /// The most that one turn has evicted, of those with so many chunks.
    most: [u64; LONGEST / CHUNK + 2],
}

impl Storm {
    fn new(mut ring: PacketRing) -> Self {
        let mut random = Random::new();
        let conns = (0..CONNECTIONS).map(|token| ring.open(token as u32)).collect();
        let bytes = [&(2 * LONGEST as u32).to_be_bytes()[..], &[7; LONGEST]].concat();
        let lens = (0..DRAWN).map(|_| 16 + random.below(LONGEST - 15) as u16).collect();
        let most = [0; LONGEST / CHUNK + 2];
        let decoder = LengthPrefix::u32(4 * LONGEST);
        let mut storm = Self { ring, conns, decoder, bytes, lens, turn: 0, reported: 0, most };
        // As many as have room, and then some.
        storm.turns(2 * CONNECTIONS);
        storm.check();
        storm
    }

    /// What is measured.
    #[inline(never)]
    fn turns(&mut self, count: usize) {
        for _ in 0..count {
            let conn = &mut self.conns[self.turn % CONNECTIONS];
            let len = usize::from(self.lens[self.turn % DRAWN]);
            self.turn += 1;
            // Whoever was evicted, or has waited a whole round, is another connection from here on.
            self.ring.close(conn);
            let evicted = self.ring.stats().evictions;
            match self.ring.feed(conn, &mut self.decoder, &mut &self.bytes[..len]) {
                Ok(mut batch) => assert_eq!(batch.next(), Ok(None)),
                Err(ReadError::Evicted) => unreachable!("it is new"),
                Err(error) => panic!("{error}"),
            }
            let evicted = self.ring.stats().evictions - evicted;
            let most = &mut self.most[len.div_ceil(CHUNK)];
            *most = evicted.max(*most);
            self.reported += self.ring.evicted().count() as u64;
        }
    }

    fn check(&self) {
        let stats = self.ring.stats();
        assert!(stats.used <= stats.budget, "{stats:?}");
        assert!(stats.evictions + stats.rejected > 0, "nothing was evicted: {stats:?}");
        assert_eq!(stats.evictions + stats.rejected, self.reported, "{stats:?}");
        let few = self.most.iter().enumerate().all(|(chunks, most)| *most <= chunks as u64);
        assert!(few, "{:?} evictions for 0, 1, 2, ... chunks", self.most);
    }
}
