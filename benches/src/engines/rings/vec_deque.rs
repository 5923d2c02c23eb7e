//! `VecDeque<u8>`.

use crate::engine::{Engine, Setup};
use crate::stream::{Halves, Rings, touched};
use std::collections::VecDeque;

/// One a connection.
pub struct Deque;

impl Engine for Deque {
    const NAME: &'static str = "VecDeque";
    type Store = Rings<VecDeque<u8>>;

    fn build(setup: Setup) -> Self::Store {
        Rings::new(setup, |bytes| VecDeque::from(touched(Vec::with_capacity(bytes), bytes)))
    }
}

impl Halves for VecDeque<u8> {
    #[inline(always)]
    fn push(&mut self, bytes: &[u8]) {
        self.extend(bytes);
    }

    #[inline(always)]
    fn halves(&mut self) -> (&[u8], &[u8]) {
        self.as_slices()
    }

    #[inline(always)]
    fn take(&mut self, n: usize) {
        self.drain(..n);
    }

    fn room(&self) -> usize {
        self.capacity()
    }
}
