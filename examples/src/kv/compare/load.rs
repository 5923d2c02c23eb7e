//! A load of SETs and GETs, half and half, and what it took.
#![forbid(unsafe_code)]

use super::process::{PATIENCE, Running, Usage};
use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

/// Clients at once, as `redis-benchmark` has them.
pub(super) const CLIENTS: usize = 50;

/// Keys, and bytes of their values.
const KEYS: usize = 10_000;
const VALUE: usize = 64;

/// Different batches; each client goes round them, from a place of its own.
const BATCHES: usize = 256;

/// Batches of a round at least, however long they take: of fewer nothing can be said.
const LEAST: u64 = 20 * CLIENTS as u64;

/// Time before anything is counted.
const WARM_UP: Duration = Duration::from_millis(100);

/// What some time under load has shown.
#[derive(Debug)]
pub(super) struct Speed {
    pub(super) pipeline: usize,
    pub(super) requests: u64,
    pub(super) elapsed: Duration,
    /// From sending a batch to its last reply, in nanoseconds.
    pub(super) latency: Histogram<u64>,
    /// The server's time on a processor.
    pub(super) processor: Duration,
    pub(super) faults: u64,
    /// Calls of the system's allocator for each request, of a server that counts them.
    pub(super) calls: Option<f64>,
}

impl Speed {
    pub(super) fn add(&mut self, more: &Self) {
        self.requests += more.requests;
        self.elapsed += more.elapsed;
        // Both have the same bounds.
        let _ = self.latency.add(&more.latency);
        self.processor += more.processor;
        self.faults += more.faults;
        self.calls = more.calls.or(self.calls);
    }

    pub(super) fn a_second(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64()
    }

    /// Of a number, the share of a request.
    pub(super) fn each(&self, number: f64) -> f64 {
        number / (self.requests as f64).max(1.0)
    }

    /// Microseconds below which so many of a hundred batches are.
    pub(super) fn percentile(&self, percent: f64) -> f64 {
        self.latency.value_at_percentile(percent) as f64 / 1000.0
    }
}

/// Requests that go together, and the bytes of their replies.
struct Batch {
    request: Vec<u8>,
    replies: Vec<u8>,
}

/// The value of a key, so that whoever reads it can tell.
fn value(key: usize) -> String {
    format!("{key:0VALUE$}")
}

/// SETs and GETs in turn, of keys that look random.
fn batches(pipeline: usize) -> Vec<Batch> {
    let (mut seed, mut index) = (0x2545_f491_4f6c_dd1d_u64, 0);
    let mut batch = |_| {
        let mut batch = Batch { request: Vec::new(), replies: Vec::new() };
        for _ in 0..pipeline {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            append(&mut batch, seed as usize % KEYS, index % 2 == 0);
            index += 1;
        }
        batch
    };
    (0..BATCHES).map(&mut batch).collect()
}

fn append(batch: &mut Batch, key: usize, is_set: bool) {
    let (name, value) = (format!("key:{key:06}"), value(key));
    let value = format!("${VALUE}\r\n{value}\r\n");
    let name = format!("${}\r\n{name}\r\n", name.len());
    if is_set {
        batch.request.extend(format!("*3\r\n$3\r\nSET\r\n{name}{value}").bytes());
        batch.replies.extend(b"+OK\r\n");
    } else {
        batch.request.extend(format!("*2\r\n$3\r\nGET\r\n{name}").bytes());
        batch.replies.extend(value.bytes());
    }
}

/// Stores every key, so that every GET finds its value.
fn prepare(server: &Running) -> io::Result<()> {
    let mut client = server.connect()?;
    let mut all = Batch { request: Vec::new(), replies: Vec::new() };
    (0..KEYS).for_each(|key| append(&mut all, key, true));
    client.write_all(&all.request)?;
    let mut got = vec![0; all.replies.len()];
    client.read_exact(&mut got)?;
    same(&got, &all.replies)
}

fn same(got: &[u8], expected: &[u8]) -> io::Result<()> {
    match got == expected {
        true => Ok(()),
        false => Err(io::Error::other("replies are not those of the requests")),
    }
}

/// One client: always one batch on its way.
struct Client {
    socket: TcpStream,
    batch: usize,
    /// Bytes of it that are sent, and of its replies that have come.
    sent: usize,
    got: Vec<u8>,
    began: Instant,
}

/// Loads a server for so long.
pub(super) fn round(server: &Running, pipeline: usize, time: Duration) -> io::Result<Speed> {
    prepare(server)?;
    let batches = batches(pipeline);
    let mut poll = Poll::new()?;
    let mut clients = Vec::new();
    for index in 0..CLIENTS {
        let socket = server.connect()?;
        socket.set_nonblocking(true)?;
        let mut socket = TcpStream::from_std(socket);
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut socket, Token(index), interest)?;
        let batch = index * BATCHES / CLIENTS;
        clients.push(Client { socket, batch, sent: 0, got: Vec::new(), began: Instant::now() });
    }
    let mut latency = histogram()?;
    drive(&mut poll, &mut clients, &batches, WARM_UP, &mut latency)?;
    latency.reset();
    let (before, began) = (server.usage()?, Instant::now());
    let done = drive(&mut poll, &mut clients, &batches, time, &mut latency)?;
    let (elapsed, after) = (began.elapsed(), server.usage()?);
    Ok(speed(pipeline, done * pipeline as u64, elapsed, latency, [before, after]))
}

/// Three digits, up to longer than anybody waits.
fn histogram() -> io::Result<Histogram<u64>> {
    Histogram::new_with_max(60_000_000_000, 3).map_err(io::Error::other)
}

fn speed(
    pipeline: usize,
    requests: u64,
    elapsed: Duration,
    latency: Histogram<u64>,
    [before, after]: [Usage; 2],
) -> Speed {
    let calls = before.allocator_calls.zip(after.allocator_calls);
    Speed {
        pipeline,
        requests,
        elapsed,
        latency,
        processor: after.processor - before.processor,
        faults: after.faults - before.faults,
        calls: calls.map(|(before, after)| (after - before) as f64 / requests.max(1) as f64),
    }
}

/// Sends and receives for so long, and until [`LEAST`] are answered; batches that were.
fn drive(
    poll: &mut Poll,
    clients: &mut [Client],
    batches: &[Batch],
    time: Duration,
    latency: &mut Histogram<u64>,
) -> io::Result<u64> {
    let (began, mut done) = (Instant::now(), 0);
    let mut events = Events::with_capacity(CLIENTS);
    // Those that wait for nothing, and those that were left as they are by the last call.
    for client in clients.iter_mut() {
        done += turn(client, batches, latency)?;
    }
    while began.elapsed() < time || done < LEAST {
        poll.poll(&mut events, Some(PATIENCE))?;
        if events.is_empty() {
            return Err(io::Error::new(ErrorKind::TimedOut, "the server has stopped answering"));
        }
        for event in &events {
            done += turn(&mut clients[event.token().0], batches, latency)?;
        }
    }
    Ok(done)
}

/// Sends and receives until the socket has no more; batches that were answered.
fn turn(client: &mut Client, batches: &[Batch], latency: &mut Histogram<u64>) -> io::Result<u64> {
    let (mut done, mut piece) = (0, [0; 16 << 10]);
    loop {
        let batch = &batches[client.batch];
        if client.sent == 0 {
            client.began = Instant::now();
        }
        if client.sent < batch.request.len() {
            match client.socket.write(&batch.request[client.sent..]) {
                Ok(len) => client.sent += len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(done),
                Err(error) => return Err(error),
            }
            continue;
        }
        match client.socket.read(&mut piece) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(len) => client.got.extend_from_slice(&piece[..len]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(done),
            Err(error) => return Err(error),
        }
        if client.got.len() >= batch.replies.len() {
            same(&client.got, &batch.replies)?;
            latency.saturating_record(client.began.elapsed().as_nanos() as u64);
            done += 1;
            client.got.clear();
            client.sent = 0;
            client.batch = (client.batch + 1) % batches.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_half_sets_and_half_gets() {
        let batches = batches(16);
        assert_eq!(batches.len(), BATCHES);
        for batch in &batches {
            let sets = batch.request.windows(3).filter(|word| word == b"SET").count();
            let replies = batch.replies.windows(3).filter(|word| word == b"+OK").count();
            assert_eq!((sets, replies), (8, 8));
            assert_eq!(batch.replies.len(), 8 * 5 + 8 * (VALUE + 7));
        }
        assert!(batches[0].request != batches[1].request);
    }

    #[test]
    fn shares_are_of_a_request() {
        let mut latency = histogram().unwrap();
        latency.record(2000).unwrap();
        let usage = |ms, faults| Usage {
            processor: Duration::from_millis(ms),
            faults,
            allocator_calls: Some(faults * 100),
        };
        let second = Duration::from_secs(1);
        let mut one = speed(1, 100, second, latency.clone(), [usage(5, 7), usage(15, 8)]);
        one.add(&speed(1, 300, second, latency, [usage(0, 0), usage(30, 3)]));
        assert_eq!((one.a_second() as u64, one.faults, one.latency.len()), (200, 4, 2));
        assert_eq!(one.calls, Some(1.0), "those of the last");
        assert_eq!(one.each(one.processor.as_micros() as f64) as u64, 100);
        assert_eq!(one.percentile(50.0).round() as u64, 2);
    }
}
