//! `Chunks`: equal pieces of one region, in chains.
//!
//! A chain is named by its **last** chunk, whose link leads to the first: so appending, and giving
//! a whole chain back, take the same time however long it is.
#![forbid(unsafe_code)]

use crate::slots::NONE;
use crate::table::Table;
use pool_core::{PageError, PageSource};

/// Bytes of a chunk's link.
pub(crate) const LINK: usize = 4;

/// The bytes of a chain, where they are.
#[derive(Clone, Copy)]
pub(crate) struct Chain<'a> {
    data: &'a [u8],
    next: &'a [u32],
    first: u32,
    shift: u32,
}

impl Chain<'_> {
    /// Copies the bytes from `at` on to `out`. The chain has them, at least one.
    pub(crate) fn copy_to(&self, mut at: usize, mut out: &mut [u8]) {
        let size = 1 << self.shift;
        let mut chunk = self.first as usize;
        while at >= size {
            (chunk, at) = (self.next[chunk] as usize, at - size);
        }
        loop {
            let here = &self.data[chunk << self.shift..][at..size];
            let (part, rest) = out.split_at_mut(out.len().min(here.len()));
            part.copy_from_slice(&here[..part.len()]);
            if rest.is_empty() {
                return;
            }
            (chunk, at, out) = (self.next[chunk] as usize, 0, rest);
        }
    }
}

/// All chunks, and which of them are free.
pub(crate) struct Chunks<S: PageSource> {
    data: Table<u8, S>,
    /// For each chunk of a chain the next one, for the last the first; for free ones the next free
    /// one.
    next: Table<u32, S>,
    /// log2 of a chunk's bytes.
    shift: u32,
    /// A chunk's bytes.
    size: usize,
    count: u32,
    /// Chunks below this were used at least once; those above are free, too.
    carved: u32,
    /// The free chunk given back last.
    free: u32,
}

impl<S: PageSource + Clone> Chunks<S> {
    /// `count` chunks of `1 << shift` bytes.
    pub(crate) fn new(source: &S, shift: u32, count: u32) -> Result<Self, PageError> {
        let bytes = (count as usize).checked_shl(shift).unwrap_or(usize::MAX);
        let data = Table::new(source.clone(), bytes)?;
        let next = Table::new(source.clone(), count as usize)?;
        Ok(Self { data, next, shift, size: 1 << shift, count, carved: 0, free: NONE })
    }
}

impl<S: PageSource> Chunks<S> {
    /// Bytes of its pages.
    pub(crate) fn bytes(&self) -> usize {
        self.data.bytes() + self.next.bytes()
    }

    /// Bytes of a chunk.
    #[inline(always)]
    pub(crate) const fn size(&self) -> usize {
        self.size
    }

    /// Chunks for `len` bytes.
    #[inline(always)]
    pub(crate) const fn needed(&self, len: usize) -> usize {
        (len + self.size - 1) >> self.shift
    }

    #[inline(always)]
    fn chunk(&self, chunk: u32) -> &[u8] {
        let at = (chunk as usize) << self.shift;
        &self.data[at..][..self.size()]
    }

    #[inline(always)]
    fn chunk_mut(&mut self, chunk: u32) -> &mut [u8] {
        let (at, size) = ((chunk as usize) << self.shift, self.size());
        &mut self.data[at..][..size]
    }

    #[inline(always)]
    fn next(&self, chunk: u32) -> u32 {
        self.next[chunk as usize]
    }

    /// The chunk that [`put`](Self::put) will begin with.
    #[inline(always)]
    pub(crate) const fn peek(&self) -> u32 {
        if self.free == NONE { self.carved } else { self.free }
    }

    /// A free chunk. The budget knows that there is one.
    #[inline(always)]
    fn take(&mut self) -> u32 {
        let chunk = self.free;
        if chunk != NONE {
            self.free = self.next(chunk);
            return chunk;
        }
        debug_assert!(self.carved < self.count, "the budget allows more than there are");
        let chunk = self.carved;
        self.carved += 1;
        chunk
    }

    /// Stores `bytes`, which are not empty, and returns the chain and its first chunk.
    #[inline(always)]
    pub(crate) fn put(&mut self, mut bytes: &[u8]) -> (u32, u32) {
        let first = self.take();
        let mut chunk = first;
        while let Some((part, rest)) = bytes.split_at_checked(self.size) {
            self.chunk_mut(chunk).copy_from_slice(part);
            if rest.is_empty() {
                self.next[chunk as usize] = first;
                return (chunk, first);
            }
            let next = self.take();
            self.next[chunk as usize] = next;
            (chunk, bytes) = (next, rest);
        }
        self.chunk_mut(chunk)[..bytes.len()].copy_from_slice(bytes);
        self.next[chunk as usize] = first;
        (chunk, first)
    }

    /// Stores `bytes` behind the chain of `len` bytes, and returns what it is called now.
    pub(crate) fn append(&mut self, last: u32, len: usize, bytes: &[u8]) -> u32 {
        let first = self.next(last);
        let filled = self.tail_len(len);
        let (here, rest) = bytes.split_at(bytes.len().min(self.size() - filled));
        self.chunk_mut(last)[filled..][..here.len()].copy_from_slice(here);
        self.extend(first, last, rest)
    }

    /// Stores `bytes` in new chunks behind `last`, closes the ring, and returns its last chunk.
    fn extend(&mut self, first: u32, mut last: u32, bytes: &[u8]) -> u32 {
        for part in bytes.chunks(self.size()) {
            let chunk = self.take();
            self.next[last as usize] = chunk;
            last = chunk;
            self.chunk_mut(chunk)[..part.len()].copy_from_slice(part);
        }
        self.next[last as usize] = first;
        last
    }

    /// Copies the chain's bytes, as many as `out` has, to `out`.
    #[inline(always)]
    pub(crate) fn copy_to(&self, last: u32, mut out: &mut [u8]) {
        let mut chunk = self.next(last);
        while out.len() > self.size {
            let (part, rest) = out.split_at_mut(self.size);
            part.copy_from_slice(self.chunk(chunk));
            chunk = self.next(chunk);
            out = rest;
        }
        out.copy_from_slice(&self.chunk(chunk)[..out.len()]);
    }

    /// Gives the chain back.
    #[inline(always)]
    pub(crate) fn release(&mut self, last: u32) {
        let first = self.next(last);
        self.next[last as usize] = self.free;
        self.free = first;
    }

    /// Bytes in the last chunk of a chain of `len` bytes, which is not 0.
    #[inline(always)]
    const fn tail_len(&self, len: usize) -> usize {
        ((len - 1) & (self.size - 1)) + 1
    }

    /// All of a chain, for those who look into it.
    #[inline(always)]
    pub(crate) fn chain(&self, last: u32) -> Chain<'_> {
        let first = self.next(last);
        Chain { data: &self.data, next: &self.next, first, shift: self.shift }
    }

    /// The bytes of a chain's first chunk.
    #[inline(always)]
    pub(crate) fn head(&self, last: u32, len: usize) -> &[u8] {
        &self.chunk(self.next(last))[..len.min(self.size())]
    }

    /// The bytes of its last chunk.
    #[inline(always)]
    pub(crate) fn tail(&self, last: u32, len: usize) -> &[u8] {
        &self.chunk(last)[..self.tail_len(len)]
    }

    /// Asks for a chunk's first 256 bytes, and its link.
    #[inline(always)]
    pub(crate) fn prefetch(&self, chunk: u32) {
        let at = (chunk as usize) << self.shift;
        for line in (0..self.size().min(256)).step_by(64) {
            self.data.get(at + line).map(crate::touch::prefetch);
        }
        self.next.get(chunk as usize).map(crate::touch::prefetch);
    }

    /// The number of free chunks, counted one by one.
    #[cfg(any(test, debug_assertions))]
    pub(crate) fn count_free(&self) -> usize {
        let mut free = (self.count - self.carved) as usize;
        let mut chunk = self.free;
        while chunk != NONE {
            assert!(chunk < self.carved, "a free chunk that was never used");
            free += 1;
            assert!(free <= self.count as usize, "a circle of free chunks");
            chunk = self.next(chunk);
        }
        free
    }

    /// All chunks.
    #[cfg(any(test, debug_assertions))]
    pub(crate) const fn count(&self) -> usize {
        self.count as usize
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use pool_core::Heap;

    #[test]
    fn chains_of_every_length_come_back_as_they_were() {
        let heap = Heap::new();
        let mut chunks = Chunks::new(&&heap, 6, 20).unwrap();
        let bytes: Vec<u8> = (0..400).map(|n| n as u8).collect();
        for len in [1, 63, 64, 65, 128, 129, 400] {
            for cut in [1, 64, 65, 127, 399] {
                let cut = cut.min(len);
                let (other, _) = chunks.put(&bytes[..cut]);
                let promised = chunks.peek();
                let (mut chain, first) = chunks.put(&bytes[..cut]);
                assert_eq!(first, promised);
                if cut < len {
                    chain = chunks.append(chain, cut, &bytes[cut..len]);
                }
                assert_eq!(chunks.head(chain, len), &bytes[..len.min(64)]);
                let tail = chunks.tail(chain, len);
                assert_eq!(tail, &bytes[len - tail.len()..len]);
                let mut out = vec![0; len];
                chunks.copy_to(chain, &mut out);
                assert_eq!(out, bytes[..len]);
                for from in [0, 1, 63, 64, 65, 130, len - 1].into_iter().filter(|&at| at < len) {
                    for to in [from, from + 1, from + 64, len].into_iter().filter(|&to| to <= len) {
                        let mut out = vec![0; to.saturating_sub(from)];
                        chunks.chain(chain).copy_to(from, &mut out);
                        assert_eq!(out, bytes[from..from + out.len()]);
                    }
                }
                chunks.release(other);
                assert_eq!(chunks.count_free(), 20 - chunks.needed(len));
                chunks.release(chain);
                assert_eq!(chunks.count_free(), 20);
            }
        }
    }
}
