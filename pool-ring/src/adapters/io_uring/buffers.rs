//! `Buffers`: equal buffers on one run, lent to the kernel by a ring of entries on another.

use core::sync::atomic::{AtomicU16, Ordering};
use io_uring::types::BufRingEntry;
use pool_core::{PageError, PageSource, Pages, Request};

/// Buffers that the kernel takes one after another, and that come back by [`give`](Self::give).
pub(super) struct Buffers<S: PageSource> {
    /// `count` entries; the kernel reads them. The tail stands in a field of the first one.
    entries: Pages<S>,
    /// `count` buffers of `len` bytes. Each is the kernel's, which may write it at any time, or, between
    /// a completion that names it and `give`, ours.
    slab: Pages<S>,
    /// A power of two.
    count: u16,
    len: u32,
    /// Entries ever given, modulo 2^16.
    tail: u16,
}

impl<S: PageSource + Clone> Buffers<S> {
    /// `count` buffers, a power of two, of `len` bytes; none of them is the kernel's yet.
    pub(super) fn new(source: &S, count: u16, len: u32) -> Result<Self, PageError> {
        let bytes = count as usize * size_of::<BufRingEntry>();
        // The kernel wants whole pages, which read as an empty ring.
        let request = Request::new(bytes).align(source.granule().max(4096)).zeroed();
        let entries = Pages::new(source.clone(), request)?;
        let slab = (count as usize).saturating_mul(len as usize);
        let slab = Pages::new(source.clone(), Request::new(slab))?;
        Ok(Self { entries, slab, count, len, tail: 0 })
    }

    /// Where the entries stand, as the kernel is told.
    pub(super) fn address(&self) -> u64 {
        self.entries.as_ptr().as_ptr().expose_provenance() as u64
    }

    pub(super) const fn count(&self) -> u16 {
        self.count
    }

    /// Gives a buffer to the kernel.
    ///
    /// # Safety
    /// It is one of the `count`, it is not the kernel's, and nothing borrowed of it is alive. `self` outlives what the
    /// kernel does with it.
    pub(super) unsafe fn give(&mut self, buffer: u16) {
        let place = (self.tail & (self.count - 1)) as usize;
        let first = self.entries.as_ptr().cast::<BufRingEntry>();
        // SAFETY: `place` is below `count`, and the run holds so many entries.
        let mut entry = unsafe { first.add(place) };
        // SAFETY: within the run, aligned to its start by entries' size, zeroed or written as an entry, and
        // not read by the kernel, which has taken all up to `tail`.
        let entry = unsafe { entry.as_mut() };
        let start = self.slab.as_ptr().as_ptr().wrapping_add(buffer as usize * self.len as usize);
        entry.set_addr(start.expose_provenance() as u64);
        entry.set_len(self.len);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
        self.publish(first.as_ptr());
    }

    /// Shows the kernel all entries up to `tail`.
    fn publish(&self, first: *mut BufRingEntry) {
        // SAFETY: `first` is the first entry of the ring.
        let tail = unsafe { BufRingEntry::tail(first) };
        // SAFETY: the field lies in the run, is aligned, and is accessed in no other way.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }

    /// The first `len` bytes of a buffer, at most all.
    ///
    /// # Safety
    /// It is one of the `count`, the kernel has filled so many bytes of it, and it is not the kernel's any more.
    pub(super) unsafe fn bytes(&self, buffer: u16, len: usize) -> &[u8] {
        let start = buffer as usize * self.len as usize;
        // SAFETY: within the slab, which holds `count` buffers.
        let start = unsafe { self.slab.as_ptr().add(start) };
        let slice = core::ptr::NonNull::slice_from_raw_parts(start, len.min(self.len as usize));
        // SAFETY: initialised by the kernel and not written before `give`, which takes `&mut self`.
        unsafe { slice.as_ref() }
    }
}
