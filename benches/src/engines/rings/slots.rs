//! Slots of one size, written by hand: the floor of what a message between threads can cost. The word that says that a
//! message is there travels with it, so no cache line moves but the message's own. Short messages only; no slices, no bytes.

use crate::queue::{Queue, Receiver, Sender};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Between two threads.
pub struct Slots;

/// Words of a message.
const WORDS: usize = 14;
/// The reader tells how far it is so often.
const OFTEN: u64 = 32;

#[derive(Default)]
#[repr(align(128))]
struct Slot {
    /// The number of its message, from 1 on, times 256, and the message's bytes.
    stamp: AtomicU64,
    words: [AtomicU64; WORDS],
}

#[derive(Default)]
#[repr(align(128))]
struct Shared {
    /// Messages that were read, or less.
    read: AtomicU64,
    slots: Box<[Slot]>,
}

/// The writing half.
pub struct Out {
    shared: Arc<Shared>,
    sent: u64,
    read: u64,
}

/// The reading half.
pub struct In {
    shared: Arc<Shared>,
    read: u64,
}

impl Queue for Slots {
    const NAME: &'static str = "(slots)";
    type Sender = Out;
    type Receiver = In;

    fn halves(bytes: usize) -> (Out, In) {
        let slots = (0..bytes / size_of::<Slot>()).map(|_| Slot::default()).collect();
        let shared = Arc::new(Shared { slots, ..Shared::default() });
        (Out { shared: shared.clone(), sent: 0, read: 0 }, In { shared, read: 0 })
    }
}

impl Sender for Out {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> bool {
        let Shared { read, slots } = &*self.shared;
        if self.sent - self.read == slots.len() as u64 {
            self.read = read.load(Ordering::Acquire);
            if self.sent - self.read == slots.len() as u64 {
                return false;
            }
        }
        let slot = &slots[self.sent as usize % slots.len()];
        assert!(message.len() <= 8 * WORDS, "a message too long for a slot");
        for (word, bytes) in slot.words.iter().zip(message.chunks(8)) {
            let mut padded = [0; 8];
            padded[..bytes.len()].copy_from_slice(bytes);
            word.store(u64::from_le_bytes(padded), Ordering::Relaxed);
        }
        self.sent += 1;
        slot.stamp.store(self.sent << 8 | message.len() as u64, Ordering::Release);
        true
    }
}

impl Receiver for In {
    #[inline(always)]
    fn receive(&mut self, take: impl FnOnce(&[u8])) -> bool {
        let Shared { read, slots } = &*self.shared;
        let slot = &slots[self.read as usize % slots.len()];
        let stamp = slot.stamp.load(Ordering::Acquire);
        if stamp >> 8 != self.read + 1 {
            return false;
        }
        let len = (stamp & 0xff) as usize;
        let mut message = [0; 8 * WORDS];
        for (bytes, word) in message[..len].chunks_mut(8).zip(&slot.words) {
            bytes.copy_from_slice(&word.load(Ordering::Relaxed).to_le_bytes()[..bytes.len()]);
        }
        take(&message[..len]);
        self.read += 1;
        if self.read % OFTEN == 0 {
            read.store(self.read, Ordering::Release);
        }
        true
    }
}
