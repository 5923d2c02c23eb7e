//! Chunks: runs that objects are cut from, in lists through their own headers. A storage file.

use crate::tip::Gap;
use core::cell::Cell;
use core::ptr::NonNull;
use pool_core::{Run, poison};

/// At the **low** end of each chunk's run, so that no object begins where a run begins; see
/// [`Tip::is_last`](crate::tip::Tip::is_last).
#[repr(C, align(16))]
struct Header {
    run: Run,
    next: Cell<Option<Chunk>>,
    /// What was free in it when the tip left it; everything, as long as the tip has not been there.
    rest: Cell<Gap>,
}

/// Bytes that a chunk spends on itself.
pub(crate) const HEADER: usize = size_of::<Header>();

/// A live chunk. A copy of the handle must not be used after [`dissolve`](Self::dissolve).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunk(
    /// The start of a run with a header that [`new`](Chunk::new) wrote; provenance for the run.
    NonNull<Header>,
);

impl Chunk {
    /// Makes a chunk of a run.
    ///
    /// # Safety
    /// The run is live, the caller gives up its ownership, and it is longer than [`HEADER`].
    pub(crate) unsafe fn new(run: Run) -> Self {
        debug_assert!(run.len() > HEADER && run.ptr().addr().get() % 4096 == 0);
        // SAFETY: the caller's promise.
        let chunk = unsafe { Self::new_entered(run) };
        chunk.empty();
        chunk
    }

    /// As [`new`](Self::new), for a chunk that the tip enters at once.
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    pub(crate) unsafe fn new_entered(run: Run) -> Self {
        let header = run.ptr().cast::<Header>();
        // SAFETY: the run is at least a page, aligned to it, writable, and ours.
        unsafe { header.write(Header { run, next: Cell::new(None), rest: Cell::new(Gap::EMPTY) }) };
        Self(header)
    }

    fn header(&self) -> &Header {
        // SAFETY: by the type's invariant the header was written and its run is live; it is only
        // changed through its cells.
        unsafe { self.0.as_ref() }
    }

    /// The bytes that objects may use.
    #[inline(always)]
    pub(crate) fn whole(self) -> Gap {
        self.whole_of(self.len())
    }

    /// The same, for who knows the length of its run.
    #[inline(always)]
    pub(crate) fn whole_of(self, len: usize) -> Gap {
        // SAFETY: the run is longer than a header.
        let low = unsafe { self.0.add(1) }.cast();
        Gap { low, len: len - HEADER }
    }

    /// How many bytes objects may use.
    pub(crate) fn capacity(self) -> usize {
        self.len() - HEADER
    }

    /// Bytes of its run.
    pub(crate) fn len(self) -> usize {
        self.header().run.len()
    }

    pub(crate) fn next(self) -> Option<Self> {
        self.header().next.get()
    }

    /// What the tip left free.
    pub(crate) fn rest(self) -> Gap {
        self.header().rest.get()
    }

    /// No object is left in it.
    pub(crate) fn empty(self) {
        let whole = self.whole();
        poison::forbid(whole.low.as_ptr(), whole.len);
        self.set_rest(whole);
    }

    /// The tip leaves this chunk with `rest` free, or has not been there.
    pub(crate) fn set_rest(self, rest: Gap) {
        self.header().rest.set(rest);
    }

    /// Overwrites all that objects may use with zeros.
    ///
    /// # Safety
    /// No object in it is used any more.
    #[cold]
    pub(crate) unsafe fn zero(self) {
        let Gap { low, len } = self.whole();
        // SAFETY: the bytes lie in the live run, behind the header, and nobody uses them.
        unsafe { wipe(low, len) };
    }

    /// The run again.
    ///
    /// # Safety
    /// The chunk is in no list, no object in it is used any more, and no copy of this handle is
    /// used after this.
    pub(crate) unsafe fn dissolve(self) -> Run {
        let Gap { low, len } = self.whole();
        poison::allow(low.as_ptr(), len);
        // SAFETY: the header is live, and moved out of once, as the caller promises.
        unsafe { self.0.read() }.run
    }
}

/// Overwrites `len` bytes with zeros.
///
/// # Safety
/// They are an arena's, live and writable, and nobody uses what they contain.
#[cold]
pub(crate) unsafe fn wipe(start: NonNull<u8>, len: usize) {
    poison::allow(start.as_ptr(), len);
    // SAFETY: the caller's promise.
    unsafe { start.write_bytes(0, len) };
    // Though nobody looks at them from here.
    core::hint::black_box(start);
    poison::forbid(start.as_ptr(), len);
}

/// A list of chunks, newest first. It owns them; whoever drops it has emptied it before.
pub(crate) struct Chunks {
    head: Cell<Option<Chunk>>,
}

impl Chunks {
    pub(crate) const fn new() -> Self {
        Self { head: Cell::new(None) }
    }

    pub(crate) fn head(&self) -> Option<Chunk> {
        self.head.get()
    }

    pub(crate) fn push(&self, chunk: Chunk) {
        chunk.header().next.set(self.head.get());
        self.head.set(Some(chunk));
    }

    /// As [`push`](Self::push), into a list that is empty, a chunk that is in none.
    #[inline(always)]
    pub(crate) fn push_first(&self, chunk: Chunk) {
        debug_assert!(self.head.get().is_none() && chunk.next().is_none());
        self.head.set(Some(chunk));
    }

    pub(crate) fn pop(&self) -> Option<Chunk> {
        let chunk = self.head.get()?;
        self.head.set(chunk.next());
        Some(chunk)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Chunk> {
        core::iter::successors(self.head.get(), |chunk| chunk.next())
    }
}

/// How many spare chunks are looked at for one that is long enough.
const LOOKS: usize = 16;

/// Chunks without objects, newest first, and how long they are together. It owns them; whoever drops
/// it has emptied it before.
pub(crate) struct Spare {
    chunks: Chunks,
    bytes: Cell<usize>,
}

impl Spare {
    pub(crate) const fn new() -> Self {
        Self { chunks: Chunks::new(), bytes: Cell::new(0) }
    }

    /// Bytes of all their runs.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.get()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.head().is_none()
    }

    pub(crate) fn head(&self) -> Option<Chunk> {
        self.chunks.head()
    }

    pub(crate) fn push(&self, chunk: Chunk) {
        self.bytes.set(self.bytes.get() + chunk.len());
        self.chunks.push(chunk);
    }

    pub(crate) fn pop(&self) -> Option<Chunk> {
        let chunk = self.chunks.pop()?;
        self.bytes.set(self.bytes.get() - chunk.len());
        Some(chunk)
    }

    /// Takes one of the first chunks out that has room for `need` bytes and a run of at most `most`.
    pub(crate) fn take_fitting(&self, need: usize, most: usize) -> Option<Chunk> {
        let mut link = &self.chunks.head;
        for _ in 0..LOOKS {
            let chunk = link.get()?;
            if chunk.capacity() >= need && chunk.len() <= most {
                link.set(chunk.next());
                self.bytes.set(self.bytes.get() - chunk.len());
                return Some(chunk);
            }
            // SAFETY: a chunk in a list is live, and stays so as long as `self` is borrowed here:
            // nothing in this loop dissolves one.
            link = &unsafe { chunk.0.as_ref() }.next;
        }
        None
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Chunk> {
        self.chunks.iter()
    }
}
