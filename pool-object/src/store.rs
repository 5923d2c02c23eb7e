//! A heap's cold half: where magazines get blocks from, and where they go back to. A storage file.
//!
//! ```text
//!   user ◄─► magazine (one a class) ◄─► older magazine ◄─► spans ◄─► spare spans ◄─► page source
//! ```
//!
//! Bonwick's two magazines: a full one becomes the older one and the older one goes to its spans, so
//! that between two batches there are at least as many frees or allocations as a magazine holds.
//!
//! **When memory goes back.** A magazine may keep the last free blocks of many spans. So a class
//! that holds more than the heap's reserve allows also looks when half of what was live is freed:
//! then all its blocks go to their spans, and empty spans back. What is within the reserve is
//! *quiet*: it is left alone until it needs blocks from a span again.

mod zeroed;

use crate::magazine::{Magazines, hide};
use crate::size_class::SizeClass;
use crate::span::{Block, Chain, Link, Span, SpanList};
use crate::sparse::SparseSet;
use core::cell::Cell;
use core::ptr::NonNull;
use pool_core::{PageError, PageSource, Request, Run};

/// What a heap knows of a class besides its magazine.
pub(crate) struct Class {
    /// Spans with blocks left in them.
    pub(crate) partial: SpanList,
    /// Spans without.
    pub(crate) full: SpanList,
    /// Bytes of the runs of both.
    pub(crate) held: Cell<usize>,
    /// Blocks out of spans: used or in a magazine.
    out: Cell<usize>,
    /// The older magazine: `older_len` free blocks of our own.
    older: Cell<Link>,
    older_len: Cell<usize>,
    /// The magazine's room and length together.
    sum: Cell<usize>,
    /// Whether `held` is within the reserve, and counted there.
    quiet: Cell<bool>,
}

impl Class {
    const fn new() -> Self {
        Self {
            partial: SpanList::new(),
            full: SpanList::new(),
            held: Cell::new(0),
            out: Cell::new(0),
            older: Cell::new(Link::NONE),
            older_len: Cell::new(0),
            sum: Cell::new(0),
            quiet: Cell::new(false),
        }
    }

    pub(crate) fn spans(&self) -> impl Iterator<Item = Span> {
        self.partial.iter().chain(self.full.iter())
    }
}

/// Blocks of all classes; the spans that they are cut from; spans for later.
pub(crate) struct Store {
    /// The fast path's half.
    pub(crate) magazines: Magazines,
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
}

/// See [`Store::most_gone`].
const COME_AND_GO: usize = 512 << 10;

/// Blocks a magazine holds: 32 KiB of them; sixteen if that is no more than 64 KiB, since short
/// magazines are filled and emptied too often; four at least.
pub(crate) const fn magazine_len(class: SizeClass) -> usize {
    let size = class.size();
    let few = if (64 << 10) / size < 16 { (64 << 10) / size } else { 16 };
    let len = (32 << 10) / size;
    let len = if len < few { few } else { len };
    if len < 4 { 4 } else { len }
}

impl Store {
    pub(crate) const fn new(reserve: usize) -> Self {
        Self {
            magazines: Magazines::new(),
            classes: [const { Class::new() }; SizeClass::COUNT],
            spare: SpanList::new(),
            sparse: SparseSet::new(),
            kept: Cell::new(0),
            reserve: Cell::new(reserve),
            turn: Cell::new(0),
            gone: Cell::new(0),
            most_gone: Cell::new(COME_AND_GO),
        }
    }

    pub(crate) fn class(&self, class: SizeClass) -> &Class {
        &self.classes[class.index()]
    }

    /// Free blocks in both magazines of a class.
    pub(crate) fn cached(&self, class: SizeClass) -> usize {
        let state = self.class(class);
        state.sum.get() - self.magazines.room(class) + state.older_len.get()
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
        let chain = match state.older.replace(Link::NONE).0 {
            Some(first) => Chain { first, len: state.older_len.replace(0) },
            None => self.take_from_spans(class, source)?,
        };
        let block = self.magazines.fill(class, chain);
        self.look_later(class, chain.len - 1);
        Ok(block)
    }

    fn take_from_spans<S: PageSource>(
        &self,
        class: SizeClass,
        source: &S,
    ) -> Result<Chain, PageError> {
        let state = self.class(class);
        loop {
            let span = match state.partial.head() {
                Some(span) => span,
                None => self.new_span(class, source)?,
            };
            let chain = span.take();
            if span.is_full() {
                state.partial.remove(span);
                state.full.push(span);
            }
            if let Some(chain) = chain {
                self.set_loud(class);
                state.out.set(state.out.get() + chain.len);
                return Ok(chain);
            }
        }
    }

    /// Another span for a class, in its list.
    fn new_span<S: PageSource>(&self, class: SizeClass, source: &S) -> Result<Span, PageError> {
        let span = match self.take_spare(class) {
            Some(span) => span,
            None => self.acquire_span(class, source)?,
        };
        self.set_loud(class);
        let state = self.class(class);
        state.partial.push(span);
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
    /// refuses.
    pub(crate) fn acquire<S: PageSource>(
        &self,
        request: Request,
        source: &S,
    ) -> Result<Run, PageError> {
        match source.acquire(request) {
            Err(_) if self.release_idle(source) > 0 => source.acquire(request),
            result => result,
        }
    }

    /// Sets the magazine's room, so that the next look is due in time. The magazine has `len` blocks.
    fn look_later(&self, class: SizeClass, len: usize) {
        let state = self.class(class);
        let most = magazine_len(class).saturating_sub(len).max(1);
        let room = if state.quiet.get() {
            most
        } else {
            let live = state.out.get() - len - state.older_len.get();
            most.min((live / 2).max(1))
        };
        self.magazines.set_room(class, room);
        state.sum.set(room + len);
    }

    /// The magazine has taken the last block it had room for: it is full, or much was freed.
    pub(crate) fn look<S: PageSource>(&self, class: SizeClass, source: &S) {
        let state = self.class(class);
        let len = state.sum.get();
        let full = len >= magazine_len(class);
        let live = state.out.get() - len - state.older_len.get();
        if full && (live > 0 || state.quiet.get()) {
            self.rotate(class, source, len);
        } else if !self.set_quiet(class, source) {
            self.shrink(class, source, live);
        } else if full {
            self.rotate(class, source, len);
        } else {
            self.look_later(class, len);
        }
    }

    /// Gives back what a class has no more use for: it holds more than the reserve, and half of what
    /// it had is freed.
    #[cold]
    fn shrink<S: PageSource>(&self, class: SizeClass, source: &S, live: usize) {
        if live == 0 {
            // What was kept of it while it shrank goes with it.
            self.drop_spans(class, source);
            while self.release_spare(source) > 0 {}
        } else {
            self.flush(class, source);
        }
    }

    /// Makes the magazine the older one, whose blocks go to their spans.
    fn rotate<S: PageSource>(&self, class: SizeClass, source: &S, len: usize) {
        let state = self.class(class);
        let list = state.older.replace(self.magazines.take(class));
        state.older_len.set(len);
        self.put_all(class, source, list);
        self.look_later(class, 0);
    }

    /// Puts all free blocks of a class into their spans.
    pub(crate) fn flush<S: PageSource>(&self, class: SizeClass, source: &S) {
        let state = self.class(class);
        let (newer, older) = (self.magazines.take(class), state.older.replace(Link::NONE));
        state.older_len.set(0);
        self.put_all(class, source, older);
        self.put_all(class, source, newer);
        self.look_later(class, 0);
    }

    /// Puts a list of free blocks into their spans; spans that are empty then go.
    fn put_all<S: PageSource>(&self, class: SizeClass, source: &S, list: Link) {
        let (mut link, mut blocks) = (list, 0);
        while let Some(first) = link.0 {
            // SAFETY: free blocks lie in live spans of their class, with provenance for them.
            let span = unsafe { Span::of(first.cast(), class) };
            let (last, len, rest) = same_span(first, class);
            let was_full = span.is_full();
            // SAFETY: these blocks of the span were in our list, which is given up.
            unsafe { span.put(first, last, len) };
            if span.out() == 0 || was_full {
                self.sort_in(class, source, span, was_full);
            }
            blocks += len;
            link = rest;
        }
        let state = self.class(class);
        state.out.set(state.out.get() - blocks);
    }

    /// Puts a span that was full or is empty into the list where it belongs.
    #[inline(never)]
    fn sort_in<S: PageSource>(&self, class: SizeClass, source: &S, span: Span, was_full: bool) {
        let state = self.class(class);
        if was_full {
            state.full.remove(span);
        } else {
            state.partial.remove(span);
        }
        if span.out() > 0 {
            state.partial.push(span);
            return;
        }
        self.forget_held(class, span.len());
        self.keep_or_release(source, span);
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
        let _ = self.magazines.take(class);
        state.older.set(Link::NONE);
        state.older_len.set(0);
        state.out.set(0);
        self.magazines.set_room(class, 0);
        state.sum.set(0);
        self.set_loud(class);
        state.held.set(0);
        while let Some(span) = state.partial.pop().or_else(|| state.full.pop()) {
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
            let state = self.class(class);
            self.look_later(class, state.sum.get() - self.magazines.room(class));
            return;
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
        for class in SizeClass::all().filter(|class| self.class(*class).out.get() > 0) {
            self.flush(class, source);
            self.class(class).partial.sort();
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
        // SAFETY: the block is ours now, aligned to 8, and at least 8 bytes long.
        unsafe { block.cast::<Link>().write(Link::NONE) };
        self.put_all(class, source, Link(Some(block.cast())));
        let state = self.class(class);
        let len = state.sum.get() - self.magazines.room(class);
        self.look_later(class, len);
    }

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
        for (span, full) in state
            .partial
            .iter()
            .map(|span| (span, false))
            .chain(state.full.iter().map(|span| (span, true)))
        {
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
        if (out, held) != (state.out.get(), state.held.get()) {
            return Err("spans and class count differently");
        }
        let len = state.sum.get() - self.magazines.room(class);
        self.check_list(class, self.magazines.peek(class), len)?;
        self.check_list(class, state.older.get(), state.older_len.get())?;
        if self.cached(class) > out {
            return Err("more blocks are free than there are: a block was freed twice");
        }
        Ok(())
    }

    /// Checks a list of free blocks of `len`: each is in a span of the class.
    fn check_list(&self, class: SizeClass, list: Link, len: usize) -> Result<(), &'static str> {
        let state = self.class(class);
        let (mut link, mut found) = (list, 0);
        while let Some(block) = link.0 {
            if found == len {
                return Err("more blocks are free than were freed: one was freed twice");
            }
            let holds = |span: Span| span.holds(block);
            if !state.spans().any(holds) {
                return Err("a free list leads out of its spans: a freed block was written to");
            }
            found += 1;
            // SAFETY: it is in a live span of ours, whole, so its first word can be read; and it was
            // freed, so that word is a link.
            link = unsafe { block.read() };
        }
        if found == len {
            Ok(())
        } else {
            Err("a free list ends early: a freed block was written to")
        }
    }

    /// Gives every empty span back; bytes.
    pub(crate) fn release_idle<S: PageSource>(&self, source: &S) -> usize {
        let before = self.held();
        for class in SizeClass::all() {
            if self.class(class).out.get() > 0 {
                self.flush(class, source);
            }
        }
        while self.release_spare(source) > 0 {}
        before - self.held()
    }

    /// Bytes of all spans.
    pub(crate) fn held(&self) -> usize {
        let classes: usize = self.classes.iter().map(|state| state.held.get()).sum();
        classes + self.spare.iter().map(Span::len).sum::<usize>()
    }

    /// Gives all spans back, and leaves to the source what becomes of their memory: the next heap may
    /// want it at once.
    ///
    /// # Safety
    /// No block is used any more.
    pub(crate) unsafe fn release_all<S: PageSource>(&self, source: &S) {
        self.most_gone.set(usize::MAX);
        for class in SizeClass::all() {
            self.drop_spans(class, source);
        }
        while self.release_spare(source) > 0 {}
        self.most_gone.set(COME_AND_GO);
    }
}

/// How far a list of free blocks, all of `class`, stays in the span that it begins in: the last block
/// there, how many there are, and what follows.
#[inline(always)]
fn same_span(first: Block, class: SizeClass) -> (Block, usize, Link) {
    let (start, span_len) = (first.addr().get() & !(class.span_len() - 1), class.span_len());
    let (mut last, mut len) = (first, 1);
    loop {
        // SAFETY: free blocks of a list of ours: live memory, whose first word is a link.
        let link = unsafe { last.read() };
        // No address in the span but has the same upper bits; the end of the list, 0, has others.
        if link.0.map_or(0, |next| next.addr().get()) ^ start >= span_len {
            return (last, len, link);
        }
        // SAFETY: not the end of the list, as above: no span is at address 0.
        last = unsafe { link.0.unwrap_unchecked() };
        len += 1;
    }
}
