//! `Vec<u8>`, whose front is drained: what is left is moved at once.

use crate::callgrind::counting;
use crate::engine::{Engine, Setup};
use crate::stream::{Slice, Slices};

/// One a connection.
pub struct Drained;

/// Empty, with room for `bytes`, each of which was written once if times are taken.
pub(super) fn touched(bytes: usize) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(bytes);
    if !counting() {
        buffer.resize(bytes, 1);
        buffer.clear();
    }
    buffer
}

impl Engine for Drained {
    const NAME: &'static str = "Vec, drained";
    type Store = Slices<Vec<u8>>;

    fn build(setup: Setup) -> Self::Store {
        Slices::new(setup, touched)
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
}
