//! An HTTP server from crates.io, tiny_http, with a thread for each connection and some that answer, and its
//! clients: requests are read by one thread, answered and dropped by another.

use pool_object::GlobalHeap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;
use tiny_http::{Response, Server};

#[global_allocator]
static ALLOCATOR: GlobalHeap = GlobalHeap;

/// Answers with the path and what was sent, until it is told to stop.
fn answer(server: &Server) {
    while let Ok(mut request) = server.recv() {
        let mut body = Vec::new();
        request.as_reader().read_to_end(&mut body).unwrap();
        let mut reply = request.url().as_bytes().to_vec();
        reply.extend_from_slice(&body);
        request.respond(Response::from_data(reply)).unwrap();
    }
}

/// Sends requests over one connection; how many were answered as they should.
fn client(address: SocketAddr, id: usize, rounds: usize) -> usize {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut replies = BufReader::new(stream.try_clone().unwrap());
    let mut right = 0;
    for round in 0..rounds {
        let (path, body) = (format!("/{id}/{round}"), "b".repeat(1 + (id * round * 37) % 9000));
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        right += usize::from(reply(&mut replies) == path + &body);
    }
    right
}

/// The body of the next reply, which says how long it is.
fn reply(replies: &mut impl BufRead) -> String {
    let mut len = None;
    loop {
        let mut line = String::new();
        assert!(replies.read_line(&mut line).unwrap() > 0, "the server has gone");
        if line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            len = value.trim().parse().ok();
        }
    }
    let mut body = vec![0; len.expect("it says how long it is")];
    replies.read_exact(&mut body).unwrap();
    String::from_utf8(body).unwrap()
}

const CLIENTS: usize = 8;
const ANSWERING: usize = 3;

fn run(rounds: usize) {
    let server = Server::http("127.0.0.1:0").unwrap();
    let address = server.server_addr().to_ip().unwrap();
    thread::scope(|scope| {
        for _ in 0..ANSWERING {
            scope.spawn(|| answer(&server));
        }
        let clients: Vec<_> =
            (0..CLIENTS).map(|id| scope.spawn(move || client(address, id, rounds))).collect();
        let right: Vec<_> = clients.into_iter().map(thread::ScopedJoinHandle::join).collect();
        // Before anything may fail: the scope waits for all.
        (0..ANSWERING).for_each(|_| server.unblock());
        let right: usize = right.into_iter().map(Result::unwrap).sum();
        assert_eq!(right, CLIENTS * rounds);
    });
}

#[test]
fn a_server_and_its_clients() {
    for _ in 0..3 {
        run(20);
    }
    let heap = GlobalHeap::heap();
    heap.check().unwrap();
    heap.trim();
    // Servers and all that they were sent came and went.
    let live = heap.stats().live_bytes();
    assert!(live <= 4 << 20, "{live} bytes\n{}", heap.stats());
}
