//! A server on one thread with `mio`: whoever sends a line gets it back in capitals. All connections are read through one
//! packet ring, so a connection between lines holds no buffer.
//!
//! ```text
//! cargo run --example mio_lines -- 127.0.0.1:7000     serves until it is stopped
//! cargo run --example mio_lines                       serves a few clients of its own, and ends
//! ```

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use pool_ring::frame::Lines;
use pool_ring::{Conn, PacketRing, Policy, ReadError};
use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::time::{Duration, Instant};

const LISTENER: Token = Token(usize::MAX);
/// Who has not sent the rest of a line for so long is gone.
const PATIENCE: Duration = Duration::from_secs(10);

struct Client {
    socket: TcpStream,
    conn: Conn,
}

struct Server {
    poll: Poll,
    listener: TcpListener,
    ring: PacketRing,
    lines: Lines,
    clients: HashMap<u32, Client>,
    next: u32,
    begin: Instant,
}

impl Server {
    fn new(address: &str) -> Result<Self, Box<dyn Error>> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(address.parse()?)?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let policy = Policy::EvictOldest { min_age: Duration::from_secs(1) };
        let ring = PacketRing::builder().budget(8 << 20).policy(policy).try_build()?;
        let (lines, clients, begin) = (Lines::new(1024), HashMap::new(), Instant::now());
        Ok(Self { poll, listener, ring, lines, clients, next: 0, begin })
    }

    /// Waits once, and serves all that are ready.
    fn turn(&mut self, events: &mut Events) -> Result<(), Box<dyn Error>> {
        self.poll.poll(events, Some(Duration::from_secs(1)))?;
        self.ring.set_now(self.begin.elapsed());
        for event in events.iter() {
            match event.token() {
                LISTENER => self.accept()?,
                Token(token) => self.serve(token as u32),
            }
        }
        // Those whose partials had to go, and those who are too slow.
        let mut lost: Vec<u32> = self.ring.evicted().collect();
        if let Some(deadline) = self.begin.elapsed().checked_sub(PATIENCE) {
            lost.extend(self.ring.older_than(deadline));
        }
        lost.into_iter().for_each(|token| self.close(token));
        Ok(())
    }

    fn accept(&mut self) -> Result<(), Box<dyn Error>> {
        loop {
            let mut socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let token = self.next;
            self.next += 1;
            self.poll.registry().register(
                &mut socket,
                Token(token as usize),
                Interest::READABLE,
            )?;
            self.clients.insert(token, Client { socket, conn: self.ring.open(token) });
        }
    }

    /// Reads until it would block.
    fn serve(&mut self, token: u32) {
        let Some(Client { socket, conn }) = self.clients.get_mut(&token) else { return };
        let open = loop {
            let mut replies = Vec::new();
            match self.ring.read_from(conn, &mut self.lines, socket) {
                Ok(mut batch) => {
                    let mut next = batch.next();
                    while let Ok(Some(line)) = next {
                        replies.extend(line.to_ascii_uppercase());
                        replies.push(b'\n');
                        next = batch.next();
                    }
                    if next.is_err() {
                        break false; // a line that is too long
                    }
                }
                Err(ReadError::Io(error)) if error.kind() == ErrorKind::WouldBlock => break true,
                Err(_) => break false,
            }
            // A client that does not read is no client of this example.
            if socket.write_all(&replies).is_err() {
                break false;
            }
        };
        if !open {
            self.close(token);
        }
    }

    fn close(&mut self, token: u32) {
        if let Some(mut client) = self.clients.remove(&token) {
            self.ring.close(&mut client.conn);
        }
    }
}

/// Sends lines in pieces, and reads the replies.
fn client(address: std::net::SocketAddr, n: usize) -> std::io::Result<()> {
    let mut socket = std::net::TcpStream::connect(address)?;
    let mut replies = BufReader::new(socket.try_clone()?).lines();
    for line in 0..10 {
        let text = format!("client {n} sends line {line}");
        let (first, second) = text.split_at(line + n);
        socket.write_all(first.as_bytes())?;
        std::thread::sleep(Duration::from_millis(2));
        socket.write_all(format!("{second}\r\n").as_bytes())?;
        let reply = replies.next().transpose()?;
        assert_eq!(reply.as_deref(), Some(&text.to_uppercase()[..]));
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1);
    let mut server = Server::new(address.as_deref().unwrap_or("127.0.0.1:0"))?;
    let mut events = Events::with_capacity(1024);
    let local = server.listener.local_addr()?;
    println!("listening on {local}");
    let clients: Vec<_> = match address {
        Some(_) => Vec::new(),
        None => (0..5).map(|n| std::thread::spawn(move || client(local, n))).collect(),
    };
    let demonstration = !clients.is_empty();
    while !demonstration
        || clients.iter().any(|client| !client.is_finished())
        || !server.clients.is_empty()
    {
        server.turn(&mut events)?;
    }
    for client in clients {
        client.join().map_err(|_| "a client has failed")??;
    }
    println!("{:?}", server.ring.stats());
    Ok(())
}
