//! `first-touch-2m`: 2 MiB, new from the system each time; one byte of each 4 KiB is written.
//!
//! Only the writes are timed: what they cost is page faults. *Answers*: the bytes read back.

use crate::case::Case;
use crate::engine::{Engine, Setup, Store};
use crate::engines::{BasePages, HugePages, PlainMapping};
use crate::workloads::{PAGE, POOL_CORE};
use std::time::{Duration, Instant};

const LEN: usize = 2 << 20;

pub(super) fn cases() -> Vec<Case> {
    vec![case::<BasePages>(), case::<HugePages>(), case::<PlainMapping>()]
}

fn case<E: Engine>() -> Case
where
    E::Store: Store,
{
    Case::new::<E>(POOL_CORE, "first-touch-2m", || {
        let mut store = E::build(Setup { chunk: LEN, capacity: LEN });
        Box::new(move |n| (0..n).map(|_| once(&mut store)).sum())
    })
}

fn once<S: Store>(store: &mut S) -> Duration {
    let chunk = store.take(LEN);
    let at = |page: usize| S::address(&chunk).wrapping_add(page * PAGE);
    let start = Instant::now();
    for page in 0..LEN / PAGE {
        // SAFETY: the chunk is ours, and `page * PAGE` is below its length.
        unsafe { at(page).write_volatile(page as u8 | 1) };
    }
    let elapsed = start.elapsed();
    for page in 0..LEN / PAGE {
        // SAFETY: as above; it was written.
        assert_eq!(unsafe { at(page).read_volatile() }, page as u8 | 1);
    }
    store.put(chunk);
    elapsed
}

/// Whether this machine gives transparent huge pages to those who ask: what a first touch of 2 MiB
/// added to `AnonHugePages` of the mapping's process.
#[must_use]
pub fn huge_pages_granted() -> bool {
    let anon_huge = || {
        let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
        let line = rollup.lines().find_map(|line| line.strip_prefix("AnonHugePages:"));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    let before = anon_huge();
    let mut store = HugePages::build(Setup { chunk: LEN, capacity: LEN });
    let chunk = store.take(LEN);
    let address = <<HugePages as Engine>::Store as Store>::address(&chunk);
    // SAFETY: the chunk is ours and not empty.
    unsafe { address.write_volatile(1) };
    let granted = anon_huge() > before;
    store.put(chunk);
    granted
}
