//! Atomics and `Arc`: the standard ones, or loom's under `--cfg loom`, so that a model can run every
//! interleaving of them.
#![forbid(unsafe_code)]

#[cfg(not(loom))]
pub(crate) use alloc::sync::Arc;
#[cfg(not(loom))]
pub(crate) use core::sync::atomic;
#[cfg(loom)]
pub(crate) use loom::sync::{Arc, atomic};

/// Tells loom which bytes are read and written, in pieces of 512; nothing without it.
#[derive(Default)]
pub(crate) struct Track {
    #[cfg(loom)]
    pieces: alloc::vec::Vec<loom::cell::UnsafeCell<()>>,
}

#[cfg_attr(not(loom), allow(unused_variables, clippy::unused_self))]
impl Track {
    pub(crate) fn new(len: usize) -> Self {
        Self {
            #[cfg(loom)]
            pieces: (0..len / 512).map(|_| loom::cell::UnsafeCell::new(())).collect(),
        }
    }

    #[inline(always)]
    pub(crate) fn read(&self, start: usize, len: usize) {
        #[cfg(loom)]
        for piece in &self.pieces[start / 512..(start + len).div_ceil(512)] {
            piece.with(|_| ());
        }
    }

    #[inline(always)]
    pub(crate) fn write(&self, start: usize, len: usize) {
        #[cfg(loom)]
        for piece in &self.pieces[start / 512..(start + len).div_ceil(512)] {
            piece.with_mut(|_| ());
        }
    }
}
