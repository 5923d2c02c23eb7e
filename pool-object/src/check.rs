//! Whether a heap is sound: what it remembers twice is compared.
#![forbid(unsafe_code)]

use crate::size_class::SizeClass;
use crate::store::Store;

impl Store {
    /// Checks everything that is remembered twice.
    ///
    /// # Errors
    /// Which class is wrong, and how.
    pub(crate) fn check(&self) -> Result<(), (SizeClass, &'static str)> {
        for class in SizeClass::all() {
            self.check_class(class).map_err(|what| (class, what))?;
        }
        Ok(())
    }

    fn check_class(&self, class: SizeClass) -> Result<(), &'static str> {
        let state = self.class(class);
        let (mut out, mut held) = (0, 0);
        let partial = state.spans.partial.iter().map(|span| (span, false));
        let full = state.spans.full.iter().map(|span| (span, true));
        for (span, full) in partial.chain(full) {
            if span.class() != class {
                return Err("a span's header is overwritten");
            }
            span.check()?;
            if span.is_full() != full {
                return Err("a span is in the wrong list");
            }
            out += span.out();
            held += span.len();
        }
        if (out, held) != (self.out(class), state.held.get()) {
            return Err("spans and class count differently");
        }
        if self.cached(class) > out {
            return Err("more blocks are free than there are: a block was freed twice");
        }
        self.check_magazine(class)
    }

    /// Checks the magazines' blocks: each is in a span of the class, and there once.
    fn check_magazine(&self, class: SizeClass) -> Result<(), &'static str> {
        let state = self.class(class);
        let blocks = || self.magazines.places(class).iter().chain(self.older(class));
        for (index, block) in blocks().enumerate() {
            if !state.spans.iter().any(|span| span.holds(block.get().cast())) {
                return Err("a free block is in none of its class' spans");
            }
            if blocks().skip(index + 1).any(|other| other == block) {
                return Err("a block is free twice: it was freed twice");
            }
        }
        Ok(())
    }
}
