//! Many connections over one `PacketRing`, each against a `Vec` of what it has sent and nobody has
//! taken: frames are those that the decoder finds there, the cost is the formula's, partials are as old as they
//! are, and those go who must, in the policy's order: nobody while there is room, and nobody for one that is refused.

#[path = "accounts.rs"]
mod accounts;

use super::Source;
use accounts::{Accounts, CHUNK, ENTRY, End, UNIT};
use pool_core::PageSource;
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
    accounts: Accounts,
    evictions: u64,
    /// The reports that wait in the ring.
    reports: Vec<usize>,
    /// Those that were taken to know who went, and not looked at.
    taken: Vec<usize>,
    is_drained: bool,
    /// Bytes on their way to a client, so that frames of streams have any length.
    pending: Vec<Vec<u8>>,
    source: &'s Source,
}

/// Partials of more bytes get a block.
const LARGE: usize = 128;

/// What a partial of so many bytes in chunks costs.
const fn cost(len: usize) -> usize {
    ENTRY + if len == 0 { 1 } else { len.div_ceil(CHUNK) } * UNIT
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
    let budget = ENTRY + chunks * UNIT;
    let builder = PacketRingBuilder::new().chunk(CHUNK).large_from(LARGE).scratch(256);
    let builder = builder.budget(budget).policy(policy);
    let Ok(mut ring) = builder.try_build_in(source) else { return };
    let clients = (0..6u32)
        .map(|n| Client { conn: ring.open(n), sent: Vec::new(), lost: false, seed: n.into() })
        .collect();
    let pending = vec![Vec::new(); 6];
    let accounts = Accounts::new(policy, budget);
    let mut model = Model {
        ring,
        clients,
        decoder,
        protocol,
        accounts,
        evictions: 0,
        reports: Vec::new(),
        taken: Vec::new(),
        is_drained: false,
        pending,
        source,
    };
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
                self.accounts.now += u64::from(millis);
                self.ring.set_now(Duration::from_millis(self.accounts.now));
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
        let is_block = client.sent.len() > LARGE;
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
            if let Some(ReadError::NoRoom { .. }) = error {
                client.sent.extend(&had[..fed]);
                self.book(n, is_block, false, true, Then::Drop);
            }
            return;
        };
        let fed = had.len() - bytes.len();
        assert_eq!(batch.received(), fed);
        client.sent.extend(&had[..fed]);
        let (mut failed, mut began) = (false, false);
        for _ in 0..take {
            let expected = self.decoder.decode(&client.sent);
            match (batch.next(), expected) {
                (Ok(Some(frame)), Ok(Decoded::Frame { frame: same, consumed })) => {
                    assert_eq!(frame, same);
                    client.sent.drain(..consumed);
                    began = true;
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
            began |= skipped > 0;
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
        client.lost = self.ring.stats().rejected > before.rejected;
        assert!(!refused || client.lost);
        let lost = client.lost;
        self.book(n, is_block, began, lost, then);
    }

    /// Books a batch of a client, and who went for it.
    fn book(&mut self, n: usize, is_block: bool, began: bool, refused: bool, then: Then) {
        let stats = self.ring.stats();
        let count = (stats.evictions - self.evictions) as usize;
        self.evictions = stats.evictions;
        let gone = self.gone(n, count);
        let len = self.clients[n].sent.len();
        let others = self.accounts.others(n);
        let end = if refused {
            End::Refused { most: self.most(n), began }
        } else if len == 0 && !matches!(then, Then::Forget) {
            End::Nothing
        } else {
            let left: usize = gone.iter().map(|&gone| self.accounts.cost(gone)).sum();
            // What a block costs is its source's choice.
            let cost = if len > LARGE { stats.used - (others - left) } else { cost(len) };
            assert!(cost >= ENTRY + len);
            // An entry that was left without bytes is as one that begins.
            End::Holds { cost, began: began || len == 0 }
        };
        self.accounts.book(n, is_block, &gone, end);
        for lost in gone.into_iter().chain(refused.then_some(n)) {
            assert_eq!(self.ring.partial_len(&self.clients[lost].conn), 0);
            self.clients[lost].lost = true;
            self.clients[lost].sent.clear();
            self.reports.push(lost);
        }
        if core::mem::take(&mut self.is_drained) {
            self.taken.append(&mut self.reports);
        }
    }

    /// The most that the partial of a refused client would have cost, if that is known.
    fn most(&mut self, n: usize) -> Option<usize> {
        let sent = &self.clients[n].sent;
        if sent.len() <= LARGE {
            return Some(cost(sent.len()));
        }
        let announced = match self.decoder.decode(sent) {
            Ok(Decoded::NeedMore(Hint::Total(total))) => total,
            _ => 0,
        };
        let block = announced.max(2 * sent.len()).next_multiple_of(self.source.granule());
        (self.source.injected() == 0).then_some(ENTRY + block)
    }

    /// Those who went, in order if they go by age.
    fn gone(&mut self, n: usize, count: usize) -> Vec<usize> {
        let others = self.accounts.by_age().map(|(client, _)| client).filter(|&client| client != n);
        if !matches!(self.accounts.policy, Policy::EvictLargest) {
            return others.take(count).collect();
        }
        let is_gone = |&client: &usize| {
            let Client { conn, sent, .. } = &self.clients[client];
            !sent.is_empty() && self.ring.partial_len(conn) == 0
        };
        let gone: Vec<usize> = others.filter(is_gone).collect();
        // Entries without bytes cannot be told apart by them.
        if gone.len() == count { gone } else { self.gone_by_reports(count) }
    }

    /// The same by the reports about them, which are taken.
    fn gone_by_reports(&mut self, count: usize) -> Vec<usize> {
        let reports: Vec<usize> = self.ring.evicted().map(|token| token as usize).collect();
        let (known, new) = reports.split_at(self.reports.len());
        self.check_reports(known.to_vec());
        self.is_drained = true;
        new[..count].to_vec()
    }

    /// These reports are those that wait; if they do not go by age, in any order.
    fn check_reports(&self, mut reports: Vec<usize>) {
        let mut expected = self.reports.clone();
        if let Policy::EvictLargest = self.accounts.policy {
            reports.sort_unstable();
            expected.sort_unstable();
        }
        assert_eq!(reports, expected);
    }

    /// Finds out who was evicted, and closes it.
    fn drain(&mut self) {
        let mut lost: Vec<usize> = self.ring.evicted().map(|token| token as usize).collect();
        self.check_reports(lost.clone());
        self.reports.clear();
        lost.append(&mut self.taken);
        for n in lost {
            let client = &mut self.clients[n];
            let mut decoder = self.decoder;
            let mut bytes = &b"x"[..];
            let fed = self.ring.feed(&mut client.conn, &mut decoder, &mut bytes);
            let stale = fed.map(drop) == Err(ReadError::Evicted);
            assert!(stale, "a report about somebody who is not lost");
            client.lost = true;
            self.close(n);
        }
    }

    fn close(&mut self, n: usize) {
        self.ring.close(&mut self.clients[n].conn);
        let client = &mut self.clients[n];
        assert!(client.conn.is_idle());
        client.sent.clear();
        client.lost = false;
        self.accounts.remove(n);
        // A report about it is withdrawn.
        self.reports.retain(|&report| report != n);
        self.taken.retain(|&report| report != n);
        // The rest of the old stream would be no frames.
        self.pending[n].clear();
    }

    /// Lengths, ages and costs are what the model says.
    fn check(&self) {
        let stats = self.ring.stats();
        assert!(stats.used <= stats.budget && stats.used <= stats.peak);
        assert_eq!((stats.used, stats.partials), (self.accounts.used(), self.accounts.count()));
        assert_eq!((stats.evictions, stats.reports), (self.evictions, self.reports.len()));
        for (n, client) in self.clients.iter().enumerate() {
            let len = self.ring.partial_len(&client.conn);
            assert_eq!(len, client.sent.len());
            assert!(len == 0 || len > LARGE || self.accounts.cost(n) == cost(len));
        }
        assert_eq!(stats.bytes, self.clients.iter().map(|client| client.sent.len()).sum::<usize>());
        let now = self.accounts.now;
        for deadline in [now.saturating_sub(200), now, now + 1] {
            // Entries of forgotten batches with nothing left are no partials.
            let partials =
                self.accounts.by_age().filter(|&(n, _)| !self.clients[n].sent.is_empty());
            let mut old: Vec<u32> =
                partials.filter(|&(_, since)| since < deadline).map(|(n, _)| n as u32).collect();
            let mut listed: Vec<u32> =
                self.ring.older_than(Duration::from_millis(deadline)).collect();
            if let Policy::EvictLargest = self.accounts.policy {
                old.sort_unstable();
                listed.sort_unstable();
            }
            assert_eq!(listed, old);
        }
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
