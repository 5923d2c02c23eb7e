//! Chunks of a `SyncArena`: runs that all threads cut objects from, in lists that grow by
//! compare-exchange. A storage file.

use crate::sync::atomic::{
    AtomicPtr, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use crate::sync::{Witness, const_unless_loom};
use crate::tip::MIN_ALIGN;
use core::alloc::Layout;
use core::ptr::{self, NonNull};
use pool_core::{Request, Run};

/// The least alignment and length that every run has.
pub(super) const PAGE: usize = 4 << 10;

/// At the low end of each run. A cache line of its own: all threads write to `room`, and should
/// not disturb those who use the objects beside it.
#[repr(C, align(64))]
pub(super) struct Header {
    /// Bytes free, from the header's end on; a multiple of [`MIN_ALIGN`], at most
    /// [`capacity`](Chunk::capacity). While the arena is shared it only goes down, each time by
    /// compare-exchange from what it was, so the bytes between the two values belong to whoever did
    /// that.
    ///
    /// `fetch_sub` would be one instruction less, and wrong: threads that fail would still
    /// subtract, and enough of them wrap the number around before the first has noticed.
    room: AtomicUsize,
    /// The next older one in the list. Written before the chunk is published, then by `&mut` only.
    next: Link,
    /// Written once, before the chunk is published.
    run: Run,
    witness: Witness,
}

/// Bytes that a chunk spends on itself.
pub(super) const HEADER: usize = size_of::<Header>();

/// What is left of `room` free bytes from the address `low` on, a multiple of [`MIN_ALIGN`] like
/// `room`, when `layout` is cut off at their upper end. It begins there. `None` if it does not fit.
#[inline(always)]
fn cut(low: usize, room: usize, layout: Layout) -> Option<usize> {
    // No layout has more than `isize::MAX` bytes, so this does not overflow.
    let size = (layout.size() + (MIN_ALIGN - 1)) & !(MIN_ALIGN - 1);
    // `room` is at most `isize::MAX`, and `size` at most one more, so the difference is right as a
    // signed number.
    let rest = room.wrapping_sub(size);
    if (rest as isize) < 0 {
        return None;
    }
    if layout.align() <= MIN_ALIGN {
        return Some(rest);
    }
    rest.checked_sub((low + rest) & (layout.align() - 1))
}

/// Bytes from the start of a large object's run to the object.
fn offset(align: usize) -> usize {
    // Both are powers of two or small: no overflow below `isize::MAX`.
    HEADER.next_multiple_of(align)
}

/// What to ask a source for, for a large object. `None` if it is more than any object may have.
pub(super) fn request_large(layout: Layout) -> Option<Request> {
    let len = offset(layout.align()).checked_add(layout.size())?;
    Some(Request::new(len).align(layout.align()))
}

/// A live chunk. A copy of the handle must not be used after [`dissolve`](Self::dissolve).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk(
    /// The start of a run with a header that [`new`](Chunk::new) wrote; provenance for the run.
    NonNull<Header>,
);

impl Chunk {
    /// Makes a chunk of a run, with all of it free.
    ///
    /// # Safety
    /// The run is live, the caller gives up its ownership, and it is longer than [`HEADER`].
    pub(super) unsafe fn new(run: Run) -> Self {
        debug_assert!(run.len() > HEADER && run.ptr().addr().get() % PAGE == 0);
        let header = run.ptr().cast::<Header>();
        let room = AtomicUsize::new(run.len() - HEADER);
        let fields = Header { room, next: Link::empty(), run, witness: Witness::new() };
        // SAFETY: the run is at least a page, aligned to it, writable, and ours.
        unsafe { header.write(fields) };
        Self(header)
    }

    /// Makes a chunk of a run for one large object of this alignment; the object's place.
    ///
    /// # Safety
    /// As [`new`](Self::new), and the run is at least what [`request_large`] says.
    pub(super) unsafe fn new_large(run: Run, align: usize) -> (Self, NonNull<u8>) {
        let start = run.ptr();
        // SAFETY: the caller's promise.
        let chunk = unsafe { Self::new(run) };
        chunk.header().room.store(0, Relaxed);
        // SAFETY: the run is at least that long, as the caller promises.
        (chunk, unsafe { start.add(offset(align)) })
    }

    #[inline(always)]
    fn header(&self) -> &Header {
        // SAFETY: by the type's invariant the header was written and its run is live. Whoever has
        // the handle made it, or read it from a `Link` that its maker stored it in with `Release`.
        // It is only changed through its atomics.
        let header = unsafe { self.0.as_ref() };
        header.witness.look();
        header
    }

    /// The first byte that objects may use.
    #[inline(always)]
    fn low(self) -> NonNull<u8> {
        // SAFETY: the run is longer than a header.
        unsafe { self.0.add(1) }.cast()
    }

    /// Cuts a place off: `layout.size()` bytes, aligned, that nobody else has or gets as long as
    /// the arena is shared. `None` if it does not fit.
    ///
    /// Lock-free: it goes round again only if another thread got a place meanwhile.
    #[inline(always)]
    pub(super) fn take(self, layout: Layout) -> Option<NonNull<u8>> {
        let (room, low) = (&self.header().room, self.low());
        // Relaxed: bytes pass through it from nobody to somebody only, never from one object to the
        // next, so nothing was written to them that needs order. (`reset` has `&mut`.)
        let mut seen = room.load(Relaxed);
        loop {
            let rest = cut(low.addr().get(), seen, layout)?;
            match room.compare_exchange_weak(seen, rest, Relaxed, Relaxed) {
                // SAFETY: `rest` is at most `capacity`, so it stays within the run.
                Ok(_) => return Some(unsafe { low.add(rest) }),
                Err(now) => seen = now,
            }
        }
    }

    /// Bytes free.
    pub(super) fn room(self) -> usize {
        self.header().room.load(Relaxed)
    }

    /// How many bytes objects may use.
    pub(super) fn capacity(self) -> usize {
        self.len() - HEADER
    }

    /// Bytes of its run.
    pub(super) fn len(self) -> usize {
        self.header().run.len()
    }

    /// The next older one in its list.
    pub(super) fn next(self) -> Option<Self> {
        self.header().next.get()
    }

    /// Changes the next one.
    ///
    /// # Safety
    /// Nobody else uses the list: the chunk is not published, or the caller has `&mut`.
    unsafe fn set_next(self, next: Option<Self>) {
        self.header().next.set(next);
    }

    /// What is not free.
    pub(super) fn used(self) -> NonNull<[u8]> {
        let room = self.room();
        // SAFETY: `room` is at most `capacity`, so it stays within the run.
        let start = unsafe { self.low().add(room) };
        NonNull::slice_from_raw_parts(start, self.capacity() - room)
    }

    /// Makes it empty, overwriting what was used with zeros if `zero` says so.
    ///
    /// # Safety
    /// No object in it is used any more, and no other thread has the chunk.
    pub(super) unsafe fn clear(self, zero: bool) {
        if zero {
            let used = self.used();
            // SAFETY: the bytes lie in the live run, behind the header, and nobody uses them.
            unsafe { used.cast::<u8>().write_bytes(0, used.len()) };
            core::hint::black_box(used);
        }
        self.header().room.store(self.capacity(), Relaxed);
    }

    /// The run again.
    ///
    /// # Safety
    /// The chunk is in no list, no object in it is used any more, and no copy of this handle is
    /// used after this.
    pub(super) unsafe fn dissolve(self) -> Run {
        // SAFETY: the header is live, and moved out of once, as the caller promises.
        unsafe { self.0.read() }.run
    }
}

/// A chunk or none, and with it those that follow it.
pub(super) struct Link(
    /// Null, or the pointer of a [`Chunk`] that stays live as long as this link is in use.
    AtomicPtr<Header>,
);

/// The pointer that stands for it in a [`Link`].
#[inline(always)]
fn raw(chunk: Option<Chunk>) -> *mut Header {
    chunk.map_or(ptr::null_mut(), |chunk| chunk.0.as_ptr())
}

impl Link {
    const_unless_loom! {
        pub(super) fn empty() -> Self {
            Self(AtomicPtr::new(ptr::null_mut()))
        }
    }

    /// The chunk. `Acquire` pairs with the `Release` of [`replace`](Self::replace) and
    /// [`push`](Self::push): its header, and those behind it, are there to be read.
    #[inline(always)]
    pub(super) fn get(&self) -> Option<Chunk> {
        NonNull::new(self.0.load(Acquire)).map(Chunk)
    }

    /// Sets it.
    pub(super) fn set(&self, chunk: Option<Chunk>) {
        self.0.store(raw(chunk), Release);
    }

    /// Replaces `from` by `to`, or fails with what is there. May also fail for no reason.
    pub(super) fn replace(
        &self,
        from: Option<Chunk>,
        to: Option<Chunk>,
    ) -> Result<(), Option<Chunk>> {
        match self.0.compare_exchange_weak(raw(from), raw(to), Release, Acquire) {
            Ok(_) => Ok(()),
            Err(now) => Err(NonNull::new(now).map(Chunk)),
        }
    }

    /// Puts a chunk before all others.
    ///
    /// # Safety
    /// It is in no list, and nobody else has it.
    pub(super) unsafe fn push(&self, chunk: Chunk) {
        let mut head = self.get();
        loop {
            // SAFETY: not published yet.
            unsafe { chunk.set_next(head) };
            match self.replace(head, Some(chunk)) {
                Ok(()) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Takes the first chunk out.
    ///
    /// # Safety
    /// Nobody else uses the list.
    pub(super) unsafe fn pop(&self) -> Option<Chunk> {
        let chunk = self.get()?;
        self.set(chunk.next());
        Some(chunk)
    }

    /// Puts a chunk where it belongs in a list that is sorted, longest first.
    ///
    /// # Safety
    /// As [`push`](Self::push), and nobody else uses the list.
    pub(super) unsafe fn insert(&self, chunk: Chunk) {
        let (mut link, len) = (self, chunk.len());
        while let Some(longer) = link.get().filter(|other| other.len() > len) {
            // SAFETY: a chunk in a list is live, and stays so here: nothing dissolves one.
            link = &unsafe { longer.0.as_ref() }.next;
        }
        // SAFETY: nobody else uses the list.
        unsafe { chunk.set_next(link.get()) };
        link.set(Some(chunk));
    }

    /// The chunks, newest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = Chunk> + use<> {
        core::iter::successors(self.get(), |chunk| chunk.next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::need;

    #[test]
    fn every_cut_is_aligned_and_no_larger_than_needed() {
        let step = if cfg!(miri) { 40 } else { 8 };
        for low in (4096usize..4096 + 128).step_by(step) {
            for room in (0..=200).step_by(step) {
                for size in 0..=208 {
                    for align in [1, 2, 4, 8, 16, 32, 64, 128] {
                        let layout = Layout::from_size_align(size, align).unwrap();
                        let highest = (low + room).wrapping_sub(size) & !(align.max(8) - 1);
                        let expected = (size <= room && highest >= low).then(|| highest - low);
                        assert_eq!(cut(low, room, layout), expected, "{low} {room} {layout:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn no_cut_wraps() {
        let most = isize::MAX as usize;
        for size in [most, most - 6, most - 7, most - 8] {
            let layout = Layout::from_size_align(size, 1).unwrap();
            for room in [0, 8, 4096, 1 << 20] {
                assert_eq!(cut(4096, room, layout), None);
            }
        }
        let layout = Layout::from_size_align(1, 1 << (usize::BITS - 2)).unwrap();
        assert_eq!(cut(4096, 1 << 20, layout), None);
        assert!(need(layout).is_some());
        let layout = Layout::from_size_align(most & !4095, 4096).unwrap();
        assert_eq!(need(layout), Some(most & !4095));
    }
}
