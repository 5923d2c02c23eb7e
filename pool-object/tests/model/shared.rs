//! Random programs over a heap for all threads, with a naive model of what is live. The property
//! tests run them, and a fuzz target.
//!
//! The threads are real ones, with caches of their own, and take turns: one does its step, the others
//! wait. So a program does the same each time it runs. (What happens at once is for loom,
//! ThreadSanitizer and `shared_model`.)

use core::alloc::Layout;
use core::ptr::NonNull;
use pool_core::{Failing, Heap, Stats};
use pool_object::SharedAlloc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Scope, ScopedJoinHandle};

/// One step of a program. Numbers that pick a block or a thread are taken modulo what there is.
#[derive(Clone, Debug)]
pub enum Op {
    Allocate {
        thread: u8,
        size: u32,
        align: u8,
        zeroed: bool,
    },
    /// So many blocks of one layout.
    AllocateMany {
        thread: u8,
        size: u32,
        count: u16,
    },
    /// Blocks from `pick` on, whoever allocated them.
    Free {
        thread: u8,
        pick: u16,
        count: u16,
    },
    Relayout {
        thread: u8,
        pick: u16,
        size: u32,
        align: u8,
    },
    Flush {
        thread: u8,
    },
    Trim {
        thread: u8,
    },
    /// The thread ends, and another one takes its place.
    End {
        thread: u8,
    },
}

impl Op {
    /// The next operation that these bytes spell; `None` at the end.
    #[allow(dead_code, reason = "the fuzz target's")]
    pub fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let (&[kind, a, b, c, d], rest) = bytes.split_first_chunk()?;
        *bytes = rest;
        let (pick, count) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]) % 3000);
        let (thread, size) = (kind >> 4, u32::from(count) << (a >> 5));
        Some(match kind % 16 {
            0..3 => Self::Allocate { thread, size, align: b % 17, zeroed: a % 2 == 0 },
            3..6 => Self::AllocateMany { thread, size: u32::from(pick) % 700, count },
            6 => Self::Free { thread, pick, count: 1 },
            7..11 => Self::Free { thread, pick, count },
            11 | 12 => Self::Relayout { thread, pick, size, align: b % 17 },
            13 => Self::Flush { thread },
            14 => Self::Trim { thread },
            _ => Self::End { thread },
        })
    }
}

/// Where the runs of a test come from: counted, and refused from call `fail` on if that is set.
pub type Source = Failing<Stats<Heap>>;

/// A source that refuses call number `fail`.
pub fn source(fail: Option<u64>) -> Arc<Source> {
    let stats = Stats::new(Heap::new());
    Arc::new(match fail {
        Some(call) => Failing::nth(stats, call),
        None => Failing::never(stats),
    })
}

/// How much a heap may keep.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub thread: usize,
    pub threads: usize,
    pub spare: usize,
}

impl Limits {
    /// Some choice of them.
    pub fn choose(number: u8) -> Self {
        Self {
            thread: [4 << 20, 20_000, 300][number as usize % 3],
            threads: [64 << 20, 100_000, 0][number as usize / 3 % 3],
            spare: [1 << 20, 64 << 10, 0][number as usize / 9 % 3],
        }
    }
}

type Shared = SharedAlloc<Arc<Source>>;

/// A block on its way from one thread to another.
#[derive(Clone, Copy, PartialEq)]
struct Block(NonNull<u8>);

// SAFETY: a block belongs to whoever was sent this value last; threads take turns.
unsafe impl Send for Block {}

/// What a thread is told to do.
enum Command {
    Allocate(Layout, bool, usize),
    Free(Vec<(Block, Layout)>),
    Relayout(Block, Layout, Layout),
    Flush,
    Trim,
    /// To say what its cache has.
    Tell,
}

/// Blocks that it got.
type Reply = Vec<Block>;

fn obey(heap: &Shared, command: Command) -> Reply {
    match command {
        Command::Allocate(layout, false, count) => {
            (0..count).map_while(|_| heap.try_allocate(layout).ok()).map(Block).collect()
        }
        Command::Allocate(layout, true, count) => {
            (0..count).map_while(|_| heap.try_allocate_zeroed(layout).ok()).map(Block).collect()
        }
        Command::Free(blocks) => {
            for (Block(block), layout) in blocks {
                // SAFETY: live until now, of this heap and layout: the model gave it up.
                unsafe { heap.deallocate(block, layout) };
            }
            Vec::new()
        }
        Command::Relayout(Block(block), old, new) => {
            // SAFETY: live, of this heap and layout; the model uses the result.
            unsafe { heap.try_relayout(block, old, new) }.ok().map(Block).into_iter().collect()
        }
        Command::Flush => {
            heap.flush_thread();
            Vec::new()
        }
        Command::Trim => {
            heap.trim();
            Vec::new()
        }
        Command::Tell => {
            let _ = heap.stats();
            Vec::new()
        }
    }
}

/// A thread that does what it is told, until the sender is gone.
struct Worker<'scope> {
    send: Sender<Command>,
    receive: Receiver<Reply>,
    thread: ScopedJoinHandle<'scope, ()>,
}

impl<'scope> Worker<'scope> {
    fn new<'env>(scope: &'scope Scope<'scope, 'env>, heap: &'env Shared) -> Self {
        let (send, commands) = channel();
        let (replies, receive) = channel();
        let thread = scope.spawn(move || {
            for command in commands {
                replies.send(obey(heap, command)).unwrap();
            }
        });
        Self { send, receive, thread }
    }

    fn ask(&self, command: Command) -> Reply {
        self.send.send(command).unwrap();
        self.receive.recv().unwrap()
    }

    fn end(self) {
        drop(self.send);
        self.thread.join().unwrap();
    }
}

/// A live block: what it was allocated for, and the byte that fills it.
struct Live {
    block: Block,
    layout: Layout,
    fill: u8,
}

impl Live {
    fn write(&self) {
        // SAFETY: the block has so many bytes, and is ours.
        unsafe { self.block.0.write_bytes(self.fill, self.layout.size()) };
    }

    /// Checks the first `len` bytes.
    fn check(&self, len: usize) {
        // SAFETY: the block has so many bytes, written by `write`, or zeroed.
        let bytes = unsafe { core::slice::from_raw_parts(self.block.0.as_ptr(), len) };
        // (Slices are compared at once, which Miri does faster than a loop.)
        assert!(*bytes == *vec![self.fill; len], "{:?} was overwritten", self.layout);
    }
}

const THREADS: usize = 3;

struct Machine<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    heap: &'env Shared,
    workers: Vec<Worker<'scope>>,
    live: Vec<Live>,
    steps: u8,
}

fn layout(size: u32, align: u8) -> Layout {
    Layout::from_size_align(size as usize, 1 << align).unwrap()
}

impl Machine<'_, '_> {
    fn worker(&self, thread: u8) -> &Worker<'_> {
        &self.workers[thread as usize % THREADS]
    }

    fn allocate(&mut self, thread: u8, layout: Layout, zeroed: bool, count: usize) {
        for block in self.worker(thread).ask(Command::Allocate(layout, zeroed, count)) {
            assert_eq!(block.0.addr().get() % layout.align(), 0);
            if zeroed {
                Live { block, layout, fill: 0 }.check(layout.size());
            }
            self.steps = self.steps.wrapping_add(1);
            let live = Live { block, layout, fill: self.steps };
            live.write();
            self.live.push(live);
        }
    }

    fn free(&mut self, thread: u8, pick: usize, count: usize) {
        let mut gone = Vec::new();
        for number in 0..count.min(self.live.len()) {
            let live = self.live.swap_remove((pick + 7 * number) % self.live.len());
            live.check(live.layout.size());
            gone.push((live.block, live.layout));
        }
        self.worker(thread).ask(Command::Free(gone));
    }

    fn relayout(&mut self, thread: u8, pick: usize, new: Layout) {
        if self.live.is_empty() {
            return;
        }
        let index = pick % self.live.len();
        let Live { block, layout: old, .. } = self.live[index];
        let reply = self.worker(thread).ask(Command::Relayout(block, old, new));
        let live = &mut self.live[index];
        let Some(&block) = reply.first() else { return live.check(old.size()) };
        assert_eq!(block.0.addr().get() % new.align(), 0);
        (live.block, live.layout) = (block, new);
        live.check(old.size().min(new.size()));
        live.write();
    }

    fn step(&mut self, op: &Op) {
        match *op {
            Op::Allocate { thread, size, align, zeroed } => {
                self.allocate(thread, layout(size, align), zeroed, 1);
            }
            Op::AllocateMany { thread, size, count } => {
                self.allocate(thread, layout(size, 3), false, count.into());
            }
            Op::Free { thread, pick, count } => self.free(thread, pick.into(), count.into()),
            Op::Relayout { thread, pick, size, align } => {
                self.relayout(thread, pick.into(), layout(size, align));
            }
            Op::Flush { thread } => drop(self.worker(thread).ask(Command::Flush)),
            Op::Trim { thread } => drop(self.worker(thread).ask(Command::Trim)),
            Op::End { thread } => {
                let fresh = Worker::new(self.scope, self.heap);
                let place = &mut self.workers[thread as usize % THREADS];
                std::mem::replace(place, fresh).end();
            }
        }
    }

    /// What the heap says of itself, once every thread has said what it has, against what is known.
    fn check(&self) {
        assert_eq!(self.heap.check(), Ok(()));
        for worker in &self.workers {
            worker.ask(Command::Tell);
        }
        let stats = self.heap.stats();
        assert_eq!(stats.live(), self.live.len(), "{stats}");
        let asked: usize = self.live.iter().map(|live| live.layout.size()).sum();
        assert!(asked <= stats.live_bytes() && stats.live_bytes() <= stats.held_bytes());
        // And the shared half itself, which stands in a run of its own.
        assert!(stats.held_bytes() <= self.heap.source().inner().traffic().live_bytes);
        for class in stats.used_classes() {
            let all = class.live + class.cached + class.free;
            assert_eq!(all, class.spans * class.class.blocks(), "{class:?}");
        }
    }
}

/// Runs a program; then frees everything and lets the threads end, or drops the heap.
pub fn run(source: &Arc<Source>, limits: Limits, program: &[Op], one_by_one: bool) {
    let heap = SharedAlloc::new_in(source.clone())
        .with_thread_bytes(limits.thread)
        .with_cache_bytes(limits.threads)
        .with_spare_bytes(limits.spare);
    std::thread::scope(|scope| {
        let workers = (0..THREADS).map(|_| Worker::new(scope, &heap)).collect();
        let mut machine = Machine { scope, heap: &heap, workers, live: Vec::new(), steps: 0 };
        for op in program {
            machine.step(op);
            // Miri takes long for that.
            if !cfg!(miri) {
                machine.check();
            }
        }
        machine.check();
        machine.live.iter().for_each(|live| live.check(live.layout.size()));
        if one_by_one {
            machine.free(machine.steps, 3, usize::MAX);
            machine.check();
        }
        machine.workers.drain(..).for_each(Worker::end);
        machine.check();
    });
    if one_by_one {
        heap.trim();
        let stats = heap.stats();
        assert_eq!(stats.held_bytes(), stats.table_bytes, "{stats}");
    }
    drop(heap);
    assert_eq!(source.inner().traffic().live_bytes, 0);
}
