//! `Vec<u8>`, whose front is drained: what is left is moved at once.

use crate::engine::{Engine, Setup};
use crate::stream::{Slice, Slices};

/// One a connection.
pub struct Drained;

impl Engine for Drained {
    const NAME: &'static str = "Vec, drained";
    type Store = Slices<Vec<u8>>;

    fn build(setup: Setup) -> Self::Store {
        Slices::new(setup, setup.chunk, Vec::with_capacity)
    }
}

impl Slice for Vec<u8> {
    #[inline(always)]
    fn push(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    #[inline(always)]
    fn bytes(&self) -> &[u8] {
        self
    }

    #[inline(always)]
    fn take(&mut self, n: usize) {
        self.drain(..n);
    }

    fn room(&self) -> usize {
        self.capacity()
    }

    fn clear(&mut self) {
        self.clear();
    }
}
