//! `Store`: the partials of all connections, within one budget.
#![forbid(unsafe_code)]

use super::chunks::{Chunks, LINK};
use super::config::{PacketRingBuilder, Policy};
use super::entries::{ENTRY, Entries, Form, LISTS, MAX_PARTIAL};
use super::stats::PacketStats;
use crate::block::Block;
use crate::frame::{Hint, Kept};
use crate::slots::{NONE, Slots};
use pool_core::{PageError, PageSource};

/// The list of each block under `EvictLargest` is at least this.
const BLOCK_LISTS: usize = 48;

/// A partial found no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRoom {
    pub(crate) asked: usize,
}

/// A partial with contiguous memory of its own.
struct Large<S: PageSource> {
    block: Block<S>,
    /// Where its frame ends, or the block's length if nobody knows.
    want: usize,
}

/// All partials.
///
/// Invariants, checked by `check`: `used` is the sum of the costs of all entries in lists and at
/// most `budget`; every entry in a list is empty, has a chain of its own, or a block of its own;
/// every chunk is in a chain or free.
pub(crate) struct Store<S: PageSource + Clone> {
    pub(crate) chunks: Chunks<S>,
    pub(crate) entries: Entries<S>,
    large: Slots<Large<S>, S>,
    large_from: usize,
    /// What a chunk costs.
    unit: usize,
    /// Whether lists go by cost.
    by_size: bool,
    policy: Policy,
    /// Milliseconds on the caller's clock, modulo 2^32.
    pub(crate) now: u32,
    min_age: u32,
    /// Bytes of blocks.
    block_bytes: usize,
    pub(crate) stats: PacketStats,
    source: S,
}

/// Milliseconds, as entries note them.
pub(crate) fn millis(time: core::time::Duration) -> u32 {
    time.as_millis() as u32
}

impl<S: PageSource + Clone> Store<S> {
    pub(crate) fn new(source: S, config: PacketRingBuilder) -> Result<Self, PageError> {
        let PacketRingBuilder { budget, large_from, chunk_shift, policy, .. } = config;
        let per_chunk = (1 << chunk_shift) + LINK;
        // One more of each: the budget counts, not the tables.
        let most =
            |each: usize| u32::try_from(budget / each).unwrap_or(NONE >> 1).min(NONE >> 1) + 1;
        let min_age = match policy {
            Policy::EvictOldest { min_age } => min_age.as_millis().min(u128::from(u32::MAX)) as u32,
            Policy::EvictLargest | Policy::Reject => 0,
        };
        let stats = PacketStats { budget, ..PacketStats::default() };
        Ok(Self {
            chunks: Chunks::new(&source, chunk_shift, most(per_chunk))?,
            entries: Entries::new(source.clone(), most(per_chunk + ENTRY))?,
            large: Slots::new(source.clone(), most(large_from.max(per_chunk)))?,
            large_from,
            unit: per_chunk,
            by_size: policy == Policy::EvictLargest,
            policy,
            now: 0,
            min_age,
            block_bytes: 0,
            stats,
            source,
        })
    }

    pub(crate) fn stats(&self) -> PacketStats {
        let tables = self.chunks.bytes() + self.entries.bytes() + self.large.bytes();
        let (partials, reserved) = (self.entries.live(), tables + self.block_bytes);
        PacketStats { partials, reserved, ..self.stats }
    }

    /// What a partial of `len` bytes in chunks costs.
    #[inline(always)]
    pub(crate) fn cost(&self, len: usize) -> usize {
        ENTRY + self.chunks.needed(len).max(1) * self.unit
    }

    /// What an entry costs. One without bytes counts as one with a chunk: so there are never more
    /// entries than the table has.
    #[inline(always)]
    fn cost_of(&self, entry: u32) -> usize {
        match self.entries.form(entry) {
            Form::Block(block) => {
                ENTRY + self.large.get(block).map_or(0, |large| large.block.len())
            }
            Form::Empty | Form::Chain(_) => self.cost(self.entries.len(entry)),
        }
    }

    /// The list for an entry that costs `cost`.
    #[inline(always)]
    fn list_for(&self, cost: usize) -> usize {
        if !self.by_size {
            return 0;
        }
        let chunks = cost / self.unit;
        if chunks <= BLOCK_LISTS {
            return chunks;
        }
        (BLOCK_LISTS + (chunks / BLOCK_LISTS).ilog2() as usize).min(LISTS - 1)
    }

    /// Makes an entry for a connection, without bytes. The one that was promised to it.
    #[inline]
    pub(crate) fn add(&mut self, token: u32, generation: u32) -> Result<u32, NoRoom> {
        let cost = self.cost(0);
        self.make_room(cost, cost, NONE)?;
        Ok(self.add_within(token, generation))
    }

    /// The same where there is room.
    #[inline(always)]
    fn add_within(&mut self, token: u32, generation: u32) -> u32 {
        let entry = self.entries.take(token, generation, self.now);
        self.charge(self.cost(0));
        self.entries.push(self.list_for(self.cost(0)), entry);
        entry
    }

    #[inline(always)]
    fn charge(&mut self, cost: usize) {
        self.stats.used += cost;
        self.stats.peak = self.stats.peak.max(self.stats.used);
    }

    /// Makes the budget allow `more` bytes for the connection with the entry `own` (`NONE` if it has
    /// none), whose partial will cost `total`, by evicting others if the policy says so.
    #[inline(always)]
    fn make_room(&mut self, more: usize, total: usize, own: u32) -> Result<(), NoRoom> {
        if more <= self.stats.budget - self.stats.used {
            return Ok(());
        }
        self.evict_for(more, total, own)
    }

    #[cold]
    fn evict_for(&mut self, more: usize, total: usize, own: u32) -> Result<(), NoRoom> {
        // What can never be is refused before anybody has to go for it.
        if total > self.stats.budget {
            return Err(NoRoom { asked: total });
        }
        while more > self.stats.budget - self.stats.used {
            let victim = self.victim(total, own).ok_or(NoRoom { asked: total })?;
            self.stats.evictions += 1;
            self.drop_entry(victim, true);
        }
        Ok(())
    }

    /// Who goes next, if anybody does. If it would be the one that asks, nobody.
    fn victim(&self, total: usize, own: u32) -> Option<u32> {
        let victim = match self.policy {
            Policy::Reject => return None,
            Policy::EvictOldest { .. } => {
                let oldest = self.entries.first(0);
                let age = |entry| self.now.wrapping_sub(self.entries.stamp(entry));
                Some(oldest).filter(|&entry| entry != NONE && age(entry) >= self.min_age)?
            }
            Policy::EvictLargest => {
                let mut list = self.entries.highest(LISTS - 1)?;
                let mut entry = self.entries.first(list);
                if entry == own {
                    entry = self.entries.next(entry);
                }
                if entry == NONE {
                    list = self.entries.highest(list.checked_sub(1)?)?;
                    entry = self.entries.first(list);
                }
                Some(entry).filter(|_| list >= self.list_for(total))?
            }
        };
        (victim != own).then_some(victim)
    }

    /// Frees what an entry has, and the entry, or makes it a note.
    pub(crate) fn drop_entry(&mut self, entry: u32, note: bool) {
        let cost = self.cost_of(entry);
        self.entries.unlink(self.list_for(cost), entry);
        self.stats.used -= cost;
        self.free_form(entry);
        if note { self.entries.note(entry) } else { self.entries.give(entry) }
    }

    /// Frees the chain or the block of an entry, which must be given another form.
    fn free_form(&mut self, entry: u32) {
        self.stats.bytes -= self.entries.len(entry);
        match self.entries.form(entry) {
            Form::Empty => {}
            Form::Chain(last) => self.chunks.release(last),
            Form::Block(block) => drop(self.take_block(block)),
        }
    }

    /// Takes a block out, to be dropped when its bytes are somewhere else.
    fn take_block(&mut self, block: u32) -> Option<Large<S>> {
        let large = self.large.remove(block)?;
        self.block_bytes -= large.block.len();
        Some(large)
    }

    /// A refused connection: what it has is freed, and its owner gets a note.
    #[cold]
    pub(crate) fn reject(&mut self, entry: Option<u32>, token: u32, generation: u32) {
        self.stats.rejected += 1;
        match entry {
            Some(entry) => self.drop_entry(entry, true),
            None => {
                let (_, lost) = self.entries.peek();
                self.stats.unreported += u64::from(lost);
                let entry = self.entries.take(token, generation, self.now);
                self.entries.note(entry);
            }
        }
    }

    /// Moves an entry to the list of its new cost, and charges the difference. It costs `old` now.
    #[inline(always)]
    fn set(&mut self, entry: u32, old: usize, form: Form, len: usize) {
        self.entries.set_form(entry, form, len);
        self.stats.bytes += len;
        let new = self.cost_of(entry);
        self.stats.used -= old;
        self.charge(new);
        if self.by_size {
            self.relist(entry, old, new);
        }
    }

    /// The partial of this entry begins now.
    #[inline(always)]
    pub(crate) fn restamp(&mut self, entry: u32) {
        let list = if self.by_size { self.list_for(self.cost_of(entry)) } else { 0 };
        self.entries.set_stamp(entry, self.now);
        self.entries.move_to_end(list, entry);
    }

    /// Keeps `bytes`, which are not empty, for a connection that has no entry. Returns the entry and
    /// the first chunk, or `NONE`.
    #[inline]
    pub(crate) fn keep_new(
        &mut self,
        token: u32,
        generation: u32,
        bytes: &[u8],
        hint: Hint,
    ) -> Result<(u32, u32), NoRoom> {
        if bytes.len() > self.large_from {
            let entry = self.add(token, generation)?;
            return match self.keep(entry, bytes, hint) {
                Ok(first) => Ok((entry, first)),
                Err(error) => {
                    self.drop_entry(entry, false);
                    Err(error)
                }
            };
        }
        let cost = self.cost(bytes.len());
        self.make_room(cost, cost, NONE)?;
        let entry = self.entries.take(token, generation, self.now);
        self.stats.copied += bytes.len() as u64;
        let (last, first) = self.chunks.put(bytes);
        self.entries.set_form(entry, Form::Chain(last), bytes.len());
        self.stats.bytes += bytes.len();
        self.charge(cost);
        self.entries.push(self.list_for(cost), entry);
        Ok((entry, first))
    }

    /// Keeps `bytes`, which are not empty, in the entry of a connection, which is empty. Returns
    /// the first chunk, or `NONE`.
    #[inline(always)]
    pub(crate) fn keep(&mut self, entry: u32, bytes: &[u8], hint: Hint) -> Result<u32, NoRoom> {
        debug_assert_eq!(self.entries.form(entry), Form::Empty);
        if bytes.len() > self.large_from {
            return self.keep_large(entry, &[bytes], hint).map(|()| NONE);
        }
        // An entry without bytes is charged for one chunk.
        let more = (self.chunks.needed(bytes.len()) - 1) * self.unit;
        if more > self.stats.budget - self.stats.used {
            self.evict_for(more, ENTRY + self.unit + more, entry)?;
        }
        self.stats.copied += bytes.len() as u64;
        self.stats.bytes += bytes.len();
        let (last, first) = self.chunks.put(bytes);
        self.entries.set_form(entry, Form::Chain(last), bytes.len());
        self.charge(more);
        if self.by_size {
            self.relist(entry, ENTRY + self.unit, ENTRY + self.unit + more);
        }
        Ok(first)
    }

    /// Moves an entry to the list of its new cost.
    #[cold]
    fn relist(&mut self, entry: u32, old: usize, new: usize) {
        let (from, to) = (self.list_for(old), self.list_for(new));
        if from != to {
            self.entries.unlink(from, entry);
            self.entries.push(to, entry);
        }
    }

    /// Keeps `parts` in a block, for an entry that is empty. If it is refused the entry stays so.
    #[cold]
    fn keep_large(&mut self, entry: u32, parts: &[&[u8]], hint: Hint) -> Result<(), NoRoom> {
        let old = self.cost_of(entry);
        let (large, len) = self.new_block(entry, old, parts, hint)?;
        let bytes = large.block.len();
        // There are as many slots as blocks could be within the budget.
        let block = self.large.insert(large).map_err(|_| NoRoom { asked: bytes })?;
        self.block_bytes += bytes;
        self.set(entry, old, Form::Block(block), len);
        Ok(())
    }

    /// A block with the bytes of `parts`, for which there is room once the entry, which costs `old`,
    /// is charged for it instead.
    fn new_block(
        &mut self,
        entry: u32,
        old: usize,
        parts: &[&[u8]],
        hint: Hint,
    ) -> Result<(Large<S>, usize), NoRoom> {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let asked = match hint {
            Hint::Total(total) => total.max(len),
            Hint::Unknown => len.saturating_mul(2),
        };
        let refused = NoRoom { asked };
        if asked.saturating_add(ENTRY) > self.stats.budget || asked >= MAX_PARTIAL {
            return Err(refused);
        }
        // Before anybody is evicted for it: the source may refuse.
        let mut block = Block::new(self.source.clone(), asked).map_err(|_| refused)?;
        let new = ENTRY + block.len();
        self.make_room(new.saturating_sub(old), new, entry)?;
        let mut at = 0;
        for part in parts {
            block.write(at, part);
            at += part.len();
        }
        self.stats.copied += len as u64;
        let want = match hint {
            Hint::Total(_) => asked,
            Hint::Unknown => block.len(),
        };
        Ok((Large { block, want }, len))
    }

    /// Adds `bytes`, which are not empty, to the chain of an entry, or makes a block of both. If it is
    /// refused what was kept stays.
    pub(crate) fn append(&mut self, entry: u32, bytes: &[u8], hint: Hint) -> Result<(), NoRoom> {
        let Form::Chain(last) = self.entries.form(entry) else {
            return self.keep(entry, bytes, hint).map(drop);
        };
        let len = self.entries.len(entry);
        let total = len + bytes.len();
        if total > self.large_from {
            return self.append_large(entry, last, len, bytes, hint);
        }
        let (old, new) = (self.cost(len), self.cost(total));
        self.make_room(new - old, new, entry)?;
        self.stats.copied += bytes.len() as u64;
        let last = self.chunks.append(last, len, bytes);
        self.stats.bytes -= len;
        self.set(entry, old, Form::Chain(last), total);
        Ok(())
    }

    /// Makes a block of a chain and the bytes behind it.
    #[cold]
    fn append_large(
        &mut self,
        entry: u32,
        last: u32,
        len: usize,
        bytes: &[u8],
        hint: Hint,
    ) -> Result<(), NoRoom> {
        let old = self.cost(len);
        let hint = match hint {
            Hint::Unknown => Hint::Unknown,
            Hint::Total(total) => Hint::Total(total.max(len + bytes.len())),
        };
        let capacity = match hint {
            Hint::Unknown => 2 * (len + bytes.len()),
            Hint::Total(total) => total,
        };
        let (mut large, _) = self.new_block(entry, old, &[], Hint::Total(capacity))?;
        self.chunks.copy_to(last, large.block.zeroed_mut(0..len));
        large.block.write(len, bytes);
        self.stats.copied += (len + bytes.len()) as u64;
        if hint == Hint::Unknown {
            large.want = large.block.len();
        }
        let block_bytes = large.block.len();
        let block = self.large.insert(large).map_err(|_| NoRoom { asked: block_bytes })?;
        self.block_bytes += block_bytes;
        self.chunks.release(last);
        self.stats.bytes -= len;
        self.set(entry, old, Form::Block(block), len + bytes.len());
        Ok(())
    }

    /// What is kept in a chain, as far as it can be seen without copying.
    #[inline(always)]
    pub(crate) fn kept(&self, entry: u32, last: u32) -> Kept<'_> {
        let len = self.entries.len(entry);
        Kept { head: self.chunks.head(last, len), tail: self.chunks.tail(last, len), len }
    }

    /// Moves the bytes of a chain to the end of `gap`, which is long enough, and leaves the entry empty.
    #[inline(always)]
    pub(crate) fn join(&mut self, entry: u32, last: u32, gap: &mut [u8]) -> usize {
        let len = self.entries.len(entry);
        let start = gap.len() - len;
        self.chunks.copy_to(last, &mut gap[start..]);
        self.chunks.release(last);
        self.stats.joins += 1;
        self.stats.copied += len as u64;
        self.stats.bytes -= len;
        self.entries.set_form(entry, Form::Empty, 0);
        let less = (self.chunks.needed(len) - 1) * self.unit;
        self.stats.used -= less;
        if self.by_size {
            self.relist(entry, ENTRY + self.unit + less, ENTRY + self.unit);
        }
        len
    }

    /// The bytes in a block.
    #[inline]
    pub(crate) fn block_bytes(&self, block: u32) -> &[u8] {
        match self.large.get(block) {
            Some(large) => large.block.bytes(0..large.block.init()),
            None => &[],
        }
    }

    /// Room in a block behind its first `len` bytes, at most `most`, for what is yet to come.
    pub(crate) fn block_room(&mut self, block: u32, len: usize, most: usize) -> &mut [u8] {
        match self.large.get_mut(block) {
            Some(large) => {
                let end = large.want.min(len.saturating_add(most)).max(len);
                large.block.zeroed_mut(len..end)
            }
            None => &mut [],
        }
    }

    /// `more` bytes have come into the block of an entry.
    pub(crate) fn block_filled(&mut self, entry: u32, more: usize) {
        let len = self.entries.len(entry);
        self.entries.set_form(entry, self.entries.form(entry), len + more);
        self.stats.bytes += more;
    }

    /// A frame in a block was not whole: makes room for more of it.
    pub(crate) fn block_more(&mut self, entry: u32, block: u32, hint: Hint) -> Result<(), NoRoom> {
        let len = self.entries.len(entry);
        let Some(large) = self.large.get_mut(block) else { return Ok(()) };
        large.want = match hint {
            Hint::Total(total) => total,
            Hint::Unknown => large.block.len(),
        };
        if len < large.want && large.want <= large.block.len() {
            return Ok(());
        }
        self.grow_block(entry, block, len, hint)
    }

    #[cold]
    fn grow_block(&mut self, entry: u32, block: u32, len: usize, hint: Hint) -> Result<(), NoRoom> {
        let old = self.cost_of(entry);
        let capacity = match hint {
            Hint::Total(total) if total > len => total,
            _ => len.saturating_mul(2),
        };
        let (mut new, _) = self.new_block(entry, old, &[], Hint::Total(capacity))?;
        if hint == Hint::Unknown {
            new.want = new.block.len();
        }
        if let Some(large) = self.large.get_mut(block) {
            new.block.write(0, large.block.bytes(0..len));
            self.block_bytes += new.block.len();
            self.block_bytes -= large.block.len();
            *large = new;
        }
        self.stats.copied += len as u64;
        self.stats.bytes -= len;
        self.set(entry, old, Form::Block(block), len);
        Ok(())
    }

    /// Frames were taken from a block: keeps only what is left of it, or nothing.
    pub(crate) fn block_rest(
        &mut self,
        entry: u32,
        block: u32,
        rest: core::ops::Range<usize>,
        hint: Hint,
    ) -> Result<(), NoRoom> {
        let old = self.cost_of(entry);
        self.stats.bytes -= self.entries.len(entry);
        let large = self.take_block(block);
        // The old block is charged for no longer, though it lives until its rest is elsewhere.
        self.set(entry, old, Form::Empty, 0);
        match large {
            Some(large) if !rest.is_empty() => {
                self.keep(entry, large.block.bytes(rest), hint).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Frees the bytes of an entry, and keeps the entry.
    pub(crate) fn empty(&mut self, entry: u32, block: u32) {
        if block != NONE {
            // Nothing is kept, so nothing is refused.
            let _ = self.block_rest(entry, block, 0..0, Hint::Unknown);
        }
    }

    /// The tokens of partials that began before `deadline`.
    pub(crate) fn older_than(&self, deadline: u32) -> impl Iterator<Item = u32> + '_ {
        let sorted = self.policy != Policy::EvictLargest;
        let some = |entry| (entry != NONE).then_some(entry);
        // Signed, for the clock wraps.
        let is_old =
            move |entry: &u32| (deadline.wrapping_sub(self.entries.stamp(*entry)) as i32) > 0;
        (0..if sorted { 1 } else { LISTS })
            .flat_map(move |list| {
                let next = move |&entry: &u32| some(self.entries.next(entry));
                core::iter::successors(some(self.entries.first(list)), next)
                    .take_while(move |entry| !sorted || is_old(entry))
            })
            .filter(move |entry| is_old(entry) && self.entries.len(*entry) > 0)
            .map(|entry| self.entries.token(entry))
    }

    /// The invariants.
    #[cfg(any(test, debug_assertions))]
    pub(crate) fn check(&self) {
        let (mut used, mut bytes, mut chunks, mut entries, mut blocks) = (0, 0, 0, 0, 0);
        for (list, entry) in self.entries.all() {
            let cost = self.cost_of(entry);
            assert_eq!(list, self.list_for(cost), "in the wrong list");
            let len = self.entries.len(entry);
            match self.entries.form(entry) {
                Form::Empty => assert_eq!(len, 0),
                Form::Chain(_) => chunks += self.chunks.needed(len),
                Form::Block(_) => blocks += 1,
            }
            (used, bytes, entries) = (used + cost, bytes + len, entries + 1);
        }
        assert_eq!((used, bytes), (self.stats.used, self.stats.bytes));
        assert!(used <= self.stats.budget, "over budget");
        assert_eq!(blocks, self.large.len());
        assert_eq!(chunks + self.chunks.count_free(), self.chunks.count());
        let noted = self.entries.noted();
        assert_eq!(entries, self.entries.live());
        assert_eq!(entries + noted + self.entries.count_free(), self.entries.count());
    }
}
