//! `Mmap`: regions from the operating system, cut into runs.

mod address_map;
mod directory;
pub(crate) mod options;

use crate::bytes::is_aligned;
use crate::error::{Cause, OsError, PageError};
use crate::run::{PageKind, Request, Run};
use crate::snapshot::Snapshot;
use crate::source::PageSource;
use crate::sys::mapping::{Mapping, Spec};
use crate::sys::table::Table;
use crate::sys::{self, Advice};
use address_map::AddressMap;
use core::fmt;
use core::ptr::NonNull;
use directory::Directory;
use options::{HugePages, MmapBuilder, Outcome, REGION_LEN, Report};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Sells runs of pages that come from the operating system by `mmap`.
///
/// Memory is mapped in *regions* (2 MiB unless told otherwise, aligned to their length, so that
/// transparent huge pages apply), and each is cut by a buddy into runs of a power of two of pages.
/// Longer runs get a mapping of their own and are unmapped when they come back. A region all of
/// whose runs are back is unmapped, but for one that is kept; [`trim`](PageSource::trim) unmaps that, too, and
/// returns the free pages of all others to the system. Which pages are known to be zero is kept
/// track of, so `zeroed` costs nothing on memory that nobody had before.
///
/// | | |
/// |---|---|
/// | run length | a power of two of pages up to a region; beyond that whole pages |
/// | acquire, release | one uncontended lock and O(log n); a system call for a region or a long run |
/// | metadata | out of band, in mappings of its own, never from Rust's allocator: about 0.6 bytes a page |
/// | threads | `Send + Sync`; one lock, held for no system call but those of `trim`, of a table that grows and of a file that grows |
///
/// This is the bottom of a stack: put a [`Cache`](crate::Cache) or [`LocalCache`](crate::LocalCache)
/// above it, as [`Global`](crate::Global) does. Dropping it unmaps everything, live runs too.
///
/// Where there is no `mmap` (other systems than Unix and Windows, Miri) memory comes from Rust's
/// allocator, and no option beyond lengths is granted: see the table in the crate's documentation.
///
/// ```
/// use pool_core::{Mmap, PageSource, Request};
/// let source = Mmap::new();
/// let pages = (&source).pages(Request::new(20_000).zeroed())?;
/// assert_eq!(pages.len().next_power_of_two(), pages.len());
/// # Ok::<(), pool_core::PageError>(())
/// ```
pub struct Mmap {
    page: usize,
    /// Whether holes can be punched into the file page by page; not so on a file system whose
    /// blocks are longer (huge ones, remote ones).
    punches: bool,
    options: MmapBuilder,
    state: Mutex<State>,
}

struct State {
    regions: Directory,
    /// Mappings that are one run each, perhaps between guard pages, by number; `None` where one was
    /// removed.
    large: Table<Option<Mapping>>,
    vacant: Table<u32>,
    by_start: AddressMap,
    large_bytes: usize,
    large_len: usize,
    /// Bytes of the file that are mapped or were.
    file_len: u64,
    report: Report,
}

/// A lock on the whole source.
#[cfg(all(unix, not(miri), not(loom)))]
pub(crate) struct Held<'m> {
    _state: MutexGuard<'m, State>,
}

/// The number of "invalid argument" on every Unix.
const INVALID: i32 = 22;

impl Mmap {
    /// Regions of 2 MiB, the system's own choice of pages, no promises.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// All options.
    pub fn builder() -> MmapBuilder {
        MmapBuilder::new()
    }

    fn with_options(options: MmapBuilder) -> Self {
        let page = sys::page_size();
        // Both are powers of two, and the builder keeps the region at 32 pages or more, so the
        // fallback is never taken.
        let region_len = options.region_len.max(page * 32);
        let options = MmapBuilder { region_len, ..options };
        let logs = (page.trailing_zeros(), region_len.trailing_zeros());
        let regions = Directory::new(logs.0, logs.1);
        let state = State {
            regions,
            large: Table::new(),
            vacant: Table::new(),
            by_start: AddressMap::new(),
            large_bytes: 0,
            large_len: 0,
            file_len: 0,
            report: Report::default(),
        };
        let punches = options.file.as_ref().is_some_and(|file| sys::block_len(file) <= page as u64);
        Self { page, punches, options, state: Mutex::new(state) }
    }

    /// What became of the wishes at the last mapping that was made.
    #[must_use]
    pub fn report(&self) -> Report {
        self.state().report
    }

    /// Bytes mapped now: regions and long runs.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        let state = self.state();
        state.regions.len() * self.options.region_len + state.large_bytes
    }

    /// Regions mapped now.
    #[must_use]
    pub fn regions(&self) -> usize {
        self.state().regions.len()
    }

    /// The state. Nothing unwinds while it is locked; were it to, the state is whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps all other threads out, for `fork`.
    #[cfg(all(unix, not(miri), not(loom)))]
    pub(crate) fn hold(&self) -> Held<'_> {
        Held { _state: self.state() }
    }

    /// Whether a request is served from regions.
    fn fits_region(&self, request: Request) -> bool {
        request.len.max(request.align) <= self.options.region_len && !self.options.guard_pages
    }

    /// Maps memory with all wishes and promises; `len` is a multiple of the page.
    fn map(&self, len: usize, align: usize) -> Result<(Mapping, PageKind, Report), PageError> {
        let mut report = Report::default();
        let (mapping, mut kind) = match &self.options.file {
            Some(file) => (self.map_file(file, len, align)?, PageKind::File),
            None => self.map_anonymous(len, align, &mut report)?,
        };
        let (ptr, len) = (mapping.ptr(), mapping.len());
        if kind == PageKind::Base {
            let advice = match self.options.huge_pages {
                HugePages::System => None,
                HugePages::Never => Some(Advice::NoHugePages),
                HugePages::Transparent | HugePages::Explicit => Some(Advice::HugePages),
            };
            if let Some(advice) = advice {
                let allowed = match advice {
                    Advice::HugePages => sys::transparent_huge_pages(),
                    _ => Ok(()),
                };
                // SAFETY: the whole mapping is ours.
                let result = allowed.and_then(|()| unsafe { sys::advise(ptr, len, advice) });
                if result.is_ok() && advice == Advice::HugePages {
                    kind = PageKind::Transparent;
                }
                report.transparent_huge_pages = result.into();
            }
        }
        if let Some(name) = &self.options.name {
            // SAFETY: the whole mapping is ours.
            report.name = unsafe { sys::set_name(ptr, len, name) }.into();
        }
        if self.options.dont_dump {
            // SAFETY: the whole mapping is ours.
            unsafe { sys::advise(ptr, len, Advice::DontDump) }?;
        }
        if self.options.wipe_on_fork {
            // SAFETY: the whole mapping is ours.
            unsafe { sys::advise(ptr, len, Advice::WipeOnFork) }?;
        }
        Ok((mapping, kind, report))
    }

    /// What touches pages, and so comes after guards are in place.
    fn fault_in(&self, ptr: NonNull<u8>, len: usize, report: &mut Report) -> Result<(), PageError> {
        if self.options.lock {
            // SAFETY: the caller has just mapped the range, and nobody else knows it.
            unsafe { sys::lock(ptr, len) }?;
        }
        if self.options.populate {
            // SAFETY: as above.
            report.populate = unsafe { sys::advise(ptr, len, Advice::Populate) }.into();
        }
        Ok(())
    }

    fn map_anonymous(
        &self,
        len: usize,
        align: usize,
        report: &mut Report,
    ) -> Result<(Mapping, PageKind), PageError> {
        if self.options.huge_pages == HugePages::Explicit {
            match self.map_huge(len, align) {
                Ok(mapping) => {
                    report.explicit_huge_pages = Outcome::Granted;
                    return Ok((mapping, PageKind::Explicit));
                }
                Err(error) => report.explicit_huge_pages = Outcome::Refused(error),
            }
        }
        let mapping = Mapping::anonymous(Spec { len, align, huge: None })?;
        Ok((mapping, PageKind::Base))
    }

    /// Reserved huge pages, unless a promise stands against them: the system protects whole huge
    /// pages only, and wipes none on a fork.
    fn map_huge(&self, len: usize, align: usize) -> Result<Mapping, OsError> {
        if self.options.guard_pages || self.options.wipe_on_fork {
            let (call, code) = ("mmap(MAP_HUGETLB)", INVALID);
            return Err(OsError { call, code, asked: len, cause: Cause::Unknown });
        }
        let len = len.checked_next_multiple_of(REGION_LEN).unwrap_or(len);
        let huge = Some(REGION_LEN.trailing_zeros() as u8);
        Mapping::anonymous(Spec { len, align, huge })
    }

    /// The next piece of the file. Its place is taken under the lock; the file only grows.
    fn map_file(
        &self,
        file: &std::fs::File,
        len: usize,
        align: usize,
    ) -> Result<Mapping, PageError> {
        let failed = |error: &std::io::Error| sys::os_error("ftruncate", error, len);
        let mut state = self.state();
        let present = file.metadata().map_err(|error| failed(&error))?.len();
        let start = present.max(state.file_len).next_multiple_of(self.page as u64);
        let end = start + (len + align) as u64;
        file.set_len(end).map_err(|error| failed(&error))?;
        match Mapping::file(file, start, len, align) {
            Ok(mapping) => {
                state.file_len = end;
                Ok(mapping)
            }
            Err(error) => {
                // A file that cannot be shortened stays long; it is sparse there.
                let _ = file.set_len(present);
                Err(error.into())
            }
        }
    }

    /// A run out of a region that has room.
    fn take(&self, request: Request) -> Option<Run> {
        let mut state = self.state();
        let place = state.regions.take(request.len, request.align)?;
        let region = state.regions.region(place.region)?;
        // SAFETY: the block lies within the region, whose mapping is that long.
        let ptr = unsafe { region.mapping.ptr().add(place.offset) };
        let run = Run::new(ptr, request.len.next_power_of_two()).with_kind(region.kind);
        Some(run.with_zeroed(place.zeroed))
    }

    #[cold]
    fn add_region(&self) -> Result<(), PageError> {
        let len = self.options.region_len;
        let (mapping, kind, mut report) = self.map(len, len)?;
        self.fault_in(mapping.ptr(), len, &mut report)?;
        let mut state = self.state();
        state.report = report;
        let inserted = state.regions.insert(mapping, kind);
        drop(state);
        // On refusal the mapping goes back here, outside the lock.
        inserted.map(drop).map_err(|(error, _mapping)| error.into())
    }

    #[cold]
    fn acquire_large(&self, request: Request) -> Result<Run, PageError> {
        let guard = if self.options.guard_pages { self.page } else { 0 };
        let Request { len, align, .. } = request;
        let too_large = PageError::TooLarge { asked: len, align, limit: crate::bytes::MAX_LEN };
        // With guards the run stands at the first aligned place that leaves a page before it.
        let total = match guard {
            0 => Some(len),
            guard => len.checked_add(guard).and_then(|len| len.checked_add(align)),
        };
        let total = total.filter(|&total| total <= crate::bytes::MAX_LEN - align);
        let (mapping, kind, mut report) = self.map(total.ok_or(too_large)?, align)?;
        let offset = if guard == 0 { 0 } else { align };
        debug_assert!(align >= self.page);
        // SAFETY: without guards the offset is 0; with them the mapping is longer than `align`.
        let ptr = unsafe { mapping.ptr().add(offset) };
        if guard != 0 {
            // SAFETY: `align` is at least a page, so the page before the run is in the mapping.
            let before = unsafe { ptr.sub(guard) };
            // SAFETY: the page is part of the new mapping, and of no run.
            unsafe { sys::forbid(before, guard) }?;
            // SAFETY: the mapping is `align + len + guard` long, so it ends a page behind the run.
            let behind = unsafe { ptr.add(len) };
            // SAFETY: as for the page before.
            unsafe { sys::forbid(behind, guard) }?;
        }
        self.fault_in(ptr, len, &mut report)?;
        let mut state = self.state();
        state.report = report;
        let inserted = state.insert_large(ptr, mapping);
        drop(state);
        inserted?;
        debug_assert!(is_aligned(ptr.addr().get(), align));
        Ok(Run::new(ptr, len).with_kind(kind).with_zeroed(true))
    }

    /// Unmaps a region that is free, if more are than are to be kept.
    fn unmap_surplus(&self, mut state: MutexGuard<'_, State>, region: u32) {
        let empty_bytes = state.regions.empty() * self.options.region_len;
        if empty_bytes <= self.options.retain {
            return;
        }
        let mapping = state.regions.remove_if_empty(region);
        drop(state);
        drop(mapping);
    }

    /// Returns the pages of `len` bytes at `ptr` to the system; `true` if they read as zeros.
    ///
    /// # Safety
    /// The range belongs to a mapping of ours, nobody uses it, and no reference into it lives.
    unsafe fn return_pages(&self, ptr: NonNull<u8>, len: usize, kind: PageKind) -> bool {
        let whole = |unit: usize| is_aligned(ptr.addr().get(), unit) && is_aligned(len, unit);
        let advice = match kind {
            // The kernel leaves partial huge pages alone and says nothing (or, before 6.1, takes
            // the whole page with what others have in it).
            PageKind::Explicit if !whole(REGION_LEN) => return false,
            PageKind::File if !self.punches => return false,
            PageKind::File => Advice::Remove,
            _ => Advice::DontNeed,
        };
        // SAFETY: the caller's promise.
        unsafe { sys::advise(ptr, len, advice) }.is_ok()
    }

    /// Trims one region: unmaps it or returns its free pages. The bytes that went back.
    fn trim_region(&self, number: u32) -> usize {
        let mut state = self.state();
        if let Some(mapping) = state.regions.remove_if_empty(number) {
            drop(state);
            return mapping.len();
        }
        let Some(region) = state.regions.region(number) else { return 0 };
        let (base, kind, mut bytes) = (region.mapping.ptr(), region.kind, 0);
        state.regions.clean_free(number, |offset, len| {
            // SAFETY: the block lies within the region.
            let ptr = unsafe { base.add(offset) };
            // SAFETY: the block is free, and stays so while the state is locked.
            let returned = unsafe { self.return_pages(ptr, len, kind) };
            bytes += if returned { len } else { 0 };
            returned
        });
        bytes
    }
}

impl State {
    fn insert_large(&mut self, ptr: NonNull<u8>, mapping: Mapping) -> Result<(), OsError> {
        self.by_start.reserve()?;
        let (bytes, address) = (mapping.len(), ptr.addr().get());
        let number = match self.vacant.pop() {
            Some(number) => {
                self.large[number as usize] = Some(mapping);
                number
            }
            None => {
                self.vacant.reserve(self.large.len() + 1)?;
                self.large.push(Some(mapping))?;
                self.large.len() as u32 - 1
            }
        };
        self.by_start.insert(address, number);
        self.large_bytes += bytes;
        self.large_len += 1;
        Ok(())
    }

    fn remove_large(&mut self, address: usize) -> Option<Mapping> {
        let number = self.by_start.remove(address)?;
        let mapping = self.large[number as usize].take()?;
        // `insert_large` made room for every number to be vacant at once.
        let pushed = self.vacant.push(number);
        debug_assert!(pushed.is_ok());
        self.large_bytes -= mapping.len();
        self.large_len -= 1;
        Some(mapping)
    }
}

impl Default for Mmap {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: a run is a block that the directory has marked as taken, or a mapping of its own, so runs
// are disjoint; mappings live until the block is back, or the source is dropped, and do not move
// with it (1, 5). There are no clones (2). The state is behind a lock, and mappings may be used and
// unmapped by any thread (3). The directory knows pages as zero that are fresh from the system or
// were returned to it, and forgets it when a run comes back, whatever the run says (4). Nothing here
// panics on sizes that `round_to` has passed (6). `decommit` is what the system says (7). Nothing
// allocates from Rust's allocator but `file` and `name` at construction (10). Lengths are powers of
// two of pages or rounded to pages (11).
unsafe impl PageSource for Mmap {
    fn granule(&self) -> usize {
        self.page
    }

    fn acquire(&self, request: Request) -> Result<Run, PageError> {
        let rounded = request.round_to(self.page)?;
        if !self.fits_region(rounded) {
            return self.acquire_large(rounded);
        }
        let mut run = loop {
            // Others may take what was added, so look again rather than assume.
            match self.take(rounded) {
                Some(run) => break run,
                None => self.add_region()?,
            }
        };
        if request.zeroed {
            // SAFETY: the run was taken just now and is nobody else's; the directory's word on
            // zeros is good.
            unsafe { run.zero() };
        }
        Ok(run)
    }

    unsafe fn release(&self, run: Run) {
        let address = run.ptr().addr().get();
        if self.options.zero_on_release {
            // SAFETY: the caller gives the run up, and it is `len` bytes long. The optimiser knows
            // of no end of life here, so the stores stay.
            unsafe { run.ptr().write_bytes(0, run.len()) };
        }
        let mut state = self.state();
        match state.regions.region_at(address) {
            Some(region) if run.len() <= self.options.region_len => {
                state.regions.give(region, address, run.len());
                self.unmap_surplus(state, region);
            }
            _ => {
                let large = state.remove_large(address);
                drop(state);
                debug_assert!(large.is_some(), "a run that is not of this source was released");
                drop(large);
            }
        }
    }

    unsafe fn decommit(&self, run: &mut Run) -> bool {
        // SAFETY: the caller owns the run, which is of ours, and no reference into it lives.
        let returned = unsafe { self.return_pages(run.ptr(), run.len(), run.kind()) };
        run.set_zeroed(returned);
        returned
    }

    fn trim(&self) -> usize {
        let numbers = self.state().regions.numbers();
        (0..numbers).map(|number| self.trim_region(number)).sum()
    }

    fn observe(&self, snapshot: &mut Snapshot) {
        let state = self.state();
        let bytes = state.regions.len() * self.options.region_len + state.large_bytes;
        snapshot.add_held(bytes, state.regions.len() + state.large_len);
    }
}

impl fmt::Debug for Mmap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mmap")
            .field("options", &self.options)
            .field("held_bytes", &self.held_bytes())
            .field("report", &self.report())
            .finish_non_exhaustive()
    }
}
