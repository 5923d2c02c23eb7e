//! `Entries`: who has a partial, since when, and in which order they are to go.
#![forbid(unsafe_code)]

use crate::table::{Entry, Table};
use pool_core::{PageError, PageSource};

/// Bytes of an entry.
pub(crate) const ENTRY: usize = size_of::<Entry>();

/// Lists that entries with partials can be in.
pub(crate) const LISTS: usize = 63;
/// The list of evicted ones that were not reported yet.
const NOTES: usize = LISTS;

/// Bits of the number of an entry, and of a chunk or a block.
const BITS: u32 = 28;
const MASK: u64 = (1 << BITS) - 1;
/// No entry. There are fewer than this, and fewer chunks and blocks.
pub(crate) const NO_ENTRY: u32 = MASK as u32;

const BLOCK: u32 = 1 << BITS;
/// The form of those without bytes. No block has this number.
const EMPTY: u32 = BLOCK | NO_ENTRY;
const FORM_BITS: u32 = BITS + 1;
/// Set in the generation of notes.
const NOTE: u32 = 1 << 31;
/// Generations of connections are 1 to this.
pub(crate) const LAST_GENERATION: u32 = NOTE - 1;

/// A partial in chunks has less bytes than this.
pub(crate) const MAX_CHAIN: usize = 1 << (16 + u32::BITS - FORM_BITS);
/// A partial has less bytes than this.
pub(crate) const MAX_PARTIAL: usize = 1 << 31;

/// Instead of a decoder's number: no decoder has looked at these bytes.
pub(crate) const UNSEEN: u8 = u8::MAX;
/// The same, though they were lent once more at the end of their stream.
pub(crate) const OFFERED: u8 = u8::MAX - 1;

/// Where a partial's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Nowhere: it has none (while they are being looked at).
    Empty,
    /// In this chain of chunks.
    Chain(u32),
    /// In this block.
    Block(u32),
}

/// The table.
pub(crate) struct Entries<S: PageSource> {
    table: Table<Entry, S>,
    count: u32,
    /// Entries below this were used at least once.
    carved: u32,
    /// The free entry given back last; `NO_ENTRY` if those from `carved` on are all that is free.
    free: u32,
    /// First and last of each list, the oldest first; `NO_ENTRY` if it is empty.
    lists: [(u32, u32); LISTS + 1],
    /// Which lists are not empty.
    used: u64,
    /// Entries in lists, notes apart.
    live: u32,
    noted: u32,
}

impl<S: PageSource> Entries<S> {
    /// Room for `count` entries, less than [`NO_ENTRY`].
    pub(crate) fn new(source: S, count: u32) -> Result<Self, PageError> {
        Ok(Self {
            table: Table::new(source, count as usize)?,
            count,
            carved: 0,
            free: NO_ENTRY,
            lists: [(NO_ENTRY, NO_ENTRY); LISTS + 1],
            used: 0,
            live: 0,
            noted: 0,
        })
    }

    /// Bytes of its pages.
    pub(crate) fn bytes(&self) -> usize {
        self.table.bytes()
    }

    /// Entries in lists.
    pub(crate) const fn live(&self) -> usize {
        self.live as usize
    }

    /// Whether this entry is that connection's.
    #[inline(always)]
    pub(crate) fn is(&self, entry: u32, generation: u32, token: u32) -> bool {
        let entry = self.table.get(entry as usize);
        entry.is_some_and(|entry| entry.generation == generation && entry.token == token)
    }

    #[inline(always)]
    pub(crate) fn form(&self, entry: u32) -> Form {
        match self.table[entry as usize].form & ((1 << FORM_BITS) - 1) {
            EMPTY => Form::Empty,
            block if block & BLOCK != 0 => Form::Block(block & !BLOCK),
            chain => Form::Chain(chain),
        }
    }

    /// Bytes in its chain; 0 if they are in a block, or nowhere.
    #[inline(always)]
    pub(crate) fn chain_len(&self, entry: u32) -> usize {
        let Entry { form, len, .. } = self.table[entry as usize];
        (form >> FORM_BITS << 16) as usize + usize::from(len)
    }

    /// The number of the decoder that has seen its bytes to be no whole frame, 0 for one without a number; [`UNSEEN`] or [`OFFERED`] if
    /// none has.
    #[inline(always)]
    pub(crate) fn seen_by(&self, entry: u32) -> u8 {
        (self.table[entry as usize].links >> (2 * BITS)) as u8
    }

    /// Says which decoder has seen its bytes to be no whole frame, as [`seen_by`](Self::seen_by) tells it.
    #[inline(always)]
    pub(crate) fn set_seen_by(&mut self, entry: u32, decoder: u8) {
        let links = &mut self.table[entry as usize];
        links.links = (links.links & (MASK << BITS | MASK)) | u64::from(decoder) << (2 * BITS);
    }

    #[inline(always)]
    pub(crate) fn token(&self, entry: u32) -> u32 {
        self.table[entry as usize].token
    }

    #[inline(always)]
    pub(crate) fn stamp(&self, entry: u32) -> u32 {
        self.table[entry as usize].stamp
    }

    #[inline(always)]
    pub(crate) fn set_stamp(&mut self, entry: u32, stamp: u32) {
        self.table[entry as usize].stamp = stamp;
    }

    /// Says where its bytes are, and how many, less than [`MAX_CHAIN`], of a chain.
    #[inline(always)]
    pub(crate) fn set_form(&mut self, entry: u32, form: Form, len: usize) {
        debug_assert!(len < MAX_CHAIN && (len == 0 || matches!(form, Form::Chain(_))));
        let entry = &mut self.table[entry as usize];
        let form = match form {
            Form::Empty => EMPTY,
            Form::Chain(last) => last,
            Form::Block(block) => block | BLOCK,
        };
        entry.form = form | (len >> 16 << FORM_BITS) as u32;
        entry.len = len as u16;
    }

    /// The entry that [`take`](Self::take) will return. There is none if notes have all that partials do not.
    #[inline(always)]
    pub(crate) const fn peek(&self) -> Option<u32> {
        if self.free != NO_ENTRY {
            Some(self.free)
        } else if self.carved < self.count {
            Some(self.carved)
        } else {
            None
        }
    }

    /// Takes the entry that `peek` named for a connection, empty and in no list.
    #[inline(always)]
    pub(crate) fn take(&mut self, token: u32, generation: u32, stamp: u32) -> u32 {
        let entry = if self.free == NO_ENTRY { self.carved } else { self.free };
        let place = &mut self.table[entry as usize];
        if self.free == NO_ENTRY {
            self.carved += 1;
        } else {
            self.free = next_of(place.links);
        }
        self.live += 1;
        let links = MASK << BITS | MASK;
        *place = Entry { links, token, generation, stamp, form: EMPTY, len: 0 };
        entry
    }

    /// Gives an entry that is in no list back.
    #[inline(always)]
    pub(crate) fn give(&mut self, entry: u32) {
        self.live -= 1;
        self.put_free(entry);
    }

    #[inline(always)]
    fn put_free(&mut self, entry: u32) {
        self.table[entry as usize].generation = 0;
        self.set_next(entry, self.free);
        self.free = entry;
    }

    /// Makes an entry that is in no list a note for its connection's owner.
    pub(crate) fn note(&mut self, entry: u32) {
        self.live -= 1;
        self.noted += 1;
        let generation = self.table[entry as usize].generation;
        self.table[entry as usize].generation = generation | NOTE;
        self.push(NOTES, entry);
    }

    /// The oldest note's token.
    pub(crate) fn next_note(&mut self) -> Option<u32> {
        let entry = self.first(NOTES);
        if entry == NO_ENTRY {
            return None;
        }
        self.drop_note(entry);
        Some(self.token(entry))
    }

    fn drop_note(&mut self, entry: u32) {
        self.unlink(NOTES, entry);
        self.noted -= 1;
        self.put_free(entry);
    }

    /// Withdraws the note about a connection that had this entry, if there is one.
    pub(crate) fn withdraw_note(&mut self, entry: u32, generation: u32, token: u32) {
        if self.is(entry, generation | NOTE, token) {
            self.drop_note(entry);
        }
    }

    /// Notes that were not taken yet.
    pub(crate) const fn noted(&self) -> usize {
        self.noted as usize
    }

    #[inline(always)]
    fn set_prev(&mut self, entry: u32, prev: u32) {
        let place = &mut self.table[entry as usize];
        place.links = (place.links & !MASK) | u64::from(prev);
    }

    #[inline(always)]
    fn set_next(&mut self, entry: u32, next: u32) {
        let place = &mut self.table[entry as usize];
        place.links = (place.links & !(MASK << BITS)) | u64::from(next) << BITS;
    }

    /// Puts an entry at the end of a list.
    #[inline(always)]
    pub(crate) fn push(&mut self, list: usize, entry: u32) {
        let (first, last) = self.lists[list];
        let place = &mut self.table[entry as usize];
        place.links = last_behind(place.links, last);
        if first == NO_ENTRY {
            self.used |= 1 << list;
            self.lists[list] = (entry, entry);
        } else {
            self.set_next(last, entry);
            self.lists[list].1 = entry;
        }
    }

    /// Takes an entry out of its list.
    #[inline(always)]
    pub(crate) fn unlink(&mut self, list: usize, entry: u32) {
        let links = self.table[entry as usize].links;
        let (prev, next) = (prev_of(links), next_of(links));
        match prev {
            NO_ENTRY => self.lists[list].0 = next,
            prev => self.set_next(prev, next),
        }
        match next {
            NO_ENTRY => self.lists[list].1 = prev,
            next => self.set_prev(next, prev),
        }
        if self.lists[list].0 == NO_ENTRY {
            self.used &= !(1 << list);
        }
    }

    /// Makes an entry the last of its list.
    #[inline(always)]
    pub(crate) fn move_to_end(&mut self, list: usize, entry: u32) {
        let links = self.table[entry as usize].links;
        let (prev, next) = (prev_of(links), next_of(links));
        if next == NO_ENTRY {
            return;
        }
        self.set_prev(next, prev);
        match prev {
            NO_ENTRY => self.lists[list].0 = next,
            prev => self.set_next(prev, next),
        }
        let last = self.lists[list].1;
        self.set_next(last, entry);
        self.table[entry as usize].links = last_behind(links, last);
        self.lists[list].1 = entry;
    }

    /// The oldest of a list, or `NO_ENTRY`.
    #[inline(always)]
    pub(crate) fn first(&self, list: usize) -> u32 {
        self.lists[list].0
    }

    /// The one behind it in its list, or `NO_ENTRY`.
    #[inline(always)]
    pub(crate) fn next(&self, entry: u32) -> u32 {
        next_of(self.table[entry as usize].links)
    }

    /// The highest list with entries, at most `below`, which is below [`LISTS`].
    pub(crate) const fn highest(&self, below: usize) -> Option<usize> {
        let used = self.used & (u64::MAX >> (u64::BITS as usize - 1 - below));
        if used == 0 { None } else { Some(used.ilog2() as usize) }
    }

    /// The entry's place, for those who want it in a cache.
    #[inline(always)]
    pub(crate) fn place(&self, entry: u32) -> Option<&Entry> {
        self.table.get(entry as usize)
    }

    /// All entries in lists, list by list.
    #[cfg(any(test, debug_assertions))]
    pub(crate) fn all(&self) -> impl Iterator<Item = (usize, u32)> {
        (0..LISTS).flat_map(move |list| {
            let some = |entry| (entry != NO_ENTRY).then_some(entry);
            let follow = move |&entry: &u32| some(self.next(entry));
            core::iter::successors(some(self.first(list)), follow).map(move |entry| (list, entry))
        })
    }

    /// The number of entries that can be taken, counted one by one.
    #[cfg(any(test, debug_assertions))]
    pub(crate) fn count_free(&self) -> usize {
        let mut free = (self.count - self.carved) as usize;
        let mut entry = self.free;
        while entry != NO_ENTRY {
            free += 1;
            assert!(free <= self.count as usize, "a circle of free entries");
            entry = self.next(entry);
        }
        free
    }

    /// All entries.
    #[cfg(any(test, debug_assertions))]
    pub(crate) const fn count(&self) -> usize {
        self.count as usize
    }
}

#[inline(always)]
const fn prev_of(links: u64) -> u32 {
    (links & MASK) as u32
}

#[inline(always)]
const fn next_of(links: u64) -> u32 {
    (links >> BITS & MASK) as u32
}

/// The links of an entry that is the last of its list now, behind `prev`; which decoder has seen it stays.
#[inline(always)]
const fn last_behind(links: u64, prev: u32) -> u64 {
    links >> (2 * BITS) << (2 * BITS) | MASK << BITS | prev as u64
}
