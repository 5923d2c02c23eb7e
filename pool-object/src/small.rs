//! `SmallAlloc`: the allocator for one thread. A storage file.

use crate::block_alloc::move_block;
use crate::error::{AllocError, refuse};
use crate::large::{self, LargeTable};
use crate::size_class::SizeClass;
use crate::store::Store;
use core::alloc::Layout;
use core::fmt;
use core::ptr::NonNull;
use pool_core::{PageSource, Run, poison};

/// Where allocators get their spans from unless told otherwise.
#[cfg(all(feature = "std", not(loom)))]
pub type DefaultSource = pool_core::Global;
/// Where allocators get their spans from unless told otherwise.
#[cfg(any(not(feature = "std"), loom))]
pub type DefaultSource = pool_core::Fixed<'static>;

/// A heap of small objects for one thread: each block has an end of its own.
///
/// Allocating takes the block that was freed last in its [size class](SizeClass), in a few instructions;
/// freeing is as short, and touches nothing but the block and the heap itself. The
/// layout comes back on free, as everywhere in Rust, so blocks have no header.
///
/// ```
/// use core::alloc::Layout;
/// use pool_object::SmallAlloc;
/// let heap = SmallAlloc::new();
/// let layout = Layout::new::<[u64; 5]>();
/// let block = heap.allocate(layout);
/// // SAFETY: the block has 40 bytes, is aligned to 8, and ours until it is freed, once.
/// unsafe {
///     block.cast::<[u64; 5]>().write([1, 2, 3, 4, 5]);
///     heap.deallocate(block, layout);
/// }
/// ```
///
/// Values need no `unsafe`: [`PoolBox`](crate::PoolBox) owns one, and `&SmallAlloc` is an `Allocator`
/// of `allocator-api2` (features) for vectors and hash maps.
///
/// ```text
///   magazine of 40 B  ►■►■►■            free blocks of one size, the last freed first
///        ▲ ▼  in batches
///   span  ┌────────┬────┬────┬────┬────┬──────────────────┐
///  64 KiB │ header │used│free│used│free│ never touched yet│   aligned to its length
///         └────────┴────┴────┴────┴────┴──────────────────┘
///        ▲ ▼  empty ones
///   page source
/// ```
///
/// Blocks above [`SizeClass::MAX_SIZE`] are runs of their own.
///
/// # Memory
/// Each class keeps at most two magazines of free blocks (each of at most 32 KiB to 64 KiB, 512 blocks,
/// or four) besides those in its spans. The arrays of pointers that these are lie in runs of their own:
/// 4 KiB at first, 256 KiB if every class was used much. Spans go back to the source by themselves when they are empty, all but a
/// [`reserve`](Self::set_reserve) of 2 MiB: classes that hold no more than that together are left
/// alone. A class that holds more also empties its magazines when half of what was live is freed, and
/// when more than 512 KiB of spans go without one that comes, they are
/// [decommitted](PageSource::decommit) first: so that a heap whose blocks are all freed keeps 2.5 MiB
/// and those arrays resident at most, whatever the source does. [`trim`](Self::trim) gives that back, too. Dropping
/// the heap returns everything at once, whatever is still allocated.
///
/// When the source refuses, idle memory of other classes is given back first, and the source asked again:
/// as much as it takes and no more, spare spans first, then those of the class with most that is idle, and
/// the arrays last. So a heap that lives at its limit goes on in O(1), with the caches of all classes that
/// have no span to give; and what no giving back could help to is refused at once.
///
/// # Threads
/// `Send` if its source is, never `Sync`: see `SharedAlloc` for all threads.
///
/// ```compile_fail,E0277
/// let heap = pool_object::SmallAlloc::new();
/// std::thread::scope(|scope| {
///     scope.spawn(|| heap.trim());
/// });
/// ```
///
/// # Complexity
/// Allocate and deallocate: O(1), amortised over batches of a magazine; no search. Dropping:
/// O(spans + large blocks).
pub struct SmallAlloc<S: PageSource = DefaultSource> {
    store: Store,
    large: LargeTable,
    /// All spans and large runs were acquired from this.
    source: S,
}

// SAFETY: spans and runs are the heap's own, and reached through it alone; whoever uses blocks by
// pointer promises that the heap is not used meanwhile by another thread, and owners that borrow
// it keep it from moving. `S: Send` may move together with its runs (clause 3 of `PageSource`).
unsafe impl<S: PageSource + Send> Send for SmallAlloc<S> {}

/// Blocks of so many bytes may come zeroed from a span, one by one. Shorter ones are written sooner than
/// that is done, in a page that is touched anyway.
pub(crate) const FRESH: usize = 1024;

/// Bytes of empty spans that a heap keeps unless told otherwise.
const RESERVE: usize = 2 << 20;

#[cfg(all(feature = "std", not(loom)))]
impl SmallAlloc {
    /// A heap over the process-wide source. Nothing is acquired before the first allocation.
    #[must_use]
    pub const fn new() -> Self {
        Self::new_in(pool_core::Global)
    }
}

#[cfg(all(feature = "std", not(loom)))]
impl Default for SmallAlloc {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: PageSource> SmallAlloc<S> {
    /// A heap over `source`. Nothing is acquired before the first allocation.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use pool_core::{Heap, PageSource};
    /// use pool_object::SmallAlloc;
    /// let tenant = SmallAlloc::new_in(Heap::new().limited(1 << 20));
    /// assert!(tenant.try_allocate(Layout::new::<[u8; 2 << 20]>()).is_err());
    /// ```
    #[must_use]
    pub const fn new_in(source: S) -> Self {
        Self { store: Store::new(RESERVE), large: LargeTable::new(), source }
    }

    /// The source beneath.
    #[must_use]
    pub const fn source(&self) -> &S {
        &self.source
    }

    pub(crate) const fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) const fn large(&self) -> &LargeTable {
        &self.large
    }

    /// Bytes of empty spans that may stay; 2 MiB unless told otherwise. Classes that hold no more
    /// than that are left alone, so that a heap that goes up and down by less never asks its
    /// source. What is kept already stays until the next [`trim`](Self::trim).
    ///
    /// This is what the heap keeps in spite of having no use for it, so it begins low. But pages that
    /// went back to the system cost a fault each when they are needed again, which is several times
    /// what it costs to allocate and to free the blocks in them. Where whole tides come and go, set it
    /// to as much as they come to.
    pub fn set_reserve(&self, bytes: usize) {
        self.store.reserve.set(bytes);
    }

    /// A block of at least `layout.size()` bytes, aligned, indeterminate: it is the caller's until
    /// it is deallocated, or the heap cleared or dropped. A size of 0 is as good as 1.
    ///
    /// # Panics
    /// If no memory can be had.
    #[inline(always)]
    pub fn allocate(&self, layout: Layout) -> NonNull<u8> {
        match self.take(layout) {
            Some(block) => block,
            None => self.allocate_slow_or_refuse(layout),
        }
    }

    /// As [`allocate`](Self::allocate).
    ///
    /// # Errors
    /// If no memory can be had.
    #[inline(always)]
    pub fn try_allocate(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        match self.take(layout) {
            Some(block) => Ok(block),
            None => self.allocate_slow(layout),
        }
    }

    /// The fast path.
    #[inline(always)]
    fn take(&self, layout: Layout) -> Option<NonNull<u8>> {
        let block = self.store.magazines.pop(SizeClass::of_common(layout)?)?;
        poison::allow(block.as_ptr(), layout.size());
        Some(block)
    }

    #[cold]
    #[inline(never)]
    fn allocate_slow_or_refuse(&self, layout: Layout) -> NonNull<u8> {
        self.allocate_slow(layout).unwrap_or_else(|error| refuse(error))
    }

    /// Classes that the table has not, empty magazines, large blocks.
    #[cold]
    #[inline(never)]
    fn allocate_slow(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        let Some(class) = SizeClass::of(layout) else {
            return self.allocate_large(layout, false);
        };
        let block = match self.store.magazines.pop(class) {
            Some(block) => block,
            None => {
                let block = self.store.refill(class, &self.source).or_else(|error| {
                    // The last that may be given up: no more than a few pages.
                    match self.release_table() {
                        0 => Err(error),
                        _ => self.store.refill(class, &self.source),
                    }
                });
                block.map_err(|error| AllocError::source(layout, error))?
            }
        };
        poison::allow(block.as_ptr(), layout.size());
        Ok(block)
    }

    fn allocate_large(&self, layout: Layout, zeroed: bool) -> Result<NonNull<u8>, AllocError> {
        let refused = |error| AllocError::source(layout, error);
        let acquire = |request| self.store.acquire(request, &self.source);
        self.large.reserve(acquire, &self.source).map_err(refused)?;
        let run = acquire(large::request(layout, zeroed)).map_err(refused)?;
        let block = large::block(&run, layout);
        self.large.insert(run);
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
    /// are cut from such a span when the class has no free one.
    ///
    /// # Errors
    /// If no memory can be had.
    #[inline]
    pub fn try_allocate_zeroed(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        let Some(class) = SizeClass::of(layout) else {
            return self.allocate_large(layout, true);
        };
        let block = match self.take(layout) {
            Some(block) => block,
            None => {
                let fresh = layout.size() >= FRESH;
                let fresh = fresh.then(|| self.store.take_zeroed(class, &self.source)).flatten();
                if let Some(block) = fresh {
                    poison::allow(block.as_ptr(), layout.size());
                    return Ok(block);
                }
                self.allocate_slow(layout)?
            }
        };
        // SAFETY: the block has so many bytes and is ours.
        unsafe { block.write_bytes(0, layout.size()) };
        Ok(block)
    }

    /// Takes a block back.
    ///
    /// # Safety
    /// The block came from this heap for a layout of this alignment and
    /// [usable size](usable_size), was not deallocated since, and nobody uses it any more. The
    /// pointer is the one that was handed out, or derived from it without going through a reference
    /// to a part of the block.
    #[inline(always)]
    pub unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        let Some(class) = SizeClass::of_common(layout) else {
            // SAFETY: the caller's promise.
            return unsafe { self.deallocate_slow(block, layout) };
        };
        // SAFETY: the caller's promise; the layout tells the class it was allocated from.
        if !unsafe { self.store.magazines.push(class, block) } {
            // SAFETY: as above.
            unsafe { self.look(class, block) };
        }
    }

    /// # Safety
    /// As [`deallocate`](Self::deallocate), of a block of this class.
    #[cold]
    #[inline(never)]
    unsafe fn look(&self, class: SizeClass, block: NonNull<u8>) {
        // SAFETY: the caller's promise.
        unsafe { self.store.look(class, block, &self.source) };
    }

    /// # Safety
    /// As [`deallocate`](Self::deallocate).
    #[cold]
    #[inline(never)]
    unsafe fn deallocate_slow(&self, block: NonNull<u8>, layout: Layout) {
        let Some(class) = SizeClass::of(layout) else {
            if let Some(run) = self.large.remove(block) {
                large::show(&run);
                // SAFETY: it came from this source, and the caller gives it up.
                unsafe { self.source.release(run) };
            }
            return;
        };
        // SAFETY: as in `deallocate`.
        if !unsafe { self.store.magazines.push(class, block) } {
            // SAFETY: as above.
            unsafe { self.store.look(class, block, &self.source) };
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
            (None, None) => self.large.stays(block, new),
            _ => false,
        };
        if stays {
            tell_length(block, old.size(), new.size());
            return Ok(block);
        }
        // SAFETY: the caller's promise.
        unsafe { move_block(self, block, old, new) }
    }

    /// Gives all idle memory back: what lies in magazines goes to its spans, empty spans to the
    /// source, and the source is told to [trim](PageSource::trim). Returns the bytes of spans that
    /// went. Loki's `TrimExcessMemory`. O(free blocks in magazines + spans).
    #[allow(clippy::must_use_candidate, reason = "called for its effect")]
    pub fn trim(&self) -> usize {
        let mut bytes = self.store.release_idle(&self.source);
        bytes += self.release_table();
        bytes += self.store.sparse.own_bytes();
        // SAFETY: its memory came from this source.
        unsafe { self.store.sparse.release(&self.source) };
        self.source.trim();
        bytes
    }

    /// Gives the table of large blocks back if it has none; bytes.
    fn release_table(&self) -> usize {
        if self.large.len() > 0 {
            return 0;
        }
        let bytes = self.large.own_bytes();
        // SAFETY: the table's memory came from this source.
        unsafe { self.large.release(&self.source) };
        bytes
    }

    /// Frees everything at once, whatever is still allocated. O(spans + large blocks).
    ///
    /// Blocks that are still in use must not be touched afterwards: since whoever owns one borrows
    /// the heap or has promised as much in an `unsafe` block, `&mut self` sees to that.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use pool_core::{Heap, PageSource};
    /// use pool_object::SmallAlloc;
    /// let mut heap = SmallAlloc::new_in(Heap::new().counted());
    /// for _ in 0..10_000 {
    ///     heap.allocate(Layout::new::<[u64; 6]>());
    /// }
    /// heap.clear();
    /// assert_eq!(heap.source().traffic().live_bytes, 0);
    /// ```
    ///
    /// What lies in a box keeps it from being cleared:
    ///
    /// ```compile_fail,E0502
    /// use pool_object::{PoolBox, SmallAlloc};
    /// let mut heap = SmallAlloc::new();
    /// let boxed = PoolBox::new_in(1, &heap);
    /// heap.clear();
    /// assert_eq!(*boxed, 1);
    /// ```
    pub fn clear(&mut self) {
        // SAFETY: `&mut self`: see above.
        unsafe { self.store.release_all(&self.source) };
        // SAFETY: its memory came from this source.
        unsafe { self.store.sparse.release(&self.source) };
        for run in self.large.drain() {
            large::show(&run);
            // SAFETY: from this source, and not used, as above.
            unsafe { self.source.release(run) };
        }
        // SAFETY: the table's memory came from this source.
        unsafe { self.large.release(&self.source) };
    }
}

impl<S: PageSource> Drop for SmallAlloc<S> {
    fn drop(&mut self) {
        self.clear();
    }
}

impl<S: PageSource> fmt::Debug for SmallAlloc<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmallAlloc").field("held", &self.store.held()).finish_non_exhaustive()
    }
}

/// Tells a memory checker that a block is shorter or longer now.
#[inline(always)]
pub(crate) fn tell_length(block: NonNull<u8>, old: usize, new: usize) {
    let end = block.as_ptr().wrapping_add(old.min(new));
    if new < old {
        poison::forbid(end, old - new);
    } else {
        poison::allow(end, new - old);
    }
}

/// Bytes that a block for this layout has: its class' size, or for large ones what was asked for. All
/// layouts of the same alignment between the two are of the same class.
///
/// ```
/// use core::alloc::Layout;
/// use pool_object::usable_size;
/// assert_eq!(usable_size(Layout::array::<u8>(130)?), 144);
/// # Ok::<(), core::alloc::LayoutError>(())
/// ```
#[must_use]
pub const fn usable_size(layout: Layout) -> usize {
    match SizeClass::of(layout) {
        Some(class) => class.size(),
        None => layout.size(),
    }
}

// Of a run nothing but these two words is remembered.
const _: () = assert!(size_of::<Run>() == 2 * size_of::<usize>());
