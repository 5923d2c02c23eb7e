//! Random programs against an arena and a naive model of it: shared by the property test and the
//! fuzz target. The model knows each block's place, layout and contents, and which cleanups are to
//! come; it checks that blocks stay disjoint, aligned and as they were written.

use allocator_api2::alloc::Allocator;
use pool_arena::Arena;
use pool_core::{Failing, Heap, PageSource, Stats};
use std::alloc::Layout;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex};

pub type Source = Failing<Stats<Heap>>;
type Log = Arc<Mutex<Vec<u32>>>;

/// What a program does. `level` chooses one of the open scopes or the arena itself, `pick` one of
/// its blocks; both are taken modulo what there is.
#[derive(Clone, Debug)]
pub enum Op {
    Alloc { level: u8, size: u32, align: u8 },
    Grow { level: u8, pick: u8, by: u32 },
    Shrink { level: u8, pick: u8, by: u32 },
    Free { level: u8, pick: u8 },
    Cleanup { level: u8, call: bool },
    Tail { level: u8, items: u32, between: u8 },
    Format { level: u8, width: u16 },
    Scope(Vec<Op>),
    Rewind(Vec<Op>),
    Limit(u32),
    Reset,
}

impl Op {
    /// The next operation that these bytes spell, with what is inside it up to `depth` levels down;
    /// `None` at the end.
    #[allow(dead_code, reason = "the fuzz target's")]
    pub fn decode(bytes: &mut &[u8], depth: u8) -> Option<Self> {
        let byte = |bytes: &mut &[u8]| {
            let (&first, rest) = bytes.split_first()?;
            *bytes = rest;
            Some(first)
        };
        // Lengths of every magnitude: a few bits, shifted.
        let size = |bytes: &mut &[u8]| Some(u32::from(byte(bytes)?) << (byte(bytes)? % 9));
        let (kind, level) = (byte(bytes)?, byte(bytes)?);
        Some(match kind % 12 {
            0 | 1 => Op::Alloc { level, size: size(bytes)?, align: byte(bytes)? % 17 },
            2 => Op::Grow { level, pick: byte(bytes)?, by: size(bytes)? },
            3 => Op::Shrink { level, pick: byte(bytes)?, by: size(bytes)? },
            4 => Op::Free { level, pick: byte(bytes)? },
            5 => Op::Cleanup { level, call: kind > 127 },
            6 => Op::Tail { level, items: size(bytes)? / 16, between: byte(bytes)? % 9 },
            7 => Op::Format { level, width: u16::from(byte(bytes)?) },
            8 => Op::Limit(size(bytes)? * 4),
            9 => Op::Reset,
            _ if depth == 0 => Op::Reset,
            _ => {
                let count = level % 8;
                let ops = (0..count).map_while(|_| Self::decode(bytes, depth - 1)).collect();
                if kind % 12 == 10 { Op::Scope(ops) } else { Op::Rewind(ops) }
            }
        })
    }
}

struct Block {
    ptr: NonNull<u8>,
    layout: Layout,
    seed: u8,
    /// Made by a tail builder, so that it can be neither given back nor resized.
    fixed: bool,
}

/// What is known of one arena.
#[derive(Default)]
struct Level {
    blocks: Vec<Block>,
    /// Blocks below this index are from before an open checkpoint, and stay as they are.
    frozen: usize,
    cleanups: Vec<u32>,
}

struct Noted(u32, Log);

impl Drop for Noted {
    fn drop(&mut self) {
        self.1.lock().unwrap().push(self.0);
    }
}

pub struct Model {
    levels: Vec<Level>,
    log: Log,
    next: u32,
}

impl Model {
    pub fn new() -> Self {
        Self { levels: Vec::new(), log: Log::default(), next: 0 }
    }

    /// Runs `program` on `arena`, with `Reset` taking effect here at the top only.
    pub fn run(&mut self, arena: &mut Arena<&Source>, program: &[Op]) {
        self.levels.push(Level::default());
        for op in program {
            if let Op::Reset = op {
                let level = std::mem::take(&mut self.levels[0]);
                arena.reset();
                self.expect_cleanups(&level.cleanups);
            } else {
                self.step(&[arena], op);
            }
            let held = arena.source().inner().traffic().live_bytes;
            assert_eq!(arena.allocated_bytes_including_metadata(), held);
            self.check();
        }
        for part in arena.iter_allocated_chunks() {
            assert!(!part.is_empty());
        }
        let level = self.levels.pop().unwrap();
        arena.reset();
        self.expect_cleanups(&level.cleanups);
    }

    fn seed(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    fn expect_cleanups(&self, cleanups: &[u32]) {
        let ran = std::mem::take(&mut *self.log.lock().unwrap());
        assert!(ran.iter().eq(cleanups.iter().rev()), "{ran:?} {cleanups:?}");
    }

    fn add(&mut self, level: usize, ptr: NonNull<u8>, layout: Layout) {
        let seed = self.seed() as u8;
        let block = Block { ptr, layout, seed, fixed: false };
        block.write(0);
        self.levels[level].blocks.push(block);
    }

    fn pick(&self, level: usize, pick: u8) -> Option<usize> {
        let Level { blocks, frozen, .. } = &self.levels[level];
        let free = blocks.len().checked_sub(*frozen).filter(|&free| free > 0)?;
        Some(frozen + pick as usize % free).filter(|&index| !blocks[index].fixed)
    }

    fn step(&mut self, arenas: &[&Arena<&Source>], op: &Op) {
        let at = |level: u8| level as usize % arenas.len();
        match *op {
            Op::Alloc { level, size, align } => {
                let layout = Layout::from_size_align(size as usize, 1 << align).unwrap();
                if let Ok(ptr) = arenas[at(level)].try_alloc_layout(layout) {
                    self.add(at(level), ptr, layout);
                }
            }
            Op::Grow { level, pick, by } => self.resize(arenas, at(level), pick, by as isize),
            Op::Shrink { level, pick, by } => self.resize(arenas, at(level), pick, -(by as isize)),
            Op::Free { level, pick } => {
                let level = at(level);
                let Some(index) = self.pick(level, pick) else { return };
                let block = self.levels[level].blocks.swap_remove(index);
                block.check();
                // SAFETY: the block is this arena's, of this layout, and no longer in the model.
                unsafe { arenas[level].deallocate(block.ptr, block.layout) };
            }
            Op::Cleanup { level, call } => {
                let (level, id, log) = (at(level), self.seed(), self.log.clone());
                let noted = Noted(id, log);
                let done = if call {
                    arenas[level].try_defer(move || drop(noted)).is_ok()
                } else {
                    arenas[level].try_alloc_drop(noted).is_ok()
                };
                if done {
                    self.levels[level].cleanups.push(id);
                } else {
                    assert_eq!(self.log.lock().unwrap().pop(), Some(id));
                }
            }
            Op::Tail { level, items, between } => self.tail(arenas, at(level), items, between),
            Op::Format { level, width } => {
                let width = width as usize;
                if let Ok(text) = arenas[at(level)].try_alloc_fmt(format_args!("{:>width$}", 7)) {
                    assert_eq!(text.len(), width.max(1));
                    let layout = Layout::for_value(text);
                    self.add(at(level), NonNull::from(text).cast(), layout);
                    self.levels[at(level)].blocks.last_mut().unwrap().fixed = true;
                }
            }
            Op::Scope(ref ops) => {
                let scope = arenas[arenas.len() - 1].scope();
                let all: Vec<_> = arenas.iter().copied().chain([&*scope]).collect();
                self.levels.push(Level::default());
                for op in ops {
                    self.step(&all, op);
                    self.check();
                }
                let level = self.levels.pop().unwrap();
                drop(scope);
                self.expect_cleanups(&level.cleanups);
            }
            Op::Rewind(ref ops) => {
                let (top, arena) = (arenas.len() - 1, arenas[arenas.len() - 1]);
                let level = &mut self.levels[top];
                let (blocks, cleanups) = (level.blocks.len(), level.cleanups.len());
                let frozen = std::mem::replace(&mut level.frozen, blocks);
                let checkpoint = arena.checkpoint();
                for op in ops {
                    self.step(arenas, op);
                    self.check();
                }
                let level = &mut self.levels[top];
                level.blocks.truncate(blocks);
                level.frozen = frozen;
                let cleanups = level.cleanups.split_off(cleanups);
                // SAFETY: made above by this arena; its scopes have ended, inner checkpoints are
                // done with, older blocks were frozen, younger ones are forgotten.
                unsafe { arena.rewind(checkpoint) };
                self.expect_cleanups(&cleanups);
            }
            Op::Limit(limit) => {
                arenas[0].set_allocation_limit((limit > 0).then_some(limit as usize));
            }
            Op::Reset => {}
        }
    }

    fn resize(&mut self, arenas: &[&Arena<&Source>], level: usize, pick: u8, by: isize) {
        let Some(index) = self.pick(level, pick) else { return };
        let block = &mut self.levels[level].blocks[index];
        block.check();
        let old = block.layout;
        let size = old.size().saturating_add_signed(by);
        // Some also change their alignment.
        let align = if pick > 192 { 1 << (by.unsigned_abs() % 8) } else { old.align() };
        let new = Layout::from_size_align(size, align).unwrap();
        let result = if by > 0 {
            // SAFETY: the block is this arena's, of this layout; the new one is not smaller.
            unsafe { arenas[level].grow(block.ptr, old, new) }
        } else {
            // SAFETY: the block is this arena's, of this layout; the new one is not larger.
            unsafe { arenas[level].shrink(block.ptr, old, new) }
        };
        if let Ok(place) = result {
            assert_eq!(place.len(), size);
            (block.ptr, block.layout) = (place.cast(), new);
            let kept = old.size().min(size);
            block.check_first(kept);
            block.write(kept);
        }
    }

    fn tail(&mut self, arenas: &[&Arena<&Source>], level: usize, items: u32, between: u8) {
        let mut tail = arenas[level].tail_vec::<u32>();
        let mut other = arenas[level].tail_vec::<u8>();
        for item in 0..items {
            if tail.try_push(item).is_err() {
                break;
            }
            if between > 0 && item % u32::from(between) == 0 {
                let layout = Layout::new::<u64>();
                if let Ok(ptr) = arenas[level].try_alloc_layout(layout) {
                    self.add(level, ptr, layout);
                }
                let _ = other.try_push(item as u8);
            }
        }
        drop(other);
        let items = tail.finish();
        assert!(items.iter().zip(0..).all(|(item, index)| *item == index));
        let layout = Layout::for_value(items);
        if layout.size() > 0 {
            self.add(level, NonNull::from(items).cast(), layout);
            self.levels[level].blocks.last_mut().unwrap().fixed = true;
        }
    }

    /// All blocks are as they were written, and disjoint.
    fn check(&self) {
        let mut ranges = Vec::new();
        for block in self.levels.iter().flat_map(|level| &level.blocks) {
            block.check();
            let start = block.ptr.addr().get();
            ranges.push((start, start + block.layout.size()));
        }
        ranges.retain(|(start, end)| start < end);
        ranges.sort_unstable();
        assert!(ranges.windows(2).all(|pair| pair[0].1 <= pair[1].0), "blocks overlap");
    }
}

impl Block {
    /// Bytes that are written and checked: the first and the last of every cache line.
    fn probes(&self, from: usize) -> impl Iterator<Item = usize> + use<> {
        let len = self.layout.size();
        let heads = (from.next_multiple_of(64)..len).step_by(64);
        let tails = ((from + 1).next_multiple_of(64) - 1..len).step_by(64);
        heads.chain(tails)
    }

    fn byte(&self, index: usize) -> u8 {
        self.seed.wrapping_add(index as u8)
    }

    fn write(&self, from: usize) {
        for index in self.probes(from) {
            // SAFETY: within the block, which is the model's.
            let place = unsafe { self.ptr.add(index) };
            // SAFETY: a byte of the block.
            unsafe { place.write(self.byte(index)) };
        }
    }

    fn check(&self) {
        assert_eq!(self.ptr.addr().get() % self.layout.align(), 0);
        self.check_first(self.layout.size());
    }

    fn check_first(&self, len: usize) {
        for index in self.probes(0).filter(|&index| index < len) {
            // SAFETY: within the block, which is the model's.
            let place = unsafe { self.ptr.add(index) };
            // SAFETY: a byte of the block that was written.
            assert_eq!(unsafe { place.read() }, self.byte(index));
        }
    }
}

/// Runs `program` on an arena over `source`, and sees that everything comes back.
pub fn run(source: &Source, program: &[Op], zero: bool) {
    let builder = pool_arena::ArenaBuilder::new().large_from(4 << 10).max_chunk(16 << 10);
    let mut arena = builder.retain(24 << 10).zero_on_reset(zero).build_in(source);
    Model::new().run(&mut arena, program);
    assert!(arena.allocated_bytes_including_metadata() <= 24 << 10);
    drop(arena);
    assert_eq!(source.inner().traffic().live_bytes, 0);
}

/// A source that refuses call `nth`, if any.
pub fn source(nth: Option<u64>) -> Source {
    let heap = Heap::new().counted();
    match nth {
        Some(nth) => Failing::nth(heap, nth),
        None => Failing::never(heap),
    }
}
