//! `SharedAlloc`: the allocator for all threads. A storage file.

mod cache;
mod central;
mod handle;
mod ledger;
mod registry;

use crate::error::{AllocError, refuse};
use crate::size_class::SizeClass;
use crate::span::Span;
use crate::stats::{Corruption, SmallStats};
use central::{Central, Limits, single};
use core::alloc::Layout;
use core::fmt;
use core::ptr::{self, NonNull};
use core::sync::atomic::{
    AtomicPtr, AtomicUsize,
    Ordering::{AcqRel, Acquire, Release},
};
pub use handle::SharedHeap;
use ledger::Desk;
use pool_core::{Global, PageError, PageSource, Request, Run};
pub(crate) use registry::Slot;
use registry::{Entry, LEDGER, with_cache};

/// A heap of small objects for all threads: any thread allocates, any thread frees.
///
/// Each thread has a cache of free blocks. Allocating takes the block that the thread freed last in
/// its [size class](SizeClass), freeing puts it there: no lock, no atomic read-modify-write, and
/// nothing but the block and the cache is touched, whoever allocated it.
///
/// ```
/// use core::alloc::Layout;
/// use pool_object::SharedAlloc;
/// let heap = SharedAlloc::new();
/// let layout = Layout::new::<[u64; 5]>();
/// let block = heap.allocate(layout);
/// // SAFETY: the block has 40 bytes, is aligned to 8, and ours until it is freed, once.
/// unsafe {
///     block.cast::<[u64; 5]>().write([1, 2, 3, 4, 5]);
///     heap.deallocate(block, layout);
/// }
/// ```
///
/// Values need no `unsafe`: `&SharedAlloc` is an `Allocator` of `allocator-api2` (features) for
/// boxes, vectors and hash maps, and so is [`SharedHeap`](crate::SharedHeap), a handle that owns
/// its heap together with others. [`GlobalHeap`](crate::GlobalHeap) is one for a whole program.
///
/// ```
/// use allocator_api2::boxed::Box;
/// use pool_object::SharedAlloc;
/// let heap = SharedAlloc::new();
/// let value = Box::new_in([1, 2, 3], &heap);
/// std::thread::scope(|scope| {
///     scope.spawn(move || assert_eq!(value.iter().sum::<i32>(), 6)); // and is freed there
/// });
/// ```
///
/// ```text
///   thread A       thread B       thread C     caches: lists of free blocks, a class each
///     │ ▲            │ ▲            │ ▲
///     ▼ │  whole lists, a lock a class ▼ │
///   depot ─────────────────────────────────    lists that nobody has looked at
///     │ ▲
///   spans      64 KiB cut into blocks; counts what is out, so that empty ones are known
///     │ ▲
///   spare spans ◄─► page source
/// ```
///
/// The three tiers are TCMalloc's and Go's. Nobody owns a span: so no owner can end, and no thread
/// has to wait for another one's visit to get its blocks back.
///
/// # Memory
/// - A thread's cache has 4 MiB at most, 64 KiB a class, all caches together 64 MiB: see
///   [`with_thread_bytes`](Self::with_thread_bytes). It begins with 4 KiB a class and grows with use.
/// - The depot keeps up to eight lists of 32 KiB a class.
/// - Empty spans go back to the source by themselves, all but 1 MiB
///   ([`with_spare_bytes`](Self::with_spare_bytes)), whenever anybody takes blocks from the shared
///   half or gives them there. Two spans of a class, or 2 MiB of all, are not looked at.
/// - [`trim`](Self::trim) gives back what is idle. When the source refuses, that is done first, and
///   the source asked again.
/// - Dropping the heap returns everything at once, whatever is still allocated.
///
/// # Threads
/// `Sync` if its source is. At a thread's end its cache goes to the shared half; destructors of
/// thread-locals that run later are served without a cache. A `fork` may happen at any time: the
/// child goes on with this thread's cache; what other threads' caches held is lost to it.
///
/// Six heaps at a time, and the process-wide one, have caches on every thread. Others are served
/// under the locks of their classes: correct, but several times slower, until one of the six is
/// dropped *before* they are first used.
///
/// # Complexity
/// Allocate and deallocate: O(1), amortised over lists; no search. Dropping: O(spans + large
/// blocks + threads).
pub struct SharedAlloc<S: PageSource = Global> {
    /// The offset of the heap's [`Slot`]; that of `Slot::NONE` until it has one. The `Acquire` of each
    /// use reads what the `Release` of [`init`](Self::init) published: a thread that finds a slot
    /// here finds its caches free of what was in that slot before.
    slot: AtomicUsize,
    /// Null before the first use; then for ever the same. Written with `Release`, read with
    /// `Acquire`.
    home: AtomicPtr<Home>,
    limits: Limits,
    /// Whether this is the heap of the process-wide slot.
    process: bool,
    /// All runs, that of `home` included, were acquired from this.
    source: S,
}

/// Where a heap's shared half stands: in a run of its own, since a heap may move and this may not.
struct Home {
    entry: Entry,
    /// The run that this stands in.
    run: Run,
}

// SAFETY: what `home` points to is the heap's own, and what threads' caches have of it is reached by
// their threads alone. `S: Send` may move together with its runs (clause 3 of `PageSource`).
unsafe impl<S: PageSource + Send> Send for SharedAlloc<S> {}
// SAFETY: the shared half is under locks, each thread has a cache of its own, and an `S` that is
// `Sync` takes calls and runs back on any thread. `Send`, since the last one to use it drops it.
unsafe impl<S: PageSource + Send + Sync> Sync for SharedAlloc<S> {}

impl SharedAlloc {
    /// A heap over the process-wide source. Nothing is acquired before the first allocation.
    ///
    /// ```
    /// use pool_object::SharedAlloc;
    /// static SESSIONS: SharedAlloc = SharedAlloc::new();
    /// assert!(std::thread::spawn(|| SESSIONS.try_allocate(std::alloc::Layout::new::<u64>()).is_ok())
    ///     .join()
    ///     .unwrap());
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self::new_in(Global)
    }

    /// The heap of the process-wide slot; there is one.
    pub(crate) const fn of_process() -> Self {
        Self::raw(Global, true)
    }
}

impl Default for SharedAlloc {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: PageSource> SharedAlloc<S> {
    /// A heap over `source`. Nothing is acquired before the first allocation.
    ///
    /// ```
    /// use pool_core::{Heap, PageSource};
    /// use pool_object::SharedAlloc;
    /// use std::alloc::Layout;
    /// let tenant = SharedAlloc::new_in(Heap::new().limited(1 << 20));
    /// assert!(tenant.try_allocate(Layout::new::<[u8; 2 << 20]>()).is_err());
    /// ```
    #[must_use]
    pub const fn new_in(source: S) -> Self {
        Self::raw(source, false)
    }

    const fn raw(source: S, process: bool) -> Self {
        Self {
            slot: AtomicUsize::new(Slot::NONE.offset()),
            home: AtomicPtr::new(ptr::null_mut()),
            limits: Limits { thread: 4 << 20, threads: 64 << 20, spare: 1 << 20 },
            process,
            source,
        }
    }

    /// The most bytes of free blocks that the cache of each thread keeps; 2 MiB unless told
    /// otherwise. What it has beyond that when a list grows is given back class by class.
    #[must_use]
    pub const fn with_thread_bytes(mut self, bytes: usize) -> Self {
        self.limits.thread = bytes;
        self
    }

    /// The most bytes of free blocks that the caches of all threads keep together; 64 MiB unless
    /// told otherwise. With 0, every call takes a lock.
    #[must_use]
    pub const fn with_cache_bytes(mut self, bytes: usize) -> Self {
        self.limits.threads = bytes;
        self
    }

    /// Bytes of empty spans that are kept; 1 MiB unless told otherwise.
    #[must_use]
    pub const fn with_spare_bytes(mut self, bytes: usize) -> Self {
        self.limits.spare = bytes;
        self
    }

    /// The source beneath.
    #[must_use]
    pub const fn source(&self) -> &S {
        &self.source
    }

    #[inline(always)]
    fn slot(&self) -> Slot {
        // SAFETY: the field holds what `Slot::offset` gave.
        unsafe { Slot::from_offset(self.slot.load(Acquire)) }
    }

    /// A block of at least `layout.size()` bytes, aligned, indeterminate: it is the caller's until
    /// it is deallocated or the heap dropped. A size of 0 is as good as 1.
    ///
    /// # Panics
    /// If no memory can be had.
    #[inline(always)]
    pub fn allocate(&self, layout: Layout) -> NonNull<u8> {
        let slot = self.slot();
        match take(slot, layout) {
            Some(block) => block,
            None => self.allocate_slow_or_refuse(slot, layout),
        }
    }

    /// As [`allocate`](Self::allocate).
    ///
    /// # Errors
    /// If no memory can be had.
    #[inline(always)]
    pub fn try_allocate(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        self.try_allocate_at(self.slot(), layout)
    }

    /// As [`try_allocate`](Self::try_allocate), for who knows the slot.
    #[inline(always)]
    pub(crate) fn try_allocate_at(
        &self,
        slot: Slot,
        layout: Layout,
    ) -> Result<NonNull<u8>, AllocError> {
        match take(slot, layout) {
            Some(block) => Ok(block),
            None => self.allocate_slow(slot, layout),
        }
    }

    #[cold]
    #[inline(never)]
    fn allocate_slow_or_refuse(&self, slot: Slot, layout: Layout) -> NonNull<u8> {
        self.allocate_slow(slot, layout).unwrap_or_else(|error| refuse(error))
    }

    /// Classes that the table has not, empty bins, large blocks.
    #[cold]
    #[inline(never)]
    fn allocate_slow(&self, slot: Slot, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        let Some(class) = SizeClass::of(layout) else {
            return self.allocate_large(layout, false);
        };
        if let Some(block) = with_cache(slot, |cache| cache.pop(class)) {
            return Ok(block);
        }
        self.refill(slot, class).map_err(|error| AllocError::source(layout, error))
    }

    fn refill(&self, slot: Slot, class: SizeClass) -> Result<NonNull<u8>, PageError> {
        let entry = self.entry()?;
        self.open(slot, entry);
        let block = loop {
            if let Some(block) = take_central(slot, entry, class) {
                break block;
            }
            self.add_span(slot, entry, class)?;
        };
        self.release_excess(&entry.central);
        Ok(block)
    }

    /// The shared half, made if this is the first use.
    #[inline]
    fn entry(&self) -> Result<&Entry, PageError> {
        match self.existing() {
            Some(entry) => Ok(entry),
            None => self.init(),
        }
    }

    /// The shared half, if there was a use.
    #[inline]
    fn existing(&self) -> Option<&Entry> {
        // SAFETY: what was published stays until the heap is dropped, and is only shared.
        let home = unsafe { self.home.load(Acquire).as_ref() };
        home.map(|home| &home.entry)
    }

    #[cold]
    fn init(&self) -> Result<&Entry, PageError> {
        let request = Request::new(size_of::<Home>()).align(align_of::<Home>());
        let run = self.source.acquire(request)?;
        let place: NonNull<Home> = run.ptr().cast();
        let entry = Entry::new(Central::new(self.limits));
        // SAFETY: the run is ours, long enough and aligned.
        unsafe { place.write(Home { entry, run }) };
        match self.home.compare_exchange(ptr::null_mut(), place.as_ptr(), AcqRel, Acquire) {
            Ok(_) => {
                // SAFETY: written above; it stays until the heap is dropped.
                let entry = unsafe { &place.as_ref().entry };
                // SAFETY: it does not move, and is removed before it goes; `process` says that this is
                // the one heap of that slot.
                let slot = unsafe { registry::add(entry, self.process) };
                self.slot.store(slot.offset(), Release);
                Ok(entry)
            }
            Err(first) => {
                // SAFETY: written above, seen by nobody else, and not used again.
                let Home { run, .. } = unsafe { place.read() };
                // SAFETY: acquired above, released once.
                unsafe { self.source.release(run) };
                // SAFETY: published by another call of this function, so as above.
                Ok(unsafe { &(*first).entry })
            }
        }
    }

    /// Opens this thread's cache if that can be done. Whoever finds it closed goes without.
    #[inline]
    fn open(&self, slot: Slot, entry: &Entry) {
        let closed = with_cache(slot, |cache| cache.ledger().is_none());
        if closed && registry::may_open(slot) {
            self.open_now(slot, entry);
        }
    }

    #[cold]
    fn open_now(&self, slot: Slot, entry: &Entry) {
        let block = loop {
            if let Some(block) = take_central(Slot::NONE, entry, LEDGER) {
                break block;
            }
            if self.add_span(Slot::NONE, entry, LEDGER).is_err() {
                return;
            }
        };
        // Not in use by anybody else.
        entry.central.give(LEDGER, None, 0, 1);
        // SAFETY: a block of that class, taken above; the cache is closed, as the caller has seen.
        if let Err(block) = unsafe { registry::open(entry, slot, block) } {
            // SAFETY: the same block, and nobody has it.
            let block = unsafe { single(block) };
            entry.central.give(LEDGER, Some(block), 1, 0);
        }
    }

    /// Another span for a class.
    #[cold]
    fn add_span(&self, slot: Slot, entry: &Entry, class: SizeClass) -> Result<(), PageError> {
        let central = &entry.central;
        let span = match central.take_spare(class) {
            Some(span) => span,
            None => self.acquire_span(slot, entry, class)?,
        };
        central.add_span(class, span);
        Ok(())
    }

    fn acquire_span(&self, slot: Slot, entry: &Entry, class: SizeClass) -> Result<Span, PageError> {
        let request = Request::new(class.span_len()).align(class.span_len());
        let run = self.acquire(slot, &entry.central, request)?;
        // SAFETY: just acquired, as long and aligned as asked.
        Ok(unsafe { entry.central.new_span(run, class) })
    }

    /// A run; what idles here may be what is missing there.
    fn acquire(&self, slot: Slot, central: &Central, request: Request) -> Result<Run, PageError> {
        match self.source.acquire(request) {
            Err(_) if self.release_idle(slot, central) > 0 => self.source.acquire(request),
            result => result,
        }
    }

    /// Gives every empty span back; bytes.
    #[cold]
    fn release_idle(&self, slot: Slot, central: &Central) -> usize {
        let before = central.held();
        central.ask_back();
        with_cache(slot, |cache| {
            if let Some(desk) = Desk::of(cache, central) {
                desk.flush_all();
            }
        });
        for class in SizeClass::all() {
            central.give_all(class, None, 0);
        }
        self.release_beyond(central, 0);
        before.saturating_sub(central.held())
    }

    #[inline]
    fn release_excess(&self, central: &Central) {
        if central.spare_bytes() > self.limits.spare {
            self.release_beyond(central, self.limits.spare);
        }
    }

    #[cold]
    fn release_beyond(&self, central: &Central, bytes: usize) {
        while let Some(run) = central.excess(bytes) {
            // SAFETY: spans come from this source; this one is empty and left the heap.
            unsafe { self.source.release(run) };
        }
    }

    #[cold]
    fn allocate_large(&self, layout: Layout, zeroed: bool) -> Result<NonNull<u8>, AllocError> {
        let refused = |error| AllocError::source(layout, error);
        let entry = self.entry().map_err(refused)?;
        let request = Request { zeroed, ..Request::from(layout) };
        let request = Request { len: request.len.max(1), ..request };
        let run = self.acquire(self.slot(), &entry.central, request).map_err(refused)?;
        let block = run.ptr();
        let mut run = Some(run);
        loop {
            entry.central.large.with(|large| {
                if large.wants().is_none() {
                    run.take().into_iter().for_each(|run| large.insert(run));
                }
            });
            let Some(waiting) = run.take() else { return Ok(block) };
            if let Err(error) = self.grow_table(&entry.central) {
                // SAFETY: acquired above, released once.
                unsafe { self.source.release(waiting) };
                return Err(refused(error));
            }
            run = Some(waiting);
        }
    }

    /// Makes the table of large blocks longer, if that is still needed.
    fn grow_table(&self, central: &Central) -> Result<(), PageError> {
        let Some(bytes) = central.large.with(|large| large.wants()) else { return Ok(()) };
        let memory = self.source.acquire(Request::new(bytes))?;
        let old = central.large.with(|large| match large.wants() {
            Some(bytes) if bytes <= memory.len() => large.install(memory),
            // Another thread was faster.
            _ => Some(memory),
        });
        if let Some(old) = old {
            // SAFETY: from this source, and not used any more.
            unsafe { self.source.release(old) };
        }
        Ok(())
    }

    /// A block as [`allocate`](Self::allocate) gives it, all zeros.
    ///
    /// # Panics
    /// If no memory can be had.
    #[inline]
    pub fn allocate_zeroed(&self, layout: Layout) -> NonNull<u8> {
        self.try_allocate_zeroed(layout).unwrap_or_else(|error| refuse(error))
    }

    /// As [`allocate_zeroed`](Self::allocate_zeroed). Large blocks of fresh pages are not
    /// overwritten.
    ///
    /// # Errors
    /// If no memory can be had.
    #[inline]
    pub fn try_allocate_zeroed(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        self.try_allocate_zeroed_at(self.slot(), layout)
    }

    #[inline]
    pub(crate) fn try_allocate_zeroed_at(
        &self,
        slot: Slot,
        layout: Layout,
    ) -> Result<NonNull<u8>, AllocError> {
        if layout.size() > SizeClass::MAX_SIZE && SizeClass::of(layout).is_none() {
            return self.allocate_large(layout, true);
        }
        let block = self.try_allocate_at(slot, layout)?;
        // SAFETY: the block has so many bytes and is ours.
        unsafe { block.write_bytes(0, layout.size()) };
        Ok(block)
    }

    /// Takes a block back, on any thread.
    ///
    /// # Safety
    /// The block came from this heap for a layout of this alignment and
    /// [usable size](crate::usable_size), was not deallocated since, and nobody uses it any more.
    /// The pointer is the one that was handed out, or derived from it without going through a
    /// reference to a part of the block.
    #[inline(always)]
    pub unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { self.deallocate_at(self.slot(), block, layout) };
    }

    /// As [`deallocate`](Self::deallocate), for who knows the slot.
    ///
    /// # Safety
    /// As [`deallocate`](Self::deallocate).
    #[inline(always)]
    pub(crate) unsafe fn deallocate_at(&self, slot: Slot, block: NonNull<u8>, layout: Layout) {
        let Some(class) = SizeClass::of_common(layout) else {
            // SAFETY: the caller's promise.
            return unsafe { self.deallocate_slow(slot, block, layout) };
        };
        // SAFETY: the caller's promise; the layout tells the class it was allocated from, and the cache
        // is of this heap, or closed.
        if with_cache(slot, |cache| unsafe { cache.push(class, block) }) {
            self.overflow(slot, class);
        }
    }

    /// # Safety
    /// As [`deallocate`](Self::deallocate).
    #[cold]
    #[inline(never)]
    unsafe fn deallocate_slow(&self, slot: Slot, block: NonNull<u8>, layout: Layout) {
        let Some(class) = SizeClass::of(layout) else {
            let Some(entry) = self.existing() else { return };
            if let Some(run) = entry.central.large.with(|large| large.remove(block)) {
                // SAFETY: it came from this source, and the caller gives it up.
                unsafe { self.source.release(run) };
            }
            return;
        };
        // SAFETY: as in `deallocate_at`.
        if with_cache(slot, |cache| unsafe { cache.push(class, block) }) {
            self.overflow(slot, class);
        }
    }

    /// Sees to a bin that took one block too many.
    #[cold]
    #[inline(never)]
    fn overflow(&self, slot: Slot, class: SizeClass) {
        let Some(entry) = self.existing() else { return };
        let closed = with_cache(slot, |cache| match Desk::of(cache, &entry.central) {
            Some(desk) => {
                desk.overflow(class);
                false
            }
            None => true,
        });
        if closed {
            self.overflow_closed(slot, entry, class);
        }
        self.release_excess(&entry.central);
    }

    /// The block goes straight to the shared half, and the next one perhaps not.
    #[cold]
    fn overflow_closed(&self, slot: Slot, entry: &Entry, class: SizeClass) {
        let block = with_cache(slot, |cache| cache.take_from_closed(class));
        entry.central.give(class, block, 0, 0);
        self.open(slot, entry);
    }

    /// Makes a block longer or shorter: in place if the class stays the same, or if a large block's
    /// run is long enough and not more than twice too long; else by moving what it holds.
    ///
    /// # Panics
    /// If no memory can be had.
    ///
    /// # Safety
    /// As [`deallocate`](Self::deallocate) about `block` and `old`. The old pointer must not be used
    /// any more, even if the block did not move.
    #[inline]
    pub unsafe fn reallocate(&self, block: NonNull<u8>, old: Layout, size: usize) -> NonNull<u8> {
        // SAFETY: the caller's promise.
        unsafe { self.try_reallocate(block, old, size) }.unwrap_or_else(|error| refuse(error))
    }

    /// As [`reallocate`](Self::reallocate).
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use pool_object::SharedAlloc;
    /// let heap = SharedAlloc::new();
    /// let layout = Layout::array::<u8>(50)?;
    /// let block = heap.allocate(layout);
    /// // SAFETY: allocated above with this layout, and not used after.
    /// let longer = unsafe { heap.try_reallocate(block, layout, 56)? };
    /// assert_eq!(block, longer); // both are of the class of 56 bytes
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// If no memory can be had; the block is as before.
    ///
    /// # Safety
    /// As [`reallocate`](Self::reallocate).
    #[inline]
    pub unsafe fn try_reallocate(
        &self,
        block: NonNull<u8>,
        old: Layout,
        size: usize,
    ) -> Result<NonNull<u8>, AllocError> {
        let error = AllocError::TooLarge { size, align: old.align() };
        let new = Layout::from_size_align(size, old.align()).map_err(|_| error)?;
        // SAFETY: the caller's promise; the alignment is the same.
        unsafe { self.try_relayout(block, old, new) }
    }

    /// As [`try_reallocate`](Self::try_reallocate), to any layout: a block that is not aligned as
    /// the new one asks moves.
    ///
    /// # Errors
    /// If no memory can be had; the block is as before.
    ///
    /// # Safety
    /// As [`reallocate`](Self::reallocate).
    #[inline]
    pub unsafe fn try_relayout(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<u8>, AllocError> {
        let stays = match (SizeClass::of(old), SizeClass::of(new)) {
            (Some(old), Some(new)) => old == new,
            (None, None) => self.stays_large(block, new),
            _ => false,
        };
        if stays {
            return Ok(block);
        }
        // SAFETY: the caller's promise.
        unsafe { self.move_block(block, old, new) }
    }

    /// Whether a large block may serve a large layout where it is.
    fn stays_large(&self, block: NonNull<u8>, new: Layout) -> bool {
        let Some(entry) = self.existing() else { return false };
        let len = entry.central.large.with(|large| large.run_len(block)).unwrap_or(0);
        let aligned = block.addr().get() % new.align() == 0;
        aligned && new.size() <= len && new.size() >= len / 2
    }

    /// # Safety
    /// As [`deallocate`](Self::deallocate) about `block` and `old`.
    #[inline(never)]
    unsafe fn move_block(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<u8>, AllocError> {
        let place = self.try_allocate(new)?;
        let bytes = old.size().min(new.size());
        // SAFETY: both blocks have so many bytes, and a block just allocated overlaps no other.
        unsafe { place.copy_from_nonoverlapping(block, bytes) };
        // SAFETY: the caller's promise.
        unsafe { self.deallocate(block, old) };
        Ok(place)
    }

    /// Gives all idle memory back: this thread's cache and the depot go to their spans, empty spans
    /// to the source, and the source is told to [trim](PageSource::trim). Other threads give theirs
    /// when they next ask the shared half for something. Returns the bytes of spans that went. Loki's
    /// `TrimExcessMemory`. O(idle blocks + spans).
    #[allow(clippy::must_use_candidate, reason = "called for its effect")]
    pub fn trim(&self) -> usize {
        let bytes = match self.existing() {
            Some(entry) => self.release_idle(self.slot(), &entry.central),
            None => 0,
        };
        self.source.trim();
        bytes
    }

    /// Gives this thread's cache to the shared half, where other threads find it. For a thread
    /// that goes to sleep for long. O(classes).
    pub fn flush_thread(&self) {
        let Some(entry) = self.existing() else { return };
        with_cache(self.slot(), |cache| {
            if let Some(desk) = Desk::of(cache, &entry.central) {
                desk.close_all();
            }
        });
    }

    /// Checks the free lists and counts of all spans, as far as they are shared: Loki's `IsCorrupt`.
    /// O(free blocks in spans).
    ///
    /// # Errors
    /// What is wrong: mostly a block that was freed twice, or written to after.
    pub fn check(&self) -> Result<(), Corruption> {
        let Some(entry) = self.existing() else { return Ok(()) };
        SizeClass::all().try_for_each(|class| {
            let checked = entry.central.check(class);
            checked.map_err(|what| Corruption { class, what })
        })
    }

    /// Where the heap's memory is: exact about the shared half and this thread; of other threads'
    /// caches, what each had when it last asked the shared half for something. O(classes).
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use pool_object::SharedAlloc;
    /// let heap = SharedAlloc::new();
    /// let _blocks = [(); 100].map(|_| heap.allocate(Layout::new::<[u64; 5]>()));
    /// let stats = heap.stats();
    /// assert_eq!((stats.live(), stats.live_bytes()), (100, 4000));
    /// println!("{stats}");
    /// ```
    #[must_use]
    pub fn stats(&self) -> SmallStats {
        let mut stats = SmallStats::none();
        let Some(entry) = self.existing() else { return stats };
        let central = &entry.central;
        with_cache(self.slot(), |cache| {
            if let Some(desk) = Desk::of(cache, central) {
                desk.tell();
            }
        });
        for (stats, class) in stats.classes.iter_mut().zip(SizeClass::all()) {
            *stats = central.class_stats(class);
        }
        (stats.spare, stats.spare_bytes) = central.spare();
        central.large.with(|large| {
            stats.large = large.len();
            stats.large_bytes = large.bytes();
            stats.table_bytes = large.own_bytes();
        });
        stats
    }
}

/// The fast path.
#[inline(always)]
fn take(slot: Slot, layout: Layout) -> Option<NonNull<u8>> {
    let class = SizeClass::of_common(layout)?;
    with_cache(slot, |cache| cache.pop(class))
}

/// A block by way of this thread's cache, or straight from the shared half while that is closed.
fn take_central(slot: Slot, entry: &Entry, class: SizeClass) -> Option<NonNull<u8>> {
    with_cache(slot, |cache| match Desk::of(cache, &entry.central) {
        Some(desk) => desk.refill(class),
        None => entry.central.take(class, 1, 0).map(|(chain, _)| chain.first.cast()),
    })
}

impl<S: PageSource> Drop for SharedAlloc<S> {
    fn drop(&mut self) {
        let Some(home) = NonNull::new(*self.home.get_mut()) else { return };
        // SAFETY: published by `init`; nobody else uses it, since we have the heap alone.
        let entry = unsafe { &home.as_ref().entry };
        // SAFETY: added in `init`; nobody uses the heap any more. Whoever still owns a block has
        // promised in an `unsafe` block not to outlive the heap, or borrows it.
        unsafe { registry::remove(entry) };
        // SAFETY: from this source; no cache has anything of the heap any more.
        unsafe { entry.central.release_all(&self.source) };
        // SAFETY: valid, and not used again; it has nothing left to drop.
        let Home { run, .. } = unsafe { home.read() };
        // SAFETY: from this source, acquired in `init` and released once.
        unsafe { self.source.release(run) };
    }
}

impl<S: PageSource> fmt::Debug for SharedAlloc<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.existing().map_or(0, |entry| entry.central.held());
        f.debug_struct("SharedAlloc").field("held", &held).finish_non_exhaustive()
    }
}
