//! Several threads with an event loop each: whose keys are whose, and how they ask one another.
//!
//! Every key belongs to one thread, by its hash; its value is made, changed and freed there alone. A
//! connection belongs to the thread that accepted it. What it asks of another thread's keys goes there
//! as a letter, and the reply comes back as one; meanwhile the thread serves others. Replies of a
//! connection keep their order: see [`waiting`].
//!
//! ```text
//!   connection ─► parse ─► route ─┬─► here: executed at once
//!                                 ├─► one other thread: a letter
//!                                 ├─► several: a part each, and their replies put together (gather)
//!                                 └─► RENAME, COPY, MSETNX over two threads: the others hold still (together)
//! ```
//!
//! Letters of one thread to another keep their order too, so each thread sees the requests of a connection
//! in the order in which they were sent. A command over keys of several threads is one step on each, and
//! not one step for all: as in a cluster, somebody else may see half of an `MSET`.
//!
//! What is under way is counted, by all and for each client: see [`ledger`].
#![forbid(unsafe_code)]

pub mod forward;
pub mod gather;
pub mod ledger;
pub mod post;
pub mod route;
pub mod together;
pub mod waiting;

use foldhash::SharedSeed;
use foldhash::fast::FoldHasher;
use std::hash::Hasher;

/// Which of how many threads this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Its number, from 0 on.
    pub me: usize,
    /// How many there are.
    pub of: usize,
}

impl Share {
    /// The only thread.
    pub const ALL: Self = Self { me: 0, of: 1 };

    /// A cursor of this thread's store as clients have it, who do not know of threads: the number of
    /// the thread is in it, and the end of one is the beginning of the next.
    #[must_use]
    pub const fn cursor(self, local: u64) -> u64 {
        let Self { me, of } = self;
        match local {
            0 if me + 1 < of => me as u64 + 1,
            0 => 0,
            _ => local.wrapping_mul(of as u64).wrapping_add(me as u64),
        }
    }

    /// The cursor of this thread's store that was made into `cursor`.
    #[must_use]
    pub const fn local(self, cursor: u64) -> u64 {
        cursor / self.of as u64
    }

    /// The thread that a client's cursor is of.
    #[must_use]
    pub const fn of_cursor(self, cursor: u64) -> usize {
        (cursor % self.of as u64) as usize
    }
}

/// Tells which thread a key belongs to: the same on all of them, and for a client not to be foreseen.
#[derive(Clone)]
pub struct Sharding {
    seed: u64,
    shared: SharedSeed,
    of: usize,
}

impl Sharding {
    /// Among so many threads.
    #[must_use]
    pub fn new(random: [u64; 2], of: usize) -> Self {
        Self { seed: random[0], shared: SharedSeed::from_u64(random[1]), of }
    }

    /// The thread that a key belongs to.
    #[inline]
    #[must_use]
    pub fn of(&self, key: &[u8]) -> usize {
        let mut hasher = FoldHasher::with_seed(self.seed, &self.shared);
        hasher.write(key);
        // Below `of`, and each as often as the others.
        (((hasher.finish() >> 32) * self.of as u64) >> 32) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_spread_evenly() {
        let sharding = Sharding::new([1, 2], 4);
        let mut counts = [0; 4];
        for key in 0..4000_u32 {
            counts[sharding.of(&key.to_ne_bytes())] += 1;
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_scan_goes_through_all_threads() {
        // Each thread has a cursor of its own that counts down.
        let (mut cursor, mut seen) = (0, Vec::new());
        loop {
            let share = Share { me: Share { me: 0, of: 3 }.of_cursor(cursor), of: 3 };
            let local = share.local(cursor);
            let next = if local == 0 { 2 } else { local - 1 };
            seen.push((share.me, local));
            cursor = share.cursor(next);
            if cursor == 0 {
                break;
            }
        }
        let expected: Vec<_> = (0..3).flat_map(|me| [(me, 0), (me, 2), (me, 1)]).collect();
        assert_eq!(seen, expected);
        assert_eq!((Share::ALL.cursor(7), Share::ALL.local(7)), (7, 7));
    }
}
