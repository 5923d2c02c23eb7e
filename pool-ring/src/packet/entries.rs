//! `Entries`: who has a partial, since when, and in which order they are to go.
#![forbid(unsafe_code)]

use crate::slots::NONE;
use crate::table::{Entry, Table};
use pool_core::{PageError, PageSource};

/// Bytes of an entry.
pub(crate) const ENTRY: usize = size_of::<Entry>();

/// Lists that entries with partials can be in.
pub(crate) const LISTS: usize = 63;
/// The list of evicted ones that were not reported yet.
const NOTES: usize = LISTS;

const BLOCK: u32 = 1 << 31;
/// Set in the generation of notes.
const NOTE: u32 = 1 << 31;
/// Generations of connections are 1 to this.
pub(crate) const LAST_GENERATION: u32 = NOTE - 1;
const UNSEEN: u32 = 1 << 31;

/// A partial has less bytes than this.
pub(crate) const MAX_PARTIAL: usize = UNSEEN as usize;

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
    /// The free entry given back last; `NONE` if those from `carved` on are all that is free.
    free: u32,
    /// First and last of each list, the oldest first; `NONE` if it is empty.
    lists: [(u32, u32); LISTS + 1],
    /// Which lists are not empty.
    used: u64,
    /// Entries in lists, notes apart.
    live: u32,
    noted: u32,
}

impl<S: PageSource> Entries<S> {
    /// Room for `count` entries.
    pub(crate) fn new(source: S, count: u32) -> Result<Self, PageError> {
        Ok(Self {
            table: Table::new(source, count as usize)?,
            count,
            carved: 0,
            free: NONE,
            lists: [(NONE, NONE); LISTS + 1],
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
        match self.table[entry as usize].form {
            NONE => Form::Empty,
            block if block & BLOCK != 0 => Form::Block(block & !BLOCK),
            chain => Form::Chain(chain),
        }
    }

    #[inline(always)]
    pub(crate) fn len(&self, entry: u32) -> usize {
        (self.table[entry as usize].len & !UNSEEN) as usize
    }

    /// How many of its bytes are known to be no whole frame: all, or none.
    #[inline(always)]
    pub(crate) fn seen(&self, entry: u32) -> usize {
        let len = self.table[entry as usize].len;
        if len & UNSEEN == 0 { len as usize } else { 0 }
    }

    /// Says that nobody has looked whether it has whole frames.
    pub(crate) fn set_unseen(&mut self, entry: u32) {
        let len = self.table[entry as usize].len;
        self.table[entry as usize].len = len | UNSEEN;
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

    /// Says where its bytes are, and how many, less than [`MAX_PARTIAL`].
    #[inline(always)]
    pub(crate) fn set_form(&mut self, entry: u32, form: Form, len: usize) {
        let entry = &mut self.table[entry as usize];
        entry.form = match form {
            Form::Empty => NONE,
            Form::Chain(last) => last,
            Form::Block(block) => block | BLOCK,
        };
        entry.len = len as u32;
    }

    /// The entry that [`take`](Self::take) will return. There is none if notes have all that partials do not.
    #[inline(always)]
    pub(crate) const fn peek(&self) -> Option<u32> {
        if self.free != NONE {
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
        let entry = if self.free == NONE { self.carved } else { self.free };
        let place = &mut self.table[entry as usize];
        if self.free == NONE {
            self.carved += 1;
        } else {
            self.free = place.next;
        }
        self.live += 1;
        *place = Entry { form: NONE, len: 0, token, generation, stamp, prev: NONE, next: NONE };
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
        self.table[entry as usize].next = self.free;
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
        if entry == NONE {
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

    /// Puts an entry at the end of a list.
    #[inline(always)]
    pub(crate) fn push(&mut self, list: usize, entry: u32) {
        let (first, last) = self.lists[list];
        self.table[entry as usize].prev = last;
        self.table[entry as usize].next = NONE;
        if first == NONE {
            self.used |= 1 << list;
            self.lists[list] = (entry, entry);
        } else {
            self.table[last as usize].next = entry;
            self.lists[list].1 = entry;
        }
    }

    /// Takes an entry out of its list.
    #[inline(always)]
    pub(crate) fn unlink(&mut self, list: usize, entry: u32) {
        let (prev, next) = (self.table[entry as usize].prev, self.next(entry));
        match prev {
            NONE => self.lists[list].0 = next,
            prev => self.table[prev as usize].next = next,
        }
        match next {
            NONE => self.lists[list].1 = prev,
            next => self.table[next as usize].prev = prev,
        }
        if self.lists[list].0 == NONE {
            self.used &= !(1 << list);
        }
    }

    /// Makes an entry the last of its list.
    #[inline(always)]
    pub(crate) fn move_to_end(&mut self, list: usize, entry: u32) {
        let next = self.next(entry);
        if next == NONE {
            return;
        }
        let prev = self.table[entry as usize].prev;
        self.table[next as usize].prev = prev;
        let (first, last) = &mut self.lists[list];
        match prev {
            NONE => *first = next,
            prev => self.table[prev as usize].next = next,
        }
        self.table[*last as usize].next = entry;
        let moved = &mut self.table[entry as usize];
        (moved.prev, moved.next) = (*last, NONE);
        *last = entry;
    }

    /// The oldest of a list, or `NONE`.
    #[inline(always)]
    pub(crate) fn first(&self, list: usize) -> u32 {
        self.lists[list].0
    }

    /// The one behind it in its list, or `NONE`.
    #[inline(always)]
    pub(crate) fn next(&self, entry: u32) -> u32 {
        self.table[entry as usize].next
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
            let some = |entry| (entry != NONE).then_some(entry);
            let follow = move |&entry: &u32| some(self.next(entry));
            core::iter::successors(some(self.first(list)), follow).map(move |entry| (list, entry))
        })
    }

    /// The number of entries that can be taken, counted one by one.
    #[cfg(any(test, debug_assertions))]
    pub(crate) fn count_free(&self) -> usize {
        let mut free = (self.count - self.carved) as usize;
        let mut entry = self.free;
        while entry != NONE {
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
