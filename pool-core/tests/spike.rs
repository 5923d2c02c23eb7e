//! After a spike of 1 GiB, what was resident goes back: by `trim`, and by decay without a call. In
//! a process of its own, as it looks at the process's resident bytes.
#![cfg(all(target_os = "linux", not(miri)))]

mod common;

use common::process_resident;
use pool_core::{Cache, Clock, Mmap, Monotonic, PageSource};
use std::fs::read_to_string;
use std::mem::MaybeUninit;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// A gibibyte, or half of what this machine has to give.
fn spike_bytes() -> usize {
    let meminfo = read_to_string("/proc/meminfo").unwrap();
    let line = meminfo.lines().find(|line| line.starts_with("MemAvailable:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<usize>().ok());
    let machine = kib.map_or(usize::MAX, |kib| kib << 10);
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limit = |path| read_to_string(path).ok()?.trim().parse().ok();
    let limit = limits.into_iter().filter_map(limit).min().unwrap_or(usize::MAX);
    let bytes = (1 << 30).min(machine.min(limit) / 2);
    if bytes < 1 << 30 {
        eprintln!("there is little memory here: a spike of {bytes} bytes");
    }
    bytes
}

/// Touches so many bytes in runs of several lengths and gives all of it back, in another order.
fn spike(source: &impl PageSource, most: usize) -> usize {
    let lens = [16 << 10, 64 << 10, 256 << 10, 1 << 20];
    let mut runs = Vec::with_capacity(20_000);
    let mut bytes = 0;
    while bytes < most {
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

/// The system's clock, which notes when the decay thread looks at it, and what is resident then.
#[derive(Clone, Default)]
struct Watch(Arc<Mutex<Vec<(Duration, usize)>>>);

impl Watch {
    fn looks(&self) -> Vec<(Duration, usize)> {
        self.0.lock().unwrap().clone()
    }

    /// Waits until `done` says so of the looks so far.
    fn wait(
        &self,
        what: &str,
        done: impl Fn(&[(Duration, usize)]) -> bool,
    ) -> Vec<(Duration, usize)> {
        let begin = Instant::now();
        loop {
            let looks = self.looks();
            if done(&looks) {
                return looks;
            }
            assert!(begin.elapsed() < Duration::from_secs(120), "{what}: {looks:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Clock for Watch {
    fn now(&self) -> Duration {
        let now = Monotonic.now();
        if thread::current().name() == Some("pool-decay") {
            self.0.lock().unwrap().push((now, process_resident()));
        }
        now
    }
}

/// The decay time has four windows, so many looks see to it that what idles is gone, and a look comes at
/// least every quarter of the time: both together are the promise. A machine with other things to do
/// may be late with any one look, so of the looks it is the number that counts, and of the time between
/// two of them the shortest.
#[test]
fn resident_memory_returns_after_a_spike() {
    const WINDOWS: usize = 4;
    let (decay, bytes) = (Duration::from_secs(2), spike_bytes());
    let watch = Watch::default();
    let source = Arc::new(Cache::with_clock(Mmap::new(), watch.clone()).with_decay(decay));
    // What a server holds all the time; 5 % of it is what may be left over.
    let mut base = (&*source).pages(64 << 20).unwrap();
    base.as_uninit_mut().fill(MaybeUninit::new(1));
    spike(&source, bytes);
    source.trim();

    let before = process_resident();
    let peak = spike(&source, bytes);
    assert!(peak >= before + bytes, "{peak} at the peak: there was no spike");
    source.trim();
    assert_back(before, process_resident(), "after trim");

    let background = source.decay_in_background().unwrap();
    spike(&source, bytes);
    // One look may have begun before the end of the spike, and noted nothing yet.
    let end = watch.looks().len() + 1;
    let looks = watch.wait("looks after the spike", |looks| looks.len() > end + WINDOWS);
    assert_back(before, looks[end + WINDOWS].1, "by decay, without a call");
    let often = |looks: &[(Duration, usize)]| {
        looks.windows(2).any(|pair| pair[1].0 - pair[0].0 < decay * 3 / 8)
    };
    watch.wait("two looks a quarter of the time apart", often);
    drop(background);
}
