//! `Spans`: which bytes have come, in order and disjoint, without the bytes.

use super::policy::Rules;
use crate::table::{Span, Table};
use core::ops::Range;
use pool_core::{PageError, PageSource};

/// Disjoint spans in order. No memory before the first one.
pub(crate) struct Spans<S: PageSource> {
    table: Option<Table<Span, S>>,
    /// Where in the table they begin: those in front go without the others being moved.
    first: usize,
    len: usize,
    /// How many there would be if those that touch were one; counted only where borders count, as there are none that
    /// touch elsewhere.
    runs: usize,
}

/// What a segment makes of spans: how many there will be, and how many if those that touch were one.
pub(crate) struct Count {
    pub(crate) spans: usize,
    pub(crate) runs: usize,
}

impl<S: PageSource> Spans<S> {
    pub(crate) const fn new() -> Self {
        Self { table: None, first: 0, len: 0, runs: 0 }
    }

    /// Bytes of its pages.
    pub(crate) fn bytes(&self) -> usize {
        self.table.as_ref().map_or(0, Table::bytes)
    }

    /// Spans for which there is room.
    pub(crate) fn capacity(&self) -> usize {
        self.table.as_ref().map_or(0, |table| table.len())
    }

    /// A table of at least `room` spans, if the bytes of its pages may be held: to be [moved to](Self::move_to).
    pub(crate) fn table<E: From<PageError>>(
        source: S,
        room: usize,
        may_hold: impl Fn(usize) -> Result<(), E>,
    ) -> Result<Table<Span, S>, E> {
        let least = Self::bytes_for(&source, room);
        may_hold(least)?;
        let table = Table::new(source, least / size_of::<Span>())?;
        // The source may give more than was asked for.
        may_hold(table.bytes())?;
        Ok(table)
    }

    /// Moves to a table that has room for them.
    pub(crate) fn move_to(&mut self, mut table: Table<Span, S>) {
        table[..self.len].copy_from_slice(self.all());
        (self.table, self.first) = (Some(table), 0);
    }

    /// The least bytes of pages that hold so many spans.
    pub(crate) fn bytes_for(source: &S, spans: usize) -> usize {
        let bytes = spans.saturating_mul(size_of::<Span>());
        bytes.checked_next_multiple_of(source.granule()).unwrap_or(usize::MAX)
    }

    /// For how many spans there must be room while a segment is added that is near so many: it may add one between each two,
    /// and one on either side, before others go.
    pub(crate) const fn room_with(&self, near: usize) -> usize {
        self.len.saturating_add(near).saturating_add(2)
    }

    /// Gives the memory back if it holds nothing.
    pub(crate) fn shrink(&mut self) {
        if self.len == 0 {
            *self = Self::new();
        }
    }

    pub(crate) fn all(&self) -> &[Span] {
        match &self.table {
            Some(table) => &table[self.first..self.first + self.len],
            None => &[],
        }
    }

    #[inline]
    fn insert(&mut self, index: usize, span: Span) {
        let (first, len) = (self.first, self.len);
        let Some(table) = &mut self.table else { return };
        let is_low = first > 0 && (2 * index < len || first + len == table.len());
        // Mostly there are few to move: a call that copies takes longer.
        if is_low {
            let low = &mut table[first - 1..first + index];
            for at in 1..low.len() {
                low[at - 1] = low[at];
            }
            low[index] = span;
            self.first -= 1;
        } else {
            let high = &mut table[first + index..first + len + 1];
            for at in (1..high.len()).rev() {
                high[at] = high[at - 1];
            }
            high[0] = span;
        }
        self.len += 1;
    }

    #[inline]
    fn remove(&mut self, from: usize, to: usize) {
        let (first, end) = (self.first, self.first + self.len);
        let Some(table) = &mut self.table else { return };
        self.len -= to - from;
        if self.len == 0 {
            self.first = 0;
        } else if from == 0 {
            self.first += to;
        } else {
            table.copy_within(first + to..end, first + from);
        }
    }

    fn set(&mut self, index: usize, span: Span) {
        if let Some(table) = &mut self.table {
            table[self.first + index] = span;
        }
    }

    /// All before byte `end` can be read, and before the first span nothing was missing but this. Returns up to where
    /// can be read then; `None`, and no change, if the first span begins before.
    #[inline]
    pub(crate) fn take_front(&mut self, end: u64) -> Option<u64> {
        match self.all().first() {
            Some(&first) if first.start == end => {
                self.remove(0, 1);
                Some(first.end)
            }
            Some(first) if first.start < end => None,
            _ => Some(end),
        }
    }

    /// Adds `new` where it overlaps none: `None`, and no change, if it does, or there would be more than `most`, or
    /// nothing is reserved. For policies that merge.
    #[inline]
    pub(crate) fn add_beside(&mut self, new: Span, most: usize) -> Option<()> {
        let table = &mut **self.table.as_mut()?;
        let room = table.len();
        let all = &mut table[self.first..self.first + self.len];
        let index = all.partition_point(|span| span.end < new.start);
        match &mut all[index..] {
            // It goes on where `here` ends, perhaps up to the next one.
            [here, behind, ..] if here.end == new.start && behind.start <= new.end => {
                if behind.start < new.end {
                    return None;
                }
                behind.start = here.start;
                self.remove(index, index + 1);
            }
            [here, ..] if here.end == new.start => here.end = new.end,
            [here, ..] if here.start < new.end => return None,
            [here, ..] if here.start == new.end => here.start = new.start,
            _ if self.len >= most || self.len == room => return None,
            _ => self.insert(index, new),
        }
        Some(())
    }

    /// Removes the spans that begin no later than `end`, and those that touch them, from the first on; returns
    /// where what they cover together ends.
    pub(crate) fn absorb(&mut self, mut end: u64) -> u64 {
        let touching = self.all().iter().take_while(|span| {
            let touches = span.start <= end;
            end = if touches { end.max(span.end) } else { end };
            touches
        });
        let count = touching.count();
        if count > 0 {
            // It ends where a run does.
            self.runs = self.runs.saturating_sub(runs(&self.all()[..count]));
            self.remove(0, count);
        }
        end
    }

    /// Which spans `new` touches or overlaps.
    #[inline]
    pub(crate) fn near(&self, new: Span) -> Range<usize> {
        let all = self.all();
        match all.last() {
            // Mostly segments come behind all others.
            Some(last) if last.end >= new.start => {
                let from = all.partition_point(|span| span.end < new.start);
                let count = all[from..].iter().take_while(|span| span.start <= new.end).count();
                from..from + count
            }
            _ => all.len()..all.len(),
        }
    }

    /// What there would be with `new`, which is `near` these.
    pub(crate) fn count_with(&self, new: Span, near: Range<usize>, rules: Rules) -> Count {
        if rules.merges() {
            let spans = self.len + 1 - near.len();
            return Count { spans, runs: spans };
        }
        let mut count = self.len;
        let mut cursor = new.start;
        for &old in overlapping(&self.all()[near.clone()], new) {
            if rules.replaces(old, new) {
                count += usize::from(old.start < new.start) + usize::from(old.end > new.end);
                count -= 1;
            } else {
                count += usize::from(cursor < old.start);
                cursor = old.end;
            }
        }
        Count { spans: count + usize::from(cursor < new.end), runs: self.runs_with(near) }
    }

    /// How many runs there will be with a segment that is `near` these: it makes them one.
    fn runs_with(&self, near: Range<usize>) -> usize {
        self.runs - runs(&self.all()[near]) + 1
    }

    /// How many runs there are where borders count.
    #[cfg(debug_assertions)]
    pub(crate) fn check_runs(&self) -> usize {
        assert_eq!(self.runs, runs(self.all()), "runs were miscounted");
        self.runs
    }

    /// Adds `new`, for which there is room and which is `near` these, and calls `write` for what of it
    /// replaces or fills.
    #[inline]
    pub(crate) fn add(
        &mut self,
        new: Span,
        near: Range<usize>,
        rules: Rules,
        mut write: impl FnMut(Span),
    ) {
        if !rules.merges() {
            self.runs = self.runs_with(near.clone());
            return self.add_apart(new, near.start, rules, write);
        }
        self.pieces(new, near.clone(), rules, &mut write);
        let around = &self.all()[near.clone()];
        match (around.first(), around.last()) {
            (Some(first), Some(last)) => {
                let (start, end) = (first.start.min(new.start), last.end.max(new.end));
                self.set(near.start, Span { start, end });
                if near.len() > 1 {
                    self.remove(near.start + 1, near.end);
                }
            }
            _ => self.insert(near.start, new),
        }
    }

    /// The same where borders count, so that what remains of each segment is noted apart.
    fn add_apart(
        &mut self,
        new: Span,
        mut index: usize,
        rules: Rules,
        mut write: impl FnMut(Span),
    ) {
        let mut cursor = new.start;
        while let Some(&old) = self.all().get(index).filter(|old| old.start < new.end) {
            if old.end <= new.start {
                index += 1;
            } else if rules.replaces(old, new) {
                let right = Span { start: new.end, end: old.end };
                let right = (old.end > new.end).then_some(right);
                if old.start < new.start {
                    self.set(index, Span { start: old.start, end: new.start });
                    index += 1;
                    right.into_iter().for_each(|right| self.insert(index, right));
                } else if let Some(right) = right {
                    self.set(index, right);
                } else {
                    self.remove(index, index + 1);
                    continue;
                }
                if right.is_some() {
                    break;
                }
            } else {
                if cursor < old.start {
                    let piece = Span { start: cursor, end: old.start };
                    write(piece);
                    self.insert(index, piece);
                    index += 1;
                }
                cursor = old.end;
                index += 1;
            }
        }
        if cursor < new.end {
            let piece = Span { start: cursor, end: new.end };
            write(piece);
            self.insert(index, piece);
        }
    }

    /// Calls `write` for what of `new`, which is `near` these, replaces or fills, and changes nothing.
    #[inline]
    pub(crate) fn pieces(
        &self,
        new: Span,
        near: Range<usize>,
        rules: Rules,
        write: &mut impl FnMut(Span),
    ) {
        let mut cursor = new.start;
        for &old in overlapping(&self.all()[near], new) {
            if !rules.replaces(old, new) {
                if cursor < old.start {
                    write(Span { start: cursor, end: old.start });
                }
                cursor = old.end;
            }
        }
        if cursor < new.end {
            write(Span { start: cursor, end: new.end });
        }
    }
}

/// Those of `near` spans that do more than touch `new`.
fn overlapping(near: &[Span], new: Span) -> impl Iterator<Item = &Span> {
    near.iter().filter(move |old| old.start < new.end && old.end > new.start)
}

/// How many there are if those that touch are one.
fn runs(spans: &[Span]) -> usize {
    let borders = spans.windows(2).filter(|pair| pair[0].end < pair[1].start).count();
    borders + usize::from(!spans.is_empty())
}
