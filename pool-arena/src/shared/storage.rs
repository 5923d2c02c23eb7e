//! How a `SyncArena` places objects, gets chunks and gives them back. A storage file.

use super::SyncArena;
use super::chunk::{Chunk, HEADER, Link, PAGE, request_large};
use crate::config::LEAST_LARGE;
use crate::error::{AllocError, refuse};
use crate::storage::{need, too_large};
use crate::sync::atomic::{
    AtomicBool,
    Ordering::{Acquire, Relaxed, Release},
};
use crate::tip::nowhere;
use core::alloc::Layout;
use core::ptr::NonNull;
use pool_core::{PageSource, Request, Run};

/// The turn of the one thread that makes a long chunk. Nobody waits for it.
struct Turn<'a>(&'a AtomicBool);

impl<'a> Turn<'a> {
    /// `None` if another thread has it.
    fn take(growing: &'a AtomicBool) -> Option<Self> {
        // `Acquire` sees the tip that the last one left, because of the `Release` below: else we
        // would make a chunk that nobody needs.
        let free = !growing.swap(true, Acquire);
        // Not `then_some`, whose argument would be made, and dropped, also where it is not free.
        free.then(|| Self(growing))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.store(false, Release);
    }
}

impl<S: PageSource> SyncArena<S> {
    /// Memory for one object: valid for reads and writes of `layout.size()` bytes, aligned,
    /// disjoint from every other object, until the arena is reset or dropped.
    #[inline(always)]
    pub(crate) fn place(&self, layout: Layout) -> NonNull<u8> {
        match self.take(layout) {
            Some(place) => place,
            None => self.place_slow_or_refuse(layout),
        }
    }

    /// As [`place`](Self::place), for a `T`.
    #[inline(always)]
    pub(crate) fn place_for<T>(&self) -> NonNull<T> {
        if size_of::<T>() == 0 {
            return nowhere(align_of::<T>()).cast();
        }
        self.place(Layout::new::<T>()).cast()
    }

    /// As [`place`](Self::place), for a `T`.
    #[inline(always)]
    pub(crate) fn try_place_for<T>(&self) -> Result<NonNull<T>, AllocError> {
        if size_of::<T>() == 0 {
            return Ok(nowhere(align_of::<T>()).cast());
        }
        Ok(self.try_place(Layout::new::<T>())?.cast())
    }

    /// As [`place`](Self::place).
    #[inline(always)]
    pub(crate) fn try_place(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        match self.take(layout) {
            Some(place) => Ok(place),
            None => self.place_slow(layout),
        }
    }

    /// As [`try_place`](Self::try_place), all bytes zero. A large object's run is asked for zeroed,
    /// so that fresh pages are not written.
    pub(crate) fn try_place_zeroed(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        if layout.size() >= self.config.large_from {
            return self.place_large(layout, true);
        }
        let place = self.try_place(layout)?;
        // SAFETY: so many bytes were placed just now.
        unsafe { place.write_bytes(0, layout.size()) };
        Ok(place)
    }

    /// Cuts a small object off the tip. `None` if it is large, or does not fit.
    #[inline(always)]
    fn take(&self, layout: Layout) -> Option<NonNull<u8>> {
        if layout.size() >= LEAST_LARGE && layout.size() >= self.config.large_from {
            return None;
        }
        self.tip.get()?.take(layout)
    }

    #[cold]
    #[inline(never)]
    #[track_caller]
    fn place_slow_or_refuse(&self, layout: Layout) -> NonNull<u8> {
        self.place_slow(layout).unwrap_or_else(|error| refuse(error))
    }

    #[cold]
    #[inline(never)]
    fn place_slow(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        if layout.size() == 0 {
            return Ok(nowhere(layout.align()));
        }
        if layout.size() >= self.config.large_from {
            return self.place_large(layout, false);
        }
        let place = self.place_in_next(layout);
        self.check();
        // Another thread may hold all that is allowed, in a chunk that it has published meanwhile.
        place.or_else(|error| self.take(layout).ok_or(error))
    }

    /// Puts a small object into another chunk, a spare one or a new one.
    ///
    /// One thread at a time makes the long chunk that the others will use, too. Those who come
    /// meanwhile do not wait for it: each makes one that is just long enough, so that a crowd does not
    /// multiply the memory either.
    fn place_in_next(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        let need = need(layout).ok_or(too_large(layout))?;
        if let Some(place) = self.place_in_spare(layout, need) {
            return Ok(place);
        }
        let least = need.checked_add(HEADER).ok_or(too_large(layout))?;
        let turn = Turn::take(&self.growing);
        let run = if turn.is_some() {
            // Somebody may have been here since we looked.
            if let Some(place) = self.take(layout) {
                return Ok(place);
            }
            self.acquire_long(least)?
        } else {
            self.acquire(Request::new(least))?
        };
        // SAFETY: just acquired; it is longer than `HEADER` by `need`, which is not 0.
        let chunk = unsafe { Chunk::new(run) };
        let place = chunk.take(layout).ok_or(too_large(layout));
        // SAFETY: nobody else has it yet.
        unsafe { self.chunks.push(chunk) };
        self.offer(chunk);
        place
    }

    /// Puts an object into a spare chunk, if the longest that is left has `need` bytes.
    fn place_in_spare(&self, layout: Layout, need: usize) -> Option<NonNull<u8>> {
        let mut spare = self.spare.get();
        loop {
            let chunk = spare.filter(|chunk| chunk.capacity() >= need)?;
            match self.spare.replace(spare, chunk.next()) {
                Ok(()) => {
                    let place = chunk.take(layout);
                    self.offer(chunk);
                    return place;
                }
                Err(now) => spare = now,
            }
        }
    }

    /// Makes a chunk the tip, unless more is free in the one that is.
    fn offer(&self, chunk: Chunk) {
        let mut tip = self.tip.get();
        while tip.is_none_or(|tip| tip.room() < chunk.room()) {
            match self.tip.replace(tip, Some(chunk)) {
                Ok(()) => return,
                Err(now) => tip = now,
            }
        }
    }

    /// Puts an object into a run of its own.
    #[cold]
    fn place_large(&self, layout: Layout, zeroed: bool) -> Result<NonNull<u8>, AllocError> {
        let request = request_large(layout).ok_or(too_large(layout))?;
        let run = self.acquire(Request { zeroed, ..request })?;
        // SAFETY: just acquired, and as long and aligned as asked.
        let (chunk, place) = unsafe { Chunk::new_large(run, layout.align()) };
        // SAFETY: nobody else has it yet.
        unsafe { self.large.push(chunk) };
        Ok(place)
    }

    /// A run for a chunk as long as it is its turn to be, if that may be had, else of `least`.
    fn acquire_long(&self, least: usize) -> Result<Run, AllocError> {
        let turn = self.next_len.load(Relaxed);
        match self.acquire(Request::new(least.max(turn))) {
            Ok(run) => {
                if least <= turn {
                    self.next_len.store((turn * 2).min(self.config.max_chunk), Relaxed);
                }
                Ok(run)
            }
            Err(error) if least < turn => self.acquire(Request::new(least)).map_err(|_| error),
            Err(error) => Err(error),
        }
    }

    /// A run, charged to this arena.
    fn acquire(&self, request: Request) -> Result<Run, AllocError> {
        // All runs are multiples of this at least, so this mostly is what comes.
        let len = request.len.checked_next_multiple_of(PAGE).unwrap_or(usize::MAX);
        self.charge(len)?;
        let run = match self.source.acquire(request) {
            Ok(run) => run,
            Err(error) => {
                self.refund(len);
                return Err(AllocError::Source(error));
            }
        };
        debug_assert!(run.len() >= len);
        if run.len() > len {
            if let Err(error) = self.charge(run.len() - len) {
                // SAFETY: acquired just now and not used.
                unsafe { self.source.release(run) };
                self.refund(len);
                return Err(error);
            }
        }
        Ok(run)
    }

    /// Counts `bytes` as held, if that does not pass the limit.
    fn charge(&self, bytes: usize) -> Result<(), AllocError> {
        // Relaxed: the number guards nothing but itself.
        let limit = self.limit.load(Relaxed);
        let fits = |held: usize| held.checked_add(bytes).filter(|&sum| sum <= limit);
        match self.held.fetch_update(Relaxed, Relaxed, fits) {
            Ok(_) => Ok(()),
            Err(used) => Err(AllocError::Limit { asked: bytes, used, limit }),
        }
    }

    /// Counts `bytes` as no longer held.
    fn refund(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Relaxed);
    }

    /// Makes room for `capacity` bytes in one chunk that a reset keeps. For an arena that is new.
    pub(super) fn reserve(&mut self, capacity: usize) -> Result<(), AllocError> {
        let error = AllocError::TooLarge { items: 1, size: capacity };
        let least = capacity.checked_next_multiple_of(8).and_then(|len| len.checked_add(HEADER));
        let run = self.acquire_long(least.ok_or(error)?)?;
        self.config.retain = self.config.retain.max(run.len());
        // SAFETY: just acquired, and longer than `HEADER`, since `capacity` is not 0.
        let chunk = unsafe { Chunk::new(run) };
        // SAFETY: nobody else has it yet.
        unsafe { self.chunks.push(chunk) };
        self.offer(chunk);
        Ok(())
    }

    /// Empties the arena, keeping as many chunks as `retain` allows, the longest first. The
    /// cleanups have run.
    ///
    /// `&mut self` says that no object is used any more and no other thread is here.
    pub(super) fn recycle(&mut self) {
        self.tip.set(None);
        self.spare.set(None);
        // SAFETY: `&mut self`.
        unsafe { self.release_list(&self.large) };
        let (longest_first, kept) = (self.sort(), Link::empty());
        let (mut bytes, mut next_len) = (0, self.config.first_chunk);
        // SAFETY: the list is ours alone.
        while let Some(chunk) = unsafe { longest_first.pop() } {
            if bytes + chunk.len() <= self.config.retain {
                bytes += chunk.len();
                next_len = next_len.max((2 * chunk.len()).min(self.config.max_chunk));
                // SAFETY: its objects are not used, and `&mut self`.
                unsafe { chunk.clear(self.config.zero_on_reset) };
                // SAFETY: it left the other list.
                unsafe { kept.push(chunk) };
            } else {
                // SAFETY: it left its list, and its objects are not used.
                unsafe { self.release(chunk) };
            }
        }
        // SAFETY: as above.
        while let Some(chunk) = unsafe { kept.pop() } {
            // SAFETY: as above.
            unsafe { self.chunks.push(chunk) };
        }
        self.held.store(bytes, Relaxed);
        self.next_len.store(self.next_len.load(Relaxed).min(next_len), Relaxed);
        let longest = self.chunks.get();
        self.tip.set(longest);
        self.spare.set(longest.and_then(Chunk::next));
        self.check();
    }

    /// Takes all chunks out, into a list with the longest first. O(chunks) as they mostly come, each
    /// longer than the one before; else O(chunks × lengths that differ).
    fn sort(&mut self) -> Link {
        let (oldest_first, sorted) = (Link::empty(), Link::empty());
        // SAFETY: `&mut self`.
        while let Some(chunk) = unsafe { self.chunks.pop() } {
            // SAFETY: it left its list.
            unsafe { oldest_first.push(chunk) };
        }
        // SAFETY: the list is ours alone.
        while let Some(chunk) = unsafe { oldest_first.pop() } {
            // SAFETY: it left its list, and the other is ours alone.
            unsafe { sorted.insert(chunk) };
        }
        sorted
    }

    /// Gives everything back. The cleanups have run.
    pub(super) fn release_all(&mut self) {
        self.tip.set(None);
        self.spare.set(None);
        // SAFETY: `&mut self`.
        unsafe { self.release_list(&self.large) };
        // SAFETY: `&mut self`.
        unsafe { self.release_list(&self.chunks) };
    }

    /// Gives the runs of a list's chunks back, and leaves it empty.
    ///
    /// # Safety
    /// No object in them is used any more, nothing but the list leads to them, and no other thread
    /// uses it.
    unsafe fn release_list(&self, list: &Link) {
        // SAFETY: the caller's promise.
        while let Some(chunk) = unsafe { list.pop() } {
            // SAFETY: the caller's promise; it left the list.
            unsafe { self.release(chunk) };
        }
    }

    /// Gives a chunk's run back.
    ///
    /// # Safety
    /// It is in no list, and no object in it is used any more.
    unsafe fn release(&self, chunk: Chunk) {
        if self.config.zero_on_reset {
            // SAFETY: the caller's promise.
            unsafe { chunk.clear(true) };
        }
        // SAFETY: the caller's promise; the handle ends here.
        let run = unsafe { chunk.dissolve() };
        // SAFETY: the run came from the source, is released once, and nobody uses it.
        unsafe { self.source.release(run) };
    }

    /// The invariants that can be seen, also while other threads are here.
    fn check(&self) {
        if cfg!(debug_assertions) {
            for chunk in self.chunks.iter() {
                debug_assert!(chunk.room() <= chunk.capacity() && chunk.room() % 8 == 0);
            }
            debug_assert!(self.large.iter().all(|large| large.room() == 0));
            debug_assert!(self.chunks.get().is_some() || self.spare.get().is_none());
        }
    }
}
