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
        if self.magazines.peek(class).0.is_some() || state.older.get().0.is_some() {
            return None;
        }
        let span = match state.partial.head() {
            Some(span) => span,
            None => self.new_span(class, source).ok()?,
        };
        let block = span.take_zeroed()?;
        if span.is_full() {
            state.partial.remove(span);
            state.full.push(span);
        }
        self.set_loud(class);
        state.out.set(state.out.get() + 1);
        self.look_later(class, 0);
        Some(block)
    }
}
