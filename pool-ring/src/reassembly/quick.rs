//! The way of most segments: they overlap nothing, and there is room for them.
#![forbid(unsafe_code)]

use super::reassembler::{Inserted, Reassembler};
use crate::table::Span;
use core::time::Duration;
use pool_core::PageSource;

impl<S: PageSource + Clone> Reassembler<S> {
    /// Inserts a segment that overlaps nothing and needs nothing. `None`: nothing has changed, and it takes the
    /// long way.
    #[inline]
    pub(super) fn insert_quick(
        &mut self,
        offset: u64,
        bytes: &[u8],
        now: Duration,
    ) -> Option<Inserted> {
        let end = offset.checked_add(bytes.len() as u64)?;
        let next = self.next();
        if end <= self.front {
            return Some(Inserted { duplicate: bytes.len(), ..Inserted::default() });
        }
        // Where borders count, or nothing is delivered before all is there, all is noted with care.
        if self.hold || !self.config.policy.merges() || bytes.is_empty() || offset < next {
            return None;
        }
        let window = self.config.window.min(self.block.len() - self.head);
        if end - self.front > window as u64 {
            return None;
        }
        let at = self.head + (offset - self.front) as usize;
        if at > self.block.init() {
            return None;
        }
        if offset == next {
            self.len = (self.spans.take_front(end)? - self.front) as usize;
            // Another gap is the first one now.
            self.gap_since = now;
        } else if self.gap_age(now) <= self.config.max_age {
            let is_first = self.spans.all().is_empty();
            self.spans.add_beside(Span { start: offset, end }, self.config.max_gaps)?;
            if is_first {
                self.gap_since = now;
            }
        } else {
            return None;
        }
        self.block.write_once(at, bytes);
        self.check();
        Some(Inserted { accepted: bytes.len(), ..Inserted::default() })
    }
}
