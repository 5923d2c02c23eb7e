//! Random programs of allocations over a heap, with a naive model of what is live. The property
//! tests run them, and a fuzz target may.

use core::alloc::Layout;
use core::ptr::NonNull;
use pool_core::{Failing, Heap, Stats};
use pool_object::SmallAlloc;

/// One step of a program. Numbers that pick a block are taken modulo what there is.
#[derive(Clone, Debug)]
pub enum Op {
    Allocate {
        size: u32,
        align: u8,
        zeroed: bool,
    },
    /// So many blocks of one layout.
    AllocateMany {
        size: u32,
        count: u16,
    },
    Free {
        pick: u16,
    },
    /// Blocks from `pick` on.
    FreeMany {
        pick: u16,
        count: u16,
    },
    Relayout {
        pick: u16,
        size: u32,
        align: u8,
    },
    Relocate {
        pick: u16,
    },
    Flush,
    /// Chooses what `Relocate` moves.
    MarkSparse {
        percent: u8,
    },
    Trim,
    Reserve {
        bytes: u32,
    },
    /// All blocks at once.
    Clear,
}

impl Op {
    /// The next operation that these bytes spell; `None` at the end.
    #[allow(dead_code, reason = "the fuzz target's")]
    pub fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let (&[kind, a, b, c, d], rest) = bytes.split_first_chunk()?;
        *bytes = rest;
        let (pick, count) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]) % 3000);
        let size = u32::from(count) << (kind >> 5);
        Some(match kind % 16 {
            0..4 => Self::Allocate { size, align: a % 17, zeroed: b % 2 == 0 },
            4..6 => Self::AllocateMany { size: u32::from(pick) % 700, count },
            6..8 => Self::Free { pick },
            8..10 => Self::FreeMany { pick, count },
            10 => Self::Relayout { pick, size, align: kind >> 4 },
            11 => Self::Relocate { pick },
            12 if b % 2 == 0 => Self::Flush,
            12 => Self::MarkSparse { percent: a % 101 },
            13 => Self::Trim,
            14 => Self::Reserve { bytes: size },
            _ => Self::Clear,
        })
    }
}

/// Where the runs of a test come from: counted, and refused from call `fail` on if that is set.
pub type Source = Failing<Stats<Heap>>;

/// A source that refuses call number `fail`.
pub fn source(fail: Option<u64>) -> Source {
    let stats = Stats::new(Heap::new());
    match fail {
        Some(call) => Failing::nth(stats, call),
        None => Failing::never(stats),
    }
}

/// A live block: what it was allocated for, and the byte that fills it.
struct Live {
    block: NonNull<u8>,
    layout: Layout,
    fill: u8,
}

impl Live {
    fn write(&self, from: usize) {
        // SAFETY: the block has more bytes than that, or as many.
        let rest = unsafe { self.block.add(from) };
        // SAFETY: the block has so many bytes from `from` on, and is ours.
        unsafe { rest.write_bytes(self.fill, self.layout.size() - from) };
    }

    /// Checks the first `len` bytes.
    fn check(&self, len: usize) {
        // SAFETY: the block has so many bytes, written by `write`.
        let bytes = unsafe { core::slice::from_raw_parts(self.block.as_ptr(), len) };
        // (Slices are compared at once, which Miri does faster than a loop.)
        assert!(*bytes == *vec![self.fill; len], "{:?} was overwritten", self.layout);
    }
}

/// A heap and what the model knows of it.
pub struct Machine<'s> {
    heap: SmallAlloc<&'s Source>,
    live: Vec<Live>,
    steps: u8,
}

fn layout(size: u32, align: u8) -> Layout {
    Layout::from_size_align(size as usize, 1 << align).unwrap()
}

impl<'s> Machine<'s> {
    pub fn new(source: &'s Source) -> Self {
        Self { heap: SmallAlloc::new_in(source), live: Vec::new(), steps: 0 }
    }

    /// Adds a block that was just handed out.
    fn born(&mut self, block: NonNull<u8>, layout: Layout) {
        assert_eq!(block.addr().get() % layout.align(), 0);
        self.steps = self.steps.wrapping_add(1);
        let live = Live { block, layout, fill: self.steps };
        live.write(0);
        self.live.push(live);
    }

    fn allocate(&mut self, layout: Layout, zeroed: bool) {
        let block = if zeroed {
            self.heap.try_allocate_zeroed(layout)
        } else {
            self.heap.try_allocate(layout)
        };
        let Ok(block) = block else { return };
        if zeroed {
            Live { block, layout, fill: 0 }.check(layout.size());
        }
        self.born(block, layout);
    }

    fn free(&mut self, pick: usize) {
        if self.live.is_empty() {
            return;
        }
        let live = self.live.swap_remove(pick % self.live.len());
        live.check(live.layout.size());
        // SAFETY: live until now, of this heap and layout.
        unsafe { self.heap.deallocate(live.block, live.layout) };
    }

    fn relayout(&mut self, pick: usize, new: Layout) {
        if self.live.is_empty() {
            return;
        }
        let index = pick % self.live.len();
        let live = &mut self.live[index];
        // SAFETY: live, of this heap and layout.
        if let Ok(block) = unsafe { self.heap.try_relayout(live.block, live.layout, new) } {
            assert_eq!(block.addr().get() % new.align(), 0);
            let kept = live.layout.size().min(new.size());
            (live.block, live.layout) = (block, new);
            live.check(kept);
            live.write(kept);
        } else {
            live.check(live.layout.size());
        }
    }

    fn relocate(&mut self, pick: usize) {
        if self.live.is_empty() {
            return;
        }
        // That one and some behind it.
        let first = pick % self.live.len();
        for live in self.live[first..].iter_mut().take(500) {
            let sparse = self.heap.is_sparse(live.block.as_ptr(), live.layout);
            // SAFETY: live, of this heap and layout.
            if let Some(block) = unsafe { self.heap.try_relocate(live.block, live.layout) } {
                assert!(sparse && !self.heap.is_sparse(block.as_ptr(), live.layout));
                live.block = block;
            }
            live.check(live.layout.size());
        }
    }

    fn step(&mut self, op: &Op) {
        match *op {
            Op::Allocate { size, align, zeroed } => self.allocate(layout(size, align), zeroed),
            Op::AllocateMany { size, count } => {
                for _ in 0..count {
                    self.allocate(layout(size, 3), false);
                }
            }
            Op::Free { pick } => self.free(pick as usize),
            Op::FreeMany { pick, count } => {
                for number in 0..count {
                    self.free(pick as usize + 7 * number as usize);
                }
            }
            Op::Relayout { pick, size, align } => self.relayout(pick as usize, layout(size, align)),
            Op::Relocate { pick } => self.relocate(pick as usize),
            Op::Flush => self.heap.flush(),
            Op::MarkSparse { percent } => {
                let bytes = self.heap.mark_sparse(percent.into());
                assert!(bytes <= self.heap.stats().held_bytes());
            }
            Op::Trim => {
                self.heap.trim();
                assert_eq!(self.heap.stats().spare, 0);
            }
            Op::Reserve { bytes } => self.heap.set_reserve(bytes as usize),
            Op::Clear => {
                self.live.clear();
                self.heap.clear();
            }
        }
    }

    /// What the heap says of itself against what is known.
    fn check(&self) {
        assert_eq!(self.heap.check(), Ok(()));
        let stats = self.heap.stats();
        assert_eq!(stats.live(), self.live.len());
        let held = self.heap.source().inner().traffic().live_bytes;
        assert_eq!(stats.held_bytes(), held);
        for class in stats.used_classes() {
            let all = class.live + class.cached + class.free;
            assert_eq!(all, class.spans * class.class.blocks());
        }
        let spans: usize = self.heap.spans().map(|span| span.used).sum();
        assert!(spans + stats.large >= stats.live());
    }

    /// Runs a program, then frees everything one by one or drops the heap.
    pub fn run(mut self, program: &[Op], one_by_one: bool) {
        let source: &Source = self.heap.source();
        for op in program {
            self.step(op);
            // Miri takes a second for that.
            if !cfg!(miri) {
                self.check();
            }
        }
        self.check();
        for live in &self.live {
            live.check(live.layout.size());
        }
        if one_by_one {
            while !self.live.is_empty() {
                self.free(self.steps as usize);
                self.steps = self.steps.wrapping_add(3);
            }
            self.check();
            assert_eq!(self.heap.stats().live(), 0);
            self.heap.trim();
            assert_eq!(source.inner().traffic().live_bytes, 0, "{}", self.heap.stats());
        }
        let Self { heap, .. } = self;
        drop(heap);
        assert_eq!(source.inner().traffic().live_bytes, 0);
    }
}
