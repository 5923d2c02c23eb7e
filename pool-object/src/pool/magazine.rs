//! `Magazine`: a thread's stock of idle objects. A storage file.

use crate::pool::stack::Stack;
use crate::pool::sync::{AtomicUsize, Relaxed};
use core::cell::{Cell, UnsafeCell};
use core::mem::MaybeUninit;
use core::ptr::NonNull;

/// Objects that a magazine holds at most; so few for loom that its models fill one.
pub(crate) const ROOM: usize = if cfg!(loom) { 2 } else { 64 };

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
        add(&self.len, usize::MAX);
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

    /// Moves up to `count` places from the top to `to`, in the same order, counted as hits; how many.
    ///
    /// # Safety
    /// The caller is the owner, and there is room for so many at `to`, elsewhere.
    pub(crate) unsafe fn pop_into(&self, to: NonNull<NonNull<T>>, count: usize) -> usize {
        let count = count.min(self.len());
        let len = self.len() - count;
        // SAFETY: at most `ROOM`.
        let top = unsafe { self.first().add(len) };
        // SAFETY: so many initialised places from there on, which nobody but the owner looks at, and
        // room for them elsewhere.
        unsafe { top.copy_to_nonoverlapping(to, count) };
        self.len.store(len, Relaxed);
        add(&self.hits, count);
        count
    }

    /// Puts `count` places on top, if there is room for all; whether there was.
    ///
    /// # Safety
    /// The caller is the owner, and so many initialised places are at `from`, elsewhere.
    pub(crate) unsafe fn push_from(&self, from: NonNull<NonNull<T>>, count: usize) -> bool {
        let len = self.len();
        if count > ROOM - len {
            return false;
        }
        // SAFETY: at most `ROOM`.
        let top = unsafe { self.first().add(len) };
        // SAFETY: so many places, and room for them, which nobody but the owner looks at.
        unsafe { top.copy_from_nonoverlapping(from, count) };
        self.len.store(len + count, Relaxed);
        true
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
        let surplus = unsafe { push_to(stack, first, count) };
        // SAFETY: at most `ROOM`.
        let rest = unsafe { first.add(count) };
        // SAFETY: so many initialised places from there on, and room for them below.
        unsafe { first.copy_from(rest, len - count) };
        self.len.store(len - count, Relaxed);
        surplus
    }
}

/// Moves places to `stack`. Those that may not go there are returned.
///
/// # Safety
/// `count` initialised places are at `from`, at most `ROOM`, elsewhere.
pub(crate) unsafe fn push_to<T>(
    stack: &Stack<T>,
    from: NonNull<NonNull<T>>,
    count: usize,
) -> Option<Places<T>> {
    // SAFETY: the caller's promise.
    let moved = unsafe { stack.push_from(from, count) };
    // SAFETY: as above.
    (moved < count).then(|| unsafe { copy(from, moved, count) })
}

/// The places from `begin` to `end`.
///
/// # Safety
/// They are initialised.
#[cold]
unsafe fn copy<T>(from: NonNull<NonNull<T>>, begin: usize, end: usize) -> Places<T> {
    let mut copy = [None; ROOM];
    for (number, copy) in (begin..end).zip(&mut copy) {
        // SAFETY: within what the caller promises.
        let place = unsafe { from.add(number) };
        // SAFETY: initialised, as the caller promises.
        *copy = Some(unsafe { place.read() });
    }
    copy
}

/// Some places.
pub(crate) type Places<T> = [Option<NonNull<T>>; ROOM];
