//! Blocks that are zero already, past the magazine: whoever wants one of those.
#![forbid(unsafe_code)]

use super::Store;
use crate::size_class::SizeClass;
use core::ptr::NonNull;
use pool_core::PageSource;

impl Store {
    /// A block that is all zeros and was never written, when the class has no other one at hand.
    pub(crate) fn take_zeroed<S: PageSource>(
        &self,
        class: SizeClass,
        source: &S,
    ) -> Option<NonNull<u8>> {
        let state = self.class(class);
        if self.cached(class) > 0 {
            return None;
        }
        let span = match state.spans.partial.head() {
            Some(span) => span,
            None => self.new_span(class, source).ok()?,
        };
        let block = span.take_zeroed()?;
        self.set_loud(class);
        self.note_taken(class, span, 1);
        self.look_later(class);
        Some(block)
    }
}
