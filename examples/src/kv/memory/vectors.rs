//! A batch of vectors, as a careful author without pools would write it: the replies' vector is used
//! again, and short lists lie on the stack.
#![forbid(unsafe_code)]

use super::{Batch, List, Scratch};
use crate::kv::reply::{OutOfMemory, Sink};
use smallvec::SmallVec;

/// A vector that is used again, unless one batch made it very long.
#[derive(Debug, Default)]
pub struct VecBatch {
    replies: Vec<u8>,
}

/// Bytes of capacity that a [`VecBatch`] keeps from one batch to the next.
const KEPT: usize = 1 << 20;

impl Batch for VecBatch {
    type Scratch<'b> = SmallLists;
    type Replies<'b> = &'b mut Vec<u8>;

    #[inline]
    fn open(&mut self) -> (SmallLists, &mut Vec<u8>) {
        (SmallLists, &mut self.replies)
    }

    #[inline]
    fn close(&mut self) {
        self.replies.clear();
        if self.replies.capacity() > KEPT {
            self.replies = Vec::new();
        }
    }
}

impl Sink for &mut Vec<u8> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) -> Result<(), OutOfMemory> {
        self.try_reserve(bytes.len()).map_err(|_| OutOfMemory)?;
        self.extend_from_slice(bytes);
        Ok(())
    }

    #[inline]
    fn len(&self) -> usize {
        Vec::len(self)
    }

    #[inline]
    fn truncate(&mut self, len: usize) {
        Vec::truncate(self, len);
    }

    #[inline]
    fn one_piece(&self) -> Option<&[u8]> {
        Some(self)
    }

    #[inline]
    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(self.as_slice())
    }
}

/// Lists of the global allocator; the first eight items need none.
#[derive(Clone, Copy, Debug)]
pub struct SmallLists;

impl Scratch for SmallLists {
    type List<T: Copy + Default + 'static> = SmallVec<[T; 8]>;

    #[inline]
    fn list<T: Copy + Default + 'static>(self, _: usize) -> SmallVec<[T; 8]> {
        SmallVec::new()
    }

    fn observe(self, _: &mut dyn FnMut(&str, u64)) {}
}

impl<T: Copy> List<T> for SmallVec<[T; 8]> {
    #[inline]
    fn push(&mut self, item: T) -> Result<(), OutOfMemory> {
        if self.len() == self.capacity() {
            self.try_reserve(1).map_err(|_| OutOfMemory)?;
        }
        SmallVec::push(self, item);
        Ok(())
    }

    #[inline]
    fn extend(&mut self, items: &[T]) -> Result<(), OutOfMemory> {
        self.try_reserve(items.len()).map_err(|_| OutOfMemory)?;
        self.extend_from_slice(items);
        Ok(())
    }

    #[inline]
    fn clear(&mut self) {
        SmallVec::clear(self);
    }
}
