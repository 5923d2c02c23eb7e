//! `DatagramReassembler`: many datagrams out of fragments, told apart by a key.

use super::config::ReassemblerBuilder;
use super::policy::OverlapPolicy;
use super::reassembler::{ReassembleError, Reassembler};
use crate::DefaultSource;
use crate::slots::{NONE, Slots};
use crate::table::Table;
use core::fmt;
use core::hash::{BuildHasher, Hash};
use core::ops::Deref;
use core::time::Duration;
use pool_core::{PageError, PageSource};
use std::hash::RandomState;
use thiserror::Error;

/// What a [`DatagramReassembler`] may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatagramLimits {
    /// Datagrams that are not whole yet. One more pushes the oldest out.
    pub datagrams: u32,
    /// Bytes of pages for all of them, notes included. If more are needed the oldest go, when what comes has its
    /// place: so for a moment there are more by what it takes. A source with a budget of its own has room for that, or refuses.
    pub bytes: usize,
    /// How long a datagram may take, from its first fragment on.
    pub age: Duration,
    /// Bytes of one datagram.
    pub datagram_len: usize,
    /// Pieces of one datagram that do not touch. Of touching ones there may be as many as
    /// [`ReassemblerBuilder::max_notes`] says by default.
    pub gaps: usize,
}

impl Default for DatagramLimits {
    /// 1,024 datagrams of up to 64 KiB in 16 MiB, for 30 s, with 64 gaps each.
    fn default() -> Self {
        Self {
            datagrams: 1024,
            bytes: 16 << 20,
            age: Duration::from_secs(30),
            datagram_len: 64 << 10,
            gaps: 64,
        }
    }
}

/// A piece of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// Where in the datagram it begins, in bytes.
    pub offset: usize,
    /// Whether it is the last one, so that the datagram ends with it.
    pub last: bool,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// Why a fragment was refused; the datagram is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DatagramError {
    /// It ends behind the datagram's end, or says that this is where bytes have come already.
    #[error("a fragment up to byte {end} of a datagram that ends at byte {known}")]
    Length {
        /// Where it ends.
        end: u64,
        /// Where the datagram ends, as far as known.
        known: u64,
    },
    /// The datagram refused it.
    #[error("{0}")]
    Refused(#[source] ReassembleError),
}

/// Counts of a [`DatagramReassembler`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DatagramStats {
    /// Datagrams that are not whole yet.
    pub datagrams: usize,
    /// Bytes of their pages.
    pub bytes: usize,
    /// Datagrams that became whole.
    pub whole: u64,
    /// Datagrams that took too long.
    pub expired: u64,
    /// Datagrams that had to go for others.
    pub evicted: u64,
}

/// One datagram.
struct Entry<K, S: PageSource + Clone> {
    key: K,
    bucket: u32,
    /// The next one in the same bucket.
    chain: u32,
    /// The one before and the one behind it by age.
    older: u32,
    younger: u32,
    since: Duration,
    /// Where it ends, once the last fragment has come.
    end: Option<u64>,
    stream: Reassembler<S>,
}

/// Puts IP fragments, and the like, together: one reassembly for each key (source, destination, identification,
/// protocol), bounded by count, bytes **and** time.
///
/// ```
/// use pool_ring::{DatagramLimits, DatagramReassembler, Fragment, OverlapPolicy};
/// use std::time::Duration;
///
/// let limits = DatagramLimits::default();
/// let mut table = DatagramReassembler::try_new(limits, OverlapPolicy::Linux)?;
/// let key = (0x0a000001u32, 0x0a000002u32, 7u16, 17u8);
/// let late = Fragment { offset: 8, last: true, bytes: b"fragment" };
/// assert!(table.insert(key, late, Duration::ZERO)?.is_none());
/// let early = Fragment { offset: 0, last: false, bytes: b"a whole " };
/// let datagram = table.insert(key, early, Duration::ZERO)?.unwrap();
/// assert_eq!(&*datagram, b"a whole fragment");
/// drop(datagram); // its memory is free again
/// assert_eq!(table.stats().bytes, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Nothing of a datagram is delivered before it is whole, so the [`OverlapPolicy`], by its rule for fragments, decides about each of its bytes. A
/// datagram takes pages for its bytes and for its notes, 8 KiB at least: flooded by first fragments, the table holds
/// as many as its limits say, and the oldest go.
///
/// # Complexity
/// As [`Reassembler`], and O(1) to find the datagram, to let one expire, and to push one out.
pub struct DatagramReassembler<K, S: PageSource + Clone = DefaultSource, B = RandomState> {
    entries: Slots<Entry<K, S>, S>,
    /// The first datagram of each bucket, plus 1; a power of two of them.
    buckets: Table<u32, S>,
    oldest: u32,
    youngest: u32,
    limits: DatagramLimits,
    config: ReassemblerBuilder,
    stats: DatagramStats,
    hasher: B,
    source: S,
}

impl<K: Hash + Eq + Copy> DatagramReassembler<K> {
    /// A table over the process-wide source.
    ///
    /// # Errors
    /// What the source says.
    pub fn try_new(limits: DatagramLimits, policy: OverlapPolicy) -> Result<Self, PageError> {
        Self::try_new_in(limits, policy, pool_core::Global, RandomState::new())
    }
}

impl<K: Hash + Eq + Copy, S: PageSource + Clone, B: BuildHasher> DatagramReassembler<K, S, B> {
    /// A table over `source`, a handle. Keys that peers can choose need a `hasher` with a secret.
    ///
    /// # Errors
    /// What the source says.
    pub fn try_new_in(
        limits: DatagramLimits,
        policy: OverlapPolicy,
        source: S,
        hasher: B,
    ) -> Result<Self, PageError> {
        let count = limits.datagrams.clamp(1, 1 << 24);
        let config = ReassemblerBuilder::new().window(limits.datagram_len).max_gaps(limits.gaps);
        let config = config.max_bytes(limits.bytes);
        Ok(Self {
            entries: Slots::new(source.clone(), count)?,
            buckets: Table::new(source.clone(), count.next_power_of_two() as usize)?,
            oldest: NONE,
            youngest: NONE,
            limits: DatagramLimits { datagrams: count, ..limits },
            config: config.policy(policy),
            stats: DatagramStats::default(),
            hasher,
            source,
        })
    }

    /// Counts.
    #[must_use]
    pub const fn stats(&self) -> DatagramStats {
        DatagramStats { datagrams: self.entries.len(), ..self.stats }
    }

    /// Lets datagrams go whose first fragment is older than the limit; [`insert`](Self::insert) does it, too.
    pub fn expire(&mut self, now: Duration) {
        while let Some(entry) = self.entries.get(self.oldest) {
            if now.saturating_sub(entry.since) <= self.limits.age {
                break;
            }
            self.stats.expired += 1;
            self.remove(self.oldest);
        }
    }

    /// Puts a fragment in. If its datagram is whole with it, that is lent; dropping it frees it. `now` is the time
    /// passed since some moment of the caller's choice.
    ///
    /// # Errors
    /// [`DatagramError`]; the datagram is as it was then.
    pub fn insert(
        &mut self,
        key: K,
        fragment: Fragment<'_>,
        now: Duration,
    ) -> Result<Option<Datagram<'_, K, S, B>>, DatagramError> {
        self.expire(now);
        let bucket = (self.hasher.hash_one(key) & (self.buckets.len() as u64 - 1)) as u32;
        let index = match self.find(key, bucket) {
            Some(index) => self.put(index, fragment, now).map(|()| index)?,
            None => self.put_new(self.entry(key, bucket, now), fragment, now)?,
        };
        let whole = self.entries.get(index).and_then(|entry| {
            let end = entry.end.filter(|&end| entry.stream.is_whole(end))?;
            Some(end as usize)
        });
        Ok(whole.map(|len| {
            self.stats.whole += 1;
            Datagram { table: self, index, len }
        }))
    }

    fn find(&self, key: K, bucket: u32) -> Option<u32> {
        let mut index = self.buckets[bucket as usize].wrapping_sub(1);
        while let Some(entry) = self.entries.get(index) {
            if entry.key == key {
                return Some(index);
            }
            index = entry.chain;
        }
        None
    }

    /// A new datagram, which is not in the table.
    fn entry(&self, key: K, bucket: u32, now: Duration) -> Entry<K, S> {
        Entry {
            key,
            bucket,
            chain: NONE,
            older: NONE,
            younger: NONE,
            since: now,
            end: None,
            stream: Reassembler::with(self.source.clone(), self.config, true),
        }
    }

    /// Puts a new datagram with its first fragment in the table. Nobody goes for one that is refused.
    fn put_new(
        &mut self,
        mut entry: Entry<K, S>,
        fragment: Fragment<'_>,
        now: Duration,
    ) -> Result<u32, DatagramError> {
        while let Err(error) = entry.put(fragment, self.limits.bytes, now) {
            if !self.may_retry(&error, entry.least_for(fragment), NONE) {
                return Err(error);
            }
        }
        if self.entries.len() == self.limits.datagrams as usize {
            self.evict(NONE);
        }
        let index = self.add(entry)?;
        self.fit(index);
        Ok(index)
    }

    fn add(&mut self, mut entry: Entry<K, S>) -> Result<u32, DatagramError> {
        let (bucket, bytes) = (entry.bucket, entry.stream.memory());
        entry.chain = self.buckets[bucket as usize].wrapping_sub(1);
        entry.older = self.youngest;
        let limit = self.limits.datagrams as usize;
        let full = ReassembleError::TooManyGaps { asked: limit + 1, limit };
        let index = self.entries.insert(entry).map_err(|_| DatagramError::Refused(full))?;
        self.stats.bytes += bytes;
        self.buckets[bucket as usize] = index + 1;
        match self.entries.get_mut(self.youngest) {
            Some(youngest) => youngest.younger = index,
            None => self.oldest = index,
        }
        self.youngest = index;
        Ok(index)
    }

    /// Adds a fragment to a datagram. It is asked for memory as if it were alone; the oldest others go if there is not
    /// enough for all.
    fn put(
        &mut self,
        index: u32,
        fragment: Fragment<'_>,
        now: Duration,
    ) -> Result<(), DatagramError> {
        loop {
            let Some(entry) = self.entries.get_mut(index) else { return Ok(()) };
            let (had, least) = (entry.stream.memory(), entry.least_for(fragment));
            let result = entry.put(fragment, self.limits.bytes, now);
            self.stats.bytes = self.stats.bytes - had + entry.stream.memory();
            match result {
                Err(error) if self.may_retry(&error, least.saturating_sub(had), index) => {}
                result => {
                    self.fit(index);
                    return result;
                }
            }
        }
    }

    /// Whether somebody has gone, and the source may have memory now: only where `more` bytes, the least that is needed, pass
    /// the limit of the table.
    fn may_retry(&mut self, error: &DatagramError, more: usize, own: u32) -> bool {
        let is_refusal = matches!(error, DatagramError::Refused(ReassembleError::Source(_)));
        is_refusal && self.stats.bytes.saturating_add(more) > self.limits.bytes && self.evict(own)
    }

    /// Lets the oldest others go until all is within the limit.
    fn fit(&mut self, own: u32) {
        while self.stats.bytes > self.limits.bytes && self.evict(own) {}
    }

    /// Lets the oldest go that is not `own`, if there is one.
    fn evict(&mut self, own: u32) -> bool {
        let victim = if self.oldest == own { self.younger(own) } else { self.oldest };
        let found = victim != NONE;
        if found {
            self.stats.evicted += 1;
            self.remove(victim);
        }
        found
    }

    fn younger(&self, index: u32) -> u32 {
        self.entries.get(index).map_or(NONE, |entry| entry.younger)
    }

    fn remove(&mut self, index: u32) {
        let Some(entry) = self.entries.remove(index) else { return };
        self.stats.bytes -= entry.stream.memory();
        match self.entries.get_mut(entry.older) {
            Some(older) => older.younger = entry.younger,
            None => self.oldest = entry.younger,
        }
        match self.entries.get_mut(entry.younger) {
            Some(younger) => younger.older = entry.older,
            None => self.youngest = entry.older,
        }
        self.unchain(index, &entry);
    }

    fn unchain(&mut self, index: u32, entry: &Entry<K, S>) {
        let bucket = entry.bucket as usize;
        let mut at = self.buckets[bucket].wrapping_sub(1);
        if at == index {
            self.buckets[bucket] = entry.chain.wrapping_add(1);
            return;
        }
        while let Some(other) = self.entries.get_mut(at) {
            if other.chain == index {
                other.chain = entry.chain;
                return;
            }
            at = other.chain;
        }
    }
}

impl<K, S: PageSource + Clone> Entry<K, S> {
    /// Where a fragment ends, if it fits in the datagram, and both in `limit` bytes of pages.
    fn check(&self, fragment: Fragment<'_>, limit: usize) -> Result<u64, DatagramError> {
        let Fragment { offset, last, bytes } = fragment;
        let offset = offset as u64;
        let overflow = ReassembleError::Overflow { offset, len: bytes.len() };
        let end = offset.checked_add(bytes.len() as u64).ok_or(DatagramError::Refused(overflow))?;
        let known = self.end.unwrap_or_else(|| self.stream.last_end());
        let fits = match self.end {
            Some(known) => end <= known && !(last && end < known),
            None => !last || end >= known,
        };
        if !fits {
            return Err(DatagramError::Length { end, known });
        }
        let taken = self.stream.may_ever_take(offset, bytes.len(), limit);
        taken.map(|()| end).map_err(DatagramError::Refused)
    }

    /// The least bytes of pages for the datagram with this fragment.
    fn least_for(&self, fragment: Fragment<'_>) -> usize {
        self.stream.least_for(fragment.offset.saturating_add(fragment.bytes.len()))
    }

    fn put(
        &mut self,
        fragment: Fragment<'_>,
        limit: usize,
        now: Duration,
    ) -> Result<(), DatagramError> {
        let end = self.check(fragment, limit)?;
        let inserted = self.stream.insert(fragment.offset as u64, fragment.bytes, now);
        inserted.map_err(DatagramError::Refused)?;
        if fragment.last {
            self.end = Some(end);
        }
        Ok(())
    }
}

impl<K, S: PageSource + Clone, B> fmt::Debug for DatagramReassembler<K, S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatagramReassembler").field("stats", &self.stats).finish_non_exhaustive()
    }
}

/// A whole datagram, lent by a [`DatagramReassembler`]; derefs to its bytes. Dropping it frees them; if it is forgotten they
/// stay until the datagram's time is over.
pub struct Datagram<'t, K: Hash + Eq + Copy, S: PageSource + Clone, B: BuildHasher> {
    table: &'t mut DatagramReassembler<K, S, B>,
    index: u32,
    len: usize,
}

impl<K: Hash + Eq + Copy, S: PageSource + Clone, B: BuildHasher> Deref for Datagram<'_, K, S, B> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self.table.entries.get(self.index) {
            Some(entry) => entry.stream.datagram(self.len),
            None => &[],
        }
    }
}

impl<K: Hash + Eq + Copy, S: PageSource + Clone, B: BuildHasher> Drop for Datagram<'_, K, S, B> {
    fn drop(&mut self) {
        self.table.remove(self.index);
    }
}

impl<K: Hash + Eq + Copy, S: PageSource + Clone, B: BuildHasher> fmt::Debug
    for Datagram<'_, K, S, B>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Datagram").field("len", &self.len).finish_non_exhaustive()
    }
}
