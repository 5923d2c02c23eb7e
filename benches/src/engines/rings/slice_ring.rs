//! `slice-ring-buffer`: pages that are mapped twice.

use crate::engine::{Engine, Setup};
use crate::stream::{Slice, Slices};
use slice_ring_buffer::SliceRingBuffer;

/// One a connection.
pub struct SliceRing;

impl Engine for SliceRing {
    const NAME: &'static str = "slice-ring-buffer";
    type Store = Slices<SliceRingBuffer<u8>>;

    fn build(setup: Setup) -> Self::Store {
        Slices::new(setup, setup.chunk, SliceRingBuffer::with_capacity)
    }
}

impl Slice for SliceRingBuffer<u8> {
    #[inline(always)]
    fn push(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    #[inline(always)]
    fn bytes(&self) -> &[u8] {
        self.as_slice()
    }

    #[inline(always)]
    fn take(&mut self, n: usize) {
        self.truncate_front(self.len() - n);
    }

    fn room(&self) -> usize {
        self.capacity()
    }

    fn clear(&mut self) {
        self.clear();
    }
}
