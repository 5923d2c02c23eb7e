//! `bytes`: `Buf` and `BufMut` for rings, and frames that outlive their buffer.

use crate::DefaultSource;
use crate::block::Block;
use crate::reassembly::Reassembler;
use crate::ring::RingBuf;
use bytes::buf::UninitSlice;
use bytes::{Buf, BufMut, Bytes};
use pool_core::{PageError, PageSource};

impl<S: PageSource + Clone> Buf for RingBuf<S> {
    #[inline]
    fn remaining(&self) -> usize {
        self.len()
    }

    #[inline]
    fn chunk(&self) -> &[u8] {
        self.peek()
    }

    #[inline]
    fn advance(&mut self, n: usize) {
        self.consume(n);
    }
}

// SAFETY: `chunk_mut` lends the spare bytes, which belong to the ring; `remaining_mut` is how many can be
// had, all of which `chunk_mut` lends once they are in one piece; `advance_mut` passes its
// caller's promise on.
unsafe impl<S: PageSource + Clone> BufMut for RingBuf<S> {
    #[inline]
    fn remaining_mut(&self) -> usize {
        self.capacity() - self.len()
    }

    #[inline]
    fn chunk_mut(&mut self) -> &mut UninitSlice {
        if self.spare_mut().is_empty() {
            self.make_contiguous();
        }
        // What can be written by it in safe code is initialised.
        UninitSlice::uninit(self.spare_mut())
    }

    #[inline]
    unsafe fn advance_mut(&mut self, n: usize) {
        // SAFETY: the caller's promise.
        unsafe { self.advance(n) };
    }
}

/// Makes [`Bytes`] of frames, for those that outlive the buffer they were lent from.
///
/// Small frames are copied to the heap; large ones get pages of their own from the source, which go back with the last
/// handle. Either way a frame keeps its own bytes alive and nothing else: no small slice pins a big buffer.
///
/// ```
/// use pool_ring::BytesPool;
/// let pool = BytesPool::new();
/// let (small, large) = (pool.try_copy(b"small")?, pool.try_copy(&[7; 10_000])?);
/// assert_eq!((&small[..], large.len()), (&b"small"[..], 10_000));
/// # Ok::<(), pool_core::PageError>(())
/// ```
///
/// `Bytes` itself allocates from the heap what it counts its handles with: about 50 bytes for a large frame.
#[derive(Clone, Copy, Debug)]
pub struct BytesPool<S = DefaultSource> {
    source: S,
    large_from: usize,
}

impl BytesPool {
    /// Over the process-wide source; pages from 2 KiB on.
    #[must_use]
    pub const fn new() -> Self {
        Self::new_in(pool_core::Global)
    }
}

impl Default for BytesPool {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> BytesPool<S> {
    /// Over `source`, a handle; pages from 2 KiB on.
    pub const fn new_in(source: S) -> Self {
        Self { source, large_from: 2 << 10 }
    }

    /// The same with pages for frames from `bytes` on.
    #[must_use]
    pub fn large_from(self, bytes: usize) -> Self {
        Self { large_from: bytes, ..self }
    }
}

impl<S: PageSource + Clone + Send + 'static> BytesPool<S> {
    /// A copy of `frame` that lives as long as its handles do.
    ///
    /// # Errors
    /// What the source says, about large frames.
    pub fn try_copy(&self, frame: &[u8]) -> Result<Bytes, PageError> {
        if frame.len() < self.large_from || frame.is_empty() {
            return Ok(Bytes::copy_from_slice(frame));
        }
        let mut block = Block::new(self.source.clone(), frame.len())?;
        block.write(0, frame);
        Ok(Bytes::from_owner(Owned { block, len: frame.len() }))
    }

    /// The first `n` bytes that can be read of a stream, taken out of it.
    ///
    /// # Errors
    /// What the source says, about large pieces; nothing was taken out then.
    ///
    /// # Panics
    /// If so many cannot be read.
    pub fn try_take<T: PageSource + Clone>(
        &self,
        stream: &mut Reassembler<T>,
        n: usize,
    ) -> Result<Bytes, PageError> {
        let bytes = self.try_copy(&stream.as_slice()[..n])?;
        stream.consume(n);
        Ok(bytes)
    }
}

/// A large frame.
struct Owned<S: PageSource> {
    block: Block<S>,
    len: usize,
}

impl<S: PageSource> AsRef<[u8]> for Owned<S> {
    fn as_ref(&self) -> &[u8] {
        self.block.bytes(0..self.len)
    }
}
