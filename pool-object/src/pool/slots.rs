//! Slots: memory for objects that never move, in spans that are given back when they are empty. A
//! storage file.

use core::cell::Cell;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use pool_core::{PageError, PageSource, Request, Run};

/// A slot: an object, or a vacant slot's link to the next in its span.
#[repr(C)]
union Slot<T> {
    value: ManuallyDrop<T>,
    next: Option<NonNull<Slot<T>>>,
}

/// At the low end of a run that is aligned to `Slots::LEN`, so that a slot finds it by a mask.
#[repr(C)]
struct Span<T> {
    /// The run that this is in.
    run: Run,
    next: Cell<Option<NonNull<Span<T>>>>,
    prev: Cell<Option<NonNull<Span<T>>>>,
    /// The first of the vacant slots that were taken before; each is linked to the next.
    free: Cell<Option<NonNull<Slot<T>>>>,
    /// Slots from this one on have never been taken.
    fresh: Cell<usize>,
    /// Slots that are taken.
    taken: Cell<usize>,
}

/// A list of spans.
struct List<T>(Cell<Option<NonNull<Span<T>>>>);

/// Slots of one type. Every span is in one of the two lists: in `open` if it has a vacant slot, else
/// in `full`. All its methods are for one thread at a time; none runs foreign code but the source's.
///
/// Whoever has it gives all spans back by `release` before it goes.
pub(crate) struct Slots<T> {
    open: List<T>,
    full: List<T>,
}

impl<T> List<T> {
    const fn new() -> Self {
        Self(Cell::new(None))
    }

    /// Puts a span in front.
    ///
    /// # Safety
    /// The span is live, and in no list.
    unsafe fn push(&self, span: NonNull<Span<T>>) {
        // SAFETY: live; it is only changed through its cells.
        let header = unsafe { span.as_ref() };
        header.prev.set(None);
        header.next.set(self.0.replace(Some(span)));
        if let Some(next) = header.next.get() {
            // SAFETY: spans in a list are live.
            unsafe { next.as_ref() }.prev.set(Some(span));
        }
    }

    /// Takes a span out.
    ///
    /// # Safety
    /// The span is live, and in this list.
    unsafe fn unlink(&self, span: NonNull<Span<T>>) {
        // SAFETY: live; it is only changed through its cells.
        let header = unsafe { span.as_ref() };
        match header.prev.get() {
            // SAFETY: spans in a list are live.
            Some(prev) => unsafe { prev.as_ref() }.next.set(header.next.get()),
            None => self.0.set(header.next.get()),
        }
        if let Some(next) = header.next.get() {
            // SAFETY: as above.
            unsafe { next.as_ref() }.prev.set(header.prev.get());
        }
    }
}

impl<T> Slots<T> {
    /// Bytes of a span, a power of two: 64 KiB, or eight slots' if those are longer, of which the header
    /// takes one or part of one. Fails to compile
    /// if an object has more than a sixteenth of the bytes that there may be.
    const LEN: usize = {
        let wanted = match size_of::<Slot<T>>().checked_mul(8) {
            Some(bytes) if bytes < isize::MAX as usize / 2 => bytes.next_power_of_two(),
            _ => panic!("objects of a pool have at most a sixteenth of isize::MAX bytes"),
        };
        if wanted < 64 << 10 { 64 << 10 } else { wanted }
    };
    /// Where the first slot is, in bytes from the start of the span.
    const FIRST: usize = size_of::<Span<T>>().next_multiple_of(align_of::<Slot<T>>());
    /// Slots in a span.
    const COUNT: usize = (Self::LEN - Self::FIRST) / size_of::<Slot<T>>();

    pub(crate) const fn new() -> Self {
        Self { open: List::new(), full: List::new() }
    }

    /// Makes sure that a slot is vacant.
    pub(crate) fn reserve(&self, source: &impl PageSource) -> Result<(), PageError> {
        if self.open.0.get().is_none() {
            self.add(source)?;
        }
        Ok(())
    }

    /// Takes a vacant slot.
    pub(crate) fn take(&self, source: &impl PageSource) -> Result<NonNull<T>, PageError> {
        let span = match self.open.0.get() {
            Some(span) => span,
            None => self.add(source)?,
        };
        // SAFETY: spans in a list are live; it is only changed through its cells.
        let header = unsafe { span.as_ref() };
        let slot = match header.free.get() {
            Some(slot) => {
                // SAFETY: a vacant slot that was taken before holds its link.
                header.free.set(unsafe { slot.cast::<Option<NonNull<Slot<T>>>>().read() });
                slot
            }
            // SAFETY: an open span without such slots has a fresh one.
            None => unsafe { Self::carve(span) },
        };
        header.taken.set(header.taken.get() + 1);
        if header.taken.get() == Self::COUNT {
            // SAFETY: live, and until now it was in this list.
            unsafe { self.open.unlink(span) };
            // SAFETY: live, and now it is in none.
            unsafe { self.full.push(span) };
        }
        Ok(slot.cast())
    }

    /// The first fresh slot of a span.
    ///
    /// # Safety
    /// The span is live and has one.
    unsafe fn carve(span: NonNull<Span<T>>) -> NonNull<Slot<T>> {
        // SAFETY: live; it is only changed through its cells.
        let header = unsafe { span.as_ref() };
        let number = header.fresh.get();
        header.fresh.set(number + 1);
        // SAFETY: within the run, which is `LEN` long.
        let first = unsafe { span.byte_add(Self::FIRST) }.cast::<Slot<T>>();
        // SAFETY: a span has `COUNT` slots, of which this is one.
        unsafe { first.add(number) }
    }

    /// Takes a slot back.
    ///
    /// # Safety
    /// `take` gave it out, it has not come back since, and there is no object in it any more.
    pub(crate) unsafe fn give(&self, slot: NonNull<T>) {
        let slot = slot.cast::<Slot<T>>();
        // The pointer has provenance for the whole run, as `carve` made it.
        let span = slot.as_ptr().map_addr(|address| address & !(Self::LEN - 1)).cast::<Span<T>>();
        // SAFETY: a slot's address is above that of its span, which is not null.
        let span = unsafe { NonNull::new_unchecked(span) };
        // SAFETY: a span with a taken slot is live; it is only changed through its cells.
        let header = unsafe { span.as_ref() };
        // SAFETY: a slot without an object is free to be written, and has room for a link.
        unsafe { slot.cast().write(header.free.get()) };
        header.free.set(Some(slot));
        if header.taken.get() == Self::COUNT {
            // SAFETY: live, and full until now.
            unsafe { self.full.unlink(span) };
            // SAFETY: live, and now in no list.
            unsafe { self.open.push(span) };
        }
        header.taken.set(header.taken.get() - 1);
    }

    /// One more span, in front of `open`.
    #[cold]
    fn add(&self, source: &impl PageSource) -> Result<NonNull<Span<T>>, PageError> {
        let run = source.acquire(Request::new(Self::LEN).align(Self::LEN))?;
        let span = run.ptr().cast::<Span<T>>();
        let header = Span {
            run,
            next: Cell::new(None),
            prev: Cell::new(None),
            free: Cell::new(None),
            fresh: Cell::new(0),
            taken: Cell::new(0),
        };
        // SAFETY: the run is long enough, aligned to its length, and nobody else's.
        unsafe { span.write(header) };
        // SAFETY: live, and in no list.
        unsafe { self.open.push(span) };
        Ok(span)
    }

    /// Gives empty spans back; their bytes.
    ///
    /// # Safety
    /// `source` is the one that every `take` and `reserve` was given.
    pub(crate) unsafe fn trim(&self, source: &impl PageSource) -> usize {
        let (mut bytes, mut next) = (0, self.open.0.get());
        while let Some(span) = next {
            // SAFETY: spans in a list are live.
            let header = unsafe { span.as_ref() };
            next = header.next.get();
            if header.taken.get() == 0 {
                // SAFETY: live, and in this list.
                unsafe { self.open.unlink(span) };
                // SAFETY: in no list any more, its slots are vacant, and the source is its own.
                bytes += unsafe { Self::close(span, source) };
            }
        }
        bytes
    }

    /// Gives all spans back, with whatever is in them; nothing is dropped.
    ///
    /// # Safety
    /// As `trim`, and no slot that was given out is used any more, nor given back.
    pub(crate) unsafe fn release(&self, source: &impl PageSource) {
        for list in [&self.open, &self.full] {
            let mut next = list.0.take();
            while let Some(span) = next {
                // SAFETY: spans in a list are live.
                next = unsafe { span.as_ref() }.next.get();
                // SAFETY: the list has forgotten it, nobody uses its slots, and the source is its own.
                unsafe { Self::close(span, source) };
            }
        }
    }

    /// # Safety
    /// The span is live, in no list, its slots are not used, and it came from `source`.
    unsafe fn close(span: NonNull<Span<T>>, source: &impl PageSource) -> usize {
        // SAFETY: live, and its header is not looked at after this.
        let Span { run, .. } = unsafe { span.read() };
        let bytes = run.len();
        // SAFETY: acquired from this source, whole, and used by nobody.
        unsafe { source.release(run) };
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pool_core::{Failing, Heap, PageSource};

    /// Takes and gives in a scrambled order; every slot is disjoint from the others.
    fn scramble<T>() {
        let source = Heap::new().counted();
        let slots = Slots::<T>::new();
        let mut out = Vec::new();
        let mut seed = 1u32;
        for step in 0..if cfg!(miri) { 200 } else { 20_000 } {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if out.is_empty() || (seed >> 16) % 5 > (step / 5000) % 4 {
                let slot = slots.take(&source).unwrap();
                assert!(slot.is_aligned());
                out.push(slot);
            } else {
                let slot = out.swap_remove(seed as usize % out.len());
                // SAFETY: taken above, and given once.
                unsafe { slots.give(slot) };
            }
        }
        let mut addresses: Vec<usize> = out.iter().map(|slot| slot.addr().get()).collect();
        addresses.sort_unstable();
        let apart = size_of::<Slot<T>>();
        assert!(addresses.windows(2).all(|pair| pair[1] - pair[0] >= apart));
        for slot in out.drain(..) {
            // SAFETY: taken above, and given once.
            unsafe { slots.give(slot) };
        }
        // SAFETY: there was one source only.
        assert!(unsafe { slots.trim(&source) } > 0);
        assert_eq!(source.traffic().live_bytes, 0);
    }

    #[repr(align(4096))]
    struct Page;
    struct Long(#[allow(dead_code, reason = "for its size")] [u8; 20_000]);

    #[test]
    fn slots_are_disjoint_and_spans_go_back() {
        scramble::<()>();
        scramble::<u8>();
        scramble::<[u64; 32]>();
        scramble::<Page>();
        scramble::<Long>();
    }

    #[test]
    fn a_refusal_changes_nothing() {
        let source = Failing::nth(Heap::new().counted(), 1);
        let slots = Slots::<Long>::new();
        let mut taken = 0;
        while slots.take(&source).is_ok() {
            taken += 1;
        }
        assert_eq!(taken, Slots::<Long>::COUNT);
        slots.take(&source).unwrap();
        // SAFETY: one source, and the slots are not used.
        unsafe { slots.release(&source) };
        assert_eq!(source.inner().traffic().live_bytes, 0);
    }
}
