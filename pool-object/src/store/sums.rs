//! What a heap holds.
#![forbid(unsafe_code)]

use super::Store;
use crate::span::Span;

impl Store {
    /// Bytes of all spans, and of the magazines' arrays.
    pub(crate) fn held(&self) -> usize {
        let classes: usize = self.classes.iter().map(|state| state.held.get()).sum();
        classes + self.spare.iter().map(Span::len).sum::<usize>() + self.book.held()
    }

    /// Bytes of the magazines' arrays, and of the table of sparse spans.
    pub(crate) fn own_bytes(&self) -> usize {
        self.book.held() + self.sparse.own_bytes()
    }
}
