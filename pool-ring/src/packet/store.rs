//! `Store`: the partials of all connections, within one budget.
#![forbid(unsafe_code)]

use super::chunks::{Chunks, LINK};
use super::config::{PacketRingBuilder, Policy};
use super::entries::{ENTRY, Entries, Form, LISTS, NO_ENTRY};
use super::large::{Growth, Large};
use super::stats::PacketStats;
use crate::frame::{Hint, Kept};
use crate::slots::Slots;
use pool_core::{PageError, PageSource};

/// There are no more chunks than this: then there are fewer entries than [`NO_ENTRY`], twice as many.
const MOST: u32 = NO_ENTRY / 2 - 1;
/// The list of each block under `EvictLargest` is at least this.
const BLOCK_LISTS: usize = 48;

/// A partial found no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRoom {
    pub(crate) asked: usize,
}

/// All partials.
///
/// Invariants, checked by `check`: `used` is the sum of the costs of all entries in lists and at
/// most `budget`; every entry in a list is empty, has a chain of its own, or a block of its own;
/// every chunk is in a chain or free.
pub(crate) struct Store<S: PageSource + Clone> {
    pub(crate) chunks: Chunks<S>,
    pub(crate) entries: Entries<S>,
    pub(super) large: Slots<Large<S>, S>,
    pub(super) large_from: usize,
    /// What a chunk costs.
    unit: usize,
    /// What the longest partial in chunks costs.
    most_small: usize,
    /// Whether lists go by cost.
    pub(super) by_size: bool,
    pub(super) policy: Policy,
    /// Milliseconds on the caller's clock, modulo 2^32.
    pub(crate) now: u32,
    pub(super) min_age: u32,
    /// Bytes of blocks.
    pub(super) block_bytes: usize,
    pub(crate) stats: PacketStats,
    pub(super) source: S,
}

/// Milliseconds, as entries note them.
pub(crate) fn millis(time: core::time::Duration) -> u32 {
    time.as_millis() as u32
}

/// Whether a time is before another; the clock wraps.
pub(crate) const fn is_before(time: u32, deadline: u32) -> bool {
    (deadline.wrapping_sub(time) as i32) > 0
}

impl<S: PageSource + Clone> Store<S> {
    pub(crate) fn new(source: S, config: PacketRingBuilder) -> Result<Self, PageError> {
        let PacketRingBuilder { budget, large_from, chunk_shift, policy, .. } = config;
        let per_chunk = (1 << chunk_shift) + LINK;
        let limit = per_chunk.saturating_mul(MOST as usize);
        if budget > limit {
            return Err(PageError::TooLarge { asked: budget, align: 1, limit });
        }
        // One more of each: the budget counts, not the tables.
        let most = |each: usize| (budget / each) as u32 + 1;
        let min_age = match policy {
            Policy::EvictOldest { min_age } => min_age.as_millis().min(u128::from(u32::MAX)) as u32,
            Policy::EvictLargest | Policy::Reject => 0,
        };
        let stats = PacketStats { budget, ..PacketStats::default() };
        Ok(Self {
            chunks: Chunks::new(&source, chunk_shift, most(per_chunk))?,
            // Twice, for each may leave a report that waits.
            entries: Entries::new(source.clone(), 2 * most(per_chunk + ENTRY))?,
            large: Slots::new(source.clone(), most(large_from.max(per_chunk)))?,
            large_from,
            unit: per_chunk,
            most_small: ENTRY.saturating_add(
                (large_from >> chunk_shift).saturating_add(1).saturating_mul(per_chunk),
            ),
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
        PacketStats { partials, reserved, reports: self.entries.noted(), ..self.stats }
    }

    /// What a partial of `len` bytes in chunks costs.
    #[inline(always)]
    pub(crate) fn cost(&self, len: usize) -> usize {
        ENTRY + self.chunks.needed(len).max(1) * self.unit
    }

    /// The same for any length, also of partials that cannot be.
    pub(crate) const fn cost_saturating(&self, len: usize) -> usize {
        let chunks = if len == 0 { 1 } else { len.div_ceil(self.chunks.size()) };
        ENTRY.saturating_add(chunks.saturating_mul(self.unit))
    }

    /// What an entry costs. One without bytes counts as one with a chunk: so there are never more
    /// entries than the table has.
    #[inline(always)]
    pub(super) fn cost_of(&self, entry: u32) -> usize {
        match self.entries.form(entry) {
            Form::Block(block) => {
                ENTRY + self.large.get(block).map_or(0, |large| large.block.len())
            }
            Form::Empty | Form::Chain(_) => self.cost(self.entries.chain_len(entry)),
        }
    }

    /// Bytes of an entry's partial.
    #[inline(always)]
    pub(crate) fn len(&self, entry: u32) -> usize {
        match self.entries.form(entry) {
            Form::Block(block) => self.large.get(block).map_or(0, |large| large.filled),
            Form::Empty | Form::Chain(_) => self.entries.chain_len(entry),
        }
    }

    /// How many bytes of an entry's partial this decoder has seen to be no whole frame: all, or none.
    #[inline(always)]
    pub(crate) fn seen(&self, entry: u32, decoder: u8) -> usize {
        let is_seen = decoder != 0 && self.entries.seen_by(entry) == decoder;
        if is_seen { self.len(entry) } else { 0 }
    }

    /// The list for an entry that costs `cost`.
    #[inline(always)]
    pub(super) fn list_for(&self, cost: usize) -> usize {
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
        self.make_room(cost, cost, NO_ENTRY)?;
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
    pub(super) fn charge(&mut self, cost: usize) {
        self.stats.used += cost;
        self.stats.peak = self.stats.peak.max(self.stats.used);
    }

    /// Makes the budget allow `more` bytes for the connection with the entry `own` (`NO_ENTRY` if it has
    /// none), whose partial will cost `total`, by evicting others if the policy says so.
    #[inline(always)]
    pub(super) fn make_room(&mut self, more: usize, total: usize, own: u32) -> Result<(), NoRoom> {
        if more <= self.stats.budget - self.stats.used {
            return Ok(());
        }
        self.evict_for(more, total, own)
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
        self.stats.bytes -= self.len(entry);
        match self.entries.form(entry) {
            Form::Empty => {}
            Form::Chain(last) => self.chunks.release(last),
            Form::Block(block) => drop(self.take_block(block)),
        }
    }

    /// A refused connection: what it has is freed, and its owner gets a note.
    #[cold]
    pub(crate) fn reject(&mut self, entry: Option<u32>, token: u32, generation: u32) {
        self.stats.rejected += 1;
        match entry {
            Some(entry) => self.drop_entry(entry, true),
            None => {
                let entry = self.entries.take(token, generation, self.now);
                self.entries.note(entry);
            }
        }
    }

    /// Moves an entry to the list of its new cost, and charges the difference. It costs `old` now.
    #[inline(always)]
    pub(super) fn set(&mut self, entry: u32, old: usize, form: Form, len: usize) {
        match form {
            Form::Block(block) => {
                self.entries.set_form(entry, form, 0);
                if let Some(large) = self.large.get_mut(block) {
                    large.filled = len;
                }
            }
            Form::Empty | Form::Chain(_) => self.entries.set_form(entry, form, len),
        }
        self.stats.bytes += len;
        let new = self.cost_of(entry);
        self.stats.used -= old;
        self.charge(new);
        if self.by_size {
            self.relist(entry, old, new);
        }
    }

    /// The partial of this entry began at `since`, later than all others.
    #[inline(always)]
    pub(crate) fn restamp(&mut self, entry: u32, since: u32) {
        let list = if self.by_size { self.list_for(self.cost_of(entry)) } else { 0 };
        self.entries.set_stamp(entry, since);
        self.entries.move_to_end(list, entry);
    }

    /// What `len` bytes that were read cost beside what is charged already: nothing, or an empty entry.
    #[inline(always)]
    pub(crate) fn cost_beside(&self, len: usize, has_entry: bool) -> usize {
        let cost = self.cost(len);
        if has_entry { cost - ENTRY - self.unit } else { cost }
    }

    /// Whether `len` bytes that were read, which fit in chunks, could be kept without evicting anybody.
    #[inline(always)]
    pub(crate) fn would_fit(&self, len: usize, has_entry: bool) -> bool {
        let room = self.stats.budget - self.stats.used;
        room >= self.most_small || room >= self.cost_beside(len, has_entry)
    }

    /// Makes an entry for a connection, charged for `len` bytes, which are not 0: they are to be put next.
    #[inline(always)]
    pub(crate) fn add_for(
        &mut self,
        (token, generation): (u32, u32),
        since: u32,
        len: usize,
    ) -> Result<u32, NoRoom> {
        let cost = self.cost(len);
        self.make_room(cost, cost, NO_ENTRY)?;
        let entry = self.entries.take(token, generation, since);
        self.charge(cost);
        self.entries.push(self.list_for(cost), entry);
        Ok(entry)
    }

    /// Charges an entry, which is empty, for `len` bytes, which are not 0: they are to be put next.
    #[inline(always)]
    pub(crate) fn charge_for(&mut self, entry: u32, len: usize) -> Result<(), NoRoom> {
        debug_assert_eq!(self.entries.form(entry), Form::Empty);
        // An entry without bytes is charged for one chunk.
        let more = (self.chunks.needed(len) - 1) * self.unit;
        if more > self.stats.budget - self.stats.used {
            self.evict_for(more, ENTRY + self.unit + more, entry)?;
        }
        self.charge(more);
        if self.by_size {
            self.relist(entry, ENTRY + self.unit, ENTRY + self.unit + more);
        }
        Ok(())
    }

    /// Copies `bytes` to chunks, for an entry that is charged for them. Returns the first chunk.
    #[inline(always)]
    pub(crate) fn put(&mut self, entry: u32, bytes: &[u8]) -> u32 {
        let (last, first) = self.chunks.put(bytes);
        self.entries.set_form(entry, Form::Chain(last), bytes.len());
        self.stats.copied += bytes.len() as u64;
        self.stats.bytes += bytes.len();
        first
    }

    /// Keeps `bytes`, which are not empty, in the entry of a connection, which is empty.
    #[cold]
    pub(super) fn keep(&mut self, entry: u32, bytes: &[u8], growth: Growth) -> Result<(), NoRoom> {
        if bytes.len() > self.large_from {
            return self.keep_large(entry, bytes, growth);
        }
        self.charge_for(entry, bytes.len())?;
        self.put(entry, bytes);
        Ok(())
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

    /// Adds `bytes`, which are not empty, to the chain of an entry, or makes a block of both. If it is
    /// refused what was kept stays.
    pub(crate) fn append(&mut self, entry: u32, bytes: &[u8], hint: Hint) -> Result<(), NoRoom> {
        let Form::Chain(last) = self.entries.form(entry) else {
            return self.keep(entry, bytes, Growth::after(hint, bytes.len()));
        };
        let len = self.entries.chain_len(entry);
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

    /// What is kept in a chain, as far as it can be seen without copying.
    #[inline(always)]
    pub(crate) fn kept(&self, entry: u32, last: u32) -> Kept<'_> {
        let len = self.entries.chain_len(entry);
        let (head, tail) = (self.chunks.head(last, len), self.chunks.tail(last, len));
        Kept::of_chain(head, tail, len, self.chunks.chain(last))
    }

    /// Moves the bytes of a chain to the end of `gap`, which is long enough, and leaves the entry empty.
    #[inline(always)]
    pub(crate) fn join(&mut self, entry: u32, last: u32, gap: &mut [u8]) -> usize {
        let len = self.entries.chain_len(entry);
        let start = gap.len() - len;
        self.chunks.copy_to(last, &mut gap[start..]);
        self.chunks.release(last);
        self.stats.joins += 1;
        self.stats.copied += len as u64;
        self.entries.set_form(entry, Form::Empty, 0);
        self.stats.bytes -= len;
        let less = (self.chunks.needed(len) - 1) * self.unit;
        self.stats.used -= less;
        if self.by_size {
            self.relist(entry, ENTRY + self.unit + less, ENTRY + self.unit);
        }
        len
    }

    /// The tokens of partials that began before `deadline`, that of the entry `resting`
    /// among them, whose bytes are elsewhere.
    pub(crate) fn older_than(&self, deadline: u32, resting: u32) -> impl Iterator<Item = u32> + '_ {
        let sorted = !self.by_size;
        let some = |entry| (entry != NO_ENTRY).then_some(entry);
        let is_old = move |entry: &u32| is_before(self.entries.stamp(*entry), deadline);
        (0..if sorted { 1 } else { LISTS })
            .flat_map(move |list| {
                let next = move |&entry: &u32| some(self.entries.next(entry));
                core::iter::successors(some(self.entries.first(list)), next)
                    .take_while(move |entry| !sorted || is_old(entry))
            })
            .filter(move |entry| is_old(entry))
            .filter(move |entry| self.entries.form(*entry) != Form::Empty || *entry == resting)
            .map(|entry| self.entries.token(entry))
    }

    /// The invariants.
    #[cfg(any(test, debug_assertions))]
    pub(crate) fn check(&self) {
        let (mut used, mut bytes, mut chunks, mut entries, mut blocks) = (0, 0, 0, 0, 0);
        for (list, entry) in self.entries.all() {
            let cost = self.cost_of(entry);
            assert_eq!(list, self.list_for(cost), "in the wrong list");
            let len = self.len(entry);
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
