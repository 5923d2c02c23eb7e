//! Slices while they are filled, for both arenas. A storage file.

use crate::arena::Arena;
use crate::error::{AllocError, AllocOrInitError};
use crate::shared::SyncArena;
use core::alloc::Layout;
use core::mem;
use core::ptr::{self, NonNull};
use core::slice;
use pool_core::PageSource;

/// What lends places through `&self`.
///
/// # Safety
/// A place is valid for reads and writes of `layout.size()` bytes, aligned, and disjoint from every other,
/// as long as the arena is borrowed, or until it is given back.
pub(crate) unsafe trait Places {
    fn lend(&self, layout: Layout) -> Result<NonNull<u8>, AllocError>;

    /// Takes a place back, if nothing was placed since.
    ///
    /// # Safety
    /// It was placed here with this layout, and nobody uses it any more.
    unsafe fn take_back(&self, place: NonNull<u8>, layout: Layout);
}

// SAFETY: as the arena's own method says.
unsafe impl<S: PageSource> Places for Arena<S> {
    #[inline(always)]
    fn lend(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        self.try_place(layout)
    }

    #[inline(always)]
    unsafe fn take_back(&self, place: NonNull<u8>, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { self.give_back(place, layout) };
    }
}

// SAFETY: as the arena's own method says.
unsafe impl<S: PageSource> Places for SyncArena<S> {
    #[inline(always)]
    fn lend(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        self.try_place(layout)
    }

    /// What another thread has placed since cannot be told, so it stays until the reset.
    #[inline(always)]
    unsafe fn take_back(&self, _: NonNull<u8>, _: Layout) {}
}

/// A slice that is being filled. If filling ends early, by an error or a panic, the items made so
/// far are dropped and the place is given back.
struct Filling<'a, T, A: Places> {
    arena: &'a A,
    /// Of this layout, and nobody else's during `'a`.
    place: NonNull<T>,
    layout: Layout,
    /// The first `made` items are initialised, and nobody else's.
    made: usize,
}

impl<'a, T, A: Places> Filling<'a, T, A> {
    #[inline(always)]
    fn new(arena: &'a A, len: usize) -> Result<Self, AllocError> {
        let too_large = AllocError::TooLarge { items: len, size: size_of::<T>() };
        let layout = Layout::array::<T>(len).map_err(|_| too_large)?;
        let place = arena.lend(layout)?.cast();
        Ok(Self { arena, place, layout, made: 0 })
    }

    /// Adds an item.
    ///
    /// # Safety
    /// There are fewer than the slice has.
    #[inline(always)]
    unsafe fn push(&mut self, item: T) {
        // SAFETY: within the place, as the caller promises.
        let next = unsafe { self.place.add(self.made) };
        // SAFETY: fit for a `T`, and ours.
        unsafe { next.write(item) };
        self.made += 1;
    }

    /// The slice, of the items made so far.
    #[inline(always)]
    fn finish(self) -> &'a mut [T] {
        let this = mem::ManuallyDrop::new(self);
        // SAFETY: so many items are initialised, and exclusive until the arena is `&mut` or gone.
        unsafe { slice::from_raw_parts_mut(this.place.as_ptr(), this.made) }
    }
}

impl<T, A: Places> Drop for Filling<'_, T, A> {
    #[cold]
    fn drop(&mut self) {
        /// Takes the memory back even if an item's destructor panics.
        struct GiveBack<'a, A: Places>(&'a A, NonNull<u8>, Layout);
        impl<A: Places> Drop for GiveBack<'_, A> {
            fn drop(&mut self) {
                // SAFETY: placed with this layout; its items are dropped or forgotten.
                unsafe { self.0.take_back(self.1, self.2) };
            }
        }
        let _give_back = GiveBack(self.arena, self.place.cast(), self.layout);
        let made = ptr::slice_from_raw_parts_mut(self.place.as_ptr(), self.made);
        // SAFETY: so many items are initialised, nobody else's, and dropped once.
        unsafe { ptr::drop_in_place(made) };
    }
}

/// A slice of `len` items, made by `f` from their indices.
#[inline(always)]
#[allow(clippy::mut_from_ref, reason = "every call lends other memory")]
pub(crate) fn fill<A: Places, T, E>(
    arena: &A,
    len: usize,
    mut f: impl FnMut(usize) -> Result<T, E>,
) -> Result<&mut [T], AllocOrInitError<E>> {
    let mut items = Filling::new(arena, len)?;
    for index in 0..len {
        let item = f(index).map_err(AllocOrInitError::Init)?;
        // SAFETY: one of `len` items.
        unsafe { items.push(item) };
    }
    Ok(items.finish())
}

/// A slice of what `iter` yields. The length that it announces is a hint from safe code and not trusted.
#[inline(always)]
#[allow(clippy::mut_from_ref, reason = "every call lends other memory")]
pub(crate) fn fill_iter<A: Places, T, E>(
    arena: &A,
    mut iter: impl ExactSizeIterator<Item = Result<T, E>>,
) -> Result<&mut [T], AllocOrInitError<E>> {
    let len = iter.len();
    let mut items = Filling::new(arena, len)?;
    for _ in 0..len {
        let Some(item) = iter.next() else { break };
        let item = item.map_err(AllocOrInitError::Init)?;
        // SAFETY: one of `len` items.
        unsafe { items.push(item) };
    }
    Ok(items.finish())
}

/// Fills `place` with a copy of `src`.
///
/// # Safety
/// `place` has the layout of `src`, and is nobody else's during `'a`.
#[inline(always)]
pub(crate) unsafe fn copy_to<'a, T: Copy>(src: &[T], place: NonNull<T>) -> &'a mut [T] {
    // SAFETY: as long and aligned as `src`, and fresh, so they do not overlap.
    unsafe { ptr::copy_nonoverlapping(src.as_ptr(), place.as_ptr(), src.len()) };
    // SAFETY: just initialised, and exclusive as the caller promises.
    unsafe { slice::from_raw_parts_mut(place.as_ptr(), src.len()) }
}
