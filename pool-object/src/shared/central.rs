//! What the threads of a heap share: for each class its spans and a depot of lists of free blocks,
//! under a lock of its own. A storage file.
//!
//! ```text
//!   threads' caches ◄─► depot (whole lists, O(1)) ◄─► spans ◄─► spare spans ◄─► page source
//! ```
//!
//! The depot is TCMalloc's transfer cache: what one thread frees and another needs passes through
//! it without being looked at. Spans, whose headers are cold, see only what it has no room for.
//!
//! **Order of locks.** A thread holds the lock of one class, or that of the spare spans, or that of
//! the large blocks, and asks nobody for anything meanwhile: neither for another lock nor the
//! page source. So `fork` can take all of them in any order.

#[cfg(not(loom))]
mod zeroed;

use crate::large::LargeTable;
use crate::size_class::SizeClass;
use crate::span::{Block, Chain, Link, Span, SpanList};
use crate::stats::ClassStats;
use crate::sync::Lock;
use crate::sync::atomic::Ordering::Relaxed;
use crate::sync::atomic::{AtomicBool, AtomicUsize};
use core::ptr::NonNull;
use pool_core::{PageSource, Run, poison};

/// Lists that the depot of a class keeps. Each is half of what a thread's bin may have: 32 KiB at
/// most, or three blocks.
const DEPOT: usize = 8;

/// How much may lie idle.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes of free blocks that the cache of one thread may have.
    pub(crate) thread: usize,
    /// Bytes of free blocks that the caches of all threads may have.
    pub(crate) threads: usize,
    /// Bytes of empty spans that are kept.
    pub(crate) spare: usize,
}

/// The shared half of a heap. It stays where it is, and knows no source: whoever calls gives it
/// spans, and gives back those that it has left over.
pub(crate) struct Central {
    classes: [Class; CLASSES],
    spare: Lock<Spare>,
    /// Bytes of the spare spans; changed under their lock.
    spare_bytes: AtomicUsize,
    /// Blocks above the largest class.
    pub(crate) large: Lock<LargeTable>,
    /// Bytes of all spans.
    held: AtomicUsize,
    /// Bytes of spans that went back since one was acquired.
    gone: AtomicUsize,
    /// Bytes of free blocks that threads were allowed to keep.
    granted: AtomicUsize,
    /// How often idle memory was asked back from all threads.
    epoch: AtomicUsize,
    pub(crate) limits: Limits,
}

/// Classes there are: under loom, whose atomics are large and whose stacks are short, the smallest.
const CLASSES: usize = if cfg!(loom) { 2 } else { SizeClass::COUNT };

/// A class' own cache lines: two, since processors fetch them in pairs.
#[repr(align(128))]
struct Class {
    store: Lock<Store>,
    /// Whether the depot has no room, as of a moment ago: only whoever holds the lock knows.
    full: AtomicBool,
}

/// What is shared of a class.
struct Store {
    /// Spans with blocks left in them.
    partial: SpanList,
    /// Spans without.
    full: SpanList,
    /// How many there are of both.
    spans: usize,
    /// Blocks of these that were ever handed out.
    carved: usize,
    /// Blocks out of spans: in use, in a cache or in the depot.
    out: usize,
    /// The first `depot_len` are lists of free blocks of this class.
    depot: [Option<Chain>; DEPOT],
    depot_len: usize,
    /// Blocks in the depot.
    depot_blocks: usize,
    /// Blocks in threads' caches when these last said so: more than `out` perhaps, if a thread uses
    /// them since and another one freed them.
    cached: usize,
}

// SAFETY: the spans and free blocks that it points to are its own, and reached through it alone.
unsafe impl Send for Store {}

/// Empty spans, by length.
struct Spare([SpanList; LENGTHS]);

// SAFETY: as above.
unsafe impl Send for Spare {}

/// Lengths of spans, each twice the one before.
const LENGTHS: usize = {
    let Some(last) = SizeClass::from_index(SizeClass::COUNT - 1) else { unreachable!() };
    length_index(last.span_len()) + 1
};

const fn length_index(len: usize) -> usize {
    (len.ilog2() - SizeClass::MIN_SPAN.ilog2()) as usize
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

/// See [`Central::shrinks`].
const COME_AND_GO: usize = 512 << 10;

impl Central {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            classes: core::array::from_fn(|_| Class::new()),
            spare: Lock::new(Spare([const { SpanList::new() }; LENGTHS])),
            spare_bytes: AtomicUsize::new(0),
            large: Lock::new(LargeTable::new()),
            held: AtomicUsize::new(0),
            gone: AtomicUsize::new(0),
            granted: AtomicUsize::new(0),
            epoch: AtomicUsize::new(0),
            limits,
        }
    }

    #[inline(always)]
    fn with<R>(&self, class: SizeClass, f: impl FnOnce(&mut Store) -> R) -> R {
        self.classes[class.index()].store.with(f)
    }

    /// Takes at most `most` free blocks out, at least one, for a cache that has none: the caller
    /// uses one of them and keeps the others. It said it had `told` before. `None` if no block is
    /// left: then it needs a span.
    pub(crate) fn take(
        &self,
        class: SizeClass,
        most: usize,
        told: usize,
    ) -> Option<(Chain, Outlook)> {
        self.with(class, |store| {
            let Outlook { live, quiet, .. } = store.outlook(&self.held);
            // What is taken now may have to be put back when half of what is live is freed.
            let most = if quiet { most } else { most.min(live / 2 + FEW) };
            let chain = store.take_from_depot(most).or_else(|| store.take_from_spans(most))?;
            store.cached = store.cached - told + (chain.len - 1);
            self.classes[class.index()].full.store(store.depot_len == DEPOT, Relaxed);
            Some((chain, store.outlook(&self.held)))
        })
    }

    /// Takes free blocks of a cache back, if `chain` is any, and notes how many it still has where
    /// it said it had `told` before. The depot has them, or if it is full their spans.
    pub(crate) fn give(
        &self,
        class: SizeClass,
        chain: Option<Chain>,
        told: usize,
        has: usize,
    ) -> Outlook {
        let empty = SpanList::new();
        let outlook = self.with(class, |store| {
            store.cached = store.cached - told + has;
            if let Some(chain) = chain.and_then(|chain| store.put_in_depot(chain)) {
                store.put_in_spans(class, chain, usize::MAX, &empty);
            }
            self.classes[class.index()].full.store(store.depot_len == DEPOT, Relaxed);
            store.outlook(&self.held)
        });
        self.park(&empty);
        outlook
    }

    /// As [`give`](Self::give), but of the first `most` blocks, at least one; the rest is returned.
    pub(crate) fn give_some(
        &self,
        class: SizeClass,
        chain: Chain,
        most: usize,
        told: usize,
    ) -> (Option<Chain>, Outlook) {
        let shared = &self.classes[class.index()];
        if !shared.full.load(Relaxed) {
            // Outside of the lock, since it walks.
            let (gone, rest) = chain.split(most);
            let has = rest.map_or(0, |rest| rest.len);
            return (rest, self.give(class, Some(gone), told, has));
        }
        let empty = SpanList::new();
        let result = shared.store.with(|store| {
            let rest = store.put_in_spans(class, chain, most, &empty);
            store.cached = store.cached - told + rest.map_or(0, |rest| rest.len);
            shared.full.store(store.depot_len == DEPOT, Relaxed);
            (rest, store.outlook(&self.held))
        });
        self.park(&empty);
        result
    }

    /// Puts free blocks of a cache into their spans, and those of the depot, too. The cache has none
    /// left where it said it had `told`. Blocks in use then.
    pub(crate) fn give_all(&self, class: SizeClass, chain: Option<Chain>, told: usize) -> Outlook {
        let empty = SpanList::new();
        let outlook = self.with(class, |store| {
            store.cached -= told;
            while let Some(chain) = store.take_from_depot(usize::MAX) {
                store.put_in_spans(class, chain, usize::MAX, &empty);
            }
            if let Some(chain) = chain {
                store.put_in_spans(class, chain, usize::MAX, &empty);
            }
            store.sweep(&empty);
            store.outlook(&self.held)
        });
        self.park(&empty);
        outlook
    }

    /// Gives a class another span, which is empty and its own now.
    pub(crate) fn add_span(&self, class: SizeClass, span: Span) {
        self.with(class, |store| {
            store.partial.push(span);
            store.spans += 1;
        });
    }

    /// An empty span for a class, if one is kept that is long enough.
    pub(crate) fn take_spare(&self, class: SizeClass) -> Option<Span> {
        let span = self.spare.with(|spare| {
            let span = spare.0[length_index(class.span_len())].pop()?;
            self.spare_bytes.fetch_sub(span.len(), Relaxed);
            Some(span)
        })?;
        // SAFETY: spare spans are empty, in no list now, and this one has the length.
        unsafe { span.reset(class) };
        Some(span)
    }

    /// Keeps empty spans.
    fn park(&self, empty: &SpanList) {
        if empty.head().is_none() {
            return;
        }
        self.spare.with(|spare| {
            while let Some(span) = empty.pop() {
                self.spare_bytes.fetch_add(span.len(), Relaxed);
                spare.0[length_index(span.class().span_len())].push(span);
            }
        });
    }

    /// A run that came back empty, if more than `most` bytes of them are kept: the longest first.
    pub(crate) fn excess(&self, most: usize) -> Option<Run> {
        if self.spare_bytes() <= most {
            return None;
        }
        let span = self.spare.with(|spare| {
            let span = spare.0.iter().rev().find_map(SpanList::pop)?;
            self.spare_bytes.fetch_sub(span.len(), Relaxed);
            Some(span)
        })?;
        self.held.fetch_sub(span.len(), Relaxed);
        // SAFETY: it is empty, in no list, and not used any more.
        Some(unsafe { span.into_run() })
    }

    /// A run that shall be a span of `class`.
    ///
    /// # Safety
    /// The run is live, as long and aligned as spans of `class`, and the caller gives it up.
    pub(crate) unsafe fn new_span(&self, run: Run, class: SizeClass) -> Span {
        self.held.fetch_add(run.len(), Relaxed);
        self.gone.store(0, Relaxed);
        // SAFETY: the caller's promise.
        unsafe { Span::new(run, class) }
    }

    /// Notes that a span of so many bytes goes back. Whether that makes more than come and go: then
    /// its memory shall go back to the system at once. Sources keep runs, and a few spans that stay
    /// would keep whole regions resident.
    pub(crate) fn shrinks(&self, bytes: usize) -> bool {
        self.gone.fetch_add(bytes, Relaxed).saturating_add(bytes) > COME_AND_GO
    }

    /// Lets a cache keep `bytes` more, if all together may.
    pub(crate) fn grant(&self, bytes: usize) -> bool {
        let before = self.granted.fetch_add(bytes, Relaxed);
        let fits = before.checked_add(bytes).is_some_and(|sum| sum <= self.limits.threads);
        if !fits {
            self.take_back(bytes);
        }
        fits
    }

    /// A cache keeps `bytes` less from now on.
    pub(crate) fn take_back(&self, bytes: usize) {
        self.granted.fetch_sub(bytes, Relaxed);
    }

    /// Asks all threads for what they keep: each gives it when it next comes here.
    pub(crate) fn ask_back(&self) {
        self.epoch.fetch_add(1, Relaxed);
    }

    /// How often that was.
    pub(crate) fn epoch(&self) -> usize {
        self.epoch.load(Relaxed)
    }

    /// Bytes of all spans.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Relaxed)
    }

    /// Bytes of empty spans.
    pub(crate) fn spare_bytes(&self) -> usize {
        self.spare_bytes.load(Relaxed)
    }

    /// How many empty spans there are, and their bytes.
    pub(crate) fn spare(&self) -> (usize, usize) {
        let count = |spare: &mut Spare| spare.0.iter().map(|list| list.iter().count()).sum();
        self.spare.with(|spare| (count(spare), self.spare_bytes()))
    }

    /// The figures of a class. O(1).
    pub(crate) fn class_stats(&self, class: SizeClass) -> ClassStats {
        self.with(class, |store| ClassStats {
            live: store.live(),
            cached: store.cached + store.depot_blocks,
            free: store.spans * class.blocks() - store.out,
            spans: store.spans,
            held_bytes: store.spans * class.span_len(),
            touched_bytes: store.carved * class.size(),
            ..ClassStats::new(class)
        })
    }

    /// Checks the spans of a class. `Err` says what is wrong, in words.
    pub(crate) fn check(&self, class: SizeClass) -> Result<(), &'static str> {
        self.with(class, |store| store.check())
    }

    /// Gives all runs back.
    ///
    /// # Safety
    /// They came from `source`; no block is used any more, nor kept by any cache.
    pub(crate) unsafe fn release_all<S: PageSource>(&self, source: &S) {
        // SAFETY: the runs came from this source, and are not used any more, says the caller.
        let release = |run| unsafe { source.release(run) };
        for class in &self.classes {
            class.store.with(|store| {
                while let Some(span) = store.partial.pop().or_else(|| store.full.pop()) {
                    // SAFETY: nothing of it is used or kept, says the caller.
                    release(unsafe { span.into_run() });
                }
            });
        }
        while let Some(run) = self.excess(0) {
            release(run);
        }
        self.large.with(|large| {
            for run in large.drain() {
                poison::allow(run.ptr().as_ptr(), run.len());
                release(run);
            }
            // SAFETY: the table's memory came from this source.
            unsafe { large.release(source) };
        });
    }

    /// Forgets the caches of threads that a forked child does not have: what they hold is lost, and
    /// counts as live. `told` says what this thread's cache has said of a class, and what it was
    /// granted in all.
    #[cfg(not(loom))]
    pub(crate) fn forget_others(&self, told: impl Fn(SizeClass) -> usize, granted: usize) {
        for class in SizeClass::all() {
            self.with(class, |store| store.cached = told(class));
        }
        self.granted.store(granted, Relaxed);
    }

    /// Locks everything, for a `fork`.
    #[cfg(not(loom))]
    pub(crate) fn enter_all(&self) {
        self.classes.iter().for_each(|class| class.store.enter());
        self.spare.enter();
        self.large.enter();
    }

    /// Unlocks what [`enter_all`](Self::enter_all) locked, on this thread or on the one that this is
    /// a forked copy of.
    #[cfg(not(loom))]
    pub(crate) fn leave_all(&self) {
        self.large.leave();
        self.spare.leave();
        self.classes.iter().for_each(|class| class.store.leave());
    }
}

impl Class {
    fn new() -> Self {
        Self { store: Lock::new(Store::new()), full: AtomicBool::new(false) }
    }
}

impl Store {
    fn new() -> Self {
        Self {
            partial: SpanList::new(),
            full: SpanList::new(),
            spans: 0,
            carved: 0,
            out: 0,
            depot: [None; DEPOT],
            depot_len: 0,
            depot_blocks: 0,
            cached: 0,
        }
    }

    fn live(&self) -> usize {
        self.out.saturating_sub(self.depot_blocks + self.cached)
    }

    fn outlook(&self, held: &AtomicUsize) -> Outlook {
        let quiet = self.spans <= QUIET_SPANS || held.load(Relaxed) <= QUIET_BYTES;
        Outlook { live: self.live(), depot: self.depot_blocks, quiet }
    }

    fn take_from_depot(&mut self, most: usize) -> Option<Chain> {
        let last = self.depot_len.checked_sub(1)?;
        let (chain, rest) = self.depot[last].take()?.split(most);
        self.depot[last] = rest;
        self.depot_len = if rest.is_some() { last + 1 } else { last };
        self.depot_blocks -= chain.len;
        Some(chain)
    }

    /// Keeps a list; or returns it, if there is no room.
    fn put_in_depot(&mut self, chain: Chain) -> Option<Chain> {
        let Some(place) = self.depot.get_mut(self.depot_len) else { return Some(chain) };
        *place = Some(chain);
        self.depot_len += 1;
        self.depot_blocks += chain.len;
        None
    }

    fn take_from_spans(&mut self, most: usize) -> Option<Chain> {
        let span = self.partial.head()?;
        let carved = span.carved();
        let chain = span.take_chain(most);
        self.carved += span.carved() - carved;
        if span.is_full() {
            self.partial.remove(span);
            self.full.push(span);
        }
        self.out += chain.map_or(0, |chain| chain.len);
        chain
    }

    /// Puts the first `most` of these free blocks into their spans; those that are empty then leave
    /// to `empty`. The rest is returned.
    fn put_in_spans(
        &mut self,
        class: SizeClass,
        chain: Chain,
        most: usize,
        empty: &SpanList,
    ) -> Option<Chain> {
        let mut left = chain.len.min(most);
        let rest = chain.len - left;
        self.out -= left;
        let mut link = Link(Some(chain.first));
        while let (Some(first), true) = (link.0, left > 0) {
            // SAFETY: free blocks lie in live spans of their class, with provenance for them.
            let span = unsafe { Span::of(first.cast(), class) };
            let (last, len, next) = same_span(first, class, left);
            let was_full = span.is_full();
            // SAFETY: these blocks of the span were in a list of free ones, which is given up.
            unsafe { span.put_chain(first, last, len) };
            if was_full || span.out() == 0 {
                self.sort_in(span, was_full, empty);
            }
            link = next;
            left -= len;
        }
        self::chain(link, rest)
    }

    /// Takes spans out that were never used: a thread that brings one may find blocks in the depot
    /// then, which somebody has put there meanwhile.
    fn sweep(&mut self, empty: &SpanList) {
        while let Some(span) = self.partial.iter().find(|span| span.out() == 0) {
            self.partial.remove(span);
            self.spans -= 1;
            self.carved -= span.carved();
            empty.push(span);
        }
    }

    /// Puts a span that was full or is empty into the list where it belongs.
    fn sort_in(&mut self, span: Span, was_full: bool, empty: &SpanList) {
        let list = if was_full { &self.full } else { &self.partial };
        list.remove(span);
        if span.out() > 0 {
            self.partial.push(span);
        } else {
            self.spans -= 1;
            self.carved -= span.carved();
            empty.push(span);
        }
    }

    fn check(&self) -> Result<(), &'static str> {
        let (mut spans, mut out) = (0, 0);
        for span in self.partial.iter().chain(self.full.iter()) {
            span.check()?;
            spans += 1;
            out += span.out();
        }
        let depot: usize = self.depot.iter().flatten().map(|chain| chain.len).sum();
        if (spans, out) != (self.spans, self.out) {
            return Err("a class counts other spans or blocks than it has");
        }
        if depot != self.depot_blocks || depot > self.out {
            return Err("a class counts other free blocks than it has");
        }
        Ok(())
    }
}

/// How far a list of free blocks, all of `class`, stays in the span that it begins in, for `most`
/// blocks, at least one: the last block there, how many there are, and what follows.
#[inline(always)]
fn same_span(first: Block, class: SizeClass, most: usize) -> (Block, usize, Link) {
    let (start, span_len) = (first.addr().get() & !(class.span_len() - 1), class.span_len());
    let (mut last, mut left) = (first, most);
    loop {
        // SAFETY: free blocks of a list of ours: live memory, whose first word is a link.
        let link = unsafe { last.read() };
        left -= 1;
        // No address in the span but has the same upper bits; the end of the list, 0, has others.
        if left == 0 || link.0.map_or(0, |next| next.addr().get()) ^ start >= span_len {
            return (last, most - left, link);
        }
        // SAFETY: not the end of the list, as above: no span is at address 0.
        last = unsafe { link.0.unwrap_unchecked() };
    }
}

/// The list that begins with `first` and has `len` blocks, if there are any.
pub(crate) fn chain(first: Link, len: usize) -> Option<Chain> {
    first.0.map(|first| Chain { first, len })
}

/// A list of one free block.
///
/// # Safety
/// The block is free, and the caller's to give up; aligned to 8 and not shorter than a link, with
/// provenance for its span.
pub(crate) unsafe fn single(block: NonNull<u8>) -> Chain {
    poison::allow(block.as_ptr(), size_of::<Link>());
    let first = block.cast();
    // SAFETY: the caller's promise.
    unsafe { first.write(Link::NONE) };
    Chain { first, len: 1 }
}
