//! After a spike of 1 GiB, what was resident goes back: by `trim`, and by decay without a call. In
//! a process of its own, as it looks at the process's resident bytes.
#![cfg(all(target_os = "linux", not(miri)))]

mod common;

use common::process_resident;
use pool_core::{Cache, Mmap, PageSource};
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

const SPIKE: usize = 1 << 30;

/// Touches a gibibyte in runs of several lengths and gives all of it back, in another order.
fn spike(source: &impl PageSource) -> usize {
    let lens = [16 << 10, 64 << 10, 256 << 10, 1 << 20];
    let mut runs = Vec::with_capacity(20_000);
    let mut bytes = 0;
    while bytes < SPIKE {
        let mut pages = source.pages(lens[runs.len() % 4]).unwrap();
        let granule = source.granule();
        pages
            .as_uninit_mut()
            .iter_mut()
            .step_by(granule)
            .for_each(|byte| *byte = MaybeUninit::new(1));
        bytes += pages.len();
        runs.push(pages);
    }
    let peak = process_resident();
    // Every other one first, so that the buddy has to merge.
    let mut keep = false;
    runs.retain(|_| {
        keep = !keep;
        keep
    });
    drop(runs);
    peak
}

fn assert_back(before: usize, after: usize, how: &str) {
    let most = before + before / 20;
    assert!(after <= most, "{how}: {before} bytes resident before, {after} after");
}

#[test]
fn resident_memory_returns_after_a_spike() {
    let decay = Duration::from_secs(2);
    let source = Arc::new(Cache::new(Mmap::new()).with_decay(decay));
    // What a server holds all the time; 5 % of it is what may be left over.
    let mut base = (&*source).pages(64 << 20).unwrap();
    base.as_uninit_mut().fill(MaybeUninit::new(1));
    spike(&source);
    source.trim();

    let before = process_resident();
    let peak = spike(&source);
    assert!(peak >= before + SPIKE, "{peak} at the peak: there was no spike");
    source.trim();
    assert_back(before, process_resident(), "after trim");

    let background = source.decay_in_background().unwrap();
    spike(&source);
    let begin = Instant::now();
    let most = before + before / 20;
    while process_resident() > most && begin.elapsed() < decay {
        thread::sleep(Duration::from_millis(20));
    }
    assert_back(before, process_resident(), "by decay, without a call");
    drop(background);
}
