//! What the threads of a heap share: for each class its spans and a depot of lists of free blocks,
//! under a lock of its own. A storage file.
//!
//! ```text
//!   threads' caches ◄─► depot (pointers) ◄─► spans ◄─► spare spans ◄─► page source
//! ```
//!
//! The depot is TCMalloc's transfer cache: what one thread frees and another needs passes through
//! it without being touched. Spans, whose headers are cold, see only what it has no room for.
//!
//! Depots have their pointers in blocks of the heap, as caches have theirs: blocks of its *own*, that are
//! counted apart.
//!
//! **Order of locks.** A thread holds the lock of one class, or that of the spare spans, or that of
//! the large blocks, and asks nobody for anything meanwhile: neither for another lock nor the
//! page source. So `fork` can take all of them in any order.

#[cfg(not(loom))]
mod zeroed;

#[cfg(not(loom))]
use super::store::array_class;
use super::store::{FEW, Outlook, PAGES, Store, most};
use crate::large::{self, LargeTable};
use crate::magazine::{Place, hide};
use crate::size_class::SizeClass;
use crate::span::Span;
use crate::spans::SpanList;
use crate::stats::ClassStats;
use crate::sync::Lock;
use crate::sync::atomic::Ordering::Relaxed;
use crate::sync::atomic::{AtomicBool, AtomicUsize};
use core::cell::Cell;
use core::ptr::NonNull;
use core::slice;
use pool_core::{PageSource, Run, poison};

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
    /// How often nothing is asked for of what the heap can do without, since that was refused.
    patience: AtomicUsize,
    pub(crate) limits: Limits,
}

/// Classes there are: under loom, whose atomics are large and whose stacks are short, the smallest.
const CLASSES: usize = if cfg!(loom) { 2 } else { SizeClass::COUNT };

/// A class' own cache lines: two, since processors fetch them in pairs.
#[repr(align(128))]
struct Class {
    store: Lock<Store>,
    /// Whether the depot had too few pages, lately.
    crowded: AtomicBool,
}

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

/// See [`Central::shrinks`].
const COME_AND_GO: usize = 512 << 10;

/// See [`Central::may_ask`].
const PATIENCE: usize = 64;

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
            patience: AtomicUsize::new(0),
            limits,
        }
    }

    #[inline(always)]
    fn with<R>(&self, class: SizeClass, f: impl FnOnce(&mut Store) -> R) -> R {
        self.classes[class.index()].store.with(f)
    }

    /// Takes at most `most` free blocks out for a cache that has none: the caller uses one of them and
    /// keeps the others. It said it had `told` before. They are in the first of `places`; returns how
    /// many. 0 if no block is left: then it needs a span.
    ///
    /// # Safety
    /// `most` is not 0, and so many places can be written.
    pub(crate) unsafe fn take(
        &self,
        class: SizeClass,
        most: usize,
        told: usize,
        places: NonNull<Place>,
    ) -> (usize, Outlook) {
        self.with(class, |store| {
            let Outlook { live, quiet, .. } = store.outlook(&self.held);
            // What is taken now may have to be put back when half of what is live is freed.
            let most = if quiet { most } else { most.min(live / 2 + FEW) };
            // SAFETY: the caller's promise.
            let taken = unsafe { store.take(class, most, places) };
            if taken > 0 {
                store.cached = store.cached - told + (taken - 1);
            }
            (taken, store.outlook(&self.held))
        })
    }

    /// Takes a block out: for who has no cache.
    pub(crate) fn take_one(&self, class: SizeClass) -> Option<NonNull<u8>> {
        let block = Cell::new(NonNull::dangling());
        // SAFETY: one place.
        let (taken, _) = unsafe { self.take(class, 1, 0, NonNull::from(&block)) };
        (taken > 0).then(|| block.get())
    }

    /// Takes a block out that the heap needs for itself.
    pub(crate) fn take_own(&self, class: SizeClass) -> Option<NonNull<u8>> {
        let block = Cell::new(NonNull::dangling());
        let taken = self.with(class, |store| {
            // SAFETY: one place.
            let taken = unsafe { store.take(class, 1, NonNull::from(&block)) };
            store.own += taken;
            taken
        });
        poison::allow(block.get().as_ptr(), if taken > 0 { class.size() } else { 0 });
        (taken > 0).then(|| block.get())
    }

    /// Takes back what [`take_own`](Self::take_own) gave.
    ///
    /// # Safety
    /// It gave this block, of this class, and it is not used any more.
    pub(crate) unsafe fn give_own(&self, class: SizeClass, block: NonNull<u8>) {
        hide(block, class);
        let empty = SpanList::new();
        self.with(class, |store| {
            store.own -= 1;
            store.put_in_spans(class, slice::from_ref(&Cell::new(block)), &empty);
        });
        self.park(&empty);
    }

    /// Takes free blocks of a cache back, and notes how many it still has where it said it had `told`
    /// before. The depot has them, or if it is full their spans.
    pub(crate) fn give(
        &self,
        class: SizeClass,
        blocks: &[Place],
        told: usize,
        has: usize,
    ) -> Outlook {
        let empty = SpanList::new();
        let outlook = self.with(class, |store| {
            store.cached = store.cached - told + has;
            let rest = store.put_in_depot(class, blocks);
            store.put_in_spans(class, rest, &empty);
            if !rest.is_empty() && store.pages < PAGES {
                self.classes[class.index()].crowded.store(true, Relaxed);
            }
            store.outlook(&self.held)
        });
        self.park(&empty);
        outlook
    }

    /// Takes a block back from who has no cache, and looks for empty spans when as many are idle as are
    /// in use.
    pub(crate) fn give_one(&self, class: SizeClass, block: NonNull<u8>) {
        let outlook = self.give(class, slice::from_ref(&Cell::new(block)), 0, 0);
        if !outlook.quiet && outlook.depot >= outlook.live {
            self.give_all(class, &[], 0);
        }
    }

    /// Puts free blocks of a cache into their spans, and those of the depot, too. The cache has none
    /// left where it said it had `told`. Blocks in use then.
    pub(crate) fn give_all(&self, class: SizeClass, blocks: &[Place], told: usize) -> Outlook {
        let empty = SpanList::new();
        let outlook = self.with(class, |store| {
            store.cached -= told;
            store.empty_depot(class, &empty);
            store.put_in_spans(class, blocks, &empty);
            store.sweep(&empty);
            store.outlook(&self.held)
        });
        self.park(&empty);
        outlook
    }

    /// Whether a class' depot shall have another page.
    pub(crate) fn wants_page(&self, class: SizeClass) -> bool {
        self.classes[class.index()].crowded.load(Relaxed)
    }

    /// Gives a class' depot another page, if it has too few.
    ///
    /// # Safety
    /// The block is one of the heap's own, of the class of arrays of `most(class)` places, and nobody
    /// else uses it.
    pub(crate) unsafe fn add_page(&self, class: SizeClass, block: NonNull<u8>) {
        let added = self.with(class, |store| {
            self.classes[class.index()].crowded.store(false, Relaxed);
            let page = store.depot.get_mut(store.pages);
            store.pages += usize::from(page.is_some());
            page.map(|page| *page = block.cast()).is_some()
        });
        if !added {
            // SAFETY: as the caller promises.
            unsafe { self.give_array(most(class), block) };
        }
    }

    /// Empties a class' depot, and gives its pages back.
    pub(crate) fn drop_pages(&self, class: SizeClass) {
        let empty = SpanList::new();
        let (depot, pages) = self.with(class, |store| {
            store.empty_depot(class, &empty);
            (store.depot, core::mem::take(&mut store.pages))
        });
        self.park(&empty);
        for page in &depot[..pages] {
            // SAFETY: given to the depot by `add_page`, and its own until now.
            unsafe { self.give_array(most(class), page.cast()) };
        }
    }

    /// Takes back a block that an array of so many places was in.
    ///
    /// # Safety
    /// It is one of the heap's own, of the class of such arrays, and not used any more.
    #[cfg(not(loom))]
    pub(crate) unsafe fn give_array(&self, places: usize, block: NonNull<u8>) {
        // SAFETY: the caller's promise.
        unsafe { self.give_own(array_class(places), block) };
    }

    /// As above, in a model, whose arrays are boxes: as blocks they would be steps more to interleave.
    ///
    /// # Safety
    /// It is one that the model boxed, and not used any more.
    #[cfg(loom)]
    pub(crate) unsafe fn give_array(&self, _: usize, block: NonNull<u8>) {
        // SAFETY: the caller's promise.
        drop(unsafe { super::model::Array::from_raw(block.cast().as_ptr()) });
    }

    /// Gives a class another span, which is empty and its own now.
    pub(crate) fn add_span(&self, class: SizeClass, span: Span) {
        self.with(class, |store| {
            store.spans.partial.push(span);
            store.held += 1;
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

    /// Whether the source is to be asked for something that the heap can do without. At its limit
    /// it does, and does not ask with each block.
    #[cfg(not(loom))]
    pub(crate) fn may_ask(&self) -> bool {
        let patience = self.patience.load(Relaxed);
        if patience > 0 {
            self.patience.store(patience - 1, Relaxed);
        }
        patience == 0
    }

    /// The source refused that.
    #[cfg(not(loom))]
    pub(crate) fn refused(&self) {
        self.patience.store(PATIENCE, Relaxed);
    }

    /// Bytes of free blocks of a class that can be put into its spans now, `cached` of which this
    /// thread has, or are there. 0 if none of the spans can be empty then.
    #[cfg(not(loom))]
    pub(crate) fn idle(&self, class: SizeClass, cached: usize) -> usize {
        self.with(class, |store| {
            let outside = store.depot_len + cached;
            let free = store.held * class.blocks() - store.out + outside;
            if outside > 0 && free >= class.blocks() { free * class.size() } else { 0 }
        })
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

    /// Whether a cache may perhaps keep `bytes` more.
    pub(crate) fn may_grant(&self, bytes: usize) -> bool {
        let granted = self.granted.load(Relaxed).saturating_add(bytes);
        bytes <= self.limits.thread && granted <= self.limits.threads
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
            cached: store.cached + store.depot_len + store.own,
            free: store.held * class.blocks() - store.out,
            spans: store.held,
            held_bytes: store.held * class.span_len(),
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
                while let Some(span) = store.spans.pop() {
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
                large::show(&run);
                release(run);
            }
            // SAFETY: the table's memory came from this source.
            unsafe { large.release(source) };
        });
    }

    /// Forgets the caches of threads that a forked child does not have: what they hold is lost, and
    /// counts as live. `told` says what this thread's cache has said of a class, and `granted` what it
    /// was granted in all.
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
        Self { store: Lock::new(Store::new()), crowded: AtomicBool::new(false) }
    }
}
