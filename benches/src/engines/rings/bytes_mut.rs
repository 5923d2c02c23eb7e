//! `bytes::BytesMut`, which almost every server in Rust reads into: the yardstick.

use crate::callgrind::counting;
use crate::engine::{Engine, Setup};
use crate::stream::{Slice, Slices};
use bytes::{Buf, BufMut};

/// One of 64 KiB a connection.
pub struct BytesMut;

/// One of 8 KiB a connection.
pub struct BytesMutSmall;

const SMALL: usize = 8 << 10;

/// Empty, with room for `bytes`, each of which was written once if times are taken.
pub(super) fn touched(bytes: usize) -> bytes::BytesMut {
    let mut buffer = bytes::BytesMut::with_capacity(bytes);
    if !counting() {
        buffer.put_bytes(1, bytes);
        buffer.clear();
    }
    buffer
}

impl Engine for BytesMut {
    const NAME: &'static str = "BytesMut";
    type Store = Slices<bytes::BytesMut>;

    fn build(setup: Setup) -> Self::Store {
        Slices::new(setup, touched)
    }
}

impl Engine for BytesMutSmall {
    const NAME: &'static str = "BytesMut, 8 KiB";
    type Store = Slices<bytes::BytesMut>;

    fn build(setup: Setup) -> Self::Store {
        Slices::new(setup, |bytes| touched(bytes.min(SMALL)))
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
}
