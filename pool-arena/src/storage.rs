//! The arena's cold half: how it gets chunks and large objects, and gives them back. A storage
//! file.

use crate::arena::{Arena, Source};
use crate::chunk::{Chunk, Chunks, HEADER};
use crate::cleanup::Mark;
use crate::error::{AllocError, refuse};
use crate::large::Large;
use crate::tip::{Gap, nowhere, round};
use core::alloc::Layout;
use core::ptr::NonNull;
use pool_core::{PageError, PageSource, Request, Run, poison};

/// The least alignment that every run has.
const PAGE: usize = 4 << 10;

/// Bytes of a chunk that surely suffice for a small object. `None` if that is more than any object
/// may have.
pub(crate) fn need(layout: Layout) -> Option<usize> {
    let (size, align) = (layout.size(), layout.align().max(crate::tip::MIN_ALIGN));
    if align <= PAGE {
        // The end of a run is aligned to the page.
        size.checked_next_multiple_of(align)
    } else {
        // Wherever the run lies, so many bytes contain an aligned place.
        size.checked_add(align)?.checked_next_multiple_of(PAGE)
    }
}

#[cold]
fn refused(error: PageError) -> AllocError {
    AllocError::Source(error)
}

pub(crate) fn too_large(layout: Layout) -> AllocError {
    AllocError::TooLarge { items: 1, size: layout.size() }
}

impl<S: PageSource> Arena<S> {
    /// Memory for one object: valid for reads and writes of `layout.size()` bytes, aligned,
    /// disjoint from every other object, until the arena is reset, rewound or dropped, or the
    /// object is given back.
    #[inline(always)]
    pub(crate) fn place(&self, layout: Layout) -> NonNull<u8> {
        match self.tip.take(layout) {
            Some(place) => place,
            None => self.place_slow_or_refuse(layout),
        }
    }

    /// As [`place`](Self::place).
    #[inline(always)]
    pub(crate) fn try_place(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        match self.tip.take(layout) {
            Some(place) => Ok(place),
            None => self.place_slow(layout),
        }
    }

    /// As [`place`](Self::place), for a `T`.
    #[inline(always)]
    pub(crate) fn place_for<T>(&self) -> NonNull<T> {
        match self.tip.take_for::<T>() {
            Some(place) => place.cast(),
            None => self.place_slow_or_refuse(Layout::new::<T>()).cast(),
        }
    }

    /// As [`place`](Self::place), for a `T`.
    #[inline(always)]
    pub(crate) fn try_place_for<T>(&self) -> Result<NonNull<T>, AllocError> {
        match self.tip.take_for::<T>() {
            Some(place) => Ok(place.cast()),
            None => self.place_slow(Layout::new::<T>()).map(NonNull::cast),
        }
    }

    #[cold]
    #[inline(never)]
    fn place_slow_or_refuse(&self, layout: Layout) -> NonNull<u8> {
        match self.place_quickly(layout) {
            Some(place) => place,
            None => self.place_later_or_refuse(layout),
        }
    }

    #[cold]
    #[inline(never)]
    fn place_later_or_refuse(&self, layout: Layout) -> NonNull<u8> {
        self.place_later(layout).unwrap_or_else(|error| refuse(error))
    }

    /// What the fast path cannot do: large objects, more than its window, another chunk.
    #[cold]
    #[inline(never)]
    pub(crate) fn place_slow(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        match self.place_quickly(layout) {
            Some(place) => Ok(place),
            None => self.place_later(layout),
        }
    }

    /// The frequent cases of that: the next window in the same chunk, and the first chunk.
    #[inline(always)]
    fn place_quickly(&self, layout: Layout) -> Option<NonNull<u8>> {
        if self.is_large(layout.size()) {
            return None;
        }
        match self.tip.take_hidden(layout, self.config.window()) {
            Some(place) => Some(place),
            None => self.place_first(layout),
        }
    }

    /// As [`place_slow`](Self::place_slow), for an arena that has something already.
    #[cold]
    #[inline(never)]
    fn place_later(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        let place = if layout.size() == 0 {
            nowhere(layout.align())
        } else if self.is_large(layout.size()) {
            self.place_large(layout, false)?
        } else {
            self.place_in_next(layout)?
        };
        self.check();
        Ok(place)
    }

    /// Puts a small object into the first chunk of an arena that has nothing yet: the whole cost of
    /// an arena for one request, but for the release. `None` if anything is out of the ordinary.
    #[inline(always)]
    fn place_first(&self, layout: Layout) -> Option<NonNull<u8>> {
        let Source::Owned(source) = &self.source else { return None };
        let (turn, limit) = (self.next_len.get(), self.limit.get());
        // Whatever fits below needs no more than a page, the shortest run.
        let ordinary = layout.size().wrapping_sub(1) < PAGE - HEADER - 1
            && layout.align() <= crate::tip::MIN_ALIGN
            && self.held.get() == 0
            && turn <= limit;
        if !ordinary {
            return None;
        }
        let run = source.acquire(Request::new(turn)).ok()?;
        let len = run.len();
        if len > limit {
            // SAFETY: acquired just now and not used.
            unsafe { source.release(run) };
            return None;
        }
        self.held.set(len);
        self.next_len.set((turn * 2).min(self.config.max_chunk));
        // SAFETY: just acquired; it is a page at least.
        let chunk = unsafe { Chunk::new_entered(run) };
        self.used.push_first(chunk);
        self.current.set(Some(chunk));
        let stays = len <= self.config.retain && !self.config.zero_on_reset;
        let bare = stays && self.cleanups.mark() == Mark::OLDEST;
        self.home.set(if bare { Some(chunk) } else { None });
        let whole = chunk.whole_of(len);
        let len = whole.len - round(layout.size());
        // SAFETY: the object and what is free below it, in a run of our own.
        unsafe { self.tip.set(Gap { len, ..whole }, self.config.window()) };
        self.check();
        Some(whole.at(len))
    }

    /// Puts a small object into another chunk, a spare one or a new one. What is free in the current
    /// one stays noted there. The tip ends in that of both where more is free.
    fn place_in_next(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        let chunk = self.next_chunk(need(layout).ok_or(too_large(layout))?)?;
        let Some((place, rest)) = chunk.whole().take(layout) else {
            self.spare.push(chunk);
            return Err(too_large(layout));
        };
        poison::allow(place.as_ptr(), layout.size());
        self.used.push(chunk);
        self.find_home();
        if self.current.get().is_some() && self.tip.free() > rest.len {
            chunk.set_rest(rest);
        } else {
            self.leave();
            // SAFETY: the chunk is ours, in `used`, and nothing but `place` lies in it.
            unsafe { self.enter(chunk, rest) };
        }
        Ok(place)
    }

    /// Whether an object of so many bytes gets a run of its own, unless it has grown so long in its
    /// chunk.
    #[inline(always)]
    pub(crate) fn is_large(&self, size: usize) -> bool {
        // As the fast path sees it, which rounds: so it is the same for a size and for what it takes.
        size > self.config.window()
    }

    /// Whether an object has a run of its own: a function of its layout and its address, since what
    /// grows in a chunk keeps away from the addresses of large objects.
    #[inline(always)]
    pub(crate) fn in_own_run(&self, object: NonNull<u8>, size: usize, align: usize) -> bool {
        self.is_large(size) && Large::could_be(object, align)
    }

    /// Puts an object into a run of its own.
    pub(crate) fn place_large(
        &self,
        layout: Layout,
        zeroed: bool,
    ) -> Result<NonNull<u8>, AllocError> {
        let request = Large::request(layout).ok_or(too_large(layout))?;
        let run = self.acquire(Request { zeroed, ..request })?;
        self.home.set(None);
        // SAFETY: just acquired, and as long and aligned as asked.
        Ok(unsafe { self.large.push(run, layout.align()) })
    }

    /// Gives a large object's run back.
    ///
    /// # Safety
    /// It is in `self.large`, and nobody uses it any more.
    pub(crate) unsafe fn release_large(&self, large: Large) {
        if self.config.zero_on_reset {
            // SAFETY: live and not used.
            unsafe { large.zero() };
        }
        // SAFETY: it is in the list, and the handle ends here.
        let run = unsafe { self.large.remove(large) };
        self.refund(run.len());
        // SAFETY: the run came from the source, is released once, and nobody uses it.
        unsafe { self.source().release(run) };
    }

    /// Notes what is free in the current chunk, and leaves it: the tip must be set again.
    pub(crate) fn leave(&self) {
        if let Some(chunk) = self.current.get() {
            chunk.set_rest(self.tip.gap());
        }
    }

    /// Moves the tip to `gap`.
    ///
    /// # Safety
    /// The chunk is in `used`, and `gap` is free in it.
    pub(crate) unsafe fn enter(&self, chunk: Chunk, gap: Gap) {
        self.current.set(Some(chunk));
        // Nobody else may hand these bytes out.
        chunk.set_rest(Gap::EMPTY);
        // SAFETY: the bytes are free, and the chunk is live as long as it is in `used`.
        unsafe { self.tip.set(gap, self.config.window()) };
    }

    /// A chunk in which nothing lies, with at least `need` bytes: a spare one or a new one.
    #[inline]
    fn next_chunk(&self, need: usize) -> Result<Chunk, AllocError> {
        match self.take_spare(need) {
            Some(chunk) => Ok(chunk),
            None => self.new_chunk(need),
        }
    }

    /// A chunk with at least `need` bytes: as long as it is its turn to be, if the source gives
    /// that much, else as short as it may be.
    #[inline]
    fn new_chunk(&self, need: usize) -> Result<Chunk, AllocError> {
        let least =
            need.checked_add(HEADER).ok_or(AllocError::TooLarge { items: 1, size: need })?;
        let turn = self.next_len.get();
        let run = match self.acquire_inline(Request::new(least.max(turn))) {
            Ok(run) => {
                let next = least.max(turn).saturating_mul(2).min(self.config.max_chunk);
                self.next_len.set(next.max(turn));
                run
            }
            Err(error) if least < turn => self.acquire(Request::new(least)).map_err(|_| error)?,
            Err(error) => return Err(error),
        };
        // SAFETY: just acquired; it is longer than `HEADER` by `need`, which is not 0.
        Ok(unsafe { Chunk::new(run) })
    }

    /// Makes room for `capacity` bytes in one chunk that a reset keeps. For an arena that is new.
    pub(crate) fn reserve(&mut self, capacity: usize) -> Result<(), AllocError> {
        let error = AllocError::TooLarge { items: 1, size: capacity };
        let need = capacity.checked_next_multiple_of(crate::tip::MIN_ALIGN).ok_or(error)?;
        let chunk = self.new_chunk(need)?;
        self.config.retain = self.config.retain.max(chunk.len());
        self.used.push(chunk);
        // SAFETY: the chunk is ours, in `used`, and nothing lies in it.
        unsafe { self.enter(chunk, chunk.whole()) };
        Ok(())
    }

    /// Moves the tip to another chunk, in which at least `need` bytes are free. What is free in the
    /// current one stays noted there.
    pub(crate) fn open_chunk(&self, need: usize) -> Result<(), AllocError> {
        let chunk = self.next_chunk(need)?;
        self.used.push(chunk);
        self.leave();
        // SAFETY: the chunk is ours, in `used`, and nothing lies in it.
        unsafe { self.enter(chunk, chunk.whole()) };
        self.find_home();
        self.check();
        Ok(())
    }

    /// A spare chunk with at least `need` bytes, of this arena or of one whose scope it is.
    #[inline]
    fn take_spare(&self, need: usize) -> Option<Chunk> {
        if !self.spare.is_empty() {
            if let Some(chunk) = self.spare.take_fitting(need, usize::MAX) {
                return Some(chunk);
            }
        }
        if self.parent().is_some() { self.take_spare_above(need) } else { None }
    }

    /// A spare chunk of the nearest parent that has one; who stands between counts it from now on,
    /// if that passes no limit.
    #[cold]
    fn take_spare_above(&self, need: usize) -> Option<Chunk> {
        let mut most = usize::MAX;
        let mut level = self;
        let chunk = loop {
            most = most.min(level.limit.get().saturating_sub(level.held.get()));
            level = level.parent()?;
            if let Some(chunk) = level.spare.take_fitting(need, most) {
                break chunk;
            }
        };
        let owner = level;
        let mut level = self;
        while !core::ptr::eq(level, owner) {
            level.held.set(level.held.get() + chunk.len());
            level = level.parent()?;
        }
        Some(chunk)
    }

    /// Sets `home`, if one chunk is in use, and nothing is held but that and spare ones (no large
    /// object, open scope or adopted arena), no more than may stay, and nothing is to be done.
    #[inline]
    pub(crate) fn find_home(&self) {
        let alone = |chunk: &Chunk| {
            self.held.get() == chunk.len() + self.spare.bytes()
                && self.held.get() <= self.config.retain
                && self.current.get() == Some(*chunk)
                && !self.config.zero_on_reset
                && self.cleanups.mark() == Mark::OLDEST
        };
        self.home.set(self.used.head().filter(alone));
    }

    /// A run, charged to this arena and those whose scope it is.
    #[cold]
    #[inline(never)]
    fn acquire(&self, request: Request) -> Result<Run, AllocError> {
        self.acquire_inline(request)
    }

    #[inline(always)]
    fn acquire_inline(&self, request: Request) -> Result<Run, AllocError> {
        // All runs are multiples of this at least, so this mostly is what comes.
        let len = request.len.checked_next_multiple_of(PAGE).unwrap_or(usize::MAX);
        self.may_hold(len)?;
        let run = self.source().acquire(request).map_err(refused)?;
        debug_assert!(run.len() >= request.len);
        if run.len() != len {
            if let Err(error) = self.may_hold(run.len()) {
                return Err(self.reject(run, error));
            }
        }
        self.charge(run.len());
        Ok(run)
    }

    /// Gives a run back that is longer than was asked for, and too long.
    #[cold]
    fn reject(&self, run: Run, error: AllocError) -> AllocError {
        // SAFETY: acquired just now and not used.
        unsafe { self.source().release(run) };
        error
    }

    /// Whether `bytes` more would pass no limit, here or in the parents.
    #[inline(always)]
    pub(crate) fn may_hold(&self, bytes: usize) -> Result<(), AllocError> {
        let mut level = self;
        loop {
            if bytes > level.limit.get().saturating_sub(level.held.get()) {
                return Err(level.over_limit(bytes));
            }
            match level.parent() {
                None => return Ok(()),
                Some(parent) => level = parent,
            }
        }
    }

    #[cold]
    fn over_limit(&self, asked: usize) -> AllocError {
        AllocError::Limit { asked, used: self.held.get(), limit: self.limit.get() }
    }

    /// Counts `bytes` as held, here and in the parents.
    pub(crate) fn charge(&self, bytes: usize) {
        let mut level = Some(self);
        while let Some(arena) = level {
            arena.held.set(arena.held.get() + bytes);
            // Whoever may keep its home finds it again.
            arena.home.set(None);
            level = arena.parent();
        }
    }

    /// Counts `bytes` as no longer held, here and in the parents.
    pub(crate) fn refund(&self, bytes: usize) {
        let mut level = Some(self);
        while let Some(arena) = level {
            arena.held.set(arena.held.get() - bytes);
            level = arena.parent();
        }
    }

    /// Gives a chunk's run back.
    ///
    /// # Safety
    /// It is in no list, and no object in it is used any more.
    pub(crate) unsafe fn release_chunk(&self, chunk: Chunk) {
        // SAFETY: the caller's promise; the handle ends here.
        let run = unsafe { chunk.dissolve() };
        // SAFETY: the run came from the source, is released once, and nobody uses it.
        unsafe { self.source().release(run) };
    }

    /// Empties the arena, keeping as many chunks as `retain` allows, the newest first.
    ///
    /// # Safety
    /// No object is used any more, and the cleanups have run.
    #[cold]
    pub(crate) unsafe fn recycle(&self) {
        while let Some(large) = self.large.head() {
            // SAFETY: it is in the list, and not used.
            unsafe { self.release_large(large) };
        }
        self.current.set(None);
        // SAFETY: nothing is always free.
        unsafe { self.tip.set(Gap::EMPTY, self.config.window()) };
        let (kept, mut bytes) = (Chunks::new(), 0);
        let mut keep = |chunk: Chunk| {
            if bytes + chunk.len() <= self.config.retain {
                bytes += chunk.len();
                kept.push(chunk);
            } else {
                // Only the owner of its source is reset, so no parent is charged.
                self.held.set(self.held.get() - chunk.len());
                // SAFETY: it left its list, and its objects are not used.
                unsafe { self.release_chunk(chunk) };
            }
        };
        while let Some(chunk) = self.used.pop() {
            if self.config.zero_on_reset {
                // SAFETY: its objects are not used.
                unsafe { chunk.zero() };
            }
            keep(chunk);
        }
        while let Some(chunk) = self.spare.pop() {
            keep(chunk);
        }
        while let Some(chunk) = kept.pop() {
            chunk.empty();
            self.spare.push(chunk);
        }
        // What is held beyond that are the chunks of scopes that were leaked.
        self.held.set(self.held.get() - self.adopted.replace(0));
        let longest = self.spare.head().map_or(0, Chunk::len);
        let next = (2 * longest).clamp(self.config.first_chunk, self.config.max_chunk);
        self.next_len.set(self.next_len.get().min(next));
        if let Some(chunk) = self.spare.pop() {
            self.used.push(chunk);
            // SAFETY: the chunk is live, ours, and nothing lies in it.
            unsafe { self.enter(chunk, chunk.whole()) };
        }
        self.find_home();
        self.check();
    }

    /// Gives everything back.
    ///
    /// # Safety
    /// No object is used any more, the cleanups have run, and the arena is not used again.
    #[inline(always)]
    pub(crate) unsafe fn release_all(&self) {
        match (&self.source, self.home.get()) {
            // All that was allocated lies in this chunk, and no large object or scope is there.
            (Source::Owned(source), Some(chunk)) if self.spare.is_empty() => {
                // SAFETY: no object in it is used, and the list that it is in goes, too.
                let run = unsafe { chunk.dissolve() };
                // SAFETY: the run came from the source, is released once, and nobody uses it.
                unsafe { source.release(run) };
            }
            // SAFETY: the caller's promise.
            _ => unsafe { self.release_each() },
        }
    }

    /// As [`release_all`](Self::release_all), whatever there is.
    ///
    /// # Safety
    /// As there.
    #[cold]
    #[inline(never)]
    unsafe fn release_each(&self) {
        while let Some(large) = self.large.head() {
            // SAFETY: it is in the list, and not used.
            unsafe { self.release_large(large) };
        }
        while let Some(chunk) = self.used.pop() {
            if self.config.zero_on_reset {
                // SAFETY: its objects are not used.
                unsafe { chunk.zero() };
            }
            // SAFETY: it left its list, and its objects are not used.
            unsafe { self.release_chunk(chunk) };
        }
        while let Some(chunk) = self.spare.pop() {
            // SAFETY: as above.
            unsafe { self.release_chunk(chunk) };
        }
    }
}
