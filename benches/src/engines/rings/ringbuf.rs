//! `ringbuf`: a ring for each connection, and one between threads.

use crate::callgrind::counting;
use crate::engine::{Engine, Setup};
use crate::queue::{Queue, Receiver, Sender, round};
use crate::stream::{HEADER, Halves, Rings};
use ringbuf::traits::{Consumer, Observer, Producer, Split};
use ringbuf::{CachingCons, CachingProd, HeapRb, LocalRb, storage::Heap};
use std::sync::Arc;

/// `LocalRb`, one a connection.
pub struct Ringbuf;

/// `HeapRb`, between two threads, messages behind their length.
pub struct RingbufQueue;

type Local = LocalRb<Heap<u8>>;

impl Engine for Ringbuf {
    const NAME: &'static str = "ringbuf";
    type Store = Rings<Local>;

    fn build(setup: Setup) -> Self::Store {
        Rings::new(setup, |bytes| {
            let mut ring = Local::new(bytes);
            if !counting() {
                ring.push_slice(&vec![1; bytes]);
                ring.clear();
            }
            ring
        })
    }
}

impl Halves for Local {
    #[inline(always)]
    fn push(&mut self, bytes: &[u8]) {
        let pushed = self.push_slice(bytes);
        debug_assert_eq!(pushed, bytes.len());
    }

    #[inline(always)]
    fn halves(&mut self) -> (&[u8], &[u8]) {
        self.as_slices()
    }

    #[inline(always)]
    fn take(&mut self, n: usize) {
        self.skip(n);
    }

    fn room(&self) -> usize {
        self.capacity().get()
    }
}

impl Queue for RingbufQueue {
    const NAME: &'static str = "ringbuf";
    type Sender = CachingProd<Arc<HeapRb<u8>>>;
    type Receiver = In;

    fn halves(bytes: usize) -> (Self::Sender, In) {
        let (sender, ring) = HeapRb::new(bytes).split();
        (sender, In { ring, whole: Vec::with_capacity(bytes) })
    }
}

/// The reading half, and where a message is put that goes round.
pub struct In {
    ring: CachingCons<Arc<HeapRb<u8>>>,
    whole: Vec<u8>,
}

impl Sender for CachingProd<Arc<HeapRb<u8>>> {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> bool {
        if self.vacant_len() < HEADER + message.len() {
            return false;
        }
        self.push_slice(&(message.len() as u32).to_le_bytes());
        self.push_slice(message);
        true
    }
}

impl Receiver for In {
    #[inline(always)]
    fn receive(&mut self, take: impl FnOnce(&[u8])) -> bool {
        let mut header = [0; HEADER];
        if self.ring.peek_slice(&mut header) < HEADER {
            return false;
        }
        let len = u32::from_le_bytes(header) as usize;
        if self.ring.occupied_len() < HEADER + len {
            return false;
        }
        let (first, second) = self.ring.as_slices();
        take(round(&mut self.whole, first, second, HEADER..HEADER + len));
        self.ring.skip(HEADER + len);
        true
    }
}
