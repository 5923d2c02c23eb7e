//! Large objects: each in a run of its own, in a list that any of them leaves in O(1). A storage
//! file.
//!
//! nginx keeps a list of large blocks beside its pool and frees one by walking it. Here the node
//! stands at a fixed distance before the object, so that no walk is needed.

use core::alloc::Layout;
use core::cell::Cell;
use core::ptr::NonNull;
use pool_core::{Request, Run};

/// At the low end of a large object's run.
#[repr(C, align(16))]
struct Header {
    run: Run,
    next: Cell<Option<Large>>,
    prev: Cell<Option<Large>>,
    /// Higher than that of any older object in the same list.
    serial: u64,
}

/// Bytes from the start of the run to the object: a power of two.
const fn offset(align: usize) -> usize {
    const LEAST: usize = size_of::<Header>().next_power_of_two();
    if align > LEAST { align } else { LEAST }
}

/// A live large object. A copy of the handle must not be used after
/// [`remove`](LargeList::remove).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Large(
    /// The start of a run with a header that [`push`](LargeList::push) wrote; provenance for the
    /// run.
    NonNull<Header>,
);

impl Large {
    /// What to ask the source for. `None` if it is more than any object may have.
    pub(crate) fn request(layout: Layout) -> Option<Request> {
        let len = offset(layout.align()).checked_add(layout.size())?;
        Some(Request::new(len).align(layout.align()))
    }

    /// The large object at `object`.
    ///
    /// # Safety
    /// [`LargeList::push`] returned the pointer for an alignment of `align`, the object has not
    /// been removed, and the pointer still has provenance for its run.
    pub(crate) unsafe fn of(object: NonNull<u8>, align: usize) -> Self {
        // SAFETY: the object stands so many bytes behind the start of its run.
        Self(unsafe { object.sub(offset(align)) }.cast())
    }

    /// Whether a large object with this alignment could stand at this address: every one stands at
    /// the same distance from the start of a page. Whatever else may be as long as a large object
    /// must not stand there.
    #[inline(always)]
    pub(crate) fn could_be(object: NonNull<u8>, align: usize) -> bool {
        const PAGE: usize = 4 << 10;
        object.addr().get() % PAGE == offset(align) % PAGE
    }

    fn header(&self) -> &Header {
        // SAFETY: by the type's invariant the header was written and its run is live; it is only
        // changed through its cells.
        unsafe { self.0.as_ref() }
    }

    /// Bytes of its run.
    pub(crate) fn len(self) -> usize {
        self.header().run.len()
    }

    /// Bytes that an object with this alignment may have here.
    #[cfg(any(feature = "allocator-api2", feature = "allocator-api2-04"))]
    pub(crate) fn capacity(self, align: usize) -> usize {
        self.len() - offset(align)
    }

    /// See [`Header::serial`].
    pub(crate) fn serial(self) -> u64 {
        self.header().serial
    }

    /// All bytes behind the header.
    pub(crate) fn bytes(self) -> NonNull<[u8]> {
        // SAFETY: the run is longer than a header.
        let start = unsafe { self.0.add(1) }.cast();
        NonNull::slice_from_raw_parts(start, self.len() - size_of::<Header>())
    }

    /// Overwrites the object with zeros.
    ///
    /// # Safety
    /// Nobody uses it any more.
    #[cold]
    pub(crate) unsafe fn zero(self) {
        let bytes = self.bytes();
        // SAFETY: the bytes lie in the live run, behind the header, and nobody uses them.
        unsafe { bytes.cast::<u8>().write_bytes(0, bytes.len()) };
        core::hint::black_box(bytes);
    }
}

/// The large objects of an arena, newest first. It owns them; whoever drops it has emptied it
/// before.
pub(crate) struct LargeList {
    head: Cell<Option<Large>>,
    /// The serial of the next object.
    next: Cell<u64>,
}

impl LargeList {
    pub(crate) const fn new() -> Self {
        Self { head: Cell::new(None), next: Cell::new(0) }
    }

    pub(crate) fn head(&self) -> Option<Large> {
        self.head.get()
    }

    /// The serial of the next object: all that live now have lower ones.
    pub(crate) fn next_serial(&self) -> u64 {
        self.next.get()
    }

    /// Puts an object into `run` and into the list; returns its address.
    ///
    /// # Safety
    /// The run is live, the caller gives up its ownership, and it is at least what
    /// [`Large::request`] says for `align`.
    pub(crate) unsafe fn push(&self, run: Run, align: usize) -> NonNull<u8> {
        let start = run.ptr();
        let head = self.head.get();
        let large = Large(start.cast());
        let serial = self.next.get();
        self.next.set(serial + 1);
        let header = Header { run, next: Cell::new(head), prev: Cell::new(None), serial };
        // SAFETY: the run is at least a page, aligned to it, writable, and ours.
        unsafe { large.0.write(header) };
        if let Some(head) = head {
            head.header().prev.set(Some(large));
        }
        self.head.set(Some(large));
        // SAFETY: the run is at least that long, as the caller promises.
        unsafe { start.add(offset(align)) }
    }

    /// Takes an object out of the list; its run again.
    ///
    /// # Safety
    /// The object is in this list and not used any more, and no copy of the handle is used after
    /// this.
    pub(crate) unsafe fn remove(&self, large: Large) -> Run {
        // SAFETY: the header is live, and moved out of once, as the caller promises.
        let header = unsafe { large.0.read() };
        let (next, prev) = (header.next.get(), header.prev.get());
        match prev {
            Some(prev) => prev.header().next.set(next),
            None => self.head.set(next),
        }
        if let Some(next) = next {
            next.header().prev.set(prev);
        }
        header.run
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Large> {
        core::iter::successors(self.head.get(), |large| large.header().next.get())
    }
}
