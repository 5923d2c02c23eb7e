//! Lists of spans, and the two that a class has: of what blocks are taken, and where they go back. A
//! storage file.

use crate::magazine::Place;
use crate::size_class::SizeClass;
use crate::span::Span;
use core::cell::Cell;

/// The spans of a class.
pub(crate) struct Spans {
    /// Those with blocks left in them.
    pub(crate) partial: SpanList,
    /// Those without.
    pub(crate) full: SpanList,
}

impl Spans {
    pub(crate) const fn new() -> Self {
        Self { partial: SpanList::new(), full: SpanList::new() }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Span> + use<> {
        self.partial.iter().chain(self.full.iter())
    }

    /// Takes a span out.
    pub(crate) fn pop(&self) -> Option<Span> {
        self.partial.pop().or_else(|| self.full.pop())
    }

    /// Blocks of this span, which had some, were taken.
    #[inline]
    pub(crate) fn note_taken(&self, span: Span) {
        if span.is_full() {
            self.partial.remove(span);
            self.full.push(span);
        }
    }

    /// Puts free blocks into their spans. Those that are empty then leave, to `emptied`.
    ///
    /// # Safety
    /// They are free blocks of this class, of these spans and with provenance for them, and nobody's but
    /// the caller's, who gives them up.
    #[inline(always)]
    pub(crate) unsafe fn put(
        &self,
        class: SizeClass,
        blocks: &[Place],
        mut emptied: impl FnMut(Span),
    ) {
        let mut rest = blocks;
        while let Some(first) = rest.first() {
            // SAFETY: the caller's promise; a span of which a block is out is live.
            let span = unsafe { Span::of(first.get(), class) };
            let was_full = span.is_full();
            // SAFETY: the caller's promise.
            rest = unsafe { span.put(rest, class) };
            if was_full || span.out() == 0 {
                self.sort_in(span, was_full);
                if span.out() == 0 {
                    emptied(span);
                }
            }
        }
    }

    /// Moves a span that was full, or is empty, to the list where it belongs, or to none.
    #[inline(never)]
    fn sort_in(&self, span: Span, was_full: bool) {
        let list = if was_full { &self.full } else { &self.partial };
        list.remove(span);
        if span.out() > 0 {
            self.partial.push(span);
        }
    }
}

/// A list of spans that any of them leaves in O(1).
pub(crate) struct SpanList {
    head: Cell<Option<Span>>,
    /// How often a span came or went, modulo 2^64.
    changes: Cell<u64>,
}

impl SpanList {
    pub(crate) const fn new() -> Self {
        Self { head: Cell::new(None), changes: Cell::new(0) }
    }

    pub(crate) fn head(&self) -> Option<Span> {
        self.head.get()
    }

    /// Adds a span, which is in no list, at the front.
    pub(crate) fn push(&self, span: Span) {
        self.changes.set(self.changes.get().wrapping_add(1));
        let head = self.head.get();
        let (prev, next) = span.links();
        next.set(head);
        prev.set(None);
        if let Some(head) = head {
            head.links().0.set(Some(span));
        }
        self.head.set(Some(span));
    }

    /// Takes a span out, which is in this list.
    pub(crate) fn remove(&self, span: Span) {
        self.changes.set(self.changes.get().wrapping_add(1));
        let (prev, next) = span.links();
        let (prev, next) = (prev.get(), next.get());
        match prev {
            Some(prev) => prev.links().1.set(next),
            None => self.head.set(next),
        }
        if let Some(next) = next {
            next.links().0.set(prev);
        }
    }

    /// Takes the first span out.
    pub(crate) fn pop(&self) -> Option<Span> {
        let head = self.head.get()?;
        self.remove(head);
        Some(head)
    }

    /// Puts fuller spans before emptier ones, to an eighth. O(spans).
    pub(crate) fn sort(&self) {
        let buckets = [const { Self::new() }; 8];
        while let Some(span) = self.pop() {
            let bucket = 8 * span.out() / (span.class().blocks() + 1);
            buckets[bucket].push(span);
        }
        for bucket in buckets {
            while let Some(span) = bucket.pop() {
                self.push(span);
            }
        }
    }

    /// As [`iter`](Self::iter), for who may change the list between two steps: it goes on behind as many
    /// spans as it has seen, and follows no link of a span that has left.
    pub(crate) fn steady(&self) -> impl Iterator<Item = Span> + '_ {
        let (mut seen, mut changes, mut next) = (0, self.changes.get(), self.head.get());
        core::iter::from_fn(move || {
            if self.changes.get() != changes {
                changes = self.changes.get();
                next = self.iter().nth(seen);
            }
            let span = next?;
            next = span.next();
            seen += 1;
            Some(span)
        })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Span> + use<> {
        core::iter::successors(self.head.get(), |span| span.next())
    }
}
