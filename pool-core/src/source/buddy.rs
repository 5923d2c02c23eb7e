//! `Buddy`: power-of-two runs out of one block, split and merged.

use crate::buddy::BuddyMap;
use crate::bytes::{is_aligned, log2_ceil, round_up};
use crate::error::PageError;
use crate::run::{Request, Run};
use crate::snapshot::Snapshot;
use crate::source::PageSource;
use crate::source::fixed::Fixed;
use core::fmt;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

/// Cuts one block of another source into runs of a power of two of granules, splits and merges
/// them, and never touches a free page: what is free is known from a second, small run.
///
/// | | |
/// |---|---|
/// | run length | the request rounded up to a power of two of granules: up to half of it is waste |
/// | acquire, release | O(log n) at worst, in the steady state a few words; no linear case |
/// | metadata | 2 bits a granule and 1/63 of that; 512 granules: 296 bytes (rounded up to a granule) |
/// | which run | the smallest free piece that is long enough, of those the lowest |
/// | alignment | every run to its own length, up to [`align_limit`](Self::align_limit); more than its length costs nothing, but needs a free piece of that length |
/// | threads | one at a time: `Send` if the source is, not `Sync` |
///
/// The block needs neither a power of two as its length nor an aligned address: what does not fit
/// a large run is sold in smaller ones. It is held until the buddy is dropped, so
/// [`trim`](PageSource::trim) only asks the source below. Runs that are still out then die with it.
/// A run is a part of a run of the source below, which can take back no parts: [`decommit`]
/// returns `false`. [`Mmap`](crate::Mmap) has buddies of its own that can.
///
/// The system is Knowlton's (1965) in cloudwu/buddy's form, metadata apart; the sets of free
/// blocks are bit trees where cloudwu searches a tree of sizes and Linux keeps lists.
///
/// [`decommit`]: PageSource::decommit
///
/// ```
/// use core::mem::MaybeUninit;
/// use pool_core::{Buddy, PageSource};
/// let mut memory = vec![MaybeUninit::<u8>::uninit(); 1 << 20];
/// let buddy = Buddy::over(&mut memory)?;
/// let a = (&buddy).pages(10_000)?;
/// let b = (&buddy).pages(100_000)?;
/// drop(a);
/// drop(b);
/// assert_eq!(buddy.free(), buddy.capacity());
/// # Ok::<(), pool_core::PageError>(())
/// ```
pub struct Buddy<S: PageSource> {
    map: BuddyMap,
    /// The state of `map` in the first `map.words()` words of `metadata`: initialised, and nobody
    /// else's. It is a function of the runs that are out: no granule is in two of them, and the
    /// pages of the map that are in none are free.
    words: NonNull<u64>,
    /// Acquired from `source`, released at drop. Page `first_page + i` of the map is granule i of
    /// it.
    block: Run,
    /// Acquired from `source`, released at drop.
    metadata: Run,
    /// Pages of the map before the block; they are never free. With them page 0 of the map stands
    /// at a multiple of `align_limit`, so a block of the map is aligned to its size up to that.
    first_page: usize,
    align_limit: usize,
    granule: usize,
    /// `log2(granule)`.
    shift: u32,
    /// Bytes of the longest run when nothing is out: no request above it can ever be met.
    largest: usize,
    source: S,
}

// SAFETY: it owns both runs exclusively, and reaches them through plain pointers; they move to the
// other thread together with their source, which clause 3 allows for `S: Send`. The raw pointer
// keeps it `!Sync`.
unsafe impl<S: PageSource + Send> Send for Buddy<S> {}

/// The alignment that is asked of the source below, where the block is long enough: that of huge
/// pages on most machines.
const WANTED_ALIGN: usize = 2 << 20;

impl<S: PageSource> Buddy<S> {
    /// Acquires a block of at least `len` bytes from `source`, and a run for the metadata.
    ///
    /// The block is asked for at an alignment of 2 MiB, or of the largest power of two in `len` if
    /// that is less. If the source refuses this, the block is taken as it comes.
    ///
    /// # Errors
    /// As [`PageSource::acquire`] of `source`, and [`PageError::TooLarge`] above 2^32 − 1 granules.
    ///
    /// ```
    /// use pool_core::{Buddy, Heap, PageSource, Request};
    /// let buddy = Buddy::new(Heap::new(), 3 << 20)?;
    /// let run = (&buddy).pages(Request::new(1).align(2 << 20))?;
    /// assert!(buddy.largest_free() >= 1 << 20);
    /// # Ok::<(), pool_core::PageError>(())
    /// ```
    pub fn new(source: S, len: usize) -> Result<Self, PageError> {
        let granule = source.granule();
        let plain = Request::new(len).round_to(granule)?;
        let align = (1 << plain.len.ilog2()).min(WANTED_ALIGN).max(granule);
        let parts = match Parts::new(&source, plain.align(align), align) {
            Err(_) if align > granule => Parts::new(&source, plain, align),
            result => result,
        };
        let Parts { map, block, first_page, align_limit, metadata } = parts?;
        let buddy = Self {
            words: metadata.ptr().cast(),
            largest: granule << map.largest_order(),
            shift: granule.trailing_zeros(),
            map,
            block,
            metadata,
            first_page,
            align_limit,
            granule,
            source,
        };
        buddy.with(BuddyMap::reset);
        Ok(buddy)
    }

    /// Runs `f` on the map and its words.
    #[inline(always)]
    fn with<R>(&self, f: impl FnOnce(&BuddyMap, &mut [u64]) -> R) -> R {
        let words = NonNull::slice_from_raw_parts(self.words, self.map.words());
        // SAFETY: the run `metadata` is live, ours alone, aligned to a granule, has that many
        // words (see `Parts`), and was zeroed when it came. The borrow ends with `f`, which is
        // always a method of the map: it does not come back here. No other thread, for `!Sync`.
        f(&self.map, unsafe { &mut *words.as_ptr() })
    }

    /// Bytes of the block: what can be out at once.
    #[must_use]
    pub fn capacity(&self) -> usize {
        (self.map.pages() as usize) << self.shift
    }

    /// Bytes that are free now, in one piece or many.
    #[must_use]
    pub fn free(&self) -> usize {
        self.with(|map, words| map.free_pages(words) as usize) << self.shift
    }

    /// The longest run in bytes that can be had now; 0 if nothing is free.
    #[must_use]
    pub fn largest_free(&self) -> usize {
        self.with(|map, words| map.largest_free_order(words)).map_or(0, |order| self.bytes(order))
    }

    /// Bytes of bookkeeping in use; the run they stand in is rounded up to a granule.
    #[must_use]
    pub fn metadata_bytes(&self) -> usize {
        self.map.words() * size_of::<u64>()
    }

    /// The strongest alignment in bytes that can be asked for: at least the granule.
    #[must_use]
    pub fn align_limit(&self) -> usize {
        self.align_limit
    }

    /// The source below.
    #[must_use]
    pub fn source(&self) -> &S {
        &self.source
    }

    #[inline]
    fn bytes(&self, order: u32) -> usize {
        self.granule << order
    }

    #[cold]
    fn refuse(&self, request: Request) -> PageError {
        let Request { len: asked, align, .. } = match request.round_to(self.granule) {
            Ok(rounded) => rounded,
            Err(error) => return error,
        };
        if align > self.align_limit {
            PageError::TooLarge { asked, align, limit: 0 }
        } else if asked > self.largest {
            PageError::TooLarge { asked, align, limit: self.largest }
        } else {
            PageError::Exhausted { asked, free: self.free(), capacity: self.capacity() }
        }
    }
}

impl<'m> Buddy<Fixed<'m>> {
    /// Sells the caller's `memory`: on the stack, static, from a device. What alignment to the
    /// system's page cuts off, and the metadata (one page for about 14,000), is not sold.
    ///
    /// # Errors
    /// [`PageError::Exhausted`] if fewer than two whole pages are there.
    pub fn over(memory: &'m mut [MaybeUninit<u8>]) -> Result<Self, PageError> {
        let fixed = Fixed::new(memory);
        let (granule, all) = (fixed.granule(), fixed.capacity());
        // The map of all pages is an upper bound for the map of fewer, and alignment may add as
        // many pages again in front, up to `WANTED_ALIGN`.
        let pages = (all / granule).saturating_mul(2).min(all / granule + WANTED_ALIGN / granule);
        let words = BuddyMap::new(0, pages).map_or(1, |map| map.words());
        let metadata = round_up(words * size_of::<u64>(), granule).unwrap_or(all);
        Self::new(fixed, all.saturating_sub(metadata).max(granule))
    }
}

/// What a buddy has from its source.
struct Parts {
    map: BuddyMap,
    block: Run,
    first_page: usize,
    align_limit: usize,
    /// At least `map.words()` words, all zero.
    metadata: Run,
}

impl Parts {
    /// Acquires the block by `request`, and the metadata for it; both or none.
    fn new<S: PageSource>(source: &S, request: Request, wanted: usize) -> Result<Self, PageError> {
        let granule = source.granule();
        let block = source.acquire(request)?;
        let address = block.ptr().addr().get();
        let natural = 1 << address.trailing_zeros().min(usize::BITS - 2);
        let align_limit = wanted.max(natural);
        let first_page = (address & (align_limit - 1)) / granule;
        match Self::map(source, first_page, block.len() / granule) {
            Ok((map, metadata)) => Ok(Self { map, block, first_page, align_limit, metadata }),
            Err(error) => {
                // SAFETY: it was acquired from this source just now, and nobody else has it.
                unsafe { source.release(block) };
                Err(error)
            }
        }
    }

    fn map(
        source: &impl PageSource,
        first: usize,
        pages: usize,
    ) -> Result<(BuddyMap, Run), PageError> {
        let granule = source.granule();
        let (asked, limit) = (pages * granule, (u32::MAX as usize).saturating_mul(granule));
        let too_large = PageError::TooLarge { asked, align: granule, limit };
        let map = BuddyMap::new(first, first.saturating_add(pages)).ok_or(too_large)?;
        let metadata = source.acquire(Request::new(map.words() * size_of::<u64>()).zeroed())?;
        Ok((map, metadata))
    }
}

// SAFETY: runs are blocks of the map, which are disjoint until freed, and lie in `block`, which is
// ours and stays where it is until drop (1, 5); there are no clones (2) and no `Sync` (3); zeroed
// runs are zeroed here, and the flag of no run is trusted (4); the map does not panic on blocks
// that it gave (6); no `decommit` (7); the kind is the block's (8); `round_to` or its like checks, and a run is
// 2^k granules, aligned to a granule as the block is (11).
unsafe impl<S: PageSource> PageSource for Buddy<S> {
    #[inline]
    fn granule(&self) -> usize {
        self.granule
    }

    #[inline]
    fn acquire(&self, request: Request) -> Result<Run, PageError> {
        let Request { len, align, zeroed } = request;
        // One comparison for 0, for overflow, and for what is longer than any block.
        let fits = len.wrapping_sub(1) < self.largest && align <= self.align_limit;
        if !fits || !align.is_power_of_two() {
            return Err(self.refuse(request));
        }
        let order = log2_ceil(len.max(self.granule)) - self.shift;
        let align = if align <= self.granule { 0 } else { align.trailing_zeros() - self.shift };
        let Some(page) = self.with(|map, words| map.allocate(words, order, align)) else {
            return Err(self.refuse(request));
        };
        let offset = (page as usize - self.first_page) << self.shift;
        // SAFETY: free blocks of the map lie in pages from `first_page` on, one for each granule
        // of the block, so the offset is inside it.
        let ptr = unsafe { self.block.ptr().add(offset) };
        debug_assert!(is_aligned(ptr.addr().get(), request.align.max(self.granule)));
        let mut run = Run::new(ptr, self.bytes(order)).with_kind(self.block.kind());
        if zeroed {
            // SAFETY: the block was free until now: the run is nobody else's.
            unsafe { run.zero() };
        }
        Ok(run)
    }

    #[inline]
    unsafe fn release(&self, run: Run) {
        let offset = run.ptr().addr().get() - self.block.ptr().addr().get();
        let page = self.first_page + (offset >> self.shift);
        let order = run.len().trailing_zeros() - self.shift;
        self.with(|map, words| map.free(words, page as u32, order));
    }

    fn trim(&self) -> usize {
        self.source.trim()
    }

    fn observe(&self, snapshot: &mut Snapshot) {
        self.source.observe(snapshot);
    }
}

impl<S: PageSource> Drop for Buddy<S> {
    fn drop(&mut self) {
        // SAFETY: it came from this source and is ours; `words` is not used after this.
        unsafe { self.source.release(self.metadata.token()) };
        // SAFETY: it came from this source and is ours; runs that are out are lost to their
        // owners, who were told (clause 5).
        unsafe { self.source.release(self.block.token()) };
    }
}

impl<S: PageSource> fmt::Debug for Buddy<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buddy")
            .field("capacity", &self.capacity())
            .field("free", &self.free())
            .field("largest_free", &self.largest_free())
            .finish_non_exhaustive()
    }
}
