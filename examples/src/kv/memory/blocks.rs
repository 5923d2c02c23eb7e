//! Copies of bytes in blocks of an allocator. A storage file: what is copied becomes a slice here.

use crate::kv::reply::OutOfMemory;
use allocator_api2::alloc::Allocator;
use allocator_api2::boxed::Box;
use allocator_api2::vec::Vec;
use pool_core::PageSource;
use pool_object::LocalHeap;
use std::alloc::Layout;
use std::mem::{self, MaybeUninit};
use std::ptr::{self, NonNull};

/// A copy of `bytes` in a block of its own, without zeroing it first.
///
/// # Errors
/// [`OutOfMemory`] if the allocator refuses.
#[inline(always)]
pub fn copy_in<A: Allocator>(bytes: &[u8], alloc: A) -> Result<Box<[u8], A>, OutOfMemory> {
    let place = Box::<[u8], A>::try_new_uninit_slice_in(bytes.len(), alloc);
    let mut place = place.map_err(|_| OutOfMemory)?;
    let from = bytes.as_ptr().cast::<MaybeUninit<u8>>();
    // SAFETY: `from` is the beginning of `bytes.len()` initialised bytes, `place` has as many and is a
    // block of its own, so they do not overlap.
    unsafe { place.as_mut_ptr().copy_from_nonoverlapping(from, bytes.len()) };
    // SAFETY: all its bytes have just been written.
    Ok(unsafe { place.assume_init() })
}

/// Puts a copy of `bytes` in place of what a box holds, and frees the block it had. The box keeps its handle on the
/// allocator: one that is counted is neither cloned nor dropped.
///
/// # Errors
/// [`OutOfMemory`] if the allocator refuses; the box is unchanged then.
#[inline(always)]
pub fn replace<A: Allocator>(place: &mut Box<[u8], A>, bytes: &[u8]) -> Result<(), OutOfMemory> {
    let old_layout = Layout::for_value::<[u8]>(place);
    let layout = Layout::for_value(bytes);
    let block = match layout.size() {
        0 => NonNull::dangling(),
        _ => Box::allocator(place).allocate(layout).map_err(|_| OutOfMemory)?.cast::<u8>(),
    };
    // SAFETY: a new block has room for `layout`, which is that of `bytes`, and overlaps nothing that lives; without
    // bytes nothing is copied.
    unsafe { block.as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    // SAFETY: `place` is a box, borrowed exclusively. From here to where it is written again no foreign code runs and
    // nothing panics, so nobody meets the box twice.
    let old = unsafe { ptr::read(place) };
    let (old, alloc) = Box::into_raw_with_allocator(old);
    let new = ptr::slice_from_raw_parts_mut(block.as_ptr(), bytes.len());
    // SAFETY: a block of `alloc` with the layout of its contents, or none for no bytes; all bytes are written, and
    // nobody else knows it.
    let new = unsafe { Box::from_raw_in(new, alloc) };
    // SAFETY: `place` may be written; what it was has been moved out.
    unsafe { ptr::write(place, new) };
    if let (Some(old), true) = (NonNull::new(old.cast::<u8>()), old_layout.size() > 0) {
        // SAFETY: the box has owned this block of its allocator, which it still has, with the layout that its contents
        // had, and has given it up.
        unsafe { Box::allocator(place).deallocate(old, old_layout) };
    }
    Ok(())
}

/// Appends bytes to a vector. (Its `extend_from_slice` goes byte by byte.)
///
/// # Errors
/// [`OutOfMemory`] if the allocator refuses; nothing is appended then.
#[inline]
pub fn append<A: Allocator>(out: &mut Vec<u8, A>, bytes: &[u8]) -> Result<(), OutOfMemory> {
    out.try_reserve(bytes.len()).map_err(|_| OutOfMemory)?;
    let room = out.spare_capacity_mut().as_mut_ptr().cast::<u8>();
    // SAFETY: there is room for so many bytes behind the vector's, which is borrowed exclusively: so it is
    // not where `bytes` lie.
    unsafe { room.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    // SAFETY: within the capacity that was reserved, and all bytes up to there are written.
    unsafe { out.set_len(out.len() + bytes.len()) };
    Ok(())
}

/// Frees a block: what dropping it does, without a call.
#[inline(always)]
pub fn free<A: Allocator>(bytes: Box<[u8], A>) {
    let layout = Layout::for_value::<[u8]>(&bytes);
    let (bytes, alloc) = Box::into_raw_with_allocator(bytes);
    if let Some(block) = NonNull::new(bytes.cast::<u8>()) {
        if layout.size() > 0 {
            // SAFETY: the box has owned this block of `alloc`, allocated with the layout of its contents,
            // and has given it up.
            unsafe { alloc.deallocate(block, layout) };
        }
    }
}

/// Moves a block to a fuller span of its heap, if its own is emptier than others; whether it was moved.
pub fn relocate<S: PageSource>(bytes: &mut Box<[u8], LocalHeap<S>>) -> bool {
    let layout = Layout::for_value::<[u8]>(bytes);
    if layout.size() == 0 {
        return false;
    }
    let nothing = Vec::new_in(Box::allocator(bytes).clone()).into_boxed_slice();
    let (slice, heap) = Box::into_raw_with_allocator(mem::replace(bytes, nothing));
    // SAFETY: it was the pointer of a box.
    let block = unsafe { NonNull::new_unchecked(slice) }.cast::<u8>();
    // SAFETY: a live block of this heap and layout, whose box has given it up: nobody else knows it.
    let moved = unsafe { heap.try_relocate(block, layout) };
    let place = NonNull::slice_from_raw_parts(moved.unwrap_or(block), layout.size());
    // SAFETY: the block, or the one that took over its contents: live, of this heap and layout.
    *bytes = unsafe { Box::from_raw_in(place.as_ptr(), heap) };
    moved.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pool_core::Heap;

    #[test]
    fn what_is_replaced_is_freed_once() {
        let heap = LocalHeap::new_in(Heap::new().limited(1 << 20));
        let mut place = copy_in(b"first", heap.clone()).unwrap();
        let bytes = [7; 300_000];
        for len in [5, 6, 0, 0, 1, 4096, 4097, 100_000, 5, 0, 300_000, 300_000, 9] {
            replace(&mut place, &bytes[..len]).unwrap();
            assert_eq!(place[..], bytes[..len]);
            assert_eq!(heap.stats().live(), usize::from(len > 0));
        }
        assert_eq!(replace(&mut place, &[1; 2 << 20]), Err(OutOfMemory));
        assert_eq!(place[..], bytes[..9]);
        drop(place);
        assert_eq!(heap.stats().live(), 0);
        let mut place = copy_in(b"first", allocator_api2::alloc::Global).unwrap();
        for len in [0, 3, 300_000, 0] {
            replace(&mut place, &bytes[..len]).unwrap();
            assert_eq!(place[..], bytes[..len]);
        }
    }

    #[test]
    fn what_is_moved_stays_the_same() {
        let heap = LocalHeap::new_in(Heap::new());
        let pattern = |index: usize| vec![index as u8; 100 + index % 50];
        let copy = |index: usize| copy_in(&pattern(index), heap.clone()).unwrap();
        let mut kept: std::vec::Vec<_> = (0..20_000).map(|index| (index, copy(index))).collect();
        kept.retain(|(index, _)| index % 16 == 3);
        let before = heap.stats().held_bytes();
        let mut moved = 0;
        for _ in 0..4 {
            heap.mark_sparse(90);
            moved += kept.iter_mut().filter_map(|(_, bytes)| relocate(bytes).then_some(())).count();
            heap.trim();
        }
        assert!(moved > 500 && heap.stats().held_bytes() < before / 4, "{moved}");
        assert!(kept.iter().all(|(index, bytes)| bytes[..] == pattern(*index)));
        for (_, bytes) in kept {
            free(bytes);
        }
        let mut empty = copy_in(b"", heap.clone()).unwrap();
        assert!(!relocate(&mut empty));
        assert_eq!(heap.stats().live(), 0);
    }
}
