//! `SharedAlloc`: the allocator for all threads. A storage file.

use super::central::Limits;
use super::home::Home;
use super::registry::{Slot, with_cache};
use crate::block_alloc::move_block;
use crate::error::{AllocError, refuse};
use crate::size_class::SizeClass;
use crate::small::{FRESH, tell_length};
use core::alloc::Layout;
use core::fmt;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Acquire};
use pool_core::{Global, PageSource, poison};

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
///   thread A       thread B       thread C     caches: arrays of free blocks, a class each
///     │ ▲            │ ▲            │ ▲
///     ▼ │  in batches, a lock a class  ▼ │
///   depot ─────────────────────────────────    blocks that nobody has touched
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
/// - A thread's cache has 4 MiB at most, 64 KiB a class (or four blocks), all caches together 64 MiB: see
///   [`with_thread_bytes`](Self::with_thread_bytes). It begins with 4 KiB a class and grows with use.
/// - The depot keeps at most 256 KiB of blocks a class, or four times four; a page of pointers is added
///   when it was found too small.
/// - Arrays of pointers are in blocks of the heap itself, 8 KiB at most: an eighth of what they point
///   to for blocks of 64 bytes.
/// - Empty spans go back to the source by themselves, all but 1 MiB
///   ([`with_spare_bytes`](Self::with_spare_bytes)), whenever anybody takes blocks from the shared
///   half or gives them there. (The end of a thread, which does not know the source, leaves that to
///   the next one.) Four spans of a class, or 2 MiB of all, are not looked at. When more
///   than 512 KiB of spans go without one that comes, they are
///   [decommitted](PageSource::decommit) first: so what stays resident does not depend on the source.
/// - [`trim`](Self::trim) gives back what is idle. When the source refuses, idle memory is given back, too,
///   and the source asked again: as much as it takes, empty spans first, then those of the class of which
///   most is idle in this thread's cache and the depot; and if that is none, all that is idle, for which
///   other threads' caches are asked, too.
/// - Dropping the heap returns everything at once, whatever is still allocated.
///
/// # Threads
/// `Sync` if its source is. At a thread's end its cache goes to the shared half; destructors of
/// thread-locals that run later are served without a cache. A `fork` may happen at any time: the
/// child goes on with this thread's cache; what other threads' caches held is lost to it.
///
/// Fourteen heaps at a time, and the process-wide one, have caches on every thread, for which each
/// thread reserves 20 KiB of thread-local memory. A heap whose first use comes when fourteen others
/// live is served under the locks of its classes: correct, but several times slower
/// ([`has_thread_caches`](Self::has_thread_caches), and
/// [`ProcessStats::without_caches`](crate::ProcessStats::without_caches) for all of them).
///
/// # Complexity
/// Allocate and deallocate: O(1), amortised over batches; no search. Dropping: O(spans + large
/// blocks + threads).
///
/// A box keeps its heap from being dropped:
///
/// ```compile_fail,E0505
/// use pool_object::{PoolBox, SharedAlloc};
/// let heap = SharedAlloc::new();
/// let boxed = PoolBox::new_in(1, &heap);
/// drop(heap);
/// assert_eq!(*boxed, 1);
/// ```
///
/// And a source for one thread keeps the heap from being shared:
///
/// ```compile_fail,E0277
/// use pool_core::Fixed;
/// use pool_object::SharedAlloc;
/// fn share(heap: &SharedAlloc<Fixed<'static>>) {
///     std::thread::scope(|scope| {
///         scope.spawn(|| heap.trim());
///     });
/// }
/// ```
pub struct SharedAlloc<S: PageSource = Global> {
    /// The offset of the heap's [`Slot`]; that of `Slot::NONE` until it has one. The `Acquire` of each
    /// use reads what the `Release` of [`init`](Self::init) published: a thread that finds a slot
    /// here finds its caches free of what was in that slot before.
    pub(super) slot: AtomicUsize,
    /// Null before the first use; then for ever the same. Written with `Release`, read with
    /// `Acquire`.
    pub(super) home: AtomicPtr<Home>,
    pub(super) limits: Limits,
    /// Whether this is the heap of the process-wide slot.
    pub(super) process: bool,
    /// All runs, that of `home` included, were acquired from this.
    pub(super) source: S,
}

// SAFETY: what `home` points to is the heap's own, and what threads' caches have of it is reached by
// their threads alone. `S: Send` may move together with its runs (clause 3 of `PageSource`).
unsafe impl<S: PageSource + Send> Send for SharedAlloc<S> {}
// SAFETY: the shared half is under locks, each thread has a cache of its own, and an `S` that is
// `Sync` takes calls and runs back on any thread. `Send`, since the last one to use it drops it.
unsafe impl<S: PageSource + Send + Sync> Sync for SharedAlloc<S> {}

impl SharedAlloc {
    /// A heap over the process-wide source. Nothing is acquired before the first allocation. More than
    /// fourteen at a time share no more caches: see *Threads* [above](Self#threads).
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
    /// A heap over `source`, which borrows nothing: threads know the heap, and one that is forgotten is
    /// known for ever. Nothing is acquired before the first allocation. More than fourteen at a
    /// time share no more caches: see *Threads* [above](Self#threads).
    ///
    /// ```
    /// use pool_core::{Heap, PageSource};
    /// use pool_object::SharedAlloc;
    /// use std::alloc::Layout;
    /// let tenant = SharedAlloc::new_in(Heap::new().limited(1 << 20));
    /// assert!(tenant.try_allocate(Layout::new::<[u8; 2 << 20]>()).is_err());
    /// ```
    ///
    /// ```compile_fail,E0597
    /// use pool_core::Heap;
    /// use pool_object::SharedAlloc;
    /// let source = Heap::new();
    /// let heap = SharedAlloc::new_in(&source);
    /// core::mem::forget(heap);
    /// ```
    #[must_use]
    pub const fn new_in(source: S) -> Self
    where
        S: 'static,
    {
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

    /// The most bytes of free blocks that the cache of each thread keeps; 4 MiB unless told
    /// otherwise. What it has beyond that when an array grows is given back class by class.
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

    /// Bytes of empty spans that are kept; 1 MiB unless told otherwise. Where more than that comes and
    /// goes all the time, most of the time goes into pages that the system has to bring again: see
    /// [`SmallAlloc::set_reserve`](crate::SmallAlloc::set_reserve).
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
    pub(super) fn slot(&self) -> Slot {
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
        let block = match with_cache(slot, |cache| cache.magazines.pop(class)) {
            Some(block) => block,
            None => {
                let block = self.refill(slot, class);
                block.map_err(|error| AllocError::source(layout, error))?
            }
        };
        poison::allow(block.as_ptr(), layout.size());
        Ok(block)
    }

    /// A block as [`allocate`](Self::allocate) gives it, all zeros.
    ///
    /// # Panics
    /// If no memory can be had.
    #[inline]
    pub fn allocate_zeroed(&self, layout: Layout) -> NonNull<u8> {
        self.try_allocate_zeroed(layout).unwrap_or_else(|error| refuse(error))
    }

    /// As [`allocate_zeroed`](Self::allocate_zeroed). What the source gave zeroed, and nobody has
    /// written since, is not written again: large blocks of such pages, and blocks of 1 KiB or more that
    /// are cut from such a span when neither the thread nor the depot has a free one.
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
        let block = match take(slot, layout) {
            Some(block) => block,
            None => {
                let fresh = layout.size() >= FRESH;
                if let Some(block) = fresh.then(|| self.take_zeroed(slot, layout)).flatten() {
                    return Ok(block);
                }
                self.allocate_slow(slot, layout)?
            }
        };
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
        if !with_cache(slot, |cache| unsafe { cache.magazines.push(class, block) }) {
            // SAFETY: as above.
            unsafe { self.overflow(slot, class, block) };
        }
    }

    /// # Safety
    /// As [`deallocate`](Self::deallocate).
    #[cold]
    #[inline(never)]
    unsafe fn deallocate_slow(&self, slot: Slot, block: NonNull<u8>, layout: Layout) {
        let Some(class) = SizeClass::of(layout) else {
            // SAFETY: the caller's promise.
            return unsafe { self.deallocate_large(block) };
        };
        // SAFETY: as in `deallocate_at`.
        if !with_cache(slot, |cache| unsafe { cache.magazines.push(class, block) }) {
            // SAFETY: as above.
            unsafe { self.overflow(slot, class, block) };
        }
    }

    /// Makes a block one for another layout: in place if the class stays the same, or if a large block's
    /// run is long enough and not more than twice too long; else by moving what it holds.
    /// [`BlockAlloc::reallocate`](crate::BlockAlloc::reallocate) changes the size alone.
    ///
    /// # Errors
    /// If no memory can be had; the block is as before.
    ///
    /// # Safety
    /// As [`deallocate`](Self::deallocate) about `block` and `old`. The old pointer must not be used
    /// any more, even if the block did not move.
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
            tell_length(block, old.size(), new.size());
            return Ok(block);
        }
        // SAFETY: the caller's promise.
        unsafe { move_block(self, block, old, new) }
    }
}

/// The fast path.
#[inline(always)]
fn take(slot: Slot, layout: Layout) -> Option<NonNull<u8>> {
    let class = SizeClass::of_common(layout)?;
    let block = with_cache(slot, |cache| cache.magazines.pop(class))?;
    poison::allow(block.as_ptr(), layout.size());
    Some(block)
}

impl<S: PageSource> fmt::Debug for SharedAlloc<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.existing().map_or(0, |entry| entry.central.held());
        f.debug_struct("SharedAlloc").field("held", &held).finish_non_exhaustive()
    }
}
