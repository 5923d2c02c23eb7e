//! Who is connected: what `CLIENT` shows and changes.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

/// What is known of a connection. What every request needs is in the connection itself.
#[derive(Debug)]
pub struct Client {
    /// Its token in the event loop.
    pub token: usize,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// When it came.
    pub since: Instant,
    /// What it calls itself; mostly nothing.
    pub name: Box<[u8]>,
    /// What its library calls itself, and its version.
    pub library: [Box<[u8]>; 2],
    /// The version of RESP.
    pub protocol: u8,
    /// Whether it has asked not to be evicted. Nobody is.
    pub no_evict: bool,
}

/// All connections, by their numbers.
#[derive(Debug, Default)]
pub struct Clients {
    all: BTreeMap<u64, Client>,
    last: u64,
    /// Tokens of those that are to be closed.
    doomed: Vec<usize>,
}

impl Clients {
    /// Adds a connection; its number, which no other has or had.
    pub fn enter(&mut self, token: usize, peer: SocketAddr) -> u64 {
        self.last += 1;
        let client = Client {
            token,
            peer,
            since: Instant::now(),
            name: Box::default(),
            library: Default::default(),
            protocol: 2,
            no_evict: false,
        };
        self.all.insert(self.last, client);
        self.last
    }

    /// Forgets a connection.
    pub fn leave(&mut self, id: u64) {
        self.all.remove(&id);
    }

    /// One of them.
    pub fn get_mut(&mut self, id: u64) -> Option<&mut Client> {
        self.all.get_mut(&id)
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Client)> {
        self.all.iter().map(|(id, client)| (*id, client))
    }

    /// Forgets a connection, and has the event loop close it.
    pub fn doom(&mut self, id: u64) {
        if let Some(client) = self.all.remove(&id) {
            self.doomed.push(client.token);
        }
    }

    /// One that is to be closed now.
    pub fn next_doomed(&mut self) -> Option<usize> {
        self.doomed.pop()
    }
}
