//! What one writes oneself: a `BTreeMap` of copies behind the first gap.

use crate::segments::{Segment, Sink, Stream};
use std::collections::BTreeMap;

/// Segments that came early, by their offset, and where the first gap is.
pub struct BTreeCopies {
    early: BTreeMap<u64, Vec<u8>>,
    front: u64,
}

impl BTreeCopies {
    /// What is new of a segment that begins at the gap or before it.
    #[inline(always)]
    fn read(&mut self, offset: u64, bytes: &[u8], sink: &mut impl Sink) {
        let known = (self.front - offset).min(bytes.len() as u64) as usize;
        if known < bytes.len() {
            sink.take(&bytes[known..]);
            self.front = offset + bytes.len() as u64;
        }
    }
}

impl Stream for BTreeCopies {
    const NAME: &'static str = "BTreeMap of Vec";

    fn new() -> Self {
        Self { early: BTreeMap::new(), front: 0 }
    }

    #[inline(always)]
    fn insert(&mut self, base: u64, segment: &Segment, sink: &mut impl Sink) {
        let offset = base + segment.offset;
        if offset > self.front {
            let place = self.early.entry(offset).or_default();
            if place.len() < segment.bytes.len() {
                *place = segment.bytes.to_vec();
            }
            return;
        }
        self.read(offset, &segment.bytes, sink);
        while let Some(entry) = self.early.first_entry().filter(|e| *e.key() <= self.front) {
            let (offset, bytes) = entry.remove_entry();
            self.read(offset, &bytes, sink);
        }
    }
}
