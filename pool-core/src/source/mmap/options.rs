//! What `Mmap` can be told, and what it answers.

use crate::error::OsError;
use crate::source::mmap::Mmap;
use std::ffi::CString;
use std::fs::File;

/// Which pages a [`Mmap`] wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HugePages {
    /// What the system does by itself: no advice is given.
    #[default]
    System,
    /// Base pages only, also where the system would give huge ones to everybody.
    Never,
    /// Transparent huge pages where the system gives them: regions are aligned for it. One touched
    /// byte may make 2 MiB resident.
    Transparent,
    /// Reserved 2 MiB pages (`MAP_HUGETLB`, `vm.nr_hugepages`). Where there are too few, transparent
    /// ones, and where there are none, base pages: [`Mmap::report`] says so, and each run's
    /// [`kind`](crate::Run::kind) says what it got.
    Explicit,
}

/// What became of a wish at the last mapping that was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It was not wished for, or nothing was mapped yet.
    #[default]
    NotAsked,
    /// The system agreed.
    Granted,
    /// The system refused, and the mapping is without it.
    Refused(OsError),
}

/// What became of the wishes that may go unfulfilled, at the last mapping that was made. Promises of
/// protection (lock, guard pages, dumps, forks) do not stand here: a mapping without one that was
/// asked for is not made at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// `MAP_HUGETLB`, where it was asked for.
    pub explicit_huge_pages: Outcome,
    /// `MADV_HUGEPAGE` where it was asked for, also as the fallback; `MADV_NOHUGEPAGE` for
    /// [`HugePages::Never`].
    pub transparent_huge_pages: Outcome,
    /// `MADV_POPULATE_WRITE`.
    pub populate: Outcome,
    /// `PR_SET_VMA_ANON_NAME`.
    pub name: Outcome,
}

impl From<Result<(), OsError>> for Outcome {
    fn from(result: Result<(), OsError>) -> Self {
        match result {
            Ok(()) => Self::Granted,
            Err(error) => Self::Refused(error),
        }
    }
}

/// Options of a [`Mmap`], from [`Mmap::builder`].
///
/// *Wishes* (huge pages, populate, name) fall back where the system refuses, and
/// [`Mmap::report`] tells. *Promises* (lock, guard pages, no dump, wipe on fork) are kept, or
/// `acquire` fails and names the call.
///
/// ```
/// use pool_core::{HugePages, Mmap, PageSource};
/// let source = Mmap::builder().huge_pages(HugePages::Transparent).name("requests").build();
/// let pages = (&source).pages(64 << 10)?;
/// println!("{:?}, {:?}", pages.kind(), source.report().name);
/// # Ok::<(), pool_core::PageError>(())
/// ```
#[derive(Debug)]
#[must_use]
pub struct MmapBuilder {
    pub(super) region_len: usize,
    pub(super) retain: usize,
    pub(super) huge_pages: HugePages,
    pub(super) populate: bool,
    pub(super) lock: bool,
    pub(super) guard_pages: bool,
    pub(super) dont_dump: bool,
    pub(super) wipe_on_fork: bool,
    pub(super) zero_on_release: bool,
    pub(super) name: Option<CString>,
    pub(super) file: Option<File>,
}

/// The length of a region that nobody chose, and the least there is: a transparent huge page.
pub(super) const REGION_LEN: usize = 2 << 20;
/// The longest region: beyond this, alignment would waste more addresses than it is worth.
const MAX_REGION_LEN: usize = 1 << 30;

impl MmapBuilder {
    pub(super) fn new() -> Self {
        Self {
            region_len: REGION_LEN,
            retain: REGION_LEN,
            huge_pages: HugePages::System,
            populate: false,
            lock: false,
            guard_pages: false,
            dont_dump: false,
            wipe_on_fork: false,
            zero_on_release: false,
            name: None,
            file: None,
        }
    }

    /// Bytes mapped at once, and the longest run that comes out of a region; rounded up to a power
    /// of two from 2 MiB (the default) to 1 GiB. Longer regions need fewer mappings
    /// (`vm.max_map_count`), shorter ones are empty sooner.
    pub fn region_len(mut self, bytes: usize) -> Self {
        let bytes = bytes.clamp(REGION_LEN, MAX_REGION_LEN);
        self.region_len = bytes.next_power_of_two().max(crate::sys::page_size() * 32);
        self
    }

    /// Bytes of wholly free regions that are kept for the next request instead of being unmapped at
    /// once; 2 MiB by default. [`PageSource::trim`](crate::PageSource::trim) unmaps those, too.
    pub fn retain(mut self, bytes: usize) -> Self {
        self.retain = bytes;
        self
    }

    /// Which pages are wanted. A wish.
    pub fn huge_pages(mut self, wanted: HugePages) -> Self {
        self.huge_pages = wanted;
        self
    }

    /// Faults all pages of a mapping in when it is made, so that first touches cost nothing later.
    /// It saves no work and makes everything resident. A wish.
    pub fn populate(mut self, yes: bool) -> Self {
        self.populate = yes;
        self
    }

    /// Locks every mapping into memory, so that it is never written to swap. A promise:
    /// `acquire` fails beyond `RLIMIT_MEMLOCK` and names the limit. Locked pages are not decommitted.
    pub fn lock(mut self, yes: bool) -> Self {
        self.lock = yes;
        self
    }

    /// An inaccessible page before and behind every run, so that stepping over its end is a crash
    /// and not corruption. A promise, and costly: each run gets a mapping of its own, three entries
    /// of the kernel's table (`vm.max_map_count`) and two system calls each way. For debugging and
    /// for a few large buffers.
    pub fn guard_pages(mut self, yes: bool) -> Self {
        self.guard_pages = yes;
        self
    }

    /// Leaves the memory out of core dumps. A promise.
    pub fn dont_dump(mut self, yes: bool) -> Self {
        self.dont_dump = yes;
        self
    }

    /// A forked child finds zeros in place of the memory. A promise. Data in live runs is gone for
    /// the child, too, and so is the state that a [`Buddy`](crate::Buddy) keeps in a run of this source:
    /// a child must not use one.
    pub fn wipe_on_fork(mut self, yes: bool) -> Self {
        self.wipe_on_fork = yes;
        self
    }

    /// Overwrites runs with zeros when they come back: for secrets. A cache above keeps runs from
    /// coming back: put none there, or trim it.
    pub fn zero_on_release(mut self, yes: bool) -> Self {
        self.zero_on_release = yes;
        self
    }

    /// The name that mappings have in `/proc/self/maps`, as far as the kernel gives names; cut at
    /// its first NUL byte. A wish.
    pub fn name(mut self, name: &str) -> Self {
        let bytes = name.bytes().take_while(|&byte| byte != 0).collect::<Vec<_>>();
        self.name = CString::new(bytes).ok();
        self
    }

    /// Maps this file in place of anonymous memory: the pages are the file's, and shared with
    /// everybody who has it mapped. It grows at its end by a region (and as much again for
    /// alignment, which stays a hole), and is never shortened. No huge pages but those of the file
    /// system.
    ///
    /// # Safety
    /// As long as the source or any of its runs lives, nobody else writes to the file, maps it, extends
    /// it or shortens it: through no other handle, in no other process. What others write would
    /// change bytes behind references, what they map could be handed out twice, and touching what
    /// is cut off is a crash.
    pub unsafe fn file(mut self, file: File) -> Self {
        self.file = Some(file);
        self
    }

    /// The source. It maps nothing until the first run is asked for.
    #[must_use]
    pub fn build(self) -> Mmap {
        Mmap::with_options(self)
    }
}
