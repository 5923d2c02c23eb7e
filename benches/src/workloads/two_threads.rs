//! `pair-16k-2t`: as `pair-16k`, by two threads at once, each `n` times.
//!
//! Each thread writes its mark into the chunk's first word and reads it back before the release.
//! The time is from the first thread's start to the last one's end, without starting threads.
//! *Answers*: no mark was another's, so no chunk had two owners.

use crate::case::Case;
use crate::engine::{Chunk, Engine, Setup, Shared, Store};
use crate::engines::{
    ArrayQueueOf, Cache, Global, Mmap, MutexVec, SegQueueOf, ThreadLocalVec, Unmap,
};
use crate::opaque::escape;
use crate::together::at_once;
use crate::workloads::POOL_CORE;
use crate::workloads::pair::{AT_HAND, warm};
use pool_core::Run;

const THREADS: usize = 2;

pub(super) fn cases() -> Vec<Case> {
    const NAME: &str = "pair-16k-2t";
    const LEN: usize = 16 << 10;
    vec![
        case::<Global, LEN>(NAME),
        case::<Cache, LEN>(NAME),
        case::<Mmap, LEN>(NAME),
        case::<ThreadLocalVec, LEN>(NAME),
        case::<ArrayQueueOf<Chunk>, LEN>(NAME),
        case::<ArrayQueueOf<Run>, LEN>(NAME),
        case::<SegQueueOf<Chunk>, LEN>(NAME),
        case::<MutexVec, LEN>(NAME),
        case::<Unmap, LEN>(NAME),
    ]
}

fn case<E: Engine, const LEN: usize>(name: &'static str) -> Case
where
    E::Store: Shared,
{
    let prepare = || -> crate::Prepared {
        let store = E::build(Setup { chunk: LEN, capacity: LEN * AT_HAND * THREADS });
        Box::new(move |n| {
            at_once(THREADS, |number, start| {
                let mut view = store.view();
                warm(&mut view, LEN);
                let mark = 1 + number as u64;
                let (strangers, span) =
                    start.together(|| marked_pairs::<_, LEN>(&mut view, n, mark));
                assert_eq!(strangers, 0, "a chunk had two owners");
                span
            })
        })
    };
    Case::new::<E>(POOL_CORE, name, prepare).uncounted()
}

/// What is measured; returns how often another's mark stood in a chunk.
#[inline(never)]
fn marked_pairs<S: Store, const LEN: usize>(store: &mut S, n: u64, mark: u64) -> u64 {
    let mut strangers = 0;
    for _ in 0..n {
        let chunk = store.take(LEN);
        let word = S::address(&chunk).cast::<u64>();
        // SAFETY: the chunk is ours until put back, has 16 KiB, and is aligned to a page.
        unsafe { word.write(mark) };
        escape(word.cast());
        // SAFETY: as above; written just now.
        strangers += u64::from(unsafe { word.read() } != mark);
        store.put(chunk);
    }
    strangers
}
