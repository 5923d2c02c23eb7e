//! What one writes oneself: a `BTreeMap` of copies, which are read from there.

use crate::segments::{Segment, Sink, Stream};
use std::collections::BTreeMap;

/// Segments that were not read, by their offset, and where the first gap is.
pub struct BTreeCopies {
    unread: BTreeMap<u64, Vec<u8>>,
    front: u64,
}

impl Stream for BTreeCopies {
    const NAME: &'static str = "BTreeMap of Vec";

    fn new() -> Self {
        Self { unread: BTreeMap::new(), front: 0 }
    }

    #[inline(always)]
    fn insert(&mut self, base: u64, segment: &Segment, sink: &mut impl Sink) {
        let offset = base + segment.offset;
        let place = self.unread.entry(offset).or_default();
        if place.len() < segment.bytes.len() {
            *place = segment.bytes.to_vec();
        }
        while let Some(entry) = self.unread.first_entry().filter(|e| *e.key() <= self.front) {
            let (offset, bytes) = entry.remove_entry();
            let known = (self.front - offset).min(bytes.len() as u64) as usize;
            if known < bytes.len() {
                sink.take(&bytes[known..]);
                self.front = offset + bytes.len() as u64;
            }
        }
    }
}
