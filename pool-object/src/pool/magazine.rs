//! `Magazine`: a thread's stock of idle objects. A storage file.

use crate::pool::sync::{AtomicUsize, Relaxed};
use core::cell::{Cell, UnsafeCell};
use core::mem::MaybeUninit;
use core::ptr::NonNull;

/// Objects that a magazine holds at most.
pub(crate) const ROOM: usize = 64;

/// A stack of places, used by one thread at a time: its *owner*. Others look at the figures alone.
///
/// Aligned so that no two share a line of the processor's caches, nor a pair of lines that are
/// fetched together.
#[repr(align(128))]
pub(crate) struct Magazine<T> {
    /// Below this, `places` are initialised. Written by the owner alone; atomic, since statistics
    /// read it.
    len: AtomicUsize,
    /// Objects that were given out from here; as `len`.
    hits: AtomicUsize,
    /// The next magazine of the pool. Written before anybody else sees this one.
    pub(crate) next: Cell<Option<NonNull<Magazine<T>>>>,
    /// Whether it has an owner. The depot's lock guards this.
    pub(crate) owned: Cell<bool>,
    places: [UnsafeCell<MaybeUninit<NonNull<T>>>; ROOM],
}

impl<T> Magazine<T> {
    pub(crate) fn new(next: Option<NonNull<Self>>) -> Self {
        Self {
            len: AtomicUsize::new(0),
            hits: AtomicUsize::new(0),
            next: Cell::new(next),
            owned: Cell::new(true),
            places: [const { UnsafeCell::new(MaybeUninit::uninit()) }; ROOM],
        }
    }

    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.len.load(Relaxed)
    }

    pub(crate) fn hits(&self) -> usize {
        self.hits.load(Relaxed)
    }

    /// The place on top, counted as a hit.
    ///
    /// # Safety
    /// The caller is the owner.
    #[inline(always)]
    pub(crate) unsafe fn pop(&self) -> Option<NonNull<T>> {
        let len = self.len().checked_sub(1)?;
        self.len.store(len, Relaxed);
        self.hits.store(self.hits.load(Relaxed).wrapping_add(1), Relaxed);
        // SAFETY: `len` was at most `ROOM`, and is below it now.
        let place = unsafe { self.places.get_unchecked(len) }.get();
        // SAFETY: nobody but the owner looks at places.
        let place = unsafe { place.read() };
        // SAFETY: below what `len` was, so initialised.
        Some(unsafe { place.assume_init() })
    }

    /// Puts a place on top; `false` if the magazine is full.
    ///
    /// # Safety
    /// The caller is the owner.
    #[inline(always)]
    pub(crate) unsafe fn push(&self, place: NonNull<T>) -> bool {
        let len = self.len();
        if len >= ROOM {
            return false;
        }
        // SAFETY: just looked.
        let at = unsafe { self.places.get_unchecked(len) }.get();
        // SAFETY: nobody but the owner looks at places.
        unsafe { at.write(MaybeUninit::new(place)) };
        self.len.store(len + 1, Relaxed);
        true
    }

    /// Takes the lowest `count` places out, or as many as there are: the first of the result.
    ///
    /// # Safety
    /// The caller is the owner.
    pub(crate) unsafe fn take_lowest(&self, count: usize) -> ([Option<NonNull<T>>; ROOM], usize) {
        let (len, mut taken) = (self.len(), [None; ROOM]);
        let count = count.min(len);
        for (number, place) in self.places[..len].iter().enumerate() {
            // SAFETY: nobody but the owner looks at places.
            let place = unsafe { place.get().read() };
            match taken[..count].get_mut(number) {
                // SAFETY: below `len`, so initialised.
                Some(taken) => *taken = Some(unsafe { place.assume_init() }),
                // SAFETY: nobody but the owner looks at places.
                None => unsafe { self.places[number - count].get().write(place) },
            }
        }
        self.len.store(len - count, Relaxed);
        (taken, count)
    }
}
