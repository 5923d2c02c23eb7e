//! A page source that runs dry: some connections end, the server and the others go on.
//!
//! It is also the smallest strategy of one's own: everything of `Pool`, but other pages.

use crate::support::Client;
use allocator_api2::alloc::Global;
use examples::kv::memory::{ArenaBatch, Limits, Memory, PageInbox};
use examples::kv::server::{Server, Stopper};
use examples::kv::settings::Settings;
use examples::kv::stats::Stats;
use pool_core::{Fixed, PageError};
use slab::Slab;
use std::mem::MaybeUninit;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

/// Bytes of pages for all connections together.
const PAGES: usize = 96 << 10;

/// Plain memory for data, one fixed block for connection buffers and arenas.
struct Tight {
    pages: Rc<Fixed<'static>>,
}

impl Memory for Tight {
    const NAME: &'static str = "tight";

    type Source = Rc<Fixed<'static>>;
    type Inbox = PageInbox<Self::Source>;
    type Batch = ArenaBatch<Self::Source>;
    type Data = Global;
    type Table<T> = Slab<T>;
    type Mail = Global;

    fn new(_limits: Limits) -> Result<Self, PageError> {
        let block = vec![MaybeUninit::uninit(); PAGES].leak();
        Ok(Self { pages: Rc::new(Fixed::new(block)) })
    }

    fn source(&self) -> Self::Source {
        self.pages.clone()
    }

    fn unread(&self) -> pool_core::Budget {
        pool_core::Budget::new(PAGES)
    }

    fn inbox(&self) -> Result<Self::Inbox, PageError> {
        Ok(PageInbox::new(self.source(), 1 << 20))
    }

    fn batch(&self) -> Self::Batch {
        ArenaBatch::new(self.source())
    }

    fn data(&self) -> Global {
        Global
    }

    fn table<T>(&self) -> Slab<T> {
        Slab::new()
    }

    fn mail() -> Global {
        Global
    }
}

/// A server in this process.
fn start() -> (u16, Stopper, JoinHandle<Stats>) {
    let (send, receive) = mpsc::channel();
    let server = thread::spawn(move || {
        let server = Server::<Tight>::bind(Settings::on_a_free_port()).unwrap();
        send.send((server.address().port(), server.stopper())).unwrap();
        server.run().unwrap()
    });
    let (port, stopper) = receive.recv().unwrap();
    (port, stopper, server)
}

#[test]
fn a_dry_page_source_ends_single_connections() {
    let (port, stopper, server) = start();
    let mut clients: Vec<_> = (0..12).map(|_| Client::connect(port)).collect();
    for client in &mut clients {
        client.send(b"PING\r\n*2\r\n$4\r\nECHO\r\n$2\r\nh");
    }
    // Each is told something before any request is whole: so all buffers are taken then.
    let told: Vec<_> = clients.iter().map(Client::first).collect();
    let mut refused = 0;
    for (client, first) in clients.iter_mut().zip(told) {
        if first == Some(b'-') {
            client.expect(b"-OOM no memory for this connection's request\r\n");
            client.expect_closed();
            refused += 1;
        } else {
            client.expect(b"+PONG\r\n");
            client.ask(b"i\r\n", b"$2\r\nhi\r\n");
        }
    }
    assert!((1..12).contains(&refused), "{refused} of 12 connections were refused");
    Client::connect(port).ask(b"PING\r\n", b"+PONG\r\n");
    stopper.stop();
    assert_eq!(server.join().unwrap().accepted, 13);
}
