//! Values that the arena drops, and calls that it makes, when it is emptied.

use crate::arena::Arena;
use crate::cleanup::With;
use crate::error::{AllocError, refuse};
use pool_core::PageSource;

/// # Cleanups
///
/// They run when the arena is reset or dropped or when the scope ends that they were registered in,
/// newest first (never, if that scope is leaked). A panic in one does not skip the others: without the feature `std` a second panic
/// aborts, with it the first one goes on after all have run.
///
/// `Send`, because the arena may be emptied on another thread; `'static`, because references into
/// the arena end before the cleanups run, and other things may have died by then.
#[allow(clippy::mut_from_ref, reason = "every call lends other memory")]
impl<S: PageSource> Arena<S> {
    /// As [`alloc`](Self::alloc), and the arena drops the value.
    ///
    /// # Panics
    /// If no memory can be had; the value is dropped then.
    ///
    /// ```
    /// # use pool_arena::Arena;
    /// use std::sync::Arc;
    /// let shared = Arc::new(1);
    /// let mut arena = Arena::new();
    /// let copy = arena.alloc_drop(Arc::clone(&shared));
    /// assert_eq!(Arc::strong_count(copy), 2);
    /// arena.reset();
    /// assert_eq!(Arc::strong_count(&shared), 1);
    /// ```
    ///
    /// What borrows may die before the arena drops it (an [`ArenaBox`](crate::ArenaBox) may hold
    /// it); and what must stay on its thread cannot go in:
    ///
    /// ```compile_fail,E0597
    /// # use pool_arena::Arena;
    /// struct Noisy<'a>(&'a String);
    /// impl Drop for Noisy<'_> { fn drop(&mut self) { println!("{}", self.0) } }
    /// let arena = Arena::new();
    /// let text = String::from("gone");
    /// arena.alloc_drop(Noisy(&text));
    /// ```
    /// ```compile_fail,E0277
    /// # use pool_arena::Arena;
    /// Arena::new().alloc_drop(std::rc::Rc::new(1));
    /// ```
    #[inline]
    pub fn alloc_drop<T: Send + 'static>(&self, value: T) -> &mut T {
        self.try_alloc_drop(value).unwrap_or_else(|error| refuse(error))
    }

    /// As [`alloc_drop`](Self::alloc_drop).
    ///
    /// # Errors
    /// If no memory can be had; the value is dropped then.
    #[inline]
    pub fn try_alloc_drop<T: Send + 'static>(&self, value: T) -> Result<&mut T, AllocError> {
        if !core::mem::needs_drop::<T>() {
            return self.try_alloc(value);
        }
        let place = self.try_place_for::<With<T>>()?;
        self.home.set(None);
        // SAFETY: the place is fit and lives until the cleanups have run, at which time the
        // reference below, which borrows the arena, is gone. `T: Send + 'static`, so the value may
        // be dropped then and there.
        let value = unsafe { self.cleanups.push_value(place.cast(), value) };
        // SAFETY: initialised, and nobody else uses it before the cleanups run.
        Ok(unsafe { &mut *value.as_ptr() })
    }

    /// Calls `f` when the arena is emptied.
    ///
    /// # Panics
    /// If no memory can be had; `f` is dropped then.
    ///
    /// ```
    /// # use pool_arena::Arena;
    /// use std::sync::mpsc;
    /// let (sender, receiver) = mpsc::channel();
    /// let mut arena = Arena::new();
    /// for number in 0..2 {
    ///     let sender = sender.clone();
    ///     arena.defer(move || sender.send(number).unwrap());
    /// }
    /// arena.reset();
    /// assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [1, 0]);
    /// ```
    #[inline]
    pub fn defer<F: FnOnce() + Send + 'static>(&self, f: F) {
        self.try_defer(f).unwrap_or_else(|error| refuse(error));
    }

    /// As [`defer`](Self::defer).
    ///
    /// # Errors
    /// If no memory can be had; `f` is dropped then.
    #[inline]
    pub fn try_defer<F: FnOnce() + Send + 'static>(&self, f: F) -> Result<(), AllocError> {
        let place = self.try_place_for::<With<F>>()?;
        self.home.set(None);
        // SAFETY: the place is fit and lives until the cleanups have run; `F: Send + 'static`, so
        // it may be called then and there.
        unsafe { self.cleanups.push_call(place.cast(), f) };
        Ok(())
    }
}
