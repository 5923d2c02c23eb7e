//! The tip: the free bytes that the next objects are cut from, and the arithmetic of cutting.

use core::alloc::Layout;
use core::cell::Cell;
use core::ptr::{self, NonNull};
use pool_core::poison;

/// Every object starts at a multiple of this, so that common layouts need no masking beyond it.
pub(crate) const MIN_ALIGN: usize = 8;

/// `size` rounded up to [`MIN_ALIGN`]: what an object takes. No object has more than `isize::MAX`
/// bytes, so this does not overflow.
#[inline(always)]
pub(crate) const fn round(size: usize) -> usize {
    (size + (MIN_ALIGN - 1)) & !(MIN_ALIGN - 1)
}

/// `room - size`, if that is not negative. Both are at most `isize::MAX`, so the difference is
/// right as a signed number. (`checked_sub` costs an instruction more where `size` is constant: it
/// becomes a comparison *and* a subtraction.)
#[inline(always)]
const fn less(room: usize, size: usize) -> Option<usize> {
    let rest = room.wrapping_sub(size);
    if (rest as isize) < 0 { None } else { Some(rest) }
}

/// A well-aligned address of nothing, for objects of no bytes: no memory that two threads could
/// meet at.
#[inline(always)]
pub(crate) fn nowhere(align: usize) -> NonNull<u8> {
    NonNull::new(ptr::without_provenance_mut(align)).unwrap_or(NonNull::dangling())
}

/// Free bytes: `len` of them from `low` on, both multiples of [`MIN_ALIGN`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gap {
    pub(crate) low: NonNull<u8>,
    pub(crate) len: usize,
}

impl Gap {
    /// No bytes, nowhere.
    pub(crate) const EMPTY: Self = Self { low: NonNull::<u64>::dangling().cast(), len: 0 };

    /// Cuts `layout` off at the upper end: its place, and what is left. `None` if it does not fit.
    #[inline(always)]
    pub(crate) fn take(self, layout: Layout) -> Option<(NonNull<u8>, Self)> {
        let mut len = less(self.len, layout.size())?;
        if layout.align() <= MIN_ALIGN {
            len &= !(MIN_ALIGN - 1);
        } else {
            let above = self.at(len).addr().get() & (layout.align() - 1);
            len = len.checked_sub(above)?;
        }
        Some((self.at(len), Self { low: self.low, len }))
    }

    /// The address `offset` bytes above the lower end, at most `len`.
    #[inline(always)]
    pub(crate) fn at(self, offset: usize) -> NonNull<u8> {
        // Wrapping, because `low` may point to nothing, with a length of 0.
        let address = self.low.as_ptr().wrapping_add(offset);
        // SAFETY: `low` is not null, and `low + len` is at most the end of an allocation, so the
        // sum neither wraps nor is null.
        unsafe { NonNull::new_unchecked(address) }
    }
}

/// The gap that the arena cuts objects from, at its upper end, downwards.
///
/// ```text
///    low                floor                      cursor
///     │◄──── reserve ────►│◄───────── room ─────────►│
///     │ free, out of the  │ free, in sight of the    │ objects
///     │ fast path's sight │ fast path                │
/// ```
///
/// The cursor is kept as its distance from the floor, so that one subtraction both makes the new
/// one and tells whether it fits: no address can wrap. The reserve keeps `room` below the threshold
/// of large objects, so that the same subtraction fails for these too, whatever the chunk's length.
///
/// Invariants: `floor`, `room` and `reserve` are multiples of [`MIN_ALIGN`], and their sums below
/// `isize::MAX`. Unless `room` and
/// `reserve` are both 0, the bytes from `floor - reserve` to `floor + room` lie in one live run,
/// `floor` has provenance for all of that run, and nobody else uses those bytes.
pub(crate) struct Tip {
    floor: Cell<NonNull<u8>>,
    room: Cell<usize>,
    reserve: Cell<usize>,
}

impl Tip {
    pub(crate) const fn empty() -> Self {
        Self { floor: Cell::new(Gap::EMPTY.low), room: Cell::new(0), reserve: Cell::new(0) }
    }

    /// Cuts a `T` off; `None` if it does not fit in what the fast path sees.
    #[inline(always)]
    pub(crate) fn take_for<T>(&self) -> Option<NonNull<u8>> {
        if align_of::<T>() > MIN_ALIGN {
            return self.take(Layout::new::<T>());
        }
        let room = less(self.room.get(), round(size_of::<T>()))?;
        self.room.set(room);
        let place = self.seen().at(room);
        poison::allow(place.as_ptr(), size_of::<T>());
        Some(place)
    }

    /// Cuts `layout` off; `None` if it does not fit in what the fast path sees. No bytes always
    /// fit, if they need no more than [`MIN_ALIGN`].
    #[inline(always)]
    pub(crate) fn take(&self, layout: Layout) -> Option<NonNull<u8>> {
        // Not by way of `Gap::take`, which is longer.
        let room = if layout.align() <= MIN_ALIGN {
            // Not `less`: knowing that the rest is not negative, the compiler clears the mask's sign
            // bit, and has to load it as a constant of 64 bits.
            self.room.get().checked_sub(layout.size())? & !(MIN_ALIGN - 1)
        } else {
            let room = less(self.room.get(), layout.size())?;
            room.checked_sub(self.seen().at(room).addr().get() & (layout.align() - 1))?
        };
        self.room.set(room);
        let place = self.seen().at(room);
        poison::allow(place.as_ptr(), layout.size());
        Some(place)
    }

    /// What the fast path sees.
    #[inline(always)]
    fn seen(&self) -> Gap {
        Gap { low: self.floor.get(), len: self.room.get() }
    }

    /// As [`take`](Self::take), if the reserve helps.
    #[inline]
    pub(crate) fn take_hidden(&self, layout: Layout, window: usize) -> Option<NonNull<u8>> {
        if self.reserve.get() == 0 {
            return None;
        }
        let (place, rest) = self.gap().take(layout)?;
        // SAFETY: a part of what was free.
        unsafe { self.set(rest, window) };
        poison::allow(place.as_ptr(), layout.size());
        Some(place)
    }

    /// Bytes free, seen or not.
    #[inline]
    pub(crate) fn free(&self) -> usize {
        self.room.get() + self.reserve.get()
    }

    /// The lower end of what is free.
    #[inline]
    pub(crate) fn low(&self) -> NonNull<u8> {
        let low = self.floor.get().as_ptr().wrapping_sub(self.reserve.get());
        // SAFETY: `floor - reserve` lies within the run, so it is not null.
        unsafe { NonNull::new_unchecked(low) }
    }

    /// Whether `ptr` is the object that was cut off last, as far as that is known: the one that
    /// begins at the cursor.
    ///
    /// An object's address can equal the cursor only if it lies in the same chunk: objects never
    /// begin at the start of a run, where its header stands, so the end of one chunk is not the
    /// start of another's first object.
    #[inline(always)]
    pub(crate) fn is_last(&self, ptr: NonNull<u8>) -> bool {
        ptr == self.seen().at(self.room.get())
    }

    /// All that is free.
    pub(crate) fn gap(&self) -> Gap {
        Gap { low: self.low(), len: self.free() }
    }

    /// Replaces the free bytes by those of `gap`.
    ///
    /// # Safety
    /// `gap` satisfies the invariants of this type, from now until the tip is set again or no more
    /// used.
    #[inline]
    pub(crate) unsafe fn set(&self, gap: Gap, window: usize) {
        let room = gap.len.min(window);
        let reserve = gap.len - room;
        self.room.set(room);
        self.reserve.set(reserve);
        self.floor.set(gap.at(reserve));
        poison::forbid(gap.low.as_ptr(), gap.len);
    }

    /// Takes back the `size` bytes at the cursor, as they were rounded when they were cut off.
    ///
    /// # Safety
    /// The object at the cursor was cut off by this tip with that size, or `size` is a part of its
    /// size, at its lower end, that ends at a multiple of [`MIN_ALIGN`]. Nobody uses those bytes
    /// any more.
    #[inline]
    pub(crate) unsafe fn give_back(&self, size: usize, window: usize) {
        poison::forbid(self.seen().at(self.room.get()).as_ptr(), round(size));
        self.room.set(self.room.get() + round(size));
        if self.room.get() > window {
            // SAFETY: the same bytes, divided anew.
            unsafe { self.set(self.gap(), window) };
        }
    }

    /// Cuts `bytes` (a multiple of [`MIN_ALIGN`]) off the lower end: for what grows upwards.
    /// `None` if there are fewer.
    pub(crate) fn take_low(&self, bytes: usize, window: usize) -> Option<NonNull<u8>> {
        let low = self.low();
        let len = self.free().checked_sub(bytes)?;
        let rest = low.as_ptr().wrapping_add(bytes);
        // SAFETY: `bytes` is at most what is free above `low`, so the sum stays within the run.
        let rest = unsafe { NonNull::new_unchecked(rest) };
        // SAFETY: the rest is a part of what was free, and has provenance for the run.
        unsafe { self.set(Gap { low: rest, len }, window) };
        poison::allow(low.as_ptr(), bytes);
        Some(low)
    }

    /// Takes `bytes` back that were cut off at the lower end, the last ones there.
    ///
    /// # Safety
    /// [`take_low`](Self::take_low) cut them off, so that they end where the free bytes begin, and
    /// nobody uses them any more.
    pub(crate) unsafe fn give_back_low(&self, bytes: usize, window: usize) {
        let low = self.low().as_ptr().wrapping_sub(bytes);
        // SAFETY: as they were cut off here, the difference stays within the run.
        let low = unsafe { NonNull::new_unchecked(low) };
        // SAFETY: these bytes and what is free above them, with provenance for the run.
        unsafe { self.set(Gap { low, len: self.free() + bytes }, window) };
    }

    /// The invariants that can be seen.
    pub(crate) fn check(&self, window: usize) {
        debug_assert!(self.room.get() <= window);
        debug_assert_eq!(self.room.get() % MIN_ALIGN, 0);
        debug_assert_eq!(self.reserve.get() % MIN_ALIGN, 0);
        debug_assert_eq!(self.floor.get().addr().get() % MIN_ALIGN, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The stack's memory, which must not stay forbidden.
    struct Usable(*mut u8);

    impl Drop for Usable {
        fn drop(&mut self) {
            poison::allow(self.0, 512);
        }
    }

    #[test]
    fn every_layout_fits_where_it_should() {
        let mut memory = [0u64; 64];
        let low = NonNull::from(&mut memory).cast::<u8>();
        let _usable = Usable(low.as_ptr());
        for len in (0..=128).step_by(if cfg!(miri) { 64 } else { 8 }) {
            for size in 0..=136 {
                for align in [1, 2, 4, 8, 16, 32, 64] {
                    let layout = Layout::from_size_align(size, align).unwrap();
                    let tip = Tip::empty();
                    // SAFETY: the bytes are ours, aligned, and outlive the tip.
                    unsafe { tip.set(Gap { low, len }, usize::MAX) };
                    let end = low.addr().get() + len;
                    let start = (end.wrapping_sub(size)) & !(align.max(8) - 1);
                    let fits = size <= len && start >= low.addr().get();
                    match tip.take(layout) {
                        Some(ptr) => {
                            assert!(fits);
                            assert_eq!(ptr.addr().get(), start);
                            assert_eq!(tip.free(), start - low.addr().get());
                        }
                        None => {
                            assert!(!fits);
                            assert_eq!(tip.free(), len);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn the_window_hides_what_is_below() {
        let mut memory = [0u64; 64];
        let low = NonNull::from(&mut memory).cast::<u8>();
        let _usable = Usable(low.as_ptr());
        let tip = Tip::empty();
        // SAFETY: the bytes are ours, aligned, and outlive the tip.
        unsafe { tip.set(Gap { low, len: 512 }, 64) };
        let big = Layout::from_size_align(72, 8).unwrap();
        assert_eq!(tip.take(big), None);
        let ptr = tip.take_hidden(big, 64).unwrap();
        assert!(tip.is_last(ptr));
        assert_eq!((tip.low(), tip.free()), (low, 440));
        tip.check(64);
        // SAFETY: the object was cut off last and is not used.
        unsafe { tip.give_back(72, 64) };
        tip.check(64);
        assert_eq!(tip.free(), 512);
        assert_eq!(tip.take_low(500 & !7, 64), Some(low));
        assert_eq!(tip.free(), 16);
        assert_eq!(tip.take_low(24, 64), None);
    }
}
