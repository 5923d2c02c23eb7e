//! A table of connections for mio: `cargo run -p examples --example mio_slots`.
//!
//! The key of a [`SlotTable`] is the token of the poll. When a connection is closed its key goes stale: an
//! event that was already on its way finds nobody, even if another connection has taken the place.
//! With an index as the token that event would reach the newcomer.
#![forbid(unsafe_code)]

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use pool_object::{Key, SlotTable};
use std::collections::HashSet;
use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;

/// Keys are never 0, so 0 is free for the listener.
const LISTENER: Token = Token(0);

struct Connection {
    socket: TcpStream,
    echoed: usize,
}

fn token(key: Key) -> Token {
    Token(usize::try_from(key.to_u64()).expect("tokens are as wide as keys on 64-bit systems"))
}

struct Server {
    poll: Poll,
    listener: TcpListener,
    connections: SlotTable<Connection>,
    /// Of all connections so far; only to show that none comes twice.
    keys: HashSet<Key>,
}

impl Server {
    fn bind() -> io::Result<(Self, SocketAddr)> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let address = listener.local_addr()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        // A limit of its own: a rush ends as a refusal, not as memory.
        let connections = SlotTable::new().with_limit(10_000);
        Ok((Self { poll, listener, connections, keys: HashSet::new() }, address))
    }

    /// Echoes until so many connections have come and gone; bytes echoed.
    fn run(mut self, clients: usize) -> io::Result<usize> {
        let mut events = Events::with_capacity(64);
        let (mut gone, mut echoed) = (0, 0);
        while gone < clients {
            self.poll.poll(&mut events, None)?;
            for event in &events {
                let Some(key) = Key::from_u64(event.token().0 as u64) else {
                    self.accept()?;
                    continue;
                };
                // A stale key finds nothing, and that is all there is to do about it.
                let Some(connection) = self.connections.get_mut(key) else { continue };
                if !echo(connection)? {
                    gone += 1;
                    echoed += self.connections.remove(key).map_or(0, |gone| gone.echoed);
                    assert!(self.connections.get(key).is_none(), "it is stale from now on");
                }
            }
        }
        println!("{} keys, {} slots at once", self.keys.len(), self.connections.peak());
        Ok(echoed)
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let mut socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            // The key is known before the connection is in the table; on an error nothing is taken.
            let Ok(entry) = self.connections.try_vacant_entry() else { continue };
            let interest = Interest::READABLE;
            self.poll.registry().register(&mut socket, token(entry.key()), interest)?;
            assert!(self.keys.insert(entry.key()), "a key has come twice");
            entry.insert(Connection { socket, echoed: 0 });
        }
    }
}

/// Echoes what there is; `false` when the client has left.
fn echo(connection: &mut Connection) -> io::Result<bool> {
    let mut scratch = [0; 4096];
    loop {
        match connection.socket.read(&mut scratch) {
            Ok(0) => return Ok(false),
            Ok(len) => {
                // A real server would keep what the socket does not take.
                connection.socket.write_all(&scratch[..len])?;
                connection.echoed += len;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(error),
        }
    }
}

/// A server and eight clients.
pub fn main() -> Result<(), Box<dyn Error>> {
    const CLIENTS: usize = 8;
    let (server, address) = Server::bind()?;
    let server = thread::spawn(move || server.run(CLIENTS));
    for _ in 0..CLIENTS {
        let mut client = std::net::TcpStream::connect(address)?;
        client.write_all(b"hello")?;
        let mut reply = [0; 5];
        client.read_exact(&mut reply)?;
        assert_eq!(&reply, b"hello");
    }
    let echoed = server.join().map_err(|_| "the server has panicked")??;
    assert_eq!(echoed, 5 * CLIENTS);
    println!("{CLIENTS} connections, {echoed} bytes echoed");
    Ok(())
}
