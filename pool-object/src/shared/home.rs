//! Where a shared heap gets its memory, and how it begins and ends. A storage file.

use super::alloc::SharedAlloc;
use super::central::Central;
use super::ledger::Desk;
use super::registry::{self, Entry, LEDGER, Slot, with_cache};
use super::store::{array_class, most};
use crate::size_class::SizeClass;
use crate::span::Span;
use core::ptr::{self, NonNull};
use core::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use pool_core::{PageError, PageSource, Request, Run};

/// Where a heap's shared half stands: in a run of its own, since a heap may move and this may not.
pub(super) struct Home {
    pub(super) entry: Entry,
    /// The run that this stands in.
    run: Run,
}

impl<S: PageSource> SharedAlloc<S> {
    pub(super) fn refill(&self, slot: Slot, class: SizeClass) -> Result<NonNull<u8>, PageError> {
        let entry = self.entry()?;
        self.open(slot, entry);
        self.lengthen(slot, entry, class);
        let block = loop {
            if let Some(block) = take_central(slot, entry, class) {
                break block;
            }
            if let Err(error) = self.add_span(slot, entry, class) {
                // What idled and was given up for one may have been of this class.
                break take_central(slot, entry, class).ok_or(error)?;
            }
        };
        self.release_excess(&entry.central);
        Ok(block)
    }

    /// The shared half, made if this is the first use.
    #[inline]
    pub(super) fn entry(&self) -> Result<&Entry, PageError> {
        match self.existing() {
            Some(entry) => Ok(entry),
            None => self.init(),
        }
    }

    /// The shared half, if there was a use.
    #[inline]
    pub(super) fn existing(&self) -> Option<&Entry> {
        // SAFETY: what was published stays until the heap is dropped, and is only shared.
        let home = unsafe { self.home.load(Acquire).as_ref() };
        home.map(|home| &home.entry)
    }

    #[cold]
    pub(super) fn init(&self) -> Result<&Entry, PageError> {
        let request = Request::new(size_of::<Home>()).align(align_of::<Home>());
        let run = self.source.acquire(request)?;
        let place: NonNull<Home> = run.ptr().cast();
        let entry = Entry::new(Central::new(self.limits));
        // SAFETY: the run is ours, long enough and aligned.
        unsafe { place.write(Home { entry, run }) };
        match self.home.compare_exchange(ptr::null_mut(), place.as_ptr(), AcqRel, Acquire) {
            Ok(_) => {
                // SAFETY: written above; it stays until the heap is dropped.
                let entry = unsafe { &place.as_ref().entry };
                // SAFETY: it does not move, and is removed before it goes; `process` says that this is
                // the one heap of that slot.
                let slot = unsafe { registry::add(entry, self.process) };
                self.slot.store(slot.offset(), Release);
                Ok(entry)
            }
            Err(first) => {
                // SAFETY: written above, seen by nobody else, and not used again.
                let Home { run, .. } = unsafe { place.read() };
                // SAFETY: acquired above, released once.
                unsafe { self.source.release(run) };
                // SAFETY: published by another call of this function, so as above.
                Ok(unsafe { &(*first).entry })
            }
        }
    }

    /// Opens this thread's cache if that can be done. Whoever finds it closed goes without.
    #[inline]
    pub(super) fn open(&self, slot: Slot, entry: &Entry) {
        let closed = with_cache(slot, |cache| cache.ledger().is_none());
        if closed && registry::may_open(slot) {
            self.open_now(slot, entry);
        }
    }

    #[cold]
    pub(super) fn open_now(&self, slot: Slot, entry: &Entry) {
        let Some(block) = self.take_own(entry, LEDGER) else { return };
        // SAFETY: a block of that class, taken above; the cache is closed, as the caller has seen.
        if let Err(block) = unsafe { registry::open(entry, slot, block) } {
            // SAFETY: the same block, and nobody has it.
            unsafe { entry.central.give_own(LEDGER, block) };
        }
    }

    /// A block for the heap itself, if there is memory. Nobody gives anything back for it: the heap does
    /// without.
    fn take_own(&self, entry: &Entry, class: SizeClass) -> Option<NonNull<u8>> {
        let central = &entry.central;
        loop {
            if let Some(block) = central.take_own(class) {
                return Some(block);
            }
            let span = match central.take_spare(class) {
                Some(span) => span,
                None => {
                    if !central.may_ask() {
                        return None;
                    }
                    let request = Request::new(class.span_len()).align(class.span_len());
                    let run =
                        self.source.acquire(request).inspect_err(|_| central.refused()).ok()?;
                    // SAFETY: just acquired, as long and aligned as asked.
                    unsafe { central.new_span(run, class) }
                }
            };
            central.add_span(class, span);
        }
    }

    /// Gives this thread's magazine of a class a longer array, if it wants one and there is memory.
    fn lengthen(&self, slot: Slot, entry: &Entry, class: SizeClass) {
        let central = &entry.central;
        let wants = |cache: &_| Desk::of(cache, central)?.wants_places(class);
        let Some(places) = with_cache(slot, wants) else { return };
        let Some(block) = self.take_own(entry, array_class(places)) else { return };
        with_cache(slot, |cache| match Desk::of(cache, central) {
            // SAFETY: a block of the heap's own, of that class, taken above.
            Some(desk) => unsafe { desk.lengthen(class, places, block) },
            // SAFETY: as above.
            None => unsafe { central.give_own(array_class(places), block) },
        });
    }

    /// Gives a depot that was too small another page, if there is memory.
    fn add_page(&self, entry: &Entry, class: SizeClass) {
        if let Some(block) = self.take_own(entry, array_class(most(class))) {
            // SAFETY: a block of the heap's own, of that class, taken above.
            unsafe { entry.central.add_page(class, block) };
        }
    }

    /// Another span for a class.
    #[cold]
    pub(super) fn add_span(
        &self,
        slot: Slot,
        entry: &Entry,
        class: SizeClass,
    ) -> Result<(), PageError> {
        let central = &entry.central;
        let span = match central.take_spare(class) {
            Some(span) => span,
            None => self.acquire_span(slot, entry, class)?,
        };
        central.add_span(class, span);
        Ok(())
    }

    pub(super) fn acquire_span(
        &self,
        slot: Slot,
        entry: &Entry,
        class: SizeClass,
    ) -> Result<Span, PageError> {
        let request = Request::new(class.span_len()).align(class.span_len());
        let run = self.acquire(slot, &entry.central, request)?;
        // SAFETY: just acquired, as long and aligned as asked.
        Ok(unsafe { entry.central.new_span(run, class) })
    }

    /// A run; what idles here may be what is missing there, and goes back as far as it takes.
    pub(super) fn acquire(
        &self,
        slot: Slot,
        central: &Central,
        request: Request,
    ) -> Result<Run, PageError> {
        let refused = |error| self.yield_for(slot, central, request, error);
        self.source.acquire(request).or_else(refused)
    }

    /// Gives every empty span back; bytes.
    #[cold]
    pub(super) fn release_idle(&self, slot: Slot, central: &Central) -> usize {
        let before = central.held();
        central.ask_back();
        with_cache(slot, |cache| {
            if let Some(desk) = Desk::of(cache, central) {
                desk.flush_all();
            }
        });
        for class in SizeClass::all() {
            central.give_all(class, &[], 0);
            central.drop_pages(class);
        }
        self.release_beyond(central, 0);
        before.saturating_sub(central.held())
    }

    #[inline]
    pub(super) fn release_excess(&self, central: &Central) {
        if central.spare_bytes() > self.limits.spare {
            self.release_beyond(central, self.limits.spare);
        }
    }

    #[cold]
    pub(super) fn release_beyond(&self, central: &Central, bytes: usize) {
        while self.release_spare(central, bytes) > 0 {}
    }

    /// Gives one empty span back, if more than `most` bytes of them are kept; its bytes.
    pub(super) fn release_spare(&self, central: &Central, most: usize) -> usize {
        let Some(mut run) = central.excess(most) else { return 0 };
        let bytes = run.len();
        if central.shrinks(bytes) {
            // SAFETY: the run is ours, and nobody uses it.
            unsafe { self.source.decommit(&mut run) };
        }
        // SAFETY: spans come from this source; this one is empty and left the heap.
        unsafe { self.source.release(run) };
        bytes
    }

    /// Takes a block for which there is no room in this thread's magazine.
    ///
    /// # Safety
    /// As [`deallocate`](Self::deallocate), of a block of this class.
    #[cold]
    #[inline(never)]
    pub(super) unsafe fn overflow(&self, slot: Slot, class: SizeClass, block: NonNull<u8>) {
        let Some(entry) = self.existing() else { return };
        self.open(slot, entry);
        self.lengthen(slot, entry, class);
        if entry.central.wants_page(class) {
            self.add_page(entry, class);
        }
        with_cache(slot, |cache| match Desk::of(cache, &entry.central) {
            // SAFETY: the caller's promise.
            Some(desk) => unsafe { desk.overflow(class, block) },
            None => entry.central.give_one(class, block),
        });
        self.release_excess(&entry.central);
    }
}

/// A block by way of this thread's cache, or straight from the shared half while that is closed.
fn take_central(slot: Slot, entry: &Entry, class: SizeClass) -> Option<NonNull<u8>> {
    with_cache(slot, |cache| match Desk::of(cache, &entry.central) {
        Some(desk) => desk.refill(class),
        None => entry.central.take_one(class),
    })
}

impl<S: PageSource> Drop for SharedAlloc<S> {
    fn drop(&mut self) {
        let Some(home) = NonNull::new(*self.home.get_mut()) else { return };
        // SAFETY: published by `init`; nobody else uses it, since we have the heap alone.
        let entry = unsafe { &home.as_ref().entry };
        // SAFETY: added in `init`; nobody uses the heap any more. Whoever still owns a block has
        // promised in an `unsafe` block not to outlive the heap, or borrows it.
        unsafe { registry::remove(entry) };
        // SAFETY: from this source; no cache has anything of the heap any more.
        unsafe { entry.central.release_all(&self.source) };
        // SAFETY: valid, and not used again; it has nothing left to drop.
        let Home { run, .. } = unsafe { home.read() };
        // SAFETY: from this source, acquired in `init` and released once.
        unsafe { self.source.release(run) };
    }
}
