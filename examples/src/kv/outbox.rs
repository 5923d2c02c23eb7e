//! Replies that sockets did not take, of all connections of a thread; and whose are given up when there is no
//! room for others.
#![forbid(unsafe_code)]

use super::buffer::{Buffer, Buffers, run_for};
use super::command::Shared;
use super::memory::{Memory, Table};
use super::patience::Moment;
use super::reply::OutOfMemory;
use pool_core::PageSource;

/// What one connection has not read yet.
#[derive(Debug)]
pub struct Outbox<S: PageSource> {
    /// Whose it is.
    client: u64,
    /// Since when that client has read too little of it.
    since: Moment,
    /// `None`: it was given up for others, and its connection is to be closed.
    buffer: Option<Buffer<S>>,
}

/// The outboxes of all connections, in a table `T`.
///
/// Their bytes are in one budget. When that is used up, who takes most of it makes room, and who asks for a
/// little is not harmed: what counts are the bytes of the run, once for each second in which the client has
/// read too little (see [`Patience::unread`](super::patience::Patience::unread)), and at least once.
#[derive(Debug)]
pub struct Outboxes<S: PageSource, T> {
    buffers: Buffers<S>,
    table: T,
    /// The time of this round of events.
    now: Moment,
    /// Outboxes that had to make room.
    evictions: u64,
}

impl<S: PageSource + Clone, T: Table<Outbox<S>>> Outboxes<S, T> {
    /// None, in an empty table; their runs will come from `source`.
    pub fn new(source: S, table: T) -> Self {
        let (now, evictions) = Default::default();
        Self { buffers: Buffers::new(source), table, now, evictions }
    }

    /// The source that runs come from.
    pub const fn source(&self) -> &S {
        self.buffers.source()
    }

    /// Outboxes that are not given up, the bytes of their runs, and how many were given up so far.
    pub const fn figures(&self) -> (usize, usize, u64) {
        let (live, bytes) = self.buffers.live();
        (live, bytes, self.evictions)
    }

    /// Tells the time of this round of events.
    pub const fn set_now(&mut self, now: Moment) {
        self.now = now;
    }

    /// Gives back memory that a rush has left.
    pub fn trim(&mut self) {
        self.table.trim();
    }

    /// Appends `more` bytes, all `pieces` together, to an outbox of `client`, which is opened if there is
    /// none; how many bytes it has then.
    ///
    /// # Errors
    /// [`OutOfMemory`], and nothing has changed.
    pub fn append<'p>(
        &mut self,
        place: &mut Option<usize>,
        client: u64,
        pieces: impl Iterator<Item = &'p [u8]>,
        more: usize,
    ) -> Result<usize, OutOfMemory> {
        let Self { buffers, table, now, .. } = self;
        let key = match *place {
            Some(key) => key,
            None => {
                let open = |_| {
                    let buffer = Some(buffers.get_for(more)?);
                    Ok::<_, OutOfMemory>(Outbox { client, since: *now, buffer })
                };
                *place.insert(table.insert_with(open)?)
            }
        };
        let outbox = table.get_mut(key).and_then(|outbox| outbox.buffer.as_mut());
        let buffer = outbox.ok_or(OutOfMemory)?;
        buffers.reserve(buffer, more)?;
        pieces.for_each(|piece| buffer.push(piece));
        Ok(buffer.filled().len())
    }

    /// What the client is to read next. `None`: it was given up.
    #[must_use]
    pub fn unread(&self, place: usize) -> Option<&[u8]> {
        Some(self.table.get(place)?.buffer.as_ref()?.filled())
    }

    /// The first `len` bytes are sent; the client has read too little since `since`.
    pub fn consume(&mut self, place: usize, len: usize, since: Moment) {
        if let Some(outbox) = self.table.get_mut(place) {
            outbox.since = since;
            if let Some(buffer) = &mut outbox.buffer {
                buffer.consume(len);
            }
        }
    }

    /// Takes an outbox back, contents and all.
    pub fn close(&mut self, place: usize) {
        if let Some(buffer) = self.table.remove(place).and_then(|outbox| outbox.buffer) {
            self.buffers.put(buffer);
        }
    }

    /// Gives up the outbox that takes most, if that is more than what somebody asks for: `more` bytes behind
    /// those in its outbox at `place`. Whose it was; that connection is to be closed. `None`: who asks is to
    /// be refused.
    #[cold]
    pub fn evict(&mut self, place: Option<usize>, more: usize) -> Option<u64> {
        let own = place.and_then(|place| self.table.get(place));
        // Who asks may have been given up itself: nothing is worth while then.
        let filled = own.map_or(Some(0), |own| Some(own.buffer.as_ref()?.filled().len()))?;
        let wanted = run_for(filled.saturating_add(more));
        // Others would be closed in vain.
        if self.source().snapshot().budget.is_some_and(|budget| wanted > budget.limit) {
            return None;
        }
        let now = self.now;
        let weight =
            |bytes: usize, since| bytes as u64 * u64::from(now.seconds_since(since)).max(1);
        let own = own.map_or(now, |own| own.since);
        let (mut most, mut heaviest) = (weight(wanted, own), None);
        self.table.for_each(|place, outbox| {
            let bytes = outbox.buffer.as_ref().map_or(0, Buffer::capacity);
            let weight = weight(bytes, outbox.since);
            if weight > most {
                (most, heaviest) = (weight, Some(place));
            }
        });
        let outbox = self.table.get_mut(heaviest?)?;
        let (client, buffer) = (outbox.client, outbox.buffer.take()?);
        self.buffers.put(buffer);
        self.evictions += 1;
        Some(client)
    }
}

impl<M: Memory> Shared<M> {
    /// Gives up the replies of one connection for `more` bytes that found no room behind those at `place`;
    /// whether it is worth while to ask again.
    #[cold]
    pub(super) fn evict_outbox(&mut self, place: Option<usize>, more: usize) -> bool {
        let client = self.outbox.evict(place, more);
        client.inspect(|&client| self.clients.doom(client)).is_some()
    }

    /// Sees to it that so many bytes of replies may wait for those of other threads, as far as that is
    /// possible.
    pub(super) fn make_room_to_wait(&mut self, bytes: usize) {
        while bytes > 0 && self.lacks_room_to_wait(bytes) && self.evict_outbox(None, bytes) {}
    }

    fn lacks_room_to_wait(&self, bytes: usize) -> bool {
        self.terms.as_ref().is_some_and(|terms| terms.budget.available() < bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pool_core::{Heap, Limit};
    use pool_object::SlotTable;
    use std::rc::Rc;
    use std::time::Duration;

    type Pages = Rc<Limit<Heap>>;
    type Tested = Outboxes<Pages, SlotTable<Outbox<Pages>>>;

    fn outboxes(limit: usize) -> Tested {
        Outboxes::new(Rc::new(Limit::new(Heap::new(), limit)), SlotTable::new())
    }

    fn at(outboxes: &mut Tested, seconds: u64) -> Moment {
        let now = Moment::of(Duration::from_secs(100 + seconds));
        outboxes.set_now(now);
        now
    }

    /// Appends so many bytes to an outbox of the client's; whether there was room.
    fn append(outboxes: &mut Tested, place: &mut Option<usize>, client: u64, len: usize) -> bool {
        let bytes = vec![client as u8; len];
        outboxes
            .append(place, client, [&bytes[..len / 3], &bytes[len / 3..]].into_iter(), len)
            .is_ok()
    }

    #[test]
    fn replies_are_read_in_order() {
        let mut outboxes = outboxes(1 << 20);
        let now = at(&mut outboxes, 0);
        let mut place = None;
        assert!(append(&mut outboxes, &mut place, 1, 30_000));
        let key = place.unwrap();
        outboxes.consume(key, 29_990, now);
        assert_eq!(outboxes.append(&mut place, 1, [&b"abc"[..]].into_iter(), 3), Ok(13));
        assert_eq!(
            (place, outboxes.unread(key)),
            (Some(key), Some(&b"\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01abc"[..]))
        );
        assert_eq!(outboxes.figures(), (1, 32 << 10, 0));
        outboxes.close(key);
        assert_eq!((outboxes.figures(), outboxes.unread(key)), ((0, 0, 0), None));
    }

    #[test]
    fn who_takes_most_makes_room_and_not_who_asks_for_little() {
        let mut outboxes = outboxes(256 << 10);
        at(&mut outboxes, 0);
        let mut places = [None; 4];
        for (client, (place, len)) in places.iter_mut().zip([60_000, 120_000, 60_000]).enumerate() {
            assert!(append(&mut outboxes, place, client as u64, len));
        }
        let [_, long, short, mut asks] = places;
        assert!(!append(&mut outboxes, &mut asks, 3, 10_000) && asks.is_none());
        // Who would itself take most is refused: here, and where no eviction would do.
        assert_eq!(outboxes.evict(None, 130_000), None);
        assert_eq!(outboxes.evict(None, 300 << 10), None);
        assert_eq!(outboxes.evict(short, 100_000), None);
        assert_eq!(outboxes.evict(None, 10_000), Some(1));
        assert_eq!(outboxes.unread(long.unwrap()), None);
        assert!(append(&mut outboxes, &mut asks, 3, 10_000));
        assert_eq!(outboxes.figures(), (3, (64 + 64 + 16) << 10, 1));
        // Nothing more comes into what was given up.
        let mut lost = long;
        assert!(!append(&mut outboxes, &mut lost, 1, 1));
        at(&mut outboxes, 100);
        assert_eq!(outboxes.evict(lost, 1), None);
        outboxes.close(long.unwrap());
        assert_eq!(outboxes.figures().0, 3);
    }

    #[test]
    fn seconds_without_reading_count() {
        let mut outboxes = outboxes(256 << 10);
        let began = at(&mut outboxes, 0);
        let (mut slow, mut fast) = (None, None);
        assert!(append(&mut outboxes, &mut slow, 1, 60_000));
        assert!(append(&mut outboxes, &mut fast, 2, 120_000));
        // Equals do not close one another.
        assert_eq!(outboxes.evict(None, 120_000), None);
        let now = at(&mut outboxes, 3);
        outboxes.consume(slow.unwrap(), 1, began);
        outboxes.consume(fast.unwrap(), 100_000, now);
        assert_eq!(outboxes.evict(None, 120_000), Some(1));
        assert_eq!(outboxes.evict(None, 120_000), None);
    }
}
