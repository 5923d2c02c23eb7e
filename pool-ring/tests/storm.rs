//! Decoders that say anything, readers that lie, sources that refuse, handles of other rings: whatever happens, a packet
//! ring panics only if one of these does, keeps its books (its own checks run in debug builds), and gives all back.
#![forbid(unsafe_code)]

use pool_core::{Failing, Heap, PageSource, Stats};
use pool_ring::frame::{Decoded, Decoder, Hint, Kept};
use pool_ring::{Conn, PacketRing, PacketRingBuilder, Policy, ReadError};
use std::cell::Cell;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

type Source = Stats<Failing<Heap>>;
type Ring<'s> = PacketRing<&'s Source>;

thread_local! {
    static DICE: Cell<u64> = const { Cell::new(1) };
}

fn roll(sides: u64) -> u64 {
    let next = DICE.get().wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
    DICE.set(next);
    (next >> 33) % sides
}

/// A length such as liars say.
fn lie() -> usize {
    match roll(8) {
        0 => 0,
        1 => usize::MAX - roll(3) as usize,
        2 => 1 << roll(64),
        _ => roll(700) as usize,
    }
}

fn fail() {
    if roll(30) == 0 {
        resume_unwind(Box::new("meant"));
    }
}

/// Says what comes to its mind.
struct Liar;

impl Decoder for Liar {
    type Frame<'a> = Option<&'a u8>;
    type Error = ();
    fn decode<'a>(&mut self, bytes: &'a [u8]) -> Result<Decoded<Option<&'a u8>>, ()> {
        fail();
        match roll(40) {
            0 => Err(()),
            1..10 => Ok(Decoded::Frame { frame: bytes.last(), consumed: lie() }),
            10..20 => Ok(Decoded::NeedMore(Hint::Total(lie()))),
            _ => Ok(Decoded::NeedMore(Hint::Unknown)),
        }
    }
    fn decode_after<'a>(
        &mut self,
        bytes: &'a [u8],
        seen: usize,
    ) -> Result<Decoded<Option<&'a u8>>, ()> {
        assert!(seen <= bytes.len());
        self.decode(bytes)
    }
    fn wait(&mut self, kept: Kept<'_>, fresh: &[u8]) -> Option<Hint> {
        fail();
        let mut some = [0; 16];
        assert!(kept.copy_at(lie(), &mut some) <= some.len() && !fresh.is_empty());
        match roll(3) {
            0 => None,
            1 => Some(Hint::Unknown),
            _ => Some(Hint::Total(lie())),
        }
    }
    fn identity(&self) -> u64 {
        fail();
        roll(40)
    }
}

/// Writes something, and says something else.
struct Says;

impl Read for Says {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        fail();
        room.fill(7);
        match roll(20) {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            1 => Ok(0),
            2 => Ok(lie()),
            _ => Ok(roll(300) as usize),
        }
    }
}

/// What an error asks for.
enum Then {
    Close,
    Drain,
    Nothing,
}

impl<E> From<ReadError<E>> for Then {
    fn from(error: ReadError<E>) -> Self {
        match error {
            ReadError::Evicted => Self::Close,
            ReadError::Unreported { .. } => Self::Drain,
            _ => Self::Nothing,
        }
    }
}

fn feed(ring: &mut Ring<'_>, conn: &mut Conn) -> Then {
    let (bytes, mut liar) = ([9; 300], Liar);
    let batch = match roll(3) {
        0 => {
            let len = roll(300) as usize;
            ring.feed(conn, &mut liar, &mut &bytes[..len]).map_err(Then::from)
        }
        _ => ring.read_from(conn, &mut liar, &mut Says).map_err(Then::from),
    };
    let mut batch = match batch {
        Ok(batch) => batch,
        Err(then) => return then,
    };
    for _ in 0..roll(6) {
        match roll(4) {
            0 => batch.skip(lie()),
            1 => assert!(batch.rest().len() <= 1 << 20),
            _ => drop(batch.next().map(|frame| frame.flatten().copied())),
        }
        fail();
    }
    match roll(4) {
        0 => core::mem::forget(batch),
        1 => drop(batch.finish()),
        _ => drop(batch),
    }
    Then::Nothing
}

fn storm(seed: u64, steps: u32) {
    DICE.set(seed);
    let source = Failing::seeded(Heap::new(), seed, 10).counted();
    let policy = match seed % 3 {
        0 => Policy::EvictOldest { min_age: Duration::from_millis(seed % 7) },
        1 => Policy::EvictLargest,
        _ => Policy::Reject,
    };
    let build = |budget: usize| {
        let builder = PacketRingBuilder::new().budget(budget).scratch(512).policy(policy);
        let builder = builder.chunk(64 << (seed % 3)).large_from(128 << (seed % 4));
        (0..99).find_map(|_| builder.try_build_in(&source).ok()).unwrap()
    };
    let mut rings = [build(3000 + 500 * (seed as usize % 9)), build(20_000)];
    let mut conns: Vec<Conn> =
        (0..12).map(|token| rings[token as usize % 2].open(token / 3)).collect();
    for _ in 0..steps {
        let (at, ring) = (roll(12) as usize, &mut rings[roll(2) as usize % 2]);
        let result = catch_unwind(AssertUnwindSafe(|| match roll(40) {
            0 => ring.close(&mut conns[at]),
            1 => conns.swap(at, (at + 5) % 12),
            2 => drop(ring.evicted().take(roll(5) as usize).count()),
            3 => ring.set_now(Duration::from_millis(roll(1 << 33))),
            4 => assert!(ring.older_than(Duration::from_millis(roll(1 << 33))).count() < 100),
            5 => assert!(ring.partial_len(&conns[at]) < 1 << 20),
            6 => ring.prefetch(&conns[at]),
            7 => conns[at] = ring.open(roll(4) as u32),
            _ => match feed(ring, &mut conns[at]) {
                Then::Close if roll(2) == 0 => ring.close(&mut conns[at]),
                Then::Drain => drop(ring.evicted().nth(roll(4) as usize)),
                _ => {}
            },
        }));
        if let Err(thrown) = result {
            assert_eq!(thrown.downcast_ref(), Some(&"meant"), "{seed}");
        }
        let stats = ring.stats();
        assert!(stats.used <= stats.budget, "{seed}");
    }
    drop(rings);
    assert_eq!(source.traffic().live_bytes, 0, "{seed}");
}

#[test]
fn rings_keep_their_books_in_a_storm() {
    let (seeds, steps) = if cfg!(miri) { (2, 60) } else { (60, 1000) };
    (0..seeds).for_each(|seed| storm(seed, steps));
}
