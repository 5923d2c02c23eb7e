//! The parts of `SharedAlloc` whose interleavings loom runs: threads' caches over the shared half,
//! without thread-locals. A storage file.

use super::cache::Cache;
use super::central::{Central, Limits};
use super::ledger::{Desk, Ledger};
use crate::magazine::Place;
use crate::size_class::SizeClass;
use core::alloc::Layout;
use core::cell::Cell;
use core::ptr::NonNull;
use loom::sync::Arc;
use pool_core::{Heap, PageSource, Request};
use std::boxed::Box;

/// An array of a magazine or depot. Not a block of the heap, as elsewhere: that would be steps more to
/// interleave.
pub(crate) type Array = Box<[Place; 2]>;

fn array() -> NonNull<u8> {
    NonNull::from(Box::leak(Array::new([const { Cell::new(NonNull::dangling()) }; 2]))).cast()
}

/// The shared half of a heap, over the global allocator.
pub struct Shared {
    central: Central,
    source: Heap,
}

impl Shared {
    /// A heap whose threads may each keep so many bytes of free blocks.
    #[must_use]
    pub fn new(thread_bytes: usize) -> Arc<Self> {
        let limits = Limits { thread: thread_bytes, threads: usize::MAX, spare: 0 };
        let this = Self { central: Central::new(limits), source: Heap::new() };
        // SAFETY: the depot gives it back as such an array.
        unsafe { this.central.add_page(SizeClass::SMALLEST, array()) };
        Arc::new(this)
    }

    /// Blocks of a layout in use, and free ones in caches and the depot.
    #[must_use]
    pub fn live_and_cached(&self, layout: Layout) -> (usize, usize) {
        let stats = self.central.class_stats(class(layout));
        (stats.live, stats.cached)
    }

    /// As `SharedAlloc::check`, for one class.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check(&self, layout: Layout) -> Result<(), &'static str> {
        self.central.check(class(layout))
    }

    /// Asks for everything idle, and gives empty spans back; bytes.
    pub fn trim(&self, layout: Layout) -> usize {
        self.central.ask_back();
        self.central.give_all(class(layout), &[], 0);
        let mut bytes = 0;
        while let Some(run) = self.central.excess(0) {
            bytes += run.len();
            // SAFETY: from this source, and not used any more.
            unsafe { self.source.release(run) };
        }
        bytes
    }

    fn add_span(&self, class: SizeClass) {
        let span = self.central.take_spare(class).unwrap_or_else(|| {
            let request = Request::new(class.span_len()).align(class.span_len());
            let run = self.source.acquire(request).expect("memory for a model");
            // SAFETY: just acquired, as long and aligned as asked.
            unsafe { self.central.new_span(run, class) }
        });
        self.central.add_span(class, span);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.central.drop_pages(SizeClass::SMALLEST);
        // SAFETY: the threads are gone, and with them all blocks.
        unsafe { self.central.release_all(&self.source) };
    }
}

/// What a thread has of a heap. Dropping it is the thread's end.
pub struct Thread {
    shared: Arc<Shared>,
    cache: Cache,
}

impl Thread {
    /// A thread's open cache.
    #[must_use]
    pub fn new(shared: &Arc<Shared>) -> Self {
        let ledger = Box::leak(Box::new(Ledger::new(shared.central.epoch())));
        let this = Self { shared: shared.clone(), cache: Cache::new() };
        // SAFETY: the cache is new; the ledger stays until `drop`.
        unsafe { this.cache.open(NonNull::from(ledger)) };
        this
    }

    fn desk(&self) -> Desk<'_> {
        Desk::of(&self.cache, &self.shared.central).expect("open until dropped")
    }

    /// A block.
    #[must_use]
    pub fn allocate(&self, layout: Layout) -> NonNull<u8> {
        let class = class(layout);
        if let Some(block) = self.cache.magazines.pop(class) {
            return block;
        }
        self.lengthen(class);
        loop {
            if let Some(block) = self.desk().refill(class) {
                return block;
            }
            self.shared.add_span(class);
        }
    }

    /// Takes a block back.
    ///
    /// # Safety
    /// As `SharedAlloc::deallocate`.
    pub unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        let class = class(layout);
        // SAFETY: the caller's promise.
        if unsafe { self.cache.magazines.push(class, block) } {
            return;
        }
        self.lengthen(class);
        // SAFETY: the caller's promise.
        unsafe { self.desk().overflow(class, block) };
    }

    fn lengthen(&self, class: SizeClass) {
        if let Some(places) = self.desk().wants_places(class) {
            assert_eq!(places, 2);
            // SAFETY: the desk gives it back as such an array.
            unsafe { self.desk().lengthen(class, places, array()) };
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.desk().close_all();
        if let Some(ledger) = self.cache.close() {
            // SAFETY: leaked in `new`, and not used any more.
            drop(unsafe { Box::from_raw(ledger.cast::<Ledger>().as_ptr()) });
        }
    }
}

fn class(layout: Layout) -> SizeClass {
    SizeClass::of(layout).expect("a small block")
}
