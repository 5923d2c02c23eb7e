//! What stays resident of a heap whose blocks were all freed, seen by the system; and how full spans are
//! when most blocks were freed at random, which no heap can give back.
#![cfg(all(target_os = "linux", not(miri)))]

use core::alloc::Layout;
use core::ptr::NonNull;
use pool_core::{Global, PageSource};
use pool_object::{BlockAlloc, SharedAlloc, SizeClass, SmallAlloc};
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::process::Command;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// Bytes of anonymous memory that are resident. The system goes through all pages for this: its quick
/// figures are rough. Allocates nothing.
fn resident() -> usize {
    let mut text = [0; 4096];
    let len = File::open("/proc/self/smaps_rollup").unwrap().read(&mut text).unwrap();
    let text = std::str::from_utf8(&text[..len]).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Anonymous:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() << 10
}

/// Base pages only, so that bytes are the heap's and not the system's choice.
fn without_huge_pages() {
    // SAFETY: a flag of this process.
    let result = unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
    assert_eq!(result, 0);
}

type Block = (NonNull<u8>, Layout);

/// What is allocated: how many blocks, and how long the next one is.
#[derive(Clone, Copy)]
struct Spike {
    blocks: usize,
    size: fn(&mut Random) -> usize,
}

const MOST: usize = 4 << 10;

/// Some 50 MiB each.
const ONE_SIZE: Spike = Spike { blocks: 800_000, size: |_| 64 };
const MANY_SIZES: Spike = Spike {
    blocks: 60_000,
    size: |random| {
        let most = MOST >> random.below(9);
        most - random.below(most / 2)
    },
};

impl Spike {
    /// Each block is written throughout.
    fn fill(self, heap: &impl BlockAlloc, blocks: &mut Vec<Block>, random: &mut Random) {
        for _ in 0..self.blocks {
            let layout = Layout::from_size_align((self.size)(random), 8).unwrap();
            let block = heap.try_allocate(layout).unwrap();
            // SAFETY: the block is so long, and ours.
            unsafe { block.write_bytes(1, layout.size()) };
            blocks.push((block, layout));
        }
    }

    /// What is resident when all is freed, then when it was trimmed, each more than at first.
    fn run<A: BlockAlloc>(self, new: fn() -> A, trim: fn(&A) -> usize) -> [usize; 2] {
        let mut random = Random(0x9E37_79B9_7F4A_7C15);
        let mut blocks = Vec::with_capacity(self.blocks);
        // Once before, with another heap: what is paid once in a process' life is no matter of a spike.
        let other = new();
        self.fill(&other, &mut blocks, &mut random);
        free(&other, &mut blocks, &mut random);
        drop(other);
        Global.trim();
        let start = resident();
        let heap = &new();
        self.fill(heap, &mut blocks, &mut random);
        let high = resident() - start;
        assert!(high > 30 * MIB, "{high}: there was a spike");
        free(heap, &mut blocks, &mut random);
        let freed = resident().saturating_sub(start);
        trim(heap);
        let trimmed = resident().saturating_sub(start);
        println!("{freed} bytes after the last free, {trimmed} after trim");
        [freed, trimmed]
    }
}

fn free(heap: &impl BlockAlloc, blocks: &mut Vec<Block>, random: &mut Random) {
    random.shuffle(blocks);
    for (block, layout) in blocks.drain(..) {
        // SAFETY: allocated by `fill` from this heap with this layout, and freed once.
        unsafe { heap.deallocate(block, layout) };
    }
}

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Set in a child process, whose memory is that of one test alone.
const CHILD: &str = "POOL_OBJECT_RESIDENT_CHILD";

fn in_a_child(test: &str, body: impl Fn()) {
    if std::env::var_os(CHILD).is_some() {
        without_huge_pages();
        body();
        println!("the child came to the end");
        return;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("the child came to the end"), "{stdout}");
    print!("{stdout}");
}

/// The heap for one thread keeps a reserve of 2 MiB, with 1 MiB for what is between.
fn small(test: &str, spike: Spike) {
    in_a_child(test, || {
        let [freed, trimmed] = spike.run(SmallAlloc::new, SmallAlloc::trim);
        assert!(freed <= 3 * MIB, "{freed} bytes");
        assert!(trimmed <= 256 * KIB, "{trimmed} bytes");
    });
}

/// The heap for all threads does not look at 2 MiB, nor at four spans of each class that was used, and keeps 1 MiB
/// of empty ones; with 1 MiB for what is between.
fn shared(test: &str, spike: Spike, classes: Range<usize>) {
    in_a_child(test, || {
        let [freed, trimmed] = spike.run(SharedAlloc::new, SharedAlloc::trim);
        let stats = SharedAlloc::new().stats();
        let used = stats.classes.iter().filter(|stats| classes.contains(&stats.class.size()));
        let ignored: usize = used.map(|stats| 4 * stats.class.span_len()).sum();
        let stated = (2 * MIB).max(MIB + ignored);
        assert!(freed <= stated + MIB, "{freed} bytes, of which {stated} are stated");
        assert!(trimmed <= 256 * KIB, "{trimmed} bytes");
    });
}

#[test]
fn one_threads_heap_gives_blocks_of_one_size_back() {
    small("one_threads_heap_gives_blocks_of_one_size_back", ONE_SIZE);
}

#[test]
fn one_threads_heap_gives_blocks_of_many_sizes_back() {
    small("one_threads_heap_gives_blocks_of_many_sizes_back", MANY_SIZES);
}

#[test]
fn all_threads_heap_gives_blocks_of_one_size_back() {
    shared("all_threads_heap_gives_blocks_of_one_size_back", ONE_SIZE, 64..65);
}

#[test]
fn all_threads_heap_gives_blocks_of_many_sizes_back() {
    shared("all_threads_heap_gives_blocks_of_many_sizes_back", MANY_SIZES, 8..MOST + 1);
}

/// Allocates so many blocks and frees nine of ten at random.
fn a_tenth(heap: &impl BlockAlloc) -> Vec<NonNull<u8>> {
    let mut blocks: Vec<_> = (0..MANY).map(|_| heap.try_allocate(LAYOUT).unwrap()).collect();
    Random(7).shuffle(&mut blocks);
    for block in blocks.split_off(MANY / 10) {
        // SAFETY: allocated above with this layout, and freed once.
        unsafe { heap.deallocate(block, LAYOUT) };
    }
    blocks
}

const MANY: usize = 100_000;
const LAYOUT: Layout = Layout::new::<[u64; 8]>();

/// Nine of ten at random empty no span of a thousand blocks, so that the heap holds what it did: the figures
/// say so, and how little of it is used.
fn assert_a_tenth(used: usize, blocks: usize) {
    println!("{used} of {blocks} blocks are used, {} %", 100 * used / blocks);
    assert_eq!(used, MANY / 10);
    assert!((MANY..MANY + MANY / 20).contains(&blocks), "{blocks}");
}

#[test]
fn one_threads_heap_tells_how_full_its_spans_are() {
    let heap = SmallAlloc::new();
    let kept = a_tenth(&heap);
    heap.flush();
    let spans: Vec<_> = heap.spans().collect();
    let sum = |of: fn(&pool_object::SpanUse) -> usize| spans.iter().map(of).sum();
    assert_a_tenth(sum(|span| span.used), sum(|span| span.blocks));
    // By chance each is near to the average.
    assert!(spans.iter().all(|span| span.used > 0 && span.used < span.blocks / 5), "{spans:?}");
    assert_eq!(heap.stats().live(), kept.len());
}

#[test]
fn all_threads_heap_tells_how_full_its_spans_are() {
    let heap = SharedAlloc::new();
    let kept = a_tenth(&heap);
    let class = SizeClass::of(LAYOUT).unwrap();
    let stats = heap.stats();
    let stats = &stats.classes[class.index()];
    assert_eq!(stats.live, kept.len());
    assert_a_tenth(stats.live, stats.live + stats.cached + stats.free);
    assert_eq!(stats.held_bytes / stats.spans, class.span_len());
}
