//! Defragmentation: after a rush most blocks of most spans are free, and no page goes back as long as one
//! is not. So what is left is moved together, a few entries at a time, while the server has little to do.
#![forbid(unsafe_code)]

use super::{Entry, Store};
use crate::kv::memory::Data;

/// How far the memory of a store is tidied up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tidy {
    /// The entries before this one are still to be gone over in this pass.
    left: Option<usize>,
    /// Bytes that the allocator held when the pass began.
    held: usize,
    /// Passes since the last look.
    passes: u32,
    /// Blocks moved.
    moved: u64,
}

/// Free bytes in the allocator's spans that are not worth the trouble, beside an eighth of what is live.
const NOT_WORTH: usize = 2 << 20;

/// Each pass makes the fullest spans fuller; after so many there is little left to move.
const PASSES: u32 = 6;

/// Elements of a collection that are gone over at once. One that has more stays where it is.
const ELEMENTS: usize = 10_000;

impl<D: Data> Store<D> {
    /// Whether [`tidy`](Self::tidy) should be called soon.
    #[must_use]
    pub fn is_untidy(&self) -> bool {
        self.tidy.left.is_some() || self.room.has_ended()
    }

    /// Whether it has begun, and should be called whenever there is nothing else to do.
    #[must_use]
    pub const fn is_tidying(&self) -> bool {
        self.tidy.left.is_some()
    }

    /// Blocks that were moved so far.
    #[must_use]
    pub const fn moved(&self) -> u64 {
        self.tidy.moved
    }

    /// Moves blocks of up to `count` entries to fuller spans, if many spans are nearly empty.
    pub fn tidy(&mut self, count: usize) {
        let Some(left) = self.tidy.left else { return self.begin_pass() };
        let left = left.min(self.entries.len());
        let to = left.saturating_sub(count);
        for Entry { key, value, .. } in &mut self.entries[to..left] {
            self.tidy.moved += u64::from(D::relocate(key));
            self.tidy.moved += value.relocate(ELEMENTS);
        }
        self.tidy.left = Some(to);
        if to == 0 {
            self.end_pass();
        }
    }

    #[cold]
    fn begin_pass(&mut self) {
        self.room.take_ended();
        self.tidy.passes = 0;
        self.go_on();
    }

    /// Begins a pass if that is worth it.
    fn go_on(&mut self) {
        let data = self.room.alloc();
        let Some((live, held)) = data.use_of_spans() else { return };
        if held.saturating_sub(live) > live / 8 + NOT_WORTH {
            data.flush();
            self.tidy.held = held;
            self.tidy.passes += 1;
            self.tidy.left = Some(self.entries.len());
        }
    }

    #[cold]
    fn end_pass(&mut self) {
        self.tidy.left = None;
        if self.entries.capacity() > self.entries.len() * 2 {
            self.shrink_to(self.entries.len() + self.entries.len() / 8);
        }
        let data = self.room.alloc();
        data.trim();
        let held = data.use_of_spans().map_or(0, |(_, held)| held);
        // Else the rest does not fit together any better.
        if held < self.tidy.held && self.tidy.passes < PASSES {
            self.go_on();
        }
    }
}
