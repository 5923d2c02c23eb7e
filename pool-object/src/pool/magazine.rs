//! `Magazine`: a thread's stock of idle objects. A storage file.

use crate::pool::stack::Stack;
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
    /// If this one has no owner, the next that has none. The depot's lock guards this.
    pub(crate) spare: Cell<Option<NonNull<Magazine<T>>>>,
    places: [UnsafeCell<MaybeUninit<NonNull<T>>>; ROOM],
}

/// Adds to a figure that nobody else writes, wrapping around. It is read anew for that, so that it is
/// one instruction on memory.
#[inline(always)]
fn add(figure: &AtomicUsize, number: usize) {
    figure.store(figure.load(Relaxed).wrapping_add(number), Relaxed);
}

impl<T> Magazine<T> {
    pub(crate) fn new(next: Option<NonNull<Self>>) -> Self {
        Self {
            len: AtomicUsize::new(0),
            hits: AtomicUsize::new(0),
            next: Cell::new(next),
            spare: Cell::new(None),
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
        add(&self.hits, 1);
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
        add(&self.len, 1);
        true
    }

    fn first(&self) -> NonNull<NonNull<T>> {
        NonNull::from(&self.places).cast()
    }

    /// Fills an empty magazine with up to `count` places, at most `ROOM`, from the top of `stack`.
    ///
    /// # Safety
    /// The caller is the owner.
    pub(crate) unsafe fn load(&self, stack: &Stack<T>, count: usize) {
        if self.len() == 0 {
            // SAFETY: nobody but the owner looks at places, and there is room for `ROOM`.
            let count = unsafe { stack.pop_into(self.first(), count.min(ROOM)) };
            self.len.store(count, Relaxed);
        }
    }

    /// Moves the lowest `count` places, or as many as there are, to `stack`. Those that may not
    /// go there are returned.
    ///
    /// # Safety
    /// The caller is the owner.
    pub(crate) unsafe fn unload(&self, stack: &Stack<T>, count: usize) -> Option<Places<T>> {
        let (len, first) = (self.len(), self.first());
        let count = count.min(len);
        // SAFETY: so many initialised places; nobody but the owner looks at them.
        let moved = unsafe { stack.push_from(first, count) };
        // SAFETY: so many initialised places.
        let surplus = (moved < count).then(|| unsafe { self.copy(moved, count) });
        // SAFETY: at most `ROOM`.
        let rest = unsafe { first.add(count) };
        // SAFETY: so many initialised places from there on, and room for them below.
        unsafe { first.copy_from(rest, len - count) };
        self.len.store(len - count, Relaxed);
        surplus
    }

    /// The places from `begin` to `end`.
    ///
    /// # Safety
    /// The caller is the owner, and they are below `len`.
    #[cold]
    unsafe fn copy(&self, begin: usize, end: usize) -> Places<T> {
        let mut copy = [None; ROOM];
        for (place, copy) in self.places[begin..end].iter().zip(&mut copy) {
            // SAFETY: nobody but the owner looks at places.
            let place = unsafe { place.get().read() };
            // SAFETY: below `len`, so initialised.
            *copy = Some(unsafe { place.assume_init() });
        }
        copy
    }
}

/// Some places.
pub(crate) type Places<T> = [Option<NonNull<T>>; ROOM];
