//! A random run over the process-wide heap, with blocks of 8 bytes to 1 MiB and threads that come and
//! go: no growth beyond the steady state, in a test binary that is on that heap itself.
//!
//! So many rounds as show it; `POOL_SOAK_SECONDS=60` for more.
#![cfg(all(target_os = "linux", not(miri)))]

use pool_core::process;
use pool_object::GlobalHeap;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: GlobalHeap = GlobalHeap;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }

    /// Short ones mostly: each doubling is as likely as the next.
    fn size(&mut self) -> usize {
        let most = 8 << self.below(18);
        most / 2 + 1 + self.below(most / 2)
    }
}

/// What is live, at most so many bytes: each thread replaces some of it.
type Table = Arc<Vec<Mutex<Vec<u8>>>>;

const SLOTS: usize = 256;

fn work(table: &Table, seed: u64, steps: usize) {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    for _ in 0..steps {
        let size = random.size();
        let mut fresh = if random.below(4) == 0 { vec![0; size] } else { Vec::with_capacity(size) };
        fresh.resize(size, 0);
        let mark = seed as u8;
        fresh[0] = mark;
        fresh[size - 1] = mark;
        let mut slot = table[random.below(SLOTS)].lock().unwrap();
        let old = std::mem::replace(&mut *slot, fresh);
        drop(slot);
        assert_eq!(old.first(), old.last());
    }
}

/// Some threads, one after the other and at once; returns bytes held afterwards.
fn round(table: &Table, number: u64) -> usize {
    let threads: Vec<_> = (0..4)
        .map(|n| {
            let table = table.clone();
            thread::spawn(move || work(&table, 4 * number + n + 1, 300))
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    GlobalHeap::heap().stats().held_bytes()
}

/// Rounds in which the steady state is reached, and rounds after that: what 80 threads would have lost
/// at their ends is well above what chance does to the numbers.
const ROUNDS: [u32; 2] = [10, 20];

#[test]
fn it_does_not_grow_beyond_its_steady_state() {
    let seconds = std::env::var("POOL_SOAK_SECONDS").ok().and_then(|text| text.parse().ok());
    let long = Duration::from_secs(seconds.unwrap_or(0));
    let table: Table = Arc::new((0..SLOTS).map(|_| Mutex::default()).collect());
    let mut number = 0;
    let mut run = |rounds: u32, long: Duration| {
        let (mut most, mut resident) = (0, 0);
        let (begin, mut done) = (Instant::now(), 0);
        while done < rounds || begin.elapsed() < long {
            (number, done) = (number + 1, done + 1);
            most = most.max(round(&table, number));
            resident = resident.max(process::resident_bytes().unwrap());
        }
        (most, resident)
    };
    let first = run(ROUNDS[0], Duration::ZERO);
    let second = run(ROUNDS[1], long);
    assert!(second.0 <= first.0 + first.0 / 8 + (4 << 20), "held: {first:?}, then {second:?}");
    assert!(second.1 <= first.1 + first.1 / 8 + (8 << 20), "resident: {first:?}, then {second:?}");
    GlobalHeap::heap().check().unwrap();

    drop(table);
    GlobalHeap::heap().trim();
    let stats = GlobalHeap::heap().stats();
    assert!(stats.live_bytes() <= 1 << 20, "{stats}");
    // The harness' own thread waits for this one, and its cache with a span or so of each class.
    assert!(stats.held_bytes() <= 5 << 20, "{stats}");
}
