//! `Model`: the naive truth about the runs that are out, and every check of a single run.

use super::clause;
use crate::bytes::is_aligned;
use crate::error::PageError;
use crate::run::{Request, Run};
use crate::source::PageSource;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// A run that is out, full of its tag.
pub(super) struct Held {
    run: Run,
    tag: u8,
}

impl Held {
    /// Acquires a run, checks it, notes it with `note` (which sees to it that nobody else has it),
    /// and only then touches its memory, and fills it with `tag`, which is not 0.
    pub(super) fn acquire<S: PageSource + ?Sized>(
        source: &S,
        request: Request,
        tag: u8,
        note: impl FnOnce(&Self),
    ) -> Result<Self, PageError> {
        let granule = source.granule();
        let run = source.acquire(request)?;
        let (address, len) = (run.ptr().addr().get(), run.len());
        clause!(11, len >= request.len, "{request:?} gave a run of {len} bytes only");
        clause!(11, len % granule == 0, "a run of {len} bytes, where the granule is {granule}");
        clause!(
            11,
            is_aligned(address, granule),
            "{run:?} is not aligned to the granule {granule}"
        );
        clause!(1, is_aligned(address, request.align), "{request:?} gave {run:?}, not aligned");
        clause!(1, address.checked_add(len).is_some(), "{run:?} passes the end of memory");
        let held = Self { run, tag };
        note(&held);
        if request.zeroed || held.run.is_zeroed() {
            // SAFETY: clause 4 says that these bytes are initialised, to zero.
            let zero = unsafe { held.is_all(0) };
            clause!(4, zero, "{:?} for {request:?} does not read as zeros", held.run);
        }
        Ok(held.fill())
    }

    pub(super) const fn len(&self) -> usize {
        self.run.len()
    }

    /// Start and end address.
    fn range(&self) -> (usize, usize) {
        let start = self.run.ptr().addr().get();
        (start, start + self.run.len())
    }

    fn fill(self) -> Self {
        // SAFETY: the run is owned by `self`, and clause 1 makes its `len` bytes writable.
        unsafe { self.run.ptr().write_bytes(self.tag, self.run.len()) };
        self
    }

    /// Whether all bytes are `value`. One comparison of the run with itself a byte on, which is
    /// quick in debug builds and under Miri, where a loop is not.
    ///
    /// # Safety
    /// All bytes are initialised.
    unsafe fn is_all(&self, value: u8) -> bool {
        // SAFETY: the run is owned by `self` and by clause 1 readable; the caller promises
        // initialised bytes.
        let bytes = unsafe { self.run.as_slice_ptr().as_ref() };
        bytes[0] == value && bytes[1..] == bytes[..bytes.len() - 1]
    }

    pub(super) fn verify(&self) {
        // SAFETY: `fill` has initialised all bytes.
        let intact = unsafe { self.is_all(self.tag) };
        clause!(1, intact, "somebody wrote into {:?} while it was out", self.run);
    }

    /// Verifies the run and gives it back, with a flag that lies: its owner wrote to it.
    pub(super) fn release<S: PageSource + ?Sized>(self, source: &S) {
        self.verify();
        let run = self.run.with_zeroed(true);
        // SAFETY: the run came from a handle of this source, as every caller sees to, and is given
        // up here.
        unsafe { source.release(run) };
    }

    fn decommit<S: PageSource + ?Sized>(self, source: &S) -> Self {
        let Self { run, tag } = self;
        let (ptr, len) = (run.ptr(), run.len());
        // As if the run had come zeroed: what was written since made that stale.
        let mut run = run.with_zeroed(true);
        // SAFETY: the run is owned here and no reference into it lives.
        let returned = unsafe { source.decommit(&mut run) };
        clause!(7, run.ptr() == ptr && run.len() == len, "decommit made {run:?} of {ptr:?}, {len}");
        clause!(7, run.is_zeroed() == returned, "decommit: {returned} and {run:?} disagree");
        let held = Self { run, tag };
        if held.run.is_zeroed() {
            // SAFETY: the flag, by clause 7, says that the bytes are initialised, to zero.
            let zero = unsafe { held.is_all(0) };
            clause!(7, zero, "{:?} does not read as zeros after decommit", held.run);
        }
        held.fill()
    }
}

/// All runs of one source that are out.
pub(super) struct Model {
    held: Vec<Held>,
    /// End by start of every live run's addresses: what a new one must keep clear of.
    ranges: BTreeMap<usize, usize>,
    /// Bytes of all runs in `held`.
    bytes: usize,
    tags: u8,
}

impl Model {
    pub(super) const fn new() -> Self {
        Self { held: Vec::new(), ranges: BTreeMap::new(), bytes: 0, tags: 0 }
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn runs(&self) -> usize {
        self.held.len()
    }

    pub(super) fn acquire<S: PageSource + ?Sized>(
        &mut self,
        source: &S,
        request: Request,
    ) -> Result<(), PageError> {
        self.tags = self.tags % u8::MAX + 1;
        let note = |held: &Held| insert(&mut self.ranges, held);
        let held = Held::acquire(source, request, self.tags, note)?;
        self.bytes += held.len();
        self.held.push(held);
        Ok(())
    }

    /// Acquires what the source must be able to give.
    pub(super) fn must<S: PageSource + ?Sized>(&mut self, source: &S, request: Request) {
        if let Err(error) = self.acquire(source, request) {
            panic!(
                "{request:?} was refused with {} bytes out ({error}); if the source is that small \
                 or never gives that alignment, say so with `most_bytes` or `max_align`",
                self.bytes
            );
        }
    }

    pub(super) fn release<S: PageSource + ?Sized>(&mut self, source: &S, index: usize) {
        let held = self.held.remove(index);
        self.ranges.remove(&held.range().0);
        self.bytes -= held.len();
        held.release(source);
    }

    /// Releases all runs; `pick` says which of `n` goes next.
    pub(super) fn release_all<S: PageSource + ?Sized>(
        &mut self,
        source: &S,
        mut pick: impl FnMut(usize) -> usize,
    ) {
        while !self.held.is_empty() {
            let index = pick(self.held.len());
            self.release(source, index);
        }
    }

    pub(super) fn rewrite(&mut self, index: usize) {
        self.held[index].verify();
        let held = self.held.remove(index);
        self.tags = self.tags % u8::MAX + 1;
        self.held.insert(index, Held { tag: self.tags, ..held }.fill());
    }

    pub(super) fn decommit<S: PageSource + ?Sized>(&mut self, source: &S, index: usize) {
        let held = self.held.remove(index);
        held.verify();
        self.held.insert(index, held.decommit(source));
    }

    pub(super) fn verify(&self) {
        self.held.iter().for_each(Held::verify);
    }
}

/// Notes a run's addresses, which may not be those of another.
pub(super) fn insert(ranges: &mut BTreeMap<usize, usize>, held: &Held) {
    let (start, end) = held.range();
    let before = ranges.range(..end).next_back();
    let disjoint = before.is_none_or(|(_, &other_end)| other_end <= start);
    clause!(1, disjoint, "{:?} overlaps the run at {before:x?}, which is out", held.run);
    ranges.insert(start, end);
}

/// Forgets a run's addresses.
#[cfg(feature = "std")]
pub(super) fn remove(ranges: &mut BTreeMap<usize, usize>, held: &Held) {
    ranges.remove(&held.range().0);
}
