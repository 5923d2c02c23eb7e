//! A heap's cold half: where magazines get blocks from, and where they go back to. A storage file.
//!
//! ```text
//!   user ◄─► magazine (one a class) ◄─► older magazine ◄─► spans ◄─► spare spans ◄─► page source
//! ```
//!
//! Bonwick's two magazines: a full one becomes the older one and the older one goes to its spans, so
//! that between two batches there are at least as many frees or allocations as a magazine holds. They
//! begin short, and grow fourfold when that was not enough, up to 32 KiB of blocks.
//!
//! **When memory goes back.** A magazine may keep the last free blocks of many spans. So a class
//! that holds more than the heap's reserve allows also looks when half of what was live is freed:
//! then all its blocks go to their spans, and empty spans back. What is within the reserve is
//! *quiet*: it is left alone until it needs blocks from a span again.

mod sums;
mod yielding;
mod zeroed;

use crate::book::Book;
use crate::magazine::{Magazines, Place, hide};
use crate::size_class::SizeClass;
use crate::span::Span;
use crate::spans::{SpanList, Spans};
use crate::sparse::SparseSet;
use core::cell::Cell;
use core::ptr::NonNull;
use core::slice;
use pool_core::{PageError, PageSource, Request, Run};

/// What a heap knows of a class besides its magazine.
pub(crate) struct Class {
    pub(crate) spans: Spans,
    /// Bytes of their runs.
    pub(crate) held: Cell<usize>,
    /// Blocks out of spans: used or in a magazine.
    out: Cell<usize>,
    /// Places of the magazine's array that it may use, and so of the older one's; and all there are.
    places: Cell<usize>,
    room: Cell<usize>,
    /// The older magazine: an array, and how many blocks are in it.
    older: Cell<NonNull<Place>>,
    older_len: Cell<usize>,
    /// Whether `held` is within the reserve, and counted there.
    quiet: Cell<bool>,
}

impl Class {
    const fn new() -> Self {
        Self {
            spans: Spans::new(),
            held: Cell::new(0),
            out: Cell::new(0),
            places: Cell::new(0),
            room: Cell::new(0),
            older: Cell::new(NonNull::dangling()),
            older_len: Cell::new(0),
            quiet: Cell::new(false),
        }
    }
}

/// Blocks of all classes; the spans that they are cut from; spans for later.
pub(crate) struct Store {
    /// The fast path's half.
    pub(crate) magazines: Magazines,
    /// Where these have their arrays.
    book: Book,
    classes: [Class; SizeClass::COUNT],
    /// Empty spans of the shortest length.
    spare: SpanList,
    /// Where the spans are that a defragmenter is to empty. Its memory is of the heap's source.
    pub(crate) sparse: SparseSet,
    /// Bytes of spare spans and of quiet classes; at most `reserve`.
    kept: Cell<usize>,
    pub(crate) reserve: Cell<usize>,
    /// The class that is asked first to leave the reserve.
    turn: Cell<usize>,
    /// Bytes of spans that went back since one was acquired.
    gone: Cell<usize>,
    /// How much that may be before it is taken for more than coming and going.
    most_gone: Cell<usize>,
    /// How often no array is asked for, since there was no memory for one.
    patience: Cell<u32>,
}

/// See [`Store::most_gone`].
const COME_AND_GO: usize = 512 << 10;

/// Blocks a magazine holds at most: 32 KiB of them; sixteen if that is no more than 64 KiB, since
/// short magazines are filled and emptied too often; from 4 to 512.
const fn most(class: SizeClass) -> usize {
    let size = class.size();
    let few = if (64 << 10) / size < 16 { (64 << 10) / size } else { 16 };
    let len = (32 << 10) / size;
    let len = if len < few { few } else { len };
    if len < 4 {
        4
    } else if len > 512 {
        512
    } else {
        len
    }
}

/// Places of a magazine's first array, at most, and how many times as many the next one has.
const FIRST: usize = 32;
const GROWTH: usize = 4;

impl Store {
    pub(crate) const fn new(reserve: usize) -> Self {
        Self {
            magazines: Magazines::new(),
            book: Book::new(),
            classes: [const { Class::new() }; SizeClass::COUNT],
            spare: SpanList::new(),
            sparse: SparseSet::new(),
            kept: Cell::new(0),
            reserve: Cell::new(reserve),
            turn: Cell::new(0),
            gone: Cell::new(0),
            most_gone: Cell::new(COME_AND_GO),
            patience: Cell::new(0),
        }
    }

    pub(crate) fn class(&self, class: SizeClass) -> &Class {
        &self.classes[class.index()]
    }

    /// The classes that have spans.
    pub(crate) fn used(&self) -> impl Iterator<Item = SizeClass> + '_ {
        let states = SizeClass::all().zip(&self.classes);
        states.filter(|(_, state)| state.held.get() > 0).map(|(class, _)| class)
    }

    /// Free blocks in both magazines of a class.
    pub(crate) fn cached(&self, class: SizeClass) -> usize {
        self.magazines.len(class) + self.class(class).older_len.get()
    }

    /// Blocks of a class in use.
    pub(crate) fn live(&self, class: SizeClass) -> usize {
        self.class(class).out.get() - self.cached(class)
    }

    /// Empty spans that are kept for any class.
    pub(crate) fn spare(&self) -> impl Iterator<Item = Span> {
        self.spare.iter()
    }

    /// A block, when the magazine has none.
    pub(crate) fn refill<S: PageSource>(
        &self,
        class: SizeClass,
        source: &S,
    ) -> Result<NonNull<u8>, PageError> {
        let state = self.class(class);
        loop {
            if let Some(block) = self.magazines.pop(class) {
                self.look_later(class);
                return Ok(block);
            }
            if state.older_len.get() > 0 {
                self.swap(class);
                continue;
            }
            let span = match state.spans.partial.head() {
                Some(span) => span,
                None => self.new_span(class, source)?,
            };
            self.set_loud(class);
            // Not before: a source that refused a span was given the arrays back.
            self.grow(class, source);
            if state.places.get() == 0 {
                return Ok(self.take_one(class, span));
            }
            self.fill(class, span);
        }
    }

    /// Makes the magazine the older one, and the older one the magazine.
    fn swap(&self, class: SizeClass) {
        let state = self.class(class);
        // SAFETY: an array of as many places, in which so many are blocks of our own; the limit is set
        // by the callers.
        let (array, len) =
            unsafe { self.magazines.swap(class, state.older.get(), state.older_len.get()) };
        state.older.set(array);
        state.older_len.set(len);
    }

    /// Fills the magazine, which is empty, out of a span that has blocks.
    fn fill(&self, class: SizeClass, span: Span) {
        let most = span.at_hand().min(self.class(class).places.get());
        // SAFETY: the array is the empty magazine's, and has so many places.
        let taken = unsafe { span.take(most, self.magazines.array(class)) };
        // SAFETY: so many places were written, with blocks that are ours now.
        unsafe { self.magazines.set_len(class, taken) };
        self.note_taken(class, span, taken);
    }

    /// Takes a block out of a span that has one, past the magazine.
    fn take_one(&self, class: SizeClass, span: Span) -> NonNull<u8> {
        let block = Cell::new(NonNull::dangling());
        // SAFETY: one place.
        let taken = unsafe { span.take(1, NonNull::from(&block)) };
        self.note_taken(class, span, taken);
        block.get()
    }

    fn note_taken(&self, class: SizeClass, span: Span, taken: usize) {
        let state = self.class(class);
        state.out.set(state.out.get() + taken);
        state.spans.note_taken(span);
    }

    /// Gives both magazines longer arrays, if they may have them and there is memory.
    #[inline]
    fn grow<S: PageSource>(&self, class: SizeClass, source: &S) -> bool {
        let places = self.class(class).places.get();
        places < most(class) && self.grow_from(class, places, source)
    }

    #[cold]
    #[inline(never)]
    fn grow_from<S: PageSource>(&self, class: SizeClass, places: usize, source: &S) -> bool {
        let more = if places == 0 { FIRST } else { GROWTH * places }.min(most(class));
        let state = self.class(class);
        if more <= state.room.get() {
            state.places.set(more);
            return true;
        }
        let acquire = |request| self.acquire_page(request, source);
        let Some(array) = self.book.array(2 * more, acquire) else { return false };
        // SAFETY: half of the array, which is new.
        let older = unsafe { array.add(more) };
        // SAFETY: not more than `places` blocks are in the one before, which is not the same.
        unsafe { older.copy_from_nonoverlapping(state.older.get(), state.older_len.get()) };
        state.older.set(older);
        // SAFETY: new, and longer than the one before, to which the limit was set.
        unsafe { self.magazines.set_array(class, array) };
        state.places.set(more);
        state.room.set(more);
        true
    }

    /// Another span for a class, in its list.
    fn new_span<S: PageSource>(&self, class: SizeClass, source: &S) -> Result<Span, PageError> {
        let span = match self.take_spare(class) {
            Some(span) => span,
            None => self.acquire_span(class, source)?,
        };
        self.set_loud(class);
        let state = self.class(class);
        state.spans.partial.push(span);
        state.held.set(state.held.get() + span.len());
        Ok(span)
    }

    fn take_spare(&self, class: SizeClass) -> Option<Span> {
        if class.span_len() != SizeClass::MIN_SPAN {
            return None;
        }
        let span = self.spare.pop()?;
        self.kept.set(self.kept.get() - span.len());
        // SAFETY: spare spans are empty, in no list now, and of the shortest length.
        unsafe { span.reset(class) };
        Some(span)
    }

    fn acquire_span<S: PageSource>(&self, class: SizeClass, source: &S) -> Result<Span, PageError> {
        let request = Request::new(class.span_len()).align(class.span_len());
        let run = self.acquire(request, source)?;
        self.gone.set(0);
        // SAFETY: just acquired, as long and aligned as asked.
        Ok(unsafe { Span::new(run, class) })
    }

    /// A run of the source. What idles here may be what is missing there: it goes back if the source
    /// refuses, as much as it takes.
    pub(crate) fn acquire<S: PageSource>(
        &self,
        request: Request,
        source: &S,
    ) -> Result<Run, PageError> {
        source.acquire(request).or_else(|error| self.yield_for(request, error, source))
    }

    /// Sets the magazine's limit, so that the next look is due in time.
    fn look_later(&self, class: SizeClass) {
        let (state, len) = (self.class(class), self.magazines.len(class));
        let most = state.places.get().saturating_sub(1);
        let limit = if state.quiet.get() {
            most
        } else {
            let live = self.live(class);
            most.min(len + (live / 2).saturating_sub(1))
        };
        // SAFETY: at least as many as it has, which is fewer than there are places, if any.
        unsafe { self.magazines.set_limit(class, limit) };
    }

    /// Takes a block when the magazine is full, or much was freed.
    ///
    /// # Safety
    /// The block is of this class and heap, with provenance for its span; nobody uses it any more.
    pub(crate) unsafe fn look<S: PageSource>(
        &self,
        class: SizeClass,
        block: NonNull<u8>,
        source: &S,
    ) {
        let (state, magazines) = (self.class(class), &self.magazines);
        if state.places.get() == 0 && !self.grow(class, source) {
            return self.put(class, source, slice::from_ref(&Cell::new(block)));
        }
        // SAFETY: the limit, and so the length, is below the number of places; the caller's promise.
        unsafe { magazines.push_more(class, block) };
        let mut full = magazines.len(class) == state.places.get();
        let live = self.live(class);
        if full && (live > 0 || state.quiet.get()) {
            full = !self.grow(class, source);
            if full {
                return self.rotate(class, source);
            }
        } else if !self.set_quiet(class, source) {
            return self.shrink(class, source, live);
        }
        if full { self.rotate(class, source) } else { self.look_later(class) }
    }

    /// Gives back what a class has no more use for: it holds more than the reserve, and half of what
    /// it had is freed.
    #[cold]
    fn shrink<S: PageSource>(&self, class: SizeClass, source: &S, live: usize) {
        if live == 0 {
            // What was kept of it while it shrank goes with it.
            self.drop_spans(class, source);
            while self.release_spare(source) > 0 {}
            if self.classes.iter().all(|state| state.out.get() == 0) {
                self.release_book(source);
            }
        } else {
            self.flush(class, source);
        }
    }

    /// Makes the magazine the older one, whose blocks go to their spans.
    fn rotate<S: PageSource>(&self, class: SizeClass, source: &S) {
        self.put(class, source, self.older(class));
        self.class(class).older_len.set(0);
        self.swap(class);
        self.look_later(class);
    }

    /// The older magazine's blocks.
    pub(crate) fn older(&self, class: SizeClass) -> &[Place] {
        let state = self.class(class);
        let blocks = NonNull::slice_from_raw_parts(state.older.get(), state.older_len.get());
        // SAFETY: so many places of that array are blocks, and changed through their cells alone; it
        // stays until the magazines are empty.
        unsafe { blocks.as_ref() }
    }

    /// Puts all free blocks of a class into their spans.
    pub(crate) fn flush<S: PageSource>(&self, class: SizeClass, source: &S) {
        self.put(class, source, self.older(class));
        self.put(class, source, self.magazines.places(class));
        self.forget_magazines(class);
        self.look_later(class);
    }

    /// The magazines' blocks are not theirs any more.
    fn forget_magazines(&self, class: SizeClass) {
        self.class(class).older_len.set(0);
        // SAFETY: none.
        unsafe { self.magazines.set_len(class, 0) };
    }

    /// Puts free blocks that nobody else keeps into their spans; spans that are empty then go.
    fn put<S: PageSource>(&self, class: SizeClass, source: &S, blocks: &[Place]) {
        let state = self.class(class);
        let emptied = |span: Span| {
            self.forget_held(class, span.len());
            self.keep_or_release(source, span);
        };
        // SAFETY: free blocks of this class' spans, with provenance for these, and given up.
        unsafe { state.spans.put(class, blocks, emptied) };
        state.out.set(state.out.get() - blocks.len());
    }

    /// So many bytes of spans have left a class.
    fn forget_held(&self, class: SizeClass, bytes: usize) {
        let state = self.class(class);
        state.held.set(state.held.get() - bytes);
        if state.quiet.get() {
            self.kept.set(self.kept.get() - bytes);
        }
    }

    /// An empty span that is in no list becomes a spare one, or goes back.
    fn keep_or_release<S: PageSource>(&self, source: &S, span: Span) {
        let kept = self.kept.get() + span.len();
        if span.class().span_len() == SizeClass::MIN_SPAN && kept <= self.reserve.get() {
            self.kept.set(kept);
            self.sparse.remove(span.start());
            self.spare.push(span);
        } else {
            // SAFETY: the span is empty, in no list, and not used any more.
            unsafe { self.release(source, span) };
        }
    }

    /// All blocks of a class are free: its spans go back, and its magazines are forgotten. None becomes
    /// a spare one: scattered as they are, few would keep many of the source's regions in use.
    fn drop_spans<S: PageSource>(&self, class: SizeClass, source: &S) {
        let state = self.class(class);
        self.forget_magazines(class);
        state.out.set(0);
        self.look_later(class);
        self.set_loud(class);
        state.held.set(0);
        while let Some(span) = state.spans.pop() {
            // SAFETY: no block of it is used, it is in no list now, and is not used any more.
            unsafe { self.release(source, span) };
        }
    }

    /// Counts a class' spans to the reserve, if they fit in with what may be dropped from it.
    fn set_quiet<S: PageSource>(&self, class: SizeClass, source: &S) -> bool {
        let state = self.class(class);
        let held = state.held.get();
        if !state.quiet.get() && held <= self.reserve.get() {
            self.make_room(class, held, source);
            if self.kept.get() + held <= self.reserve.get() {
                self.kept.set(self.kept.get() + held);
                state.quiet.set(true);
            }
        }
        state.quiet.get()
    }

    /// A class is going to change: it leaves the reserve.
    fn set_loud(&self, class: SizeClass) {
        let state = self.class(class);
        if state.quiet.replace(false) {
            self.kept.set(self.kept.get() - state.held.get());
        }
    }

    /// Makes room for so many bytes in the reserve: spare spans go first, then other classes in
    /// turn.
    fn make_room<S: PageSource>(&self, class: SizeClass, bytes: usize, source: &S) {
        let fits = || self.kept.get() + bytes <= self.reserve.get();
        while !fits() && self.release_spare(source) > 0 {}
        for _ in 0..SizeClass::COUNT {
            if fits() {
                return;
            }
            let turn = self.turn.get();
            self.turn.set((turn + 1) % SizeClass::COUNT);
            if let Some(other) = SizeClass::from_index(turn).filter(|other| *other != class) {
                self.evict(other, source);
            }
        }
    }

    /// Takes a quiet class out of the reserve. Its spans go back if no block is used.
    #[cold]
    fn evict<S: PageSource>(&self, class: SizeClass, source: &S) {
        if !self.class(class).quiet.get() {
            return;
        }
        self.set_loud(class);
        if self.live(class) > 0 {
            return self.look_later(class);
        }
        self.drop_spans(class, source);
    }

    /// Gives a span back. Those that come and go are left as they are, for whoever has the next use for
    /// them. But when more go than come, their memory goes back to the system at once: sources keep
    /// runs, and a few spans that stay would keep whole regions resident.
    ///
    /// # Safety
    /// It came from `source`, is in no list, none of its blocks is used, and it is not used again.
    unsafe fn release<S: PageSource>(&self, source: &S, span: Span) {
        self.sparse.remove(span.start());
        // SAFETY: the caller's promise.
        let mut run = unsafe { span.into_run() };
        self.gone.set(self.gone.get().saturating_add(run.len()));
        if self.gone.get() > self.most_gone.get() {
            // SAFETY: the run is ours, and nobody uses it.
            unsafe { source.decommit(&mut run) };
        }
        // SAFETY: from this source, whole, and not used any more.
        unsafe { source.release(run) };
    }

    /// Gives one spare span back; its bytes.
    fn release_spare<S: PageSource>(&self, source: &S) -> usize {
        let Some(span) = self.spare.pop() else { return 0 };
        let bytes = span.len();
        self.kept.set(self.kept.get() - bytes);
        // SAFETY: spare spans are empty, it is in no list now, and is not used any more.
        unsafe { self.release(source, span) };
        bytes
    }

    /// Puts all free blocks into their spans, and the fullest spans first.
    pub(crate) fn flush_all<S: PageSource>(&self, source: &S) {
        for class in self.used() {
            self.flush(class, source);
            self.class(class).spans.partial.sort();
        }
    }

    /// Blocks of a class out of spans: used or in a magazine.
    pub(crate) fn out(&self, class: SizeClass) -> usize {
        self.class(class).out.get()
    }

    /// Puts a block straight into its span, past the magazine.
    ///
    /// # Safety
    /// The block is of this class and heap, with provenance for its span; nobody uses it any more.
    pub(crate) unsafe fn put_back<S: PageSource>(
        &self,
        class: SizeClass,
        block: NonNull<u8>,
        source: &S,
    ) {
        hide(block, class);
        self.put(class, source, slice::from_ref(&Cell::new(block)));
        self.look_later(class);
    }

    /// Gives every empty span back; bytes.
    pub(crate) fn release_idle<S: PageSource>(&self, source: &S) -> usize {
        let before = self.held();
        for class in self.used() {
            self.flush(class, source);
        }
        while self.release_spare(source) > 0 {}
        self.release_book(source);
        before - self.held()
    }

    /// Gives the magazines' arrays back. They are empty.
    fn release_book<S: PageSource>(&self, source: &S) {
        for (state, class) in self.classes.iter().zip(SizeClass::all()) {
            if state.room.get() > 0 {
                debug_assert_eq!(self.cached(class), 0);
                state.places.set(0);
                state.room.set(0);
                self.look_later(class);
            }
        }
        // SAFETY: no magazine has a block or a limit, so none uses its array.
        unsafe { self.book.release(source) };
        self.patience.set(0);
    }

    /// Gives all spans back, and leaves to the source what becomes of their memory: the next heap may
    /// want it at once.
    ///
    /// # Safety
    /// No block is used any more.
    pub(crate) unsafe fn release_all<S: PageSource>(&self, source: &S) {
        self.most_gone.set(usize::MAX);
        for class in self.used() {
            self.drop_spans(class, source);
        }
        while self.release_spare(source) > 0 {}
        self.release_book(source);
        self.most_gone.set(COME_AND_GO);
    }
}
