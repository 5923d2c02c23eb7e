//! `bytes::BytesMut`, which almost every server in Rust reads into: the yardstick.

use crate::engine::{Engine, Setup};
use crate::stream::{Slice, Slices};
use bytes::Buf;

/// One of 64 KiB a connection.
pub struct BytesMut;

/// One of 8 KiB a connection.
pub struct BytesMutSmall;

const SMALL: usize = 8 << 10;

impl Engine for BytesMut {
    const NAME: &'static str = "BytesMut";
    type Store = Slices<bytes::BytesMut>;

    fn build(setup: Setup) -> Self::Store {
        Slices::new(setup, setup.chunk, bytes::BytesMut::with_capacity)
    }
}

impl Engine for BytesMutSmall {
    const NAME: &'static str = "BytesMut, 8 KiB";
    type Store = Slices<bytes::BytesMut>;

    fn build(setup: Setup) -> Self::Store {
        Slices::new(setup, setup.chunk.min(SMALL), bytes::BytesMut::with_capacity)
    }
}

impl Slice for bytes::BytesMut {
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
        self.advance(n);
    }

    fn room(&self) -> usize {
        self.capacity()
    }

    fn clear(&mut self) {
        self.clear();
    }
}
