//! Many connections over one `PacketRing`, each against a `Vec` of what it has sent and nobody has
//! taken: frames are those that the decoder finds there, the cost is the formula's, and nobody goes
//! while there is room.

use super::Source;
use pool_ring::frame::{Decoded, Decoder, Delimiter, FixedLen, FrameError, Hint, Kept};
use pool_ring::frame::{LengthPrefix, Lines};
use pool_ring::{Conn, PacketRing, PacketRingBuilder, Policy, ReadError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// What a program does; numbers are taken modulo what there is.
#[derive(Clone, Debug)]
pub enum Op {
    /// A connection receives so many bytes, and the handler takes so many frames of each batch.
    Feed {
        conn: u8,
        bytes: u16,
        take: u8,
        then: Then,
    },
    /// It is asked for what was kept.
    Again {
        conn: u8,
    },
    Close {
        conn: u8,
    },
    /// Time passes.
    Wait {
        millis: u16,
    },
    /// Reports are taken.
    Drain,
}

/// How a batch ends.
#[derive(Clone, Copy, Debug)]
pub enum Then {
    Drop,
    Finish,
    Forget,
    Panic,
    Skip,
}

/// What all connections speak.
#[derive(Clone, Copy, Debug)]
pub enum Protocol {
    Prefix,
    /// The same, but the decoder cannot tell from parts that a frame is not whole.
    Unhelpful,
    Varint,
    Lines,
    Delimiter,
    Fixed,
    /// Random bytes, of which most are no frames.
    Garbage,
}

pub const MAX: usize = 900;

/// A decoder that says nothing early.
#[derive(Clone, Copy)]
struct Unhelpful(LengthPrefix);

impl Decoder for Unhelpful {
    type Frame<'a> = &'a [u8];
    type Error = FrameError;
    fn decode<'a>(&mut self, bytes: &'a [u8]) -> Result<Decoded<&'a [u8]>, FrameError> {
        Ok(match self.0.decode(bytes)? {
            Decoded::NeedMore(_) => Decoded::NeedMore(Hint::Unknown),
            frame => frame,
        })
    }
}

struct Client {
    conn: Conn,
    /// Sent and not taken.
    sent: Vec<u8>,
    /// It was told that its bytes are lost.
    lost: bool,
    seed: u64,
}

impl Client {
    fn random(&mut self) -> u64 {
        self.seed = self.seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.seed >> 33
    }
}

pub struct Model<'s, D> {
    ring: PacketRing<&'s Source>,
    clients: Vec<Client>,
    decoder: D,
    protocol: Protocol,
    now: u64,
    /// Bytes on their way to a client, so that frames of streams have any length.
    pending: Vec<Vec<u8>>,
    large: usize,
}

/// Runs a program. The ring has room for about `chunks` chunks of 64 bytes, and blocks from 128.
pub fn run(source: &Source, protocol: Protocol, policy: Policy, chunks: usize, ops: &[Op]) {
    let prefix = LengthPrefix::u16(MAX);
    match protocol {
        Protocol::Prefix => go(source, protocol, policy, chunks, ops, Strict(prefix)),
        Protocol::Garbage => go(source, protocol, policy, chunks, ops, prefix),
        Protocol::Unhelpful => go(source, protocol, policy, chunks, ops, Unhelpful(prefix)),
        Protocol::Varint => go(source, protocol, policy, chunks, ops, LengthPrefix::varint(MAX)),
        Protocol::Lines => go(source, protocol, policy, chunks, ops, Lines::new(MAX)),
        Protocol::Delimiter => {
            go(source, protocol, policy, chunks, ops, Delimiter::new(b"<>", MAX));
        }
        Protocol::Fixed => go(source, protocol, policy, chunks, ops, FixedLen::new(37)),
    }
    assert_eq!(source.inner().traffic().live_bytes, 0);
}

fn go<D>(source: &Source, protocol: Protocol, policy: Policy, chunks: usize, ops: &[Op], decoder: D)
where
    D: for<'a> Decoder<Frame<'a> = &'a [u8], Error = FrameError> + Copy,
{
    let large = 128;
    let builder = PacketRingBuilder::new().chunk(64).large_from(large).scratch(256);
    let builder = builder.budget(26 + chunks * 68).policy(policy);
    let Ok(mut ring) = builder.try_build_in(source) else { return };
    let clients = (0..6u32)
        .map(|n| Client { conn: ring.open(n), sent: Vec::new(), lost: false, seed: n.into() })
        .collect();
    let pending = vec![Vec::new(); 6];
    let mut model = Model { ring, clients, decoder, protocol, now: 0, pending, large };
    for op in ops {
        model.step(op);
        model.check();
    }
    for n in 0..model.clients.len() {
        model.close(n);
    }
    let stats = model.ring.stats();
    assert_eq!((stats.partials, stats.bytes, stats.used), (0, 0, 0));
}

impl<D> Model<'_, D>
where
    D: for<'a> Decoder<Frame<'a> = &'a [u8], Error = FrameError> + Copy,
{
    fn step(&mut self, op: &Op) {
        match *op {
            Op::Feed { conn, bytes, take, then } => {
                self.feed(conn as usize % 6, bytes as usize, take as usize, then);
            }
            Op::Again { conn } => self.batch(conn as usize % 6, &mut &[][..], 99, Then::Drop),
            Op::Close { conn } => self.close(conn as usize % 6),
            Op::Wait { millis } => {
                self.now += u64::from(millis);
                self.ring.set_now(Duration::from_millis(self.now));
            }
            Op::Drain => self.drain(),
        }
    }

    /// The next bytes of a client's stream.
    fn stream(&mut self, n: usize, bytes: usize) -> Vec<u8> {
        let client = &mut self.clients[n];
        let pending = &mut self.pending[n];
        while pending.len() < bytes {
            let long = client.random() % 8 == 0;
            let len = client.random() as usize % if long { MAX - 20 } else { 90 };
            let body: Vec<u8> = (0..len).map(|_| b'a' + (client.random() % 26) as u8).collect();
            match self.protocol {
                Protocol::Prefix | Protocol::Unhelpful => {
                    pending.extend((len as u16).to_be_bytes());
                    pending.extend(body);
                }
                Protocol::Varint => {
                    pending.extend([len as u8 & 127 | 128, (len >> 7) as u8]);
                    pending.extend(body);
                }
                Protocol::Lines => {
                    pending.extend(body);
                    pending.extend(if len % 2 == 0 { &b"\r\n"[..] } else { b"\n" });
                }
                Protocol::Delimiter => {
                    pending.extend(body);
                    pending.extend(if len % 3 == 0 { &b"<<>"[..] } else { b"><>" });
                }
                Protocol::Fixed => pending.extend(body),
                Protocol::Garbage => {
                    pending.extend(body.iter().map(|byte| if byte % 5 > 1 { 0 } else { *byte }));
                }
            }
        }
        pending.drain(..bytes).collect()
    }

    fn feed(&mut self, n: usize, bytes: usize, take: usize, then: Then) {
        let stream = self.stream(n, bytes);
        let mut rest = &stream[..];
        while !rest.is_empty() && !self.clients[n].lost {
            self.batch(n, &mut rest, take, then);
        }
    }

    fn batch(&mut self, n: usize, bytes: &mut &[u8], take: usize, then: Then) {
        let before = self.ring.stats();
        let client = &mut self.clients[n];
        let had = *bytes;
        let mut decoder = self.decoder;
        let mut error = None;
        let fed = self.ring.feed(&mut client.conn, &mut decoder, bytes);
        let Some(mut batch) = fed.map_err(|why| error = Some(why)).ok() else {
            let fed = had.len() - bytes.len();
            match error {
                Some(ReadError::Evicted) => assert_eq!(fed, 0),
                Some(ReadError::NoRoom { .. }) => {
                    assert_eq!(self.ring.stats().rejected, before.rejected + 1);
                }
                error => panic!("{error:?}"),
            }
            client.lost = true;
            client.sent.clear();
            return;
        };
        let fed = had.len() - bytes.len();
        assert_eq!(batch.received(), fed);
        client.sent.extend(&had[..fed]);
        let mut failed = false;
        for _ in 0..take {
            let expected = self.decoder.decode(&client.sent);
            match (batch.next(), expected) {
                (Ok(Some(frame)), Ok(Decoded::Frame { frame: same, consumed })) => {
                    assert_eq!(frame, same);
                    client.sent.drain(..consumed);
                }
                (Ok(None), Ok(Decoded::NeedMore(_))) => break,
                (Err(error), Err(same)) => {
                    assert_eq!(error, same);
                    failed = true;
                    break;
                }
                (got, expected) => panic!("{got:?} instead of {expected:?}"),
            }
        }
        if failed {
            client.sent.clear();
        } else if let Then::Skip = then {
            let skipped = batch.rest().len().min(7);
            assert_eq!(&batch.rest()[..skipped], &client.sent[..skipped]);
            batch.skip(skipped);
            client.sent.drain(..skipped);
        }
        let mut refused = false;
        match then {
            Then::Drop | Then::Skip => drop(batch),
            Then::Finish => refused = batch.finish().is_err(),
            Then::Forget => std::mem::forget(batch),
            Then::Panic => {
                let result = catch_unwind(AssertUnwindSafe(|| {
                    let _batch = batch;
                    std::panic::resume_unwind(Box::new(()));
                }));
                assert!(result.is_err());
            }
        }
        if let Then::Forget = then {
            // The next call settles what was forgotten; what rests goes on resting.
            drop(self.ring.evicted());
        }
        let after = self.ring.stats();
        if after.rejected > before.rejected {
            client.lost = true;
            client.sent.clear();
        }
        assert!(!refused || client.lost);
    }

    /// Finds out who was evicted, and closes it.
    fn drain(&mut self) {
        let lost: Vec<u32> = self.ring.evicted().collect();
        for n in lost {
            let client = &mut self.clients[n as usize];
            let mut decoder = self.decoder;
            let mut bytes = &b"x"[..];
            let fed = self.ring.feed(&mut client.conn, &mut decoder, &mut bytes);
            let stale = fed.map(drop) == Err(ReadError::Evicted);
            assert!(stale, "a report about somebody who is not lost");
            client.lost = true;
            self.close(n as usize);
        }
    }

    fn close(&mut self, n: usize) {
        self.ring.close(&mut self.clients[n].conn);
        let client = &mut self.clients[n];
        assert!(client.conn.is_idle());
        client.sent.clear();
        client.lost = false;
        // The rest of the old stream would be no frames.
        self.pending[n].clear();
    }

    /// Lengths and cost are what the model says.
    fn check(&mut self) {
        let stats = self.ring.stats();
        assert!(stats.used <= stats.budget && stats.used <= stats.peak);
        let (mut cost, mut bytes, mut large) = (0, 0, false);
        for client in &mut self.clients {
            let len = self.ring.partial_len(&client.conn);
            if len == 0 && !client.sent.is_empty() {
                // Evicted for another, who will be reported.
                assert!(stats.evictions > 0);
                client.lost = true;
                client.sent.clear();
            }
            assert_eq!(len, client.sent.len());
            large |= len > self.large;
            bytes += len;
            cost += if len > 0 { self.ring.cost(len) } else { 0 };
        }
        assert_eq!(stats.bytes, bytes);
        // Entries of forgotten batches with nothing left cost as much as one with a byte.
        let idle = stats.partials - self.clients.iter().filter(|c| !c.sent.is_empty()).count();
        if !large {
            assert_eq!(stats.used, cost + idle * self.ring.cost(1));
        }
        let listed = self.ring.older_than(Duration::from_millis(self.now + 1)).count();
        assert_eq!(listed, stats.partials - idle);
    }
}

/// `wait` is never asked about what was not looked at.
#[derive(Clone, Copy)]
struct Strict(LengthPrefix);

impl Decoder for Strict {
    type Frame<'a> = &'a [u8];
    type Error = FrameError;
    fn decode<'a>(&mut self, bytes: &'a [u8]) -> Result<Decoded<&'a [u8]>, FrameError> {
        self.0.decode(bytes)
    }
    fn wait(&mut self, kept: Kept<'_>, fresh: &[u8]) -> Option<Hint> {
        if kept.len == kept.head.len() {
            assert!(matches!(self.0.decode(kept.head), Ok(Decoded::NeedMore(_))));
        }
        self.0.wait(kept, fresh)
    }
    fn identity(&self) -> u64 {
        self.0.identity()
    }
}
