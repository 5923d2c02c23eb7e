//! A small HTTP server beside the event loops.
#![forbid(unsafe_code)]

use super::board::Board;
use super::{json, prometheus};
use pool_core::process;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The page, with its style and its program in it.
const PAGE: &str = include_str!("page.html");

/// Longest request that is read: a browser's headers.
const LONGEST: usize = 16 << 10;

/// Most headers of one.
const HEADERS: usize = 64;

/// How long a client may take to send its request or to read the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Clients served at once; a browser opens some connections ahead. One more, and the oldest is given up:
/// so those who connect and say nothing keep nobody out.
const CLIENTS: usize = 32;

/// Serves the figures until it is dropped.
///
/// ```
/// use examples::kv::metrics::Exporter;
/// use std::io::{Read, Write};
/// let exporter = Exporter::bind(([127, 0, 0, 1], 0).into(), "pool")?;
/// exporter.board().publisher().publish(Default::default(), |s| s.figure("clients", 3));
/// let mut stream = std::net::TcpStream::connect(exporter.address())?;
/// stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
/// let mut answer = String::new();
/// stream.read_to_string(&mut answer)?;
/// assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\nkv_clients 3\n"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Exporter {
    address: SocketAddr,
    board: Board,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Exporter {
    /// Listens at `address` (port 0: any free one), on a thread of its own. `strategy` is told to those
    /// who ask.
    ///
    /// # Errors
    /// The system's.
    pub fn bind(address: SocketAddr, strategy: &'static str) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let (board, stop) = (Board::default(), Arc::<AtomicBool>::default());
        let (served, told) = (board.clone(), stop.clone());
        let run = move || accept(&listener, &served, strategy, &told);
        let thread = thread::Builder::new().name("kv-metrics".into()).spawn(run)?;
        Ok(Self { address, board, stop, thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where loops publish.
    #[must_use]
    pub const fn board(&self) -> &Board {
        &self.board
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // Wakes the thread, which waits for a client.
        let woken = TcpStream::connect_timeout(&self.address, PATIENCE);
        if let (Ok(_), Some(thread)) = (woken, self.thread.take()) {
            let _ = thread.join();
        }
    }
}

/// A thread for each client, so that one who connects and says nothing keeps nobody waiting.
fn accept(listener: &TcpListener, board: &Board, strategy: &'static str, stop: &AtomicBool) {
    let mut clients = VecDeque::<Weak<TcpStream>>::new();
    for client in listener.incoming() {
        if stop.load(Ordering::Acquire) {
            return;
        }
        let Ok(client) = client else {
            // Out of descriptors, as a rule.
            thread::sleep(Duration::from_millis(100));
            continue;
        };
        clients.retain(|client| client.strong_count() > 0);
        if clients.len() >= CLIENTS {
            if let Some(oldest) = clients.pop_front().and_then(|oldest| oldest.upgrade()) {
                let _ = oldest.shutdown(Shutdown::Both);
            }
        }
        let (client, board) = (Arc::new(client), board.clone());
        clients.push_back(Arc::downgrade(&client));
        let answer = move || {
            if let Err(error) = serve(&client, &board, strategy) {
                tracing::debug!(%error, "a client of the metrics is gone");
            }
        };
        if let Err(error) = thread::Builder::new().name("kv-metrics-client".into()).spawn(answer) {
            tracing::warn!(%error, "no thread for a client of the metrics");
        }
    }
}

/// One request, one answer.
fn serve(mut client: &TcpStream, board: &Board, strategy: &str) -> io::Result<()> {
    client.set_write_timeout(Some(PATIENCE))?;
    let answer = match read_request(client)? {
        Some(request) => answer(&request, board, strategy),
        None => Answer::plain("400 Bad Request", "That is not HTTP.\n"),
    };
    client.write_all(&answer.head())?;
    if !answer.is_head {
        client.write_all(answer.body.as_bytes())?;
    }
    client.shutdown(Shutdown::Write)?;
    // Until it has closed: a close with bytes unread would be a reset.
    client.set_read_timeout(Some(Duration::from_millis(200)))?;
    let _ = io::copy(&mut client.take(LONGEST as u64), &mut io::sink());
    Ok(())
}

/// What of a request counts here.
struct Request {
    method: String,
    path: String,
}

/// Reads until the headers are whole; `None`: it is no request.
fn read_request(mut client: &TcpStream) -> io::Result<Option<Request>> {
    let (began, mut bytes) = (Instant::now(), Vec::new());
    loop {
        let left = PATIENCE.checked_sub(began.elapsed()).filter(|left| !left.is_zero());
        client.set_read_timeout(Some(left.ok_or(io::ErrorKind::TimedOut)?))?;
        let mut piece = [0; 2048];
        let len = client.read(&mut piece)?;
        bytes.extend_from_slice(&piece[..len]);
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&bytes) {
            Ok(httparse::Status::Complete(_)) => {
                let text = |part: Option<&str>| part.unwrap_or_default().to_owned();
                return Ok(Some(Request {
                    method: text(request.method),
                    path: text(request.path),
                }));
            }
            Ok(httparse::Status::Partial) if len > 0 && bytes.len() < LONGEST => {}
            _ => return Ok(None),
        }
    }
}

struct Answer {
    status: &'static str,
    kind: &'static str,
    body: String,
    is_head: bool,
}

impl Answer {
    fn plain(status: &'static str, body: &str) -> Self {
        Self { status, kind: "text/plain; charset=utf-8", body: body.to_owned(), is_head: false }
    }

    /// The page may load nothing from anywhere but figures from here.
    fn head(&self) -> Vec<u8> {
        format!(
            "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\
             Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\
             Content-Security-Policy: default-src 'none'; img-src data:; connect-src 'self'; \
             style-src 'unsafe-inline'; script-src 'unsafe-inline'\r\n\r\n",
            self.status,
            self.kind,
            self.body.len()
        )
        .into_bytes()
    }
}

fn answer(request: &Request, board: &Board, strategy: &str) -> Answer {
    let is_head = request.method == "HEAD";
    if !is_head && request.method != "GET" {
        return Answer::plain("405 Method Not Allowed", "GET or HEAD.\n");
    }
    Answer { is_head, ..page(path(&request.path), board, strategy) }
}

/// The path of a target, which may be a whole address (RFC 9112, 3.2.2), without its query.
fn path(target: &str) -> &str {
    let target = target.split(['?', '#']).next().unwrap_or_default();
    match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => {
            rest.find('/').map_or("/", |begin| &rest[begin..])
        }
        _ => target,
    }
}

fn page(path: &str, board: &Board, strategy: &str) -> Answer {
    let (kind, body) = match path {
        "/" => ("text/html; charset=utf-8", PAGE.to_owned()),
        "/metrics" => {
            let text = prometheus::text(&figures(board), strategy);
            ("text/plain; version=0.0.4; charset=utf-8", text)
        }
        "/figures.json" => ("application/json", json::text(&figures(board), strategy)),
        _ => return Answer::plain("404 Not Found", "There are /, /metrics and /figures.json.\n"),
    };
    Answer { status: "200 OK", kind, body, is_head: false }
}

/// What the loops have published, and what the system says of the process.
fn figures(board: &Board) -> super::Snapshot {
    let mut figures = board.read();
    if let Ok(bytes) = process::resident_bytes() {
        figures.figure("process_resident_bytes", bytes as u64);
    }
    if let Ok(faults) = process::faults() {
        figures.figure("process_minor_faults", faults.minor);
        figures.figure("process_major_faults", faults.major);
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_may_be_a_whole_address() {
        for (target, expected) in [
            ("/metrics?a=b", "/metrics"),
            ("http://127.0.0.1:9/metrics", "/metrics"),
            ("http://127.0.0.1:9", "/"),
            ("http://127.0.0.1?x", "/"),
            ("/a://b", "/a://b"),
            ("*", "*"),
        ] {
            assert_eq!(path(target), expected, "{target}");
        }
    }
}
