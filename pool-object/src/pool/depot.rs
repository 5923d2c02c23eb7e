//! `Depot`: what the threads of a pool share, behind its lock. A storage file.

use crate::pool::magazine::{self, Magazine, Places, ROOM};
use crate::pool::slots::Slots;
use crate::pool::stack::Stack;
use crate::pool::stats::PoolStats;
use core::ptr::NonNull;
use pool_core::{PageError, PageSource};

/// Places that change hands at once.
pub(crate) const BATCH: usize = ROOM / 2;

/// Idle objects that are in no magazine, the memory of all, and the magazines. Runs no foreign code.
pub(crate) struct Depot<T> {
    idle: Stack<T>,
    slots: Slots<T>,
    magazines: Slots<Magazine<T>>,
    /// All magazines, linked; they stay until the pool goes.
    first: Option<NonNull<Magazine<T>>>,
    /// Those of them that have no owner, linked by `spare`, and empty.
    spare: Option<NonNull<Magazine<T>>>,
    /// Times that an object went out from here without a magazine, less those that a magazine has
    /// counted and that did not: may be below 0, wrapping around.
    hits: u64,
    pub(crate) misses: u64,
    created: u64,
    dropped: u64,
    peak: u64,
}

// SAFETY: it owns the idle objects that it and its magazines hold, which may go where `T` may.
unsafe impl<T: Send> Send for Depot<T> {}

impl<T> Depot<T> {
    pub(crate) const fn new() -> Self {
        Self {
            idle: Stack::new(),
            slots: Slots::new(),
            magazines: Slots::new(),
            first: None,
            spare: None,
            hits: 0,
            misses: 0,
            created: 0,
            dropped: 0,
            peak: 0,
        }
    }

    /// The place of one more object, and room on the stack for all there are then.
    ///
    /// # Safety
    /// The source is the same at every call of every method.
    pub(crate) unsafe fn place(
        &mut self,
        source: &impl PageSource,
    ) -> Result<NonNull<T>, PageError> {
        // SAFETY: the caller's promise.
        unsafe { self.reserve(source) }?;
        let place = self.slots.take(source)?;
        self.created += 1;
        self.peak = self.peak.max(self.created - self.dropped);
        Ok(place)
    }

    /// Makes sure that `place` needs no memory.
    ///
    /// # Safety
    /// As `place`.
    pub(crate) unsafe fn reserve(&self, source: &impl PageSource) -> Result<(), PageError> {
        let objects = self.created - self.dropped + 1;
        // SAFETY: the caller's promise.
        unsafe { self.idle.reserve(source, objects as usize) }?;
        self.slots.reserve(source)
    }

    /// Takes the place of an object back that is none any more.
    ///
    /// # Safety
    /// `place` gave it out, and it has not come back since.
    pub(crate) unsafe fn vacate(&mut self, place: NonNull<T>) {
        self.dropped += 1;
        // SAFETY: the caller's promise.
        unsafe { self.slots.give(place) };
    }

    /// An idle object.
    pub(crate) fn pop(&mut self) -> Option<NonNull<T>> {
        let object = self.idle.pop()?;
        self.hits = self.hits.wrapping_add(1);
        Some(object)
    }

    /// Moves up to `count` idle objects to `to`, counted as hits; how many.
    ///
    /// # Safety
    /// There is room for so many at `to`.
    pub(crate) unsafe fn pop_into(&mut self, to: NonNull<NonNull<T>>, count: usize) -> usize {
        // SAFETY: the caller's promise; its own places are elsewhere.
        let count = unsafe { self.idle.pop_into(to, count) };
        self.hits = self.hits.wrapping_add(count as u64);
        count
    }

    /// Makes objects idle, and returns those that are too many.
    ///
    /// # Safety
    /// `count` objects are at `from`, at most `ROOM`, out, and given up by the caller.
    pub(crate) unsafe fn push_from(
        &mut self,
        from: NonNull<NonNull<T>>,
        count: usize,
    ) -> Option<Places<T>> {
        // SAFETY: the caller's promise; its own places are elsewhere.
        unsafe { magazine::push_to(&self.idle, from, count) }
    }

    /// Something that was counted as a hit, here or in a magazine, was none.
    pub(crate) fn uncount(&mut self) {
        self.hits = self.hits.wrapping_sub(1);
    }

    /// An idle object that is not counted as a hit.
    pub(crate) fn discard_one(&mut self) -> Option<NonNull<T>> {
        self.idle.pop()
    }

    /// Makes an object idle, if it may be.
    pub(crate) fn push(&mut self, object: NonNull<T>) -> bool {
        self.idle.push(object)
    }

    /// An idle object, if there are more than may be.
    pub(crate) fn pop_excess(&mut self) -> Option<NonNull<T>> {
        self.idle.pop_excess()
    }

    pub(crate) fn idle(&self) -> usize {
        self.idle.len()
    }

    pub(crate) fn limit(&self) -> usize {
        self.idle.limit()
    }

    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.idle.set_limit(limit);
    }

    /// Moves a batch into an empty magazine.
    ///
    /// # Safety
    /// The caller owns the magazine.
    pub(crate) unsafe fn load(&mut self, magazine: &Magazine<T>) {
        // SAFETY: the caller's promise.
        unsafe { magazine.load(&self.idle, BATCH) };
    }

    /// Moves the lowest `count` objects out of a magazine, and returns those that are too many.
    ///
    /// # Safety
    /// The caller owns the magazine.
    pub(crate) unsafe fn unload(
        &mut self,
        magazine: &Magazine<T>,
        count: usize,
    ) -> Option<Places<T>> {
        // SAFETY: the caller's promise.
        unsafe { magazine.unload(&self.idle, count) }
    }

    /// Objects that have rested come to the top; how many.
    pub(crate) fn surface_rested(&mut self) -> usize {
        self.idle.surface_rested()
    }

    /// Counts from now on which objects rest.
    pub(crate) fn rest(&mut self) {
        self.idle.rest();
    }

    /// A magazine for a new owner, empty.
    pub(crate) fn lease(
        &mut self,
        source: &impl PageSource,
    ) -> Result<NonNull<Magazine<T>>, PageError> {
        if let Some(magazine) = self.spare {
            // SAFETY: a magazine of this depot's, so initialised; it is only ever shared.
            self.spare = unsafe { magazine.as_ref() }.spare.take();
            return Ok(magazine);
        }
        let magazine = self.magazines.take(source)?;
        // SAFETY: a slot that nobody else has, aligned.
        unsafe { magazine.write(Magazine::new(self.first)) };
        self.first = Some(magazine);
        Ok(magazine)
    }

    /// Takes a magazine back, for the next owner.
    ///
    /// # Safety
    /// `lease` gave it out, it has not come back since, it is empty, and the caller uses it no more.
    pub(crate) unsafe fn retire(&mut self, magazine: &Magazine<T>) {
        magazine.spare.set(self.spare);
        self.spare = Some(NonNull::from(magazine));
    }

    fn magazines(&self) -> impl Iterator<Item = &Magazine<T>> {
        // SAFETY: linked magazines are initialised, and stay where they are while the depot is
        // borrowed; they are only ever shared.
        let at = |magazine: NonNull<Magazine<T>>| unsafe { &*magazine.as_ptr() };
        core::iter::successors(self.first.map(at), move |magazine| magazine.next.get().map(at))
    }

    /// Takes an object out of any magazine, when they have no owners that still use them.
    ///
    /// # Safety
    /// That.
    pub(crate) unsafe fn drain(&mut self) -> Option<NonNull<T>> {
        // SAFETY: nobody else uses them, as the caller promises.
        self.magazines().find_map(|magazine| unsafe { magazine.pop() })
    }

    pub(crate) fn stats(&self) -> PoolStats {
        let stocked: usize = self.magazines().map(Magazine::len).sum();
        let hits: usize = self.magazines().map(Magazine::hits).sum();
        let (objects, idle) = (self.created - self.dropped, (self.idle.len() + stocked) as u64);
        PoolStats {
            live: objects.saturating_sub(idle),
            idle,
            hits: self.hits.wrapping_add(hits as u64),
            misses: self.misses,
            created: self.created,
            dropped: self.dropped,
            peak: self.peak,
            waiters: 0,
            granted: 0,
        }
    }

    /// Gives memory back that holds no object; the bytes.
    ///
    /// # Safety
    /// As `place`.
    pub(crate) unsafe fn trim(&mut self, source: &impl PageSource) -> usize {
        // SAFETY: the caller's promise.
        let spans = unsafe { self.slots.trim(source) };
        let objects = (self.created - self.dropped) as usize;
        // SAFETY: the caller's promise; of all objects some are idle here.
        spans + unsafe { self.idle.fit(source, objects) }
    }

    /// Gives all memory back.
    ///
    /// # Safety
    /// As `place`, and nobody uses an object or a magazine any more.
    pub(crate) unsafe fn release(&mut self, source: &impl PageSource) {
        (self.first, self.spare) = (None, None);
        // SAFETY: the caller's promise.
        unsafe { self.idle.release(source) };
        // SAFETY: the caller's promise.
        unsafe { self.magazines.release(source) };
        // SAFETY: the caller's promise.
        unsafe { self.slots.release(source) };
    }
}
