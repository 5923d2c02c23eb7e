//! Who is connected: what `CLIENT` shows and changes.
#![forbid(unsafe_code)]

use super::crew::Share;
use super::memory::Table;
use super::reply::OutOfMemory;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Instant;

/// Bytes of the longest text that a client may have kept of itself: no budget is charged for them.
pub const NAME_LEN: usize = 256;

/// A text of at most [`NAME_LEN`] bytes.
pub type Name = Box<[u8]>;

/// What is known of a connection. What every request needs is in the connection itself.
#[derive(Debug)]
pub struct Client {
    /// Its token in the event loop.
    pub token: usize,
    /// When it came.
    pub since: Instant,
    /// What it calls itself; mostly nothing.
    pub name: Name,
    /// What its library calls itself, and its version.
    pub library: [Name; 2],
    /// Where it comes from: the server listens on 127.0.0.1.
    pub peer: SocketAddrV4,
    /// The version of RESP.
    pub protocol: u8,
    /// Whether it has asked not to be evicted. Nobody is.
    pub no_evict: bool,
}

/// All connections, by their numbers; what is known of them is in a table `T` of [`Client`]s.
#[derive(Debug)]
pub struct Clients<T> {
    table: T,
    /// Numbers and places in the table, in the order of the numbers, which only go up. [`GONE`] for
    /// those who have left, as long as they are fewer than the others.
    order: Vec<(u64, usize)>,
    gone: usize,
    /// The number that was given last, and how far it is from one to the next: others have those between.
    last: u64,
    step: u64,
    /// Tokens of those that are to be closed.
    doomed: Vec<usize>,
}

/// No place in a table.
const GONE: usize = usize::MAX;

/// So many who have left stay in the list in any case.
const FEW: usize = 64;

/// From this length on the list is long.
const LONG: usize = 1024;

impl<T: Table<Client>> Clients<T> {
    /// Nobody, in an empty table.
    pub const fn new(table: T) -> Self {
        Self { table, order: Vec::new(), gone: 0, last: 0, step: 1, doomed: Vec::new() }
    }

    /// The same; numbers are those that no other of the threads gives.
    #[must_use]
    pub fn shared_by(mut self, share: Share) -> Self {
        let (me, of) = (share.me as u64, share.of as u64);
        // The first is 1 + me.
        (self.last, self.step) = ((1 + me).wrapping_sub(of), of);
        self
    }

    /// Adds a connection; its number, which no other has or had.
    ///
    /// # Errors
    /// [`OutOfMemory`], and nothing has changed.
    pub fn enter(&mut self, token: usize, peer: SocketAddr) -> Result<u64, OutOfMemory> {
        let peer = match peer {
            SocketAddr::V4(peer) => peer,
            SocketAddr::V6(peer) => SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, peer.port()),
        };
        let client = Client {
            token,
            since: Instant::now(),
            name: Box::default(),
            library: Default::default(),
            peer,
            protocol: 2,
            no_evict: false,
        };
        self.make_room()?;
        let place = self.table.insert_with(|_| Ok::<_, OutOfMemory>(client))?;
        self.last = self.last.wrapping_add(self.step);
        self.order.push((self.last, place));
        Ok(self.last)
    }

    /// A list that gets long does so at once: the allocator has it mapped then, and when it has become
    /// short again no hole is left where it grew.
    fn make_room(&mut self) -> Result<(), OutOfMemory> {
        let len = self.order.len();
        if len < self.order.capacity() {
            return Ok(());
        }
        let more = if len < LONG { len.max(FEW) } else { len.max(16 * LONG) };
        self.order.try_reserve_exact(more).map_err(|_| OutOfMemory)
    }

    fn find(&self, id: u64) -> Option<usize> {
        self.order.binary_search_by_key(&id, |&(id, _)| id).ok()
    }

    fn take(&mut self, id: u64) -> Option<Client> {
        let index = self.find(id)?;
        let client = self.table.remove(std::mem::replace(&mut self.order[index].1, GONE))?;
        self.gone += 1;
        if self.gone > FEW.max(self.order.len() / 2) {
            self.forget();
        }
        Some(client)
    }

    /// Closes the gaps that those who left have made: O(1) for each of them.
    #[cold]
    fn forget(&mut self) {
        self.order.retain(|&(_, place)| place != GONE);
        self.order.shrink_to(2 * self.order.len());
        self.gone = 0;
    }

    /// Gives back memory that a rush has left.
    pub fn trim(&mut self) {
        self.table.trim();
    }

    /// Forgets a connection.
    pub fn leave(&mut self, id: u64) {
        drop(self.take(id));
    }

    /// One of them.
    pub fn get_mut(&mut self, id: u64) -> Option<&mut Client> {
        let index = self.find(id)?;
        self.table.get_mut(self.order[index].1)
    }

    /// The token of one of them.
    pub fn token(&mut self, id: u64) -> Option<usize> {
        Some(self.get_mut(id)?.token)
    }

    /// The token of the one whose number ends in these 32 bits, if it is still there.
    pub fn token_by_low_half(&mut self, low: u32) -> Option<usize> {
        let ago = (self.last as u32).wrapping_sub(low);
        let id = self.last.checked_sub(u64::from(ago))?;
        Some(self.get_mut(id)?.token)
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Client)> {
        self.order.iter().filter_map(|&(id, place)| Some((id, self.table.get(place)?)))
    }

    /// Forgets a connection, and has the event loop close it.
    pub fn doom(&mut self, id: u64) {
        if let Some(client) = self.take(id) {
            self.doomed.push(client.token);
        }
    }

    /// One that is to be closed now.
    pub fn next_doomed(&mut self) -> Option<usize> {
        self.doomed.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pool_object::SlotTable;

    #[test]
    fn numbers_go_up_and_who_has_left_is_not_found() {
        let peer = SocketAddr::from(([127, 0, 0, 1], 9));
        let mut clients = Clients::new(SlotTable::new());
        for token in 0..1000 {
            assert_eq!(clients.enter(token, peer), Ok(token as u64 + 1));
        }
        for id in (1..=1000).filter(|id| id % 10 != 0) {
            clients.leave(id);
            clients.leave(id);
        }
        assert!(clients.order.len() <= 250 && clients.order.capacity() <= 500);
        assert!(clients.iter().map(|(id, _)| id).eq((1..=100).map(|id| id * 10)));
        assert!(clients.get_mut(15).is_none());
        assert_eq!(clients.get_mut(20).map(|client| client.token), Some(19));
        clients.doom(20);
        clients.doom(20);
        assert_eq!((clients.next_doomed(), clients.next_doomed()), (Some(19), None));
        assert_eq!(clients.token_by_low_half(30), Some(29));
        assert_eq!(clients.token_by_low_half(20), None);
        assert_eq!(clients.token_by_low_half(1001), None);
        clients.last = u64::from(u32::MAX) + 5;
        clients.enter(7, peer).unwrap();
        assert_eq!(clients.token_by_low_half(5), Some(7));
    }
}
