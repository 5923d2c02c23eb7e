//! A batch in an arena: arguments, texts and replies are cut from the same chunks, and all leave at
//! once when the batch is closed.
#![forbid(unsafe_code)]

use super::{Batch, List, Scratch};
use crate::kv::reply::{OutOfMemory, Sink};
use crate::kv::seldom::warn_seldom;
use pool_arena::{AllocError, Arena, ArenaBuilder};
use pool_core::{PageBytes, PageSource, Pages};
use std::cell::Cell;
use std::mem;
use std::ops::{Deref, DerefMut};

/// Bytes of the arena's first chunk: arguments and replies of a common batch, and their growth.
const FIRST_CHUNK: usize = 16 << 10;

/// Bytes of the first piece of replies, which is the same in every batch: it is zeroed once, and as long
/// as replies are not longer the arena is not touched.
const FIRST_PIECE: usize = 16 << 10;

/// Bytes of the longest piece that is shared by replies; a longer string has a piece of its own.
const LONGEST: usize = 64 << 10;

/// Bytes of a list when it gets its first item.
const FIRST_LIST: usize = 64;

impl From<AllocError> for OutOfMemory {
    fn from(error: AllocError) -> Self {
        warn_seldom!(%error, "no memory for a batch");
        Self
    }
}

/// An arena, and whether anything of it is in use: most batches need none of it.
#[derive(Debug)]
pub struct Ground<S: PageSource> {
    arena: Arena<S>,
    touched: Cell<bool>,
}

impl<S: PageSource> Ground<S> {
    /// A zeroed slice.
    fn slice<T: Copy + Default>(&self, len: usize) -> Result<&mut [T], AllocError> {
        self.touched.set(true);
        self.arena.try_alloc_slice_fill_copy(len, T::default())
    }
}

/// An arena that is used again for each batch; what it keeps of a long one is the arena's policy.
#[derive(Debug)]
pub struct ArenaBatch<S: PageSource> {
    ground: Ground<S>,
    source: S,
    first: Option<PageBytes<S>>,
}

impl<S: PageSource + Clone> ArenaBatch<S> {
    /// A batch over `source`. Nothing is acquired before the first request.
    pub fn new(source: S) -> Self {
        let arena = ArenaBuilder::new().first_chunk(FIRST_CHUNK).build_in(source.clone());
        Self { ground: Ground { arena, touched: Cell::default() }, source, first: None }
    }

    /// Acquires the first piece, if it can be had: else replies lie in the arena from the beginning.
    #[cold]
    #[inline(never)]
    fn begin<'b>(source: &S, first: &'b mut Option<PageBytes<S>>) -> &'b mut [u8] {
        *first = source.clone().pages(FIRST_PIECE).ok().map(Pages::into_bytes);
        first.as_deref_mut().unwrap_or_default()
    }
}

impl<S: PageSource + Clone + 'static> Batch for ArenaBatch<S> {
    type Scratch<'b> = &'b Ground<S>;
    type Replies<'b> = Rope<'b, S>;

    #[inline]
    fn open(&mut self) -> (&Ground<S>, Rope<'_, S>) {
        let Self { ground, source, first } = self;
        match first {
            Some(piece) => (ground, Rope::new(ground, piece)),
            None => (ground, Rope::new(ground, Self::begin(source, first))),
        }
    }

    #[inline]
    fn close(&mut self) {
        if self.ground.touched.take() {
            self.ground.arena.reset();
        }
    }
}

impl<'b, S: PageSource> Scratch for &'b Ground<S> {
    type List<T: Copy + Default + 'static> = ArenaList<'b, T, S>;

    #[inline]
    fn list<T: Copy + Default + 'static>(self, common: usize) -> ArenaList<'b, T, S> {
        ArenaList::new(self, common)
    }

    fn observe(self, visit: &mut dyn FnMut(&str, u64)) {
        let stats = self.arena.stats();
        visit("batch_held_bytes", stats.held as u64);
        visit("batch_chunks", (stats.chunks + stats.spare) as u64);
        visit("batch_large", stats.large as u64);
    }
}

/// A list that moves to a slice twice as long when it is full, and leaves the old one to the end of
/// the batch. (A `TailVec` would extend in place; but its first growth and its destructor cost more
/// than the whole life of a short list, and short lists are nearly all there are.)
#[derive(Debug)]
pub struct ArenaList<'b, T, S: PageSource> {
    ground: &'b Ground<S>,
    /// The list, and room behind it.
    items: &'b mut [T],
    /// At most `items.len()`.
    len: usize,
}

impl<'b, T: Copy + Default, S: PageSource> ArenaList<'b, T, S> {
    /// An empty list with room for `common` items, if that can be had.
    #[inline]
    pub fn new(ground: &'b Ground<S>, common: usize) -> Self {
        let mut items = Default::default();
        if common > 0 {
            // Without room whoever needs it asks again, and reports.
            items = ground.slice(common).unwrap_or_default();
        }
        Self { ground, items, len: 0 }
    }

    /// Makes room for `more` items.
    #[cold]
    fn grow(&mut self, more: usize) -> Result<(), OutOfMemory> {
        let least = self.len.checked_add(more).ok_or(OutOfMemory)?;
        let twice = self.items.len().saturating_mul(2);
        let len = least.max(twice).max(FIRST_LIST / size_of::<T>().max(1));
        let items = self.ground.slice(len)?;
        items[..self.len].copy_from_slice(&self.items[..self.len]);
        self.items = items;
        Ok(())
    }
}

impl<T: Copy + Default, S: PageSource> List<T> for ArenaList<'_, T, S> {
    #[inline]
    fn push(&mut self, item: T) -> Result<(), OutOfMemory> {
        if self.len == self.items.len() {
            self.grow(1)?;
        }
        self.items[self.len] = item;
        self.len += 1;
        Ok(())
    }

    #[inline]
    fn extend(&mut self, items: &[T]) -> Result<(), OutOfMemory> {
        if items.len() > self.items.len() - self.len {
            self.grow(items.len())?;
        }
        self.items[self.len..][..items.len()].copy_from_slice(items);
        self.len += items.len();
        Ok(())
    }

    #[inline]
    fn clear(&mut self) {
        self.len = 0;
    }
}

impl<T, S: PageSource> Deref for ArenaList<'_, T, S> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        &self.items[..self.len]
    }
}

impl<T, S: PageSource> DerefMut for ArenaList<'_, T, S> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.items[..self.len]
    }
}

/// Replies in pieces of an arena. A piece that is full stays where it is and another begins, so
/// nothing is copied twice before a vectored write takes it all.
#[derive(Debug)]
pub struct Rope<'b, S: PageSource> {
    /// Pieces that are done, oldest first, none of them empty.
    full: ArenaList<'b, &'b [u8], S>,
    /// Their bytes.
    full_len: usize,
    /// The piece that is being filled.
    piece: &'b mut [u8],
    /// Bytes of it that are filled.
    filled: usize,
}

impl<'b, S: PageSource> Rope<'b, S> {
    /// An empty one, which begins in `piece`.
    #[inline]
    pub fn new(ground: &'b Ground<S>, piece: &'b mut [u8]) -> Self {
        Self { full: ArenaList::new(ground, 0), full_len: 0, piece, filled: 0 }
    }

    /// [`put`](Sink::put) where the piece has not enough room. A refusal loses nothing: what room the piece
    /// has left stays, for a short word about it.
    #[cold]
    #[inline(never)]
    fn put_elsewhere(&mut self, bytes: &[u8]) -> Result<(), OutOfMemory> {
        if self.filled > 0 {
            self.full.push(&[])?;
            let (done, left) = mem::take(&mut self.piece).split_at_mut(self.filled);
            let last = self.full.len - 1;
            self.full.items[last] = done;
            self.piece = left;
            self.full_len += self.filled;
            self.filled = 0;
        }
        let ground = self.full.ground;
        if bytes.len() >= LONGEST {
            ground.touched.set(true);
            self.full.push(ground.arena.try_alloc_slice_copy(bytes)?)?;
            self.full_len += bytes.len();
            return Ok(());
        }
        let len = bytes.len().max(self.full_len.clamp(FIRST_PIECE, LONGEST));
        self.piece = ground.slice(len)?;
        self.piece[..bytes.len()].copy_from_slice(bytes);
        self.filled = bytes.len();
        Ok(())
    }
}

impl<S: PageSource> Sink for Rope<'_, S> {
    #[inline(always)]
    fn put(&mut self, bytes: &[u8]) -> Result<(), OutOfMemory> {
        let Some(room) = self.next(bytes.len()) else { return self.put_elsewhere(bytes) };
        room.copy_from_slice(bytes);
        Ok(())
    }

    #[inline(always)]
    fn next(&mut self, len: usize) -> Option<&mut [u8]> {
        // Neither can be more than `isize::MAX`, so the sum does not overflow.
        let end = self.filled + len;
        let room = self.piece.get_mut(self.filled..end)?;
        self.filled = end;
        Some(room)
    }

    #[inline]
    fn len(&self) -> usize {
        self.full_len + self.filled
    }

    fn truncate(&mut self, len: usize) {
        self.filled = self.filled.min(len.saturating_sub(self.full_len));
        while self.full_len > len {
            let last = self.full.len - 1;
            let begin = self.full_len - self.full.items[last].len();
            if begin < len {
                self.full.items[last] = &self.full.items[last][..len - begin];
                self.full_len = len;
            } else {
                self.full.len = last;
                self.full_len = begin;
            }
        }
    }

    #[inline]
    fn one_piece(&self) -> Option<&[u8]> {
        (self.full_len == 0).then(|| &self.piece[..self.filled])
    }

    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let last = Some(&self.piece[..self.filled]).filter(|last| !last.is_empty());
        self.full.as_slice().iter().copied().chain(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pool_core::Heap;

    /// Bytes that are different at each place.
    fn pattern(len: usize) -> Vec<u8> {
        (0..len).map(|index| (index % 251) as u8).collect()
    }

    #[test]
    fn replies_of_every_length_stay_whole_and_in_order() {
        let mut batch = ArenaBatch::new(Heap::new());
        for round in 0..3 {
            let (scratch, mut rope) = batch.open();
            let mut list = scratch.list(0);
            let mut expected = Vec::new();
            for len in [0, 1, 100, 2000, 70_000, 3, 1_000_000, 5].into_iter().cycle().take(40) {
                rope.put(&pattern(len)).unwrap();
                expected.extend(pattern(len));
                // Another list that grows in the same arena meanwhile.
                List::push(&mut list, len + round).unwrap();
            }
            assert_eq!(rope.pieces().collect::<Vec<_>>().concat(), expected);
            assert_eq!((rope.len(), list.as_slice()[39]), (expected.len(), 5 + round));
        }
    }

    #[test]
    fn a_rope_is_cut_anywhere() {
        let mut batch = ArenaBatch::new(Heap::new());
        let bytes = pattern(60_000);
        for len in (0..=bytes.len()).step_by(1851) {
            let (_, mut rope) = batch.open();
            for piece in bytes.chunks(700) {
                rope.put(piece).unwrap();
            }
            assert!(rope.pieces().count() > 2);
            rope.truncate(len);
            rope.put(b"end").unwrap();
            let expected = [&bytes[..len], b"end"].concat();
            assert_eq!(rope.pieces().collect::<Vec<_>>().concat(), expected);
            assert_eq!(rope.len(), expected.len());
        }
    }

    #[test]
    fn a_long_batch_is_not_kept() {
        let mut batch = ArenaBatch::new(Heap::new());
        let (scratch, mut rope) = batch.open();
        let mut list = scratch.list(0);
        for index in 0..1_000_000_u32 {
            List::push(&mut list, index).unwrap();
        }
        rope.put(&pattern(10 << 20)).unwrap();
        assert!(scratch.arena.stats().held > 10 << 20);
        batch.close();
        assert!(batch.ground.arena.stats().held <= 1 << 20);
    }

    #[test]
    fn a_refusal_loses_nothing() {
        let mut batch = ArenaBatch::new(Heap::new().limited(64 << 10));
        let (_, mut rope) = batch.open();
        let mut expected = Vec::new();
        let refused = (0..1000).find(|_| match rope.put(&pattern(900)) {
            Ok(()) => {
                expected.extend(pattern(900));
                false
            }
            Err(OutOfMemory) => true,
        });
        assert!(refused.is_some_and(|count| count > 20), "{refused:?}");
        assert_eq!(rope.pieces().collect::<Vec<_>>().concat(), expected);
        let (_, mut rope) = batch.open();
        rope.put(&pattern(900)).unwrap();
    }
}
