//! `hand-over`: one thread allocates 64 bytes at a time and writes to them; another reads and frees
//! them. An operation is a block.
//!
//! Blocks are handed over 256 at a time, through queues of 64 such batches, which cost every
//! engine the same. Neither thread ever does the other's part, so that memory has to find its way
//! back. The time is from the first thread's start to the last block's end. *Answers*: the sum of the blocks' numbers.

use crate::case::Case;
use crate::engines::heaps::of_shared_heaps;
use crate::heap::{Heap, SharedHeaps, room};
use crate::opaque::escape;
use crate::together::Pinned;
use crate::workloads::POOL_OBJECT;
use crossbeam_queue::ArrayQueue;
use std::alloc::Layout;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

const LAYOUT: Layout = Layout::new::<[u64; 8]>();
const BATCHES: usize = 64;
const BATCH: usize = 256;

pub(super) fn cases() -> Vec<Case> {
    of_shared_heaps!(case())
}

fn case<E: SharedHeaps>() -> Case {
    Case::new::<E>(POOL_OBJECT, "hand-over", || {
        let heap = E::build(room(2 * BATCHES * BATCH * LAYOUT.size()));
        let pair = Pair::new(heap);
        Box::new(move |n| {
            let (start, sum, end) = pair.run(n);
            assert_eq!(sum, n * n.saturating_sub(1) / 2, "these are not the blocks");
            end - start
        })
    })
    .uncounted()
    .at_least(1 << 17)
}

/// Blocks on their way.
struct Batch(Vec<NonNull<u64>>);

// SAFETY: whoever has the batch has its blocks alone.
unsafe impl Send for Batch {}

/// What both threads have.
struct Between<H> {
    heap: H,
    /// Live blocks.
    full: ArrayQueue<Batch>,
    empty: ArrayQueue<Batch>,
}

/// The thread that calls allocates; one that waits for orders frees.
struct Pair<H: Heap + Send + Sync + 'static> {
    between: Arc<Between<H>>,
    /// How many blocks are to come. Gone when the thread is to end.
    orders: Option<SyncSender<u64>>,
    /// That it is ready, by a sum of 0, then the sum of their numbers; and when.
    answers: Receiver<(u64, Instant)>,
    thread: Option<JoinHandle<()>>,
}

impl<H: Heap + Send + Sync + 'static> Pair<H> {
    fn new(heap: H) -> Self {
        let (full, empty) = (ArrayQueue::new(BATCHES), ArrayQueue::new(BATCHES));
        for _ in 0..BATCHES {
            assert!(empty.push(Batch(Vec::with_capacity(BATCH))).is_ok());
        }
        let between = Arc::new(Between { heap, full, empty });
        let (orders, ordered) = sync_channel(1);
        let (answer, answers) = sync_channel(1);
        let shared = Arc::clone(&between);
        let thread = thread::spawn(move || {
            let _pinned = Pinned::to(1);
            for n in ordered {
                answer.send((0, Instant::now())).expect("somebody waits");
                let sum = shared.free(n);
                answer.send((sum, Instant::now())).expect("somebody waits");
            }
        });
        Self { between, orders: Some(orders), answers, thread: Some(thread) }
    }

    /// The start, the sum of the numbers, the end.
    fn run(&self, n: u64) -> (Instant, u64, Instant) {
        let _pinned = Pinned::to(0);
        let orders = self.orders.as_ref().expect("it is there until drop");
        orders.send(n).expect("the thread waits");
        self.answers.recv().expect("the thread answers");
        let start = Instant::now();
        self.between.allocate(n);
        let (sum, end) = self.answers.recv().expect("the thread answers");
        (start, sum, end)
    }
}

impl<H: Heap + Send + Sync + 'static> Drop for Pair<H> {
    fn drop(&mut self) {
        self.orders = None;
        let end = self.thread.take().map(JoinHandle::join);
        assert!(end.is_none_or(|end| end.is_ok()) || thread::panicking(), "the thread failed");
    }
}

/// Waits for something to come.
fn wait<T>(mut next: impl FnMut() -> Option<T>) -> T {
    loop {
        for _ in 0..64 {
            if let Some(next) = next() {
                return next;
            }
            std::hint::spin_loop();
        }
        thread::yield_now();
    }
}

impl<H: Heap> Between<H> {
    /// What is measured: blocks with the numbers from 0 to `n`.
    #[inline(never)]
    fn allocate(&self, n: u64) {
        for first in (0..n).step_by(BATCH) {
            let mut batch = wait(|| self.empty.pop());
            for number in first..n.min(first + BATCH as u64) {
                let block = self.heap.allocate(LAYOUT).cast::<u64>();
                // SAFETY: the block has 64 bytes, is aligned to 8, and ours.
                unsafe { block.write(number) };
                escape(block.as_ptr().cast());
                batch.0.push(block);
            }
            assert!(self.full.push(batch).is_ok(), "there are no more batches than places");
        }
    }

    /// What is measured as well; returns the sum of the numbers.
    #[inline(never)]
    fn free(&self, n: u64) -> u64 {
        let (mut sum, mut left) = (0, n);
        while left > 0 {
            let mut batch = wait(|| self.full.pop());
            left -= batch.0.len() as u64;
            for block in batch.0.drain(..) {
                // SAFETY: a live block, written before.
                sum += unsafe { block.read() };
                // SAFETY: allocated by `allocate` from this heap, and freed once.
                unsafe { self.heap.deallocate(block.cast(), LAYOUT) };
            }
            assert!(self.empty.push(batch).is_ok(), "there are no more batches than places");
        }
        sum
    }
}
