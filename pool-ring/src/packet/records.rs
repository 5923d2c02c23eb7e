//! `Records`: tables of small records of words, on pages of a source, without unsafe code.
#![forbid(unsafe_code)]

use pool_core::{PageBytes, PageError, PageSource, Request};

const WORD: usize = size_of::<u32>();

/// Records of `W` words each, numbered from 0.
pub(crate) struct Records<S: PageSource, const W: usize> {
    bytes: PageBytes<S>,
}

impl<S: PageSource, const W: usize> Records<S, W> {
    /// Bytes of a record.
    pub(crate) const SIZE: usize = W * WORD;

    /// `count` records of zeros; the memory is taken from the system as they are used, if the
    /// source sells such memory.
    pub(crate) fn new(source: S, count: u32) -> Result<Self, PageError> {
        let request = Request::new((count as usize).saturating_mul(Self::SIZE)).zeroed();
        Ok(Self { bytes: source.pages(request)?.into_bytes() })
    }

    /// Bytes of its pages.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    #[inline(always)]
    pub(crate) fn get(&self, index: u32, field: usize) -> u32 {
        let at = (index as usize * W + field) * WORD;
        self.bytes[at..].first_chunk().map_or(0, |&word| u32::from_ne_bytes(word))
    }

    #[inline(always)]
    pub(crate) fn set(&mut self, index: u32, field: usize, value: u32) {
        let at = (index as usize * W + field) * WORD;
        if let Some(word) = self.bytes[at..].first_chunk_mut() {
            *word = value.to_ne_bytes();
        }
    }

    /// The record's first byte, for those who want it in a cache.
    #[inline(always)]
    pub(crate) fn place(&self, index: u32) -> Option<&u8> {
        self.bytes.get(index as usize * Self::SIZE)
    }
}
