//! `rtrb`: a ring for each connection, and one between threads.

use crate::callgrind::counting;
use crate::engine::{Engine, Setup};
use crate::queue::{Queue, Receiver, Sender, round};
use crate::stream::{Connections, Digest, Framing, HEADER, connections};
use std::ops::Range;

/// One a connection; both halves on one thread.
pub struct Rtrb;

/// Between two threads, messages behind their length.
pub struct RtrbQueue;

/// Rings, and where frames are put that go round.
pub struct Pairs {
    rings: Vec<(rtrb::Producer<u8>, rtrb::Consumer<u8>)>,
    whole: Vec<u8>,
}

fn touched(bytes: usize) -> (rtrb::Producer<u8>, rtrb::Consumer<u8>) {
    let (mut producer, mut consumer) = rtrb::RingBuffer::new(bytes);
    if !counting() {
        producer.push_entire_slice(&vec![1; bytes]).expect("it is empty");
        consumer.read_chunk(bytes).expect("it is full").commit_all();
    }
    (producer, consumer)
}

impl Engine for Rtrb {
    const NAME: &'static str = "rtrb";
    type Store = Pairs;

    fn build(setup: Setup) -> Pairs {
        let rings = (0..connections(setup)).map(|_| touched(setup.chunk)).collect();
        Pairs { rings, whole: Vec::with_capacity(setup.chunk) }
    }
}

impl<F: Framing> Connections<F> for Pairs {
    #[inline(always)]
    fn receive(&mut self, conn: usize, stream: &[u8], piece: Range<usize>, digest: &mut Digest) {
        let (producer, consumer) = &mut self.rings[conn];
        producer.push_entire_slice(&stream[piece]).expect("there is room");
        let chunk = consumer.read_chunk(consumer.slots()).expect("they are there");
        let (mut first, second) = chunk.as_slices();
        let mut taken = 0;
        while let Some((frame, len)) = F::first(first) {
            digest.frame(frame);
            (first, taken) = (&first[len..], taken + len);
        }
        if !second.is_empty() {
            taken += crate::stream::round::<F>(&mut self.whole, first, second, digest);
        }
        chunk.commit(taken);
    }

    fn pinned(&self) -> u64 {
        self.rings.iter().map(|pair| pair.0.buffer().capacity() as u64).sum()
    }
}

impl Queue for RtrbQueue {
    const NAME: &'static str = "rtrb";
    type Sender = rtrb::Producer<u8>;
    type Receiver = In;

    fn halves(bytes: usize) -> (Self::Sender, In) {
        let (sender, ring) = rtrb::RingBuffer::new(bytes);
        (sender, In { ring, whole: Vec::with_capacity(bytes) })
    }
}

/// The reading half, and where a message is put that goes round.
pub struct In {
    ring: rtrb::Consumer<u8>,
    whole: Vec<u8>,
}

impl Sender for rtrb::Producer<u8> {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> bool {
        let Ok(mut chunk) = self.write_chunk_uninit(HEADER + message.len()) else { return false };
        let header = (message.len() as u32).to_le_bytes();
        let (first, second) = chunk.as_mut_slices();
        let ends = copy(&header, first, second);
        copy(message, ends.0, ends.1);
        // SAFETY: header and message are as long as the chunk, and were copied one behind the other.
        unsafe { chunk.commit_all() };
        true
    }
}

type Uninit = std::mem::MaybeUninit<u8>;

/// Copies to the front of two places; returns what is left of them.
#[inline(always)]
fn copy<'a>(
    bytes: &[u8],
    first: &'a mut [Uninit],
    second: &'a mut [Uninit],
) -> (&'a mut [Uninit], &'a mut [Uninit]) {
    let n = bytes.len().min(first.len());
    let (now, later) = bytes.split_at(n);
    let (place, first) = first.split_at_mut(n);
    fill(place, now);
    let (place, second) = second.split_at_mut(later.len());
    fill(place, later);
    (first, second)
}

#[inline(always)]
fn fill(place: &mut [Uninit], bytes: &[u8]) {
    assert_eq!(place.len(), bytes.len());
    // SAFETY: as many bytes, and a place that is borrowed exclusively is not among others' bytes.
    unsafe {
        place.as_mut_ptr().cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
    };
}

impl Receiver for In {
    #[inline(always)]
    fn receive(&mut self, take: impl FnOnce(&[u8])) -> bool {
        let Ok(chunk) = self.ring.read_chunk(HEADER) else { return false };
        let (first, second) = chunk.as_slices();
        let mut header = [0; HEADER];
        header[..first.len()].copy_from_slice(first);
        header[first.len()..].copy_from_slice(second);
        let len = u32::from_le_bytes(header) as usize;
        let Ok(chunk) = self.ring.read_chunk(HEADER + len) else { return false };
        let (first, second) = chunk.as_slices();
        take(round(&mut self.whole, first, second, HEADER..HEADER + len));
        chunk.commit_all();
        true
    }
}
