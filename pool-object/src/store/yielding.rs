//! What a heap does when its source refuses: it gives back what idles, no more than it takes, and what
//! is soonest missed last.
//!
//! A heap may live at its limit for good, and ask for a span that another class has to give with every
//! few blocks. So the cost is in proportion: a span that idles is a step; a class is only disturbed if
//! its free blocks are enough for a span; and one that was disturbed for nothing begins with short
//! magazines again, so that there is little to put back the next time.
#![forbid(unsafe_code)]

use super::{FIRST, Store};
use crate::size_class::SizeClass;
use crate::yielding::ask_again;
use pool_core::{PageError, PageSource, Request, Run};

/// Batches, or without arrays blocks, in which a heap for whose arrays there was no memory does not ask
/// again: it may be at its limit for long.
const PATIENCE: u32 = 64;

impl Store {
    /// A run for magazines' arrays, which are worth a spare span, but no more.
    pub(super) fn acquire_page<S: PageSource>(&self, request: Request, source: &S) -> Option<Run> {
        if let Some(patience) = self.patience.get().checked_sub(1) {
            self.patience.set(patience);
            return None;
        }
        let again = |error| match self.release_spare(source) {
            0 => Err(error),
            _ => source.acquire(request),
        };
        let run = source.acquire(request).or_else(again);
        self.patience.set(if run.is_ok() { 0 } else { PATIENCE });
        run.ok()
    }

    /// A run that the source has refused, if it gives one for what idles here.
    #[cold]
    #[inline(never)]
    pub(super) fn yield_for<S: PageSource>(
        &self,
        request: Request,
        refusal: PageError,
        source: &S,
    ) -> Result<Run, PageError> {
        ask_again(source, request, refusal, || self.idle(), |bytes| self.give_back(bytes, source))
    }

    /// Gives back so many bytes of spans, or all that are empty, or could be; if none are, the
    /// magazines' arrays. Bytes.
    fn give_back<S: PageSource>(&self, wanted: usize, source: &S) -> usize {
        let before = self.gone.get();
        let given = || self.gone.get() - before;
        while given() < wanted {
            if self.release_spare(source) > 0 {
                continue;
            }
            let Some(class) = self.idlest() else { break };
            self.press(class, source);
        }
        if given() > 0 || self.book.held() == 0 {
            return given();
        }
        let bytes = self.release_idle(source);
        self.patience.set(PATIENCE);
        bytes
    }

    /// The class to ask first for a span: one of which nothing is used, else the one with most that
    /// is not; `None` if none can have an empty one.
    fn idlest(&self) -> Option<SizeClass> {
        let may_have = |class: &SizeClass| {
            self.cached(*class) > 0 && self.idle_bytes(*class) >= class.span_len()
        };
        let worth = |class: &SizeClass| (self.live(*class) == 0, self.idle_bytes(*class));
        self.used().filter(may_have).max_by_key(worth)
    }

    /// Bytes of a class' spans that are not in blocks in use: if some span is empty, or becomes so when
    /// all free blocks are in their spans, at least as much as a span.
    fn idle_bytes(&self, class: SizeClass) -> usize {
        self.class(class).held.get() - self.live(class) * class.size()
    }

    /// Not less than what could be given back.
    fn idle(&self) -> usize {
        let used: usize = self.used().map(|class| self.live(class) * class.size()).sum();
        self.held() - used
    }

    /// Puts all free blocks of a class into their spans, so that empty ones are known.
    fn press<S: PageSource>(&self, class: SizeClass, source: &S) {
        if self.live(class) == 0 {
            return self.drop_spans(class, source);
        }
        self.flush(class, source);
        let state = self.class(class);
        state.places.set(state.places.get().min(FIRST));
        self.look_later(class);
    }
}
