//! Nothing that a buffer does: frames are lent from the stream itself, by somebody who knows it.

use crate::engine::{Engine, Setup};
use crate::opaque::escape;
use crate::stream::{Connections, Digest, Framing, connections};
use std::ops::Range;

/// What the loop itself costs: nothing is copied.
pub struct Nothing;

/// The least that a read costs: each byte is copied once, to a place that stays in the caches.
pub struct Copied;

/// For each connection, where its next frame begins; `usize::MAX` before its first piece, which begins there.
pub struct Oracle<const COPY: bool> {
    next: Vec<usize>,
    scratch: Vec<u8>,
}

impl<const COPY: bool> Oracle<COPY> {
    fn new(setup: Setup) -> Self {
        Self { next: vec![usize::MAX; connections(setup)], scratch: vec![0; setup.chunk] }
    }
}

impl Engine for Nothing {
    const NAME: &'static str = "(loop)";
    type Store = Oracle<false>;

    fn build(setup: Setup) -> Self::Store {
        Oracle::new(setup)
    }
}

impl Engine for Copied {
    const NAME: &'static str = "(memcpy)";
    const FLOOR: bool = true;
    type Store = Oracle<true>;

    fn build(setup: Setup) -> Self::Store {
        Oracle::new(setup)
    }
}

impl<F: Framing, const COPY: bool> Connections<F> for Oracle<COPY> {
    #[inline(always)]
    fn receive(&mut self, conn: usize, stream: &[u8], piece: Range<usize>, digest: &mut Digest) {
        if COPY {
            self.scratch[..piece.len()].copy_from_slice(&stream[piece.clone()]);
            escape(self.scratch.as_mut_ptr());
        }
        let next = &mut self.next[conn];
        if *next == usize::MAX {
            *next = piece.start;
        }
        while let Some((frame, len)) = F::first(&stream[*next..piece.end]) {
            digest.frame(frame);
            *next += len;
        }
        if *next == stream.len() {
            *next = 0;
        }
    }

    fn pinned(&self) -> u64 {
        0
    }
}
