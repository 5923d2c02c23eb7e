//! What threads share of one class, behind its lock: spans, and the depot. A storage file.

use crate::magazine::Place;
use crate::size_class::SizeClass;
use crate::span::Span;
use crate::spans::{SpanList, Spans};
use crate::sync::atomic::AtomicUsize;
use crate::sync::atomic::Ordering::Relaxed;
use core::alloc::Layout;
use core::ptr::NonNull;

/// Pages that the depot of a class may have. Each is as long as a thread's longest array.
pub(super) const PAGES: usize = if cfg!(loom) { 1 } else { 4 };

/// Blocks that a thread's cache may have of a class at most: 64 KiB of them, four at least, and not
/// more than 1024. Under loom, two.
pub(crate) const fn most(class: SizeClass) -> usize {
    let len = (64 << 10) / class.size();
    if cfg!(loom) {
        2
    } else if len < 4 {
        4
    } else if len > 1024 {
        1024
    } else {
        len
    }
}

/// The class of blocks in which arrays of so many places are.
pub(crate) const fn array_class(places: usize) -> SizeClass {
    assert!(places <= 1024, "an array is longer than any cache");
    match Layout::array::<Place>(places) {
        Ok(layout) => match SizeClass::of(layout) {
            Some(class) => class,
            None => unreachable!(),
        },
        Err(_) => unreachable!(),
    }
}

/// What a class looks like to a thread that frees.
#[derive(Clone, Copy)]
pub(crate) struct Outlook {
    /// Blocks in use, other threads' caches as they last said.
    pub(crate) live: usize,
    /// Blocks in the depot.
    pub(crate) depot: usize,
    /// Whether the class holds so little that nobody needs to look for empty spans.
    pub(crate) quiet: bool,
}

/// Spans that a class may have before it is looked for empty ones.
const QUIET_SPANS: usize = 4;
/// Blocks of a class that are too few to put back.
pub(crate) const FEW: usize = 4;
/// Bytes of spans that the heap may have before.
const QUIET_BYTES: usize = 2 << 20;

/// What is shared of a class.
pub(super) struct Store {
    pub(super) spans: Spans,
    /// How many there are.
    pub(super) held: usize,
    /// Blocks of these that were ever handed out.
    pub(super) carved: usize,
    /// Blocks out of spans: in use, in a cache, in the depot, or the heap's own.
    pub(super) out: usize,
    /// Those that the heap has for itself.
    pub(super) own: usize,
    /// Arrays of `most` places: the first `pages`. The first `depot_len` places of these together are
    /// free blocks of this class.
    pub(super) depot: [NonNull<Place>; PAGES],
    pub(super) pages: usize,
    pub(super) depot_len: usize,
    /// Blocks in threads' caches when these last said so: more than `out` perhaps, if a thread uses
    /// them since and another one freed them.
    pub(super) cached: usize,
}

// SAFETY: the spans and free blocks that it points to are its own, and reached through it alone.
unsafe impl Send for Store {}

impl Store {
    pub(super) fn new() -> Self {
        Self {
            spans: Spans::new(),
            held: 0,
            carved: 0,
            out: 0,
            own: 0,
            depot: [NonNull::dangling(); PAGES],
            pages: 0,
            depot_len: 0,
            cached: 0,
        }
    }

    pub(super) fn live(&self) -> usize {
        self.out.saturating_sub(self.depot_len + self.own + self.cached)
    }

    pub(super) fn outlook(&self, held: &AtomicUsize) -> Outlook {
        let quiet = self.held <= QUIET_SPANS || held.load(Relaxed) <= QUIET_BYTES;
        Outlook { live: self.live(), depot: self.depot_len, quiet }
    }

    /// Takes at most `most` blocks out, of the depot, else of a span. Returns how many: they are in the
    /// first places.
    ///
    /// # Safety
    /// So many places can be written.
    pub(super) unsafe fn take(
        &mut self,
        class: SizeClass,
        most: usize,
        places: NonNull<Place>,
    ) -> usize {
        if self.depot_len > 0 {
            // SAFETY: the caller's promise.
            return unsafe { self.take_from_depot(class, most, places) };
        }
        let Some(span) = self.spans.partial.head() else { return 0 };
        let carved = span.carved();
        // SAFETY: the caller's promise.
        let taken = unsafe { span.take(most, places) };
        self.carved += span.carved() - carved;
        self.spans.note_taken(span);
        self.out += taken;
        taken
    }

    /// A page's first places.
    ///
    /// # Safety
    /// So many of its places are initialised, and it is not given back before the borrow ends.
    unsafe fn page<'a>(&self, page: usize, len: usize) -> &'a [Place] {
        // SAFETY: the caller's promise.
        unsafe { NonNull::slice_from_raw_parts(self.depot[page], len).as_ref() }
    }

    /// Blocks of the depot that are in its last page in use, and which page that is.
    fn last_page(&self, class: SizeClass) -> (usize, usize) {
        let last = self.depot_len.saturating_sub(1) / most(class);
        (last, self.depot_len - last * most(class))
    }

    /// Takes at most `most` blocks of the last page in use.
    ///
    /// # Safety
    /// So many places can be written.
    unsafe fn take_from_depot(
        &mut self,
        class: SizeClass,
        most: usize,
        places: NonNull<Place>,
    ) -> usize {
        let (page, len) = self.last_page(class);
        let taken = len.min(most);
        // SAFETY: so many are in the page, under the lock that we hold.
        let blocks = unsafe { self.page(page, len) };
        let first = NonNull::from(blocks).cast::<Place>();
        // SAFETY: of these places.
        let first = unsafe { first.add(len - taken) };
        // SAFETY: so many are there, and not more than `most`, says the caller; a page and whatever else
        // the caller has are not the same.
        unsafe { places.copy_from_nonoverlapping(first, taken) };
        self.depot_len -= taken;
        taken
    }

    /// Keeps as many blocks as there is room for, and returns the others.
    pub(super) fn put_in_depot<'a>(
        &mut self,
        class: SizeClass,
        blocks: &'a [Place],
    ) -> &'a [Place] {
        let mut rest = blocks;
        while !rest.is_empty() && self.depot_len < self.pages * most(class) {
            let (page, start) = (self.depot_len / most(class), self.depot_len % most(class));
            let (these, others) = rest.split_at(rest.len().min(most(class) - start));
            // SAFETY: the page has `most` places.
            let place = unsafe { self.depot[page].add(start) };
            // SAFETY: as many places of the page as these are, under the lock that we hold; a cache has
            // its blocks elsewhere.
            unsafe { place.copy_from_nonoverlapping(NonNull::from(these).cast(), these.len()) };
            self.depot_len += these.len();
            rest = others;
        }
        rest
    }

    pub(super) fn empty_depot(&mut self, class: SizeClass, empty: &SpanList) {
        while self.depot_len > 0 {
            let (page, len) = self.last_page(class);
            // SAFETY: so many are in the page, under the lock that we hold.
            let blocks = unsafe { self.page(page, len) };
            self.put_in_spans(class, blocks, empty);
            self.depot_len -= len;
        }
    }

    /// Puts free blocks that nobody keeps into their spans; those that are empty then leave to `empty`.
    pub(super) fn put_in_spans(&mut self, class: SizeClass, blocks: &[Place], empty: &SpanList) {
        self.out -= blocks.len();
        let (held, carved) = (&mut self.held, &mut self.carved);
        let emptied = |span: Span| {
            *held -= 1;
            *carved -= span.carved();
            empty.push(span);
        };
        // SAFETY: free blocks of this class' spans, with provenance for these, and given up.
        unsafe { self.spans.put(class, blocks, emptied) };
    }

    /// Takes spans out that were never used: a thread that brings one may find blocks in the depot
    /// then, which somebody has put there meanwhile.
    pub(super) fn sweep(&mut self, empty: &SpanList) {
        while let Some(span) = self.spans.partial.iter().find(|span| span.out() == 0) {
            self.spans.partial.remove(span);
            self.held -= 1;
            self.carved -= span.carved();
            empty.push(span);
        }
    }

    pub(super) fn check(&self) -> Result<(), &'static str> {
        let (mut spans, mut out) = (0, 0);
        for span in self.spans.iter() {
            span.check()?;
            spans += 1;
            out += span.out();
        }
        if (spans, out) != (self.held, self.out) {
            return Err("a class counts other spans or blocks than it has");
        }
        if self.depot_len + self.own > self.out {
            return Err("a class counts more free blocks than it has");
        }
        Ok(())
    }
}
