//! `Mirror`: runs whose pages show twice, back to back.

use crate::bytes::MAX_LEN;
use crate::error::{Cause, OsError, PageError};
use crate::run::{PageKind, Request, Run};
use crate::snapshot::Snapshot;
use crate::source::PageSource;
use crate::sys::mirror::Slab;
use core::fmt;
use core::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::vec::Vec;

/// Sells rings: runs of N bytes behind which N more addresses show the same pages again, so that
/// what wraps around the end of a ring buffer is one contiguous slice all the same. Linux only;
/// elsewhere, and under Miri, [`acquire`](PageSource::acquire) says
/// [`PageError::Unsupported`].
///
/// ```text
/// run.ptr()          + N               + 2 N
///    |  the run       |  the run again  |        byte i and byte N + i are one byte
/// ```
///
/// The second view is the owner's as well, and is no part of [`Run::len`]: N is the length.
///
/// | | |
/// |---|---|
/// | run length N | the request rounded up to a power of two of pages |
/// | alignment | 2 N. A stronger one gives a longer ring: N is at least half the alignment |
/// | kind | [`PageKind::Mirrored`] |
/// | contents | zero for a ring never used or decommitted since; else overwritten if zeros are asked for |
/// | acquire, release | a lock, a push or a pop: last in, first out. The first time a ring is used: one or two system calls |
/// | decommit, trim | the memory goes back (`MADV_REMOVE`), the addresses stay; `trim` unmaps slabs without live rings |
/// | memory | that of the pages touched, once; addresses, 2 N a ring and up to 2 N spare for each slab |
/// | mappings | R + 2 for a slab of R rings of one length (see below), where one file a ring costs 2 R and a file descriptor each |
/// | threads | `Send`, `Sync` |
///
/// Rings of a length are laid out one behind the other in *slabs* of one memfd each: the second
/// view of a ring and the first view of the next are adjacent in addresses and in the file, so that
/// the system keeps one mapping for both. A slab's file is closed when its last ring is mapped.
/// `vm.max_map_count` (65,530 unless raised) therefore allows about 65,000 rings; when the table
/// is full the error says so ([`Cause::MapCount`]).
///
/// The free list is a `Vec`, which grows when a ring is mapped for the first time, never in
/// `release`: so a `Mirror` must not stand beneath a `#[global_allocator]`.
///
/// # Two addresses of one byte
///
/// The compiler takes addresses that differ for bytes that differ, with raw pointers too: after
/// `p.add(N).write(1); p.write(2)`, it may say that `p.add(N).read()` is 1, and with optimisation
/// it does (magic-buffer #6). Whoever uses both views owes this:
///
/// 1. an empty `asm!` that takes the base pointer and clobbers memory, between writing by one view
///    and reading by the other (in each `advance`, `commit`, `consume`): in its story for the
///    compiler, it copies what was written to the twin;
/// 2. no reference to the twin bytes lives across it;
/// 3. bytes lent for reading and bytes lent for writing never share a place in the ring: filled
///    plus spare is at most N;
/// 4. bytes only, never a `T` that owns something: a second view of a `Box` is a second `Box`.
///
/// Whoever uses the first view alone has an ordinary run.
///
/// # Fork
///
/// A forked child shares a memfd's pages with its parent: what it writes shows here. So children do
/// not inherit the mappings (`MADV_DONTFORK`): there the rings are not mapped, and neither they nor
/// this source may be used. [`shared_with_children`](Self::shared_with_children) lets them inherit.
///
/// ```
/// use pool_core::{Mirror, PageSource, Request};
/// let mirror = Mirror::new();
/// # if cfg!(any(not(target_os = "linux"), miri)) { return Ok(()) }
/// let run = mirror.acquire(Request::new(10_000))?;
/// let (first, n) = (run.ptr().as_ptr(), run.len());
/// // SAFETY: the run is ours, and the second view of its first byte stands N bytes behind it. The
/// // accesses are volatile, so that each of them happens.
/// unsafe { first.add(n).write_volatile(7) };
/// // SAFETY: as above.
/// assert_eq!(unsafe { first.read_volatile() }, 7);
/// // SAFETY: acquired above, used no more, released once.
/// unsafe { mirror.release(run) };
/// # Ok::<(), pool_core::PageError>(())
/// ```
pub struct Mirror {
    granule: usize,
    /// Bytes of a slab's file, if a ring is not longer.
    slab_bytes: usize,
    inherit: bool,
    /// By `log2(N / granule)`; grows to the longest class ever used.
    classes: Mutex<Vec<Class>>,
}

/// All rings of one length.
#[derive(Default)]
struct Class {
    /// The last one may have rings that are not mapped yet; the others have none, or cannot.
    slabs: Vec<Slab>,
    /// Rings that are free, the one released last at the end. Its capacity is at least the number
    /// of mapped rings, so a push allocates nothing.
    free: Vec<Ring>,
}

/// A free ring.
struct Ring {
    ptr: NonNull<u8>,
    /// It reads as zeros and has no memory behind it.
    clean: bool,
}

// SAFETY: the address of a ring that nobody uses, owned by the class; nothing about it belongs to a
// thread.
unsafe impl Send for Ring {}

const SLAB_BYTES: usize = 16 << 20;
/// More would be refused for lack of addresses on some machines.
const MAX_SLAB_BYTES: usize = 1 << 30;

impl Mirror {
    /// Slabs of 16 MiB (32 MiB of addresses), not inherited by forked children.
    #[must_use]
    pub fn new() -> Self {
        Self {
            granule: crate::sys::page_size(),
            slab_bytes: SLAB_BYTES,
            inherit: false,
            classes: Mutex::new(Vec::new()),
        }
    }

    /// The same with slabs of `bytes`, at most 1 GiB, rounded down to whole rings, at least one: how much is
    /// reserved, and unmapped by [`trim`](PageSource::trim), at once. Memory is only taken by what
    /// is touched.
    #[must_use]
    pub fn slab_bytes(self, bytes: usize) -> Self {
        Self { slab_bytes: bytes.min(MAX_SLAB_BYTES), ..self }
    }

    /// Whether forked children inherit the rings and share them with their parent: what either
    /// writes, the other reads, and rings released by one may be in use by the other.
    #[must_use]
    pub fn shared_with_children(self, inherit: bool) -> Self {
        Self { inherit, ..self }
    }

    /// Nothing panics while the lock is held; were it so, the state would still be whole.
    fn lock(&self) -> MutexGuard<'_, Vec<Class>> {
        self.classes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The class of a ring length.
    fn class(&self, len: usize) -> usize {
        (len / self.granule).trailing_zeros() as usize
    }

    /// The length of the ring that serves this request.
    fn ring_len(&self, request: Request) -> Result<usize, PageError> {
        let Request { len, align, .. } = request.round_to(self.granule)?;
        let limit = 1 << (MAX_LEN.ilog2() - 2);
        match len.checked_next_power_of_two() {
            Some(ring) if ring.max(align / 2) <= limit => Ok(ring.max(align / 2)),
            _ => Err(PageError::TooLarge { asked: len, align, limit }),
        }
    }

    /// Maps a ring that was never used.
    #[cold]
    fn map(&self, classes: &mut Vec<Class>, ring: usize) -> Result<Ring, PageError> {
        let index = self.class(ring);
        if index >= classes.len() {
            let more = index + 1 - classes.len();
            classes.try_reserve(more).map_err(|_| out_of_memory(more))?;
            classes.resize_with(index + 1, Class::default);
        }
        let class = &mut classes[index];
        let mapped: usize = class.slabs.iter().map(Slab::mapped).sum();
        let more = mapped + 1 - class.free.len();
        class.free.try_reserve(more).map_err(|_| out_of_memory(more))?;
        if let Some(slab) = class.slabs.last_mut() {
            if let Some(ptr) = slab.grow()? {
                return Ok(Ring { ptr, clean: true });
            }
        }
        class.slabs.try_reserve(1).map_err(|_| out_of_memory(1))?;
        let mut slab = Slab::new(ring, (self.slab_bytes / ring).max(1), self.inherit)?;
        let exhausted = PageError::Unsupported { what: "a slab without rings" };
        let ptr = slab.grow()?.ok_or(exhausted)?;
        class.slabs.push(slab);
        Ok(Ring { ptr, clean: true })
    }
}

#[cold]
fn out_of_memory(items: usize) -> PageError {
    let asked = items * size_of::<Ring>();
    OsError { call: "alloc", code: 12, asked, cause: Cause::Unknown }.into()
}

impl Class {
    /// Gives the memory of free rings of `ring` bytes back, and the addresses of slabs that have
    /// no other. Returns the bytes of memory that may have gone back.
    fn trim(&mut self, ring: usize) -> usize {
        let mut bytes = 0;
        let free = &mut self.free;
        self.slabs.retain(|slab| {
            let ours = |ring: &Ring| slab.index_of(ring.ptr).is_some();
            let live = free.iter().filter(|ring| ours(ring)).count() < slab.mapped();
            if !live {
                bytes += free.iter().filter(|r| ours(r) && !r.clean).count() * ring;
                free.retain(|ring| !ours(ring));
            }
            live
        });
        for free in free.iter_mut().filter(|ring| !ring.clean) {
            // SAFETY: the ring is free, so nobody uses it, and this is its first view.
            free.clean = unsafe { Slab::remove(free.ptr, ring) };
            bytes += if free.clean { ring } else { 0 };
        }
        bytes
    }
}

// SAFETY: a ring is in the free list or owned by one run, and rings of a slab show different parts
// of a file at different addresses (1); slabs are unmapped by `trim` if all their rings are free,
// and at drop (5); there are no clones (2); everything is behind a lock (3); rings are clean when
// they were never handed out or were punched out while free, others are zeroed here, and `release`
// ignores the flag (4); the arithmetic is checked, and lists are indexed by classes that exist (6);
// `remove` zeroes or does nothing (7); `round_to` checks, and ring lengths are powers of two of
// pages (11).
unsafe impl PageSource for Mirror {
    fn granule(&self) -> usize {
        self.granule
    }

    fn acquire(&self, request: Request) -> Result<Run, PageError> {
        let len = self.ring_len(request)?;
        let mut classes = self.lock();
        let free = classes.get_mut(self.class(len)).and_then(|class| class.free.pop());
        let Ring { ptr, clean } = match free {
            Some(ring) => ring,
            None => self.map(&mut classes, len)?,
        };
        drop(classes);
        let mut run = Run::new(ptr, len).with_zeroed(clean).with_kind(PageKind::Mirrored);
        if request.zeroed {
            // SAFETY: the ring was free until now: the run is nobody else's.
            unsafe { run.zero() };
        }
        Ok(run)
    }

    unsafe fn release(&self, run: Run) {
        let class = self.class(run.len());
        if let Some(class) = self.lock().get_mut(class) {
            class.free.push(Ring { ptr: run.ptr(), clean: false });
        }
    }

    unsafe fn decommit(&self, run: &mut Run) -> bool {
        // SAFETY: the caller owns the run, which is the first view of a ring.
        let removed = unsafe { Slab::remove(run.ptr(), run.len()) };
        run.set_zeroed(removed);
        removed
    }

    fn trim(&self) -> usize {
        let mut classes = self.lock();
        let classes = classes.iter_mut().enumerate();
        classes.map(|(order, class)| class.trim(self.granule << order)).sum()
    }

    /// Held are the bytes of all mapped rings, once each, whether touched or not.
    fn observe(&self, snapshot: &mut Snapshot) {
        snapshot.add_held(0, 0);
        for (order, class) in self.lock().iter().enumerate() {
            for slab in &class.slabs {
                snapshot.add_held(slab.mapped() * (self.granule << order), slab.mapped() + 1);
            }
        }
    }
}

impl Default for Mirror {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { granule, slab_bytes, inherit, .. } = self;
        f.debug_struct("Mirror")
            .field("granule", granule)
            .field("slab_bytes", slab_bytes)
            .field("shared_with_children", inherit)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(any(miri, not(any(target_os = "linux", target_os = "android"))))]
    fn elsewhere_it_says_so() {
        let error = Mirror::new().acquire(Request::new(1)).unwrap_err();
        assert!(matches!(error, PageError::Unsupported { .. }));
    }

    #[test]
    fn a_ring_is_a_power_of_two_of_pages_and_at_least_half_the_alignment() {
        let mirror = Mirror::new();
        let page = mirror.granule;
        let len = |len, align| mirror.ring_len(Request::new(len).align(align)).unwrap();
        assert_eq!(len(1, 1), page);
        assert_eq!(len(page + 1, 1), 2 * page);
        assert_eq!(len(5 * page, 16 * page), 8 * page);
        assert_eq!(len(1, 2 * page), page);
        assert_eq!(len(1, 8 * page), 4 * page);
    }
}
