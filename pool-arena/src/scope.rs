//! Scopes: everything allocated inside is free again at the end. A storage file.
//!
//! The usual shapes (a closure that is given `&mut Arena`, a second type, a mark with a rewind)
//! either forbid the parent's values inside or let the parent hand out what will be rewound. Here
//! the parent *lends* its free bytes: what it hands out meanwhile lies elsewhere.

use crate::arena::{Arena, Source};
use crate::chunk::Chunk;
use crate::cleanup::Mark;
use crate::config::Config;
use crate::tip::Gap;
use core::fmt;
use core::ops::Deref;
use core::ptr;
use pool_core::PageSource;

/// A part of an arena's life: derefs to an [`Arena`] of its own, whose objects end with it. Made by
/// [`Arena::scope`].
///
/// A scope that is leaked (`mem::forget`) leaks its chunks, and its cleanups do not run; nothing
/// else goes wrong.
pub struct Scope<'a, S: PageSource> {
    /// Its source points to `parent`. Never moved out: its tip may lie in the parent's chunk, so
    /// nobody may get at it by `&mut`. When it is dropped it is empty.
    inner: Arena<S>,
    parent: &'a Arena<S>,
    /// What the parent lent, and the chunk of the parent's that it lies in (`None` if it was lent to
    /// the parent, too).
    lent: Gap,
    chunk: Option<Chunk>,
}

impl<S: PageSource> Arena<S> {
    /// Opens a scope: an arena whose objects end when the guard is dropped, and whose memory is
    /// free again then. This arena can be used meanwhile; its values are in reach inside.
    ///
    /// ```
    /// # use pool_arena::Arena;
    /// fn sum(arena: &Arena, numbers: &[u32]) -> u32 {
    ///     arena.alloc_slice_copy(numbers).iter().sum()
    /// }
    /// let arena = Arena::new();
    /// let before = arena.alloc_slice_copy(&[1, 2, 3]);
    /// {
    ///     let scope = arena.scope();
    ///     before[0] = sum(&scope, before); // freed at the end of the block
    ///     arena.alloc_str("outlives the scope");
    /// }
    /// assert_eq!(before[0], 6);
    /// ```
    ///
    /// Values do not leave:
    ///
    /// ```compile_fail,E0597
    /// # use pool_arena::Arena;
    /// let arena = Arena::new();
    /// let escaped;
    /// {
    ///     let scope = arena.scope();
    ///     escaped = scope.alloc(1);
    /// }
    /// *escaped = 2;
    /// ```
    ///
    /// Nor is the arena reset while one is open:
    ///
    /// ```compile_fail,E0502
    /// # use pool_arena::Arena;
    /// let mut arena = Arena::new();
    /// let scope = arena.scope();
    /// arena.reset();
    /// scope.alloc(1);
    /// ```
    ///
    /// # Complexity
    /// O(1) to open; to end O(cleanups + large objects + chunks) of the scope. If this arena
    /// allocates while a scope is open it takes another chunk for that.
    #[must_use = "the scope ends when the guard is dropped"]
    pub fn scope(&self) -> Scope<'_, S> {
        let (lent, chunk) = (self.tip.gap(), self.current.take());
        self.home.set(None);
        // SAFETY: nothing is always free.
        unsafe { self.tip.set(Gap::EMPTY, self.config.window()) };
        let config = Config { limit: usize::MAX, ..self.config };
        let inner = Self::with_source(Source::Lent(ptr::from_ref(self).cast_mut()), config);
        // SAFETY: the bytes were free and are no longer this arena's; they live as long as it is
        // borrowed, which the guard sees to.
        unsafe { inner.tip.set(lent, config.window()) };
        Scope { inner, parent: self, lent, chunk }
    }

    /// Calls `f` with an arena whose objects end when it returns.
    ///
    /// ```
    /// # use pool_arena::Arena;
    /// let arena = Arena::new();
    /// let len = arena.scoped(|scope| scope.alloc_str("temporary").len());
    /// assert_eq!(len, 9);
    /// ```
    /// ```compile_fail
    /// # use pool_arena::Arena;
    /// Arena::new().scoped(|scope| scope.alloc(1)); // values do not leave
    /// ```
    pub fn scoped<R>(&self, f: impl FnOnce(&Self) -> R) -> R {
        f(&self.scope())
    }

    /// Takes back what was lent to a scope, unless this arena has more at hand by now: then the rest
    /// of that chunk is idle until the reset.
    ///
    /// # Safety
    /// The bytes are free, and lie in `chunk` or were lent to this arena, too.
    unsafe fn take_tip_back(&self, lent: Gap, chunk: Option<Chunk>) {
        if lent.len > self.tip.free() {
            self.leave();
            self.current.set(chunk);
            // SAFETY: the caller's promise.
            unsafe { self.tip.set(lent, self.config.window()) };
        } else if let Some(chunk) = chunk {
            chunk.set_rest(lent);
        }
        self.find_home();
        self.check();
    }

    /// The end of a scope's memory: large objects go back to the source, chunks to the parent.
    ///
    /// # Safety
    /// This is the arena of a scope, no object is used any more, the cleanups have run, and the
    /// arena is not used again.
    unsafe fn hand_back(&self, parent: &Self) {
        while let Some(large) = self.large.head() {
            // SAFETY: it is in the list, and not used.
            unsafe { self.release_large(large) };
        }
        while let Some(chunk) = self.used.pop().or_else(|| self.spare.pop()) {
            if self.config.zero_on_reset {
                // SAFETY: its objects are not used.
                unsafe { chunk.zero() };
            }
            self.held.set(self.held.get() - chunk.len());
            chunk.empty();
            parent.spare.push(chunk);
        }
        // Of arenas that were adopted, and of scopes that were leaked.
        parent.refund(self.held.get());
    }
}

impl<S: PageSource> Deref for Scope<'_, S> {
    type Target = Arena<S>;

    #[inline(always)]
    fn deref(&self) -> &Arena<S> {
        &self.inner
    }
}

impl<S: PageSource> fmt::Debug for Scope<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scope").field(&self.inner).finish()
    }
}

/// A position in an arena, to go back to. Made by [`Arena::checkpoint`].
///
/// It covers the cursor, the chunk, the large objects and the cleanups.
#[derive(Clone, Copy)]
#[must_use]
pub struct Checkpoint {
    gap: Gap,
    current: Option<Chunk>,
    newest: Option<Chunk>,
    /// Large objects from this serial on are newer.
    large: u64,
    cleanups: Mark,
    adopted: usize,
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoint").field("free", &self.gap.len).finish_non_exhaustive()
    }
}

impl<S: PageSource> Arena<S> {
    /// Where the arena is now. [`scope`](Self::scope) is the safe way to go back.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            gap: self.tip.gap(),
            current: self.current.get(),
            newest: self.used.head(),
            large: self.large.next_serial(),
            cleanups: self.cleanups.mark(),
            adopted: self.adopted.get(),
        }
    }

    /// Goes back to `to`: runs the cleanups that were registered since, gives the large objects back
    /// that were made since, and makes the memory free that was handed out since.
    ///
    /// If a cleanup panics, the others run, the arena is rewound, and the panic goes on.
    ///
    /// ```
    /// # use pool_arena::Arena;
    /// let arena = Arena::new();
    /// let checkpoint = arena.checkpoint();
    /// let first: *mut u64 = arena.alloc(1u64);
    /// // SAFETY: `first` is not used, only its address.
    /// unsafe { arena.rewind(checkpoint) };
    /// assert_eq!(first, std::ptr::from_mut(arena.alloc(2u64)));
    /// ```
    ///
    /// # Safety
    /// - `to` was made by this very arena (not by one of its scopes), which since then has not been
    ///   reset or sealed, nor rewound to an earlier checkpoint.
    /// - No scope of it is open.
    /// - Nothing is used any more that was allocated since, growth of older vectors included.
    pub unsafe fn rewind(&self, to: Checkpoint) {
        /// Goes back even if a cleanup panics.
        struct Back<'a, S: PageSource>(&'a Arena<S>, Checkpoint);
        impl<S: PageSource> Drop for Back<'_, S> {
            fn drop(&mut self) {
                // SAFETY: the promise to `rewind`; the cleanups are through.
                unsafe { self.0.rewind_memory(self.1) };
            }
        }
        let back = Back(self, to);
        self.cleanups.run(to.cleanups);
        drop(back);
    }

    /// # Safety
    /// As [`rewind`](Self::rewind), and the cleanups have run.
    unsafe fn rewind_memory(&self, to: Checkpoint) {
        while let Some(large) = self.large.head().filter(|large| large.serial() >= to.large) {
            // SAFETY: it is in the list, and not used.
            unsafe { self.release_large(large) };
        }
        while let Some(chunk) = self.used.head().filter(|chunk| Some(*chunk) != to.newest) {
            self.used.pop();
            if self.config.zero_on_reset {
                // SAFETY: its objects are not used.
                unsafe { chunk.zero() };
            }
            chunk.empty();
            self.spare.push(chunk);
        }
        self.refund(self.adopted.replace(to.adopted) - to.adopted);
        if let Some(chunk) = to.current {
            // SAFETY: the chunk was current then, so it is not newer, and in `used`. What was free
            // then is free again, as the caller promises.
            unsafe { self.enter(chunk, to.gap) };
        } else {
            self.current.set(None);
            // SAFETY: as above; without a chunk the gap is empty or lent by the parent.
            unsafe { self.tip.set(to.gap, self.config.window()) };
        }
        self.find_home();
        self.check();
    }
}

impl<S: PageSource> Drop for Scope<'_, S> {
    /// Ends the scope. If a cleanup panics, the others run, the memory comes back, and the panic
    /// goes on.
    fn drop(&mut self) {
        /// Hands the memory back even if a cleanup panics.
        struct End<'a, 'b, S: PageSource>(&'a Scope<'b, S>);
        impl<S: PageSource> Drop for End<'_, '_, S> {
            fn drop(&mut self) {
                let Scope { inner, parent, lent, chunk } = self.0;
                // SAFETY: the guard is being dropped, and objects borrow it; the cleanups are
                // through. The inner arena is dropped next, with nothing in it.
                unsafe { inner.hand_back(parent) };
                inner.held.set(0);
                inner.current.set(None);
                // Only now: the cleanups may have used the parent.
                // SAFETY: the inner arena no longer cuts from it, and no object in it is used.
                unsafe { parent.take_tip_back(*lent, *chunk) };
            }
        }
        let end = End(self);
        self.inner.cleanups.run(Mark::OLDEST);
        drop(end);
    }
}
