//! Values that an arena drops, and calls that it makes, when it is emptied: methods that both arenas
//! have.

use crate::arena::Arena;
use crate::cleanup::{Cleanups, With};
use crate::error::{AllocError, refuse};
use crate::shared::SyncArena;
use core::ptr::NonNull;
use pool_core::PageSource;

macro_rules! cleanups {
    ($arena:ident, $order:literal) => {
        /// # Cleanups
        ///
        #[doc = $order]
        /// A panic in one does not skip the others: without the feature `std` a second panic aborts,
        /// with it the first one goes on after all have run.
        ///
        /// `Send`, because the arena may be emptied on another thread; `'static`, because references
        /// into the arena end before the cleanups run, and other things may have died by then.
        #[allow(clippy::mut_from_ref, reason = "every call lends other memory")]
        impl<S: PageSource> $arena<S> {
            /// As [`alloc`](Self::alloc), and the arena drops the value.
            ///
            /// # Panics
            /// If no memory can be had; the value is dropped then.
            ///
            /// ```
            /// use std::sync::Arc;
            /// let shared = Arc::new(1);
            #[doc = new!(mut $arena)]
            /// let copy = arena.alloc_drop(Arc::clone(&shared));
            /// assert_eq!(Arc::strong_count(copy), 2);
            /// arena.reset();
            /// assert_eq!(Arc::strong_count(&shared), 1);
            /// ```
            ///
            /// What borrows may die before the arena drops it (an [`ArenaBox`](crate::ArenaBox) may
            /// hold it); and what must stay on its thread cannot go in:
            ///
            /// ```compile_fail,E0597
            /// struct Noisy<'a>(&'a String);
            /// impl Drop for Noisy<'_> { fn drop(&mut self) { println!("{}", self.0) } }
            #[doc = new!($arena)]
            /// let text = String::from("gone");
            /// arena.alloc_drop(Noisy(&text));
            /// ```
            /// ```compile_fail,E0277
            #[doc = new!($arena)]
            /// arena.alloc_drop(std::rc::Rc::new(1));
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
            pub fn try_alloc_drop<T: Send + 'static>(
                &self,
                value: T,
            ) -> Result<&mut T, AllocError> {
                if !core::mem::needs_drop::<T>() {
                    return self.try_alloc(value);
                }
                let value = self.registered(value)?;
                // SAFETY: initialised, and nobody else uses it before the cleanups run.
                Ok(unsafe { &mut *value.as_ptr() })
            }

            /// Calls `f` when the arena is emptied.
            ///
            /// # Panics
            /// If no memory can be had; `f` is dropped then.
            ///
            /// ```
            /// use std::sync::mpsc;
            /// let (sender, receiver) = mpsc::channel();
            #[doc = new!(mut $arena)]
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
                self.registered_call(f)
            }
        }
    };
}

cleanups!(
    Arena,
    "They run when the arena is reset or dropped or when the scope ends that they were registered in,
newest first (never, if that scope is leaked)."
);
cleanups!(
    SyncArena,
    "They run when the arena is reset or dropped, newest first; of those that threads register at
once, either may be the newer."
);

impl<S: PageSource> Arena<S> {
    #[inline]
    fn registered<T: Send + 'static>(&self, value: T) -> Result<NonNull<T>, AllocError> {
        let place = self.try_place_for::<With<T>>()?;
        self.home.set(None);
        // SAFETY: the place is fit and lives until the cleanups have run, at which time references
        // to the value, which borrow the arena, are gone. `T: Send + 'static`, so the value may
        // be dropped then and there.
        Ok(unsafe { self.cleanups.push_value(place.cast(), value) })
    }

    #[inline]
    fn registered_call<F: FnOnce() + Send + 'static>(&self, f: F) -> Result<(), AllocError> {
        let place = self.try_place_for::<With<F>>()?;
        self.home.set(None);
        // SAFETY: the place is fit and lives until the cleanups have run; `F: Send + 'static`, so
        // it may be called then and there.
        unsafe { self.cleanups.push_call(place.cast(), f) };
        Ok(())
    }
}

impl<S: PageSource> SyncArena<S> {
    #[inline]
    fn registered<T: Send + 'static>(&self, value: T) -> Result<NonNull<T>, AllocError> {
        let place = self.try_place_for::<With<T>>()?;
        let one = Cleanups::new();
        // SAFETY: as in `Arena`.
        let value = unsafe { one.push_value(place.cast(), value) };
        self.cleanups.add(&one);
        Ok(value)
    }

    #[inline]
    fn registered_call<F: FnOnce() + Send + 'static>(&self, f: F) -> Result<(), AllocError> {
        let place = self.try_place_for::<With<F>>()?;
        let one = Cleanups::new();
        // SAFETY: as in `Arena`.
        unsafe { one.push_call(place.cast(), f) };
        self.cleanups.add(&one);
        Ok(())
    }
}
