//! Room for segments: within the limits, and all of what one needs or none.
#![forbid(unsafe_code)]

use super::reassembler::{ReassembleError, Reassembler};
use super::spans::Spans;
use crate::block::Block;
use crate::table::Span;
use core::ops::Range;
use core::time::Duration;
use pool_core::PageSource;

impl<S: PageSource + Clone> Reassembler<S> {
    /// Whether a piece behind a gap may be noted.
    #[inline]
    fn may_note(
        &self,
        span: Span,
        near: Range<usize>,
        now: Duration,
    ) -> Result<(), ReassembleError> {
        let (age, limit) = (self.gap_age(now), self.config.max_age);
        if age > limit {
            return Err(ReassembleError::Expired { front: self.next(), age, limit });
        }
        let count = self.spans.count_with(span, near, self.rules());
        let limit = self.config.max_gaps;
        if count.runs > limit {
            return Err(ReassembleError::TooManyGaps { asked: count.runs, limit });
        }
        let limit = self.config.most_notes();
        if count.spans > limit {
            return Err(ReassembleError::TooManyNotes { asked: count.spans, limit });
        }
        Ok(())
    }

    /// Whether `extent` bytes from `front` on have their place in the block.
    #[inline]
    pub(super) fn has_room(&self, extent: usize) -> bool {
        extent <= self.block.len() - self.head
    }

    /// Makes room for a piece behind a gap, which `is_long` for the block or is not, and for its notes, if it may be noted.
    #[inline]
    pub(super) fn room_behind(
        &mut self,
        span: Span,
        near: Range<usize>,
        now: Duration,
        is_long: bool,
    ) -> Result<(), ReassembleError> {
        self.may_note(span, near.clone(), now)?;
        let extent = (span.end - self.front) as usize;
        let room = self.spans.room_with(near.len());
        if room > self.spans.capacity() {
            self.grow_notes(room, extent)
        } else if is_long {
            self.make_room(extent, self.spans.bytes())
        } else {
            Ok(())
        }
    }

    /// Makes room for so many notes, or for twice as many as there is room for if that may be, and for `extent` bytes.
    #[cold]
    fn grow_notes(&mut self, room: usize, extent: usize) -> Result<(), ReassembleError> {
        let twice = self.spans.capacity().saturating_mul(2);
        if twice > room && self.move_notes(twice, extent).is_ok() {
            return Ok(());
        }
        self.move_notes(room, extent)
    }

    fn move_notes(&mut self, room: usize, extent: usize) -> Result<(), ReassembleError> {
        let config = self.config;
        let block = self.block.len().max(self.rounded(extent));
        let may_hold = |bytes| config.may_hold(block.saturating_add(bytes));
        let table = Spans::table(self.source.clone(), room, may_hold)?;
        // Nothing has changed yet, and nothing fails afterwards.
        self.make_room(extent, table.bytes())?;
        self.spans.move_to(table);
        Ok(())
    }

    /// Makes room at the front up to byte `end` of the stream, or as far as can be: returns up to where. That is no less than
    /// what the last piece reaches.
    #[cold]
    pub(super) fn front_room(&mut self, end: u64) -> Result<u64, ReassembleError> {
        let extent = (end - self.front) as usize;
        match self.make_room(extent, self.spans.bytes()) {
            Ok(()) => Ok(end),
            Err(error) => Ok(self.front + self.cut_front(extent, error)? as u64),
        }
    }

    /// Makes room at the front for `extent` bytes, which are more than the block has, or for as many as can be had: returns
    /// how many. The front covers all pieces then, so their notes need not be held.
    fn cut_front(
        &mut self,
        extent: usize,
        mut error: ReassembleError,
    ) -> Result<usize, ReassembleError> {
        let limit = self.config.max_bytes;
        let mut asked = extent.min(limit - limit % self.source.granule());
        while asked > self.block.len() {
            match Block::new(self.source.clone(), asked) {
                Ok(block) if block.len() <= limit => {
                    self.move_to_block(block);
                    return Ok(extent.min(self.block.len()));
                }
                Ok(_) => {}
                Err(refused) => error = refused.into(),
            }
            asked /= 2;
        }
        let is_limit = matches!(error, ReassembleError::OverLimit { .. });
        if self.len < self.block.len() {
            self.move_to_front();
        } else if !is_limit || self.len == 0 {
            return Err(error);
        }
        // A limit is met as the end of the window is, which goes on when something is consumed.
        Ok(self.block.len())
    }

    /// Gives the notes back where the front covers all pieces and could only be held without them.
    pub(super) fn settle(&mut self) {
        if self.memory() > self.config.max_bytes {
            self.spans.shrink();
        }
    }

    /// The least that the source gives for `bytes`.
    fn rounded(&self, bytes: usize) -> usize {
        bytes.checked_next_multiple_of(self.source.granule()).unwrap_or(usize::MAX)
    }

    /// Bytes from `front` on that are in use, with the gaps between them.
    fn used(&self) -> usize {
        match self.spans.all().last() {
            Some(last) => (last.end - self.front) as usize,
            None => self.len,
        }
    }

    /// Makes the block have room for `extent` bytes from `front` on, with notes of so many bytes. It does not fail where the block
    /// is long enough.
    #[cold]
    fn make_room(&mut self, extent: usize, notes: usize) -> Result<(), ReassembleError> {
        if self.has_room(extent) {
            return Ok(());
        }
        // Moving costs what is used, which at least as many bytes consumed since the last move pay for.
        let fits = extent <= self.block.len();
        if fits && (self.used() <= self.head || !self.may_grow(extent, notes)) {
            self.move_to_front();
            return Ok(());
        }
        match self.grow(extent, notes) {
            Err(_) if fits => self.move_to_front(),
            result => return result,
        }
        Ok(())
    }

    fn move_to_front(&mut self) {
        self.block.move_to_front(self.head..self.head + self.used());
        self.head = 0;
    }

    /// Whether a longer block would be allowed, as far as can be told without the source.
    fn may_grow(&self, extent: usize, notes: usize) -> bool {
        let least = self.rounded(extent.saturating_mul(2));
        self.config.may_hold(notes.saturating_add(least)).is_ok()
    }

    /// Moves to a block of twice the extent, or, if that is too much for the source or the limit, of just that.
    fn grow(&mut self, extent: usize, notes: usize) -> Result<(), ReassembleError> {
        match self.move_block(extent.saturating_mul(2), notes) {
            Err(_) => self.move_block(extent, notes),
            done => done,
        }
    }

    fn move_block(&mut self, asked: usize, notes: usize) -> Result<(), ReassembleError> {
        self.config.may_hold(notes.saturating_add(self.rounded(asked)))?;
        let block = Block::new(self.source.clone(), asked)?;
        // The source may give more than was asked for.
        self.config.may_hold(notes.saturating_add(block.len()))?;
        self.move_to_block(block);
        Ok(())
    }

    fn move_to_block(&mut self, mut block: Block<S>) {
        let used = self.used();
        if used > 0 {
            block.write(0, self.block.bytes(self.head..self.head + used));
        }
        (self.block, self.head) = (block, 0);
    }
}

#[cfg(feature = "std")]
impl<S: PageSource + Clone> Reassembler<S> {
    /// Whether a piece of a datagram could be taken if nobody else had any of `limit` bytes. It asks the source for nothing, so
    /// one whose runs are much longer than asked for may still refuse.
    pub(super) fn may_ever_take(
        &self,
        offset: u64,
        len: usize,
        limit: usize,
    ) -> Result<(), ReassembleError> {
        let overflow = ReassembleError::Overflow { offset, len };
        let end = offset.checked_add(len as u64).ok_or(overflow)?;
        let window_end = self.front.saturating_add(self.config.window as u64);
        if end > window_end {
            return Err(ReassembleError::BeyondWindow { offset, end, window_end });
        }
        let extent = end.saturating_sub(self.front) as usize;
        if len == 0 || extent <= self.block.len() {
            return Ok(());
        }
        let most = self.config.max_gaps;
        if most == 0 {
            return Err(ReassembleError::TooManyGaps { asked: 1, limit: most });
        }
        let asked = self.least_for(extent);
        if asked > limit {
            return Err(ReassembleError::OverLimit { asked, limit });
        }
        Ok(())
    }

    /// The least bytes of pages for `extent` bytes of a datagram and for what is noted about them.
    pub(super) fn least_for(&self, extent: usize) -> usize {
        let notes = self.spans.bytes().max(Spans::bytes_for(&self.source, 1));
        notes.saturating_add(self.rounded(extent))
    }
}
