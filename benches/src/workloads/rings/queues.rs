//! `spsc-64`, `spsc-1500`: messages of 64 and of 1,500 bytes from one thread to another, through 64 KiB of bytes.
//!
//! The reader sees each message as one slice and reads all of it. The time is from the first thread's start to the last message's end.
//! *Answers*: the sum of all words of all messages.

use crate::case::Case;
use crate::engines::rings::{RingbufQueue, RtrbQueue, Slots, Spsc, SpscMirrored};
use crate::queue::{Queue, Receiver, Sender};
use crate::together::Pinned;
use crate::workloads::POOL_RING;
use std::hint::spin_loop;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const BYTES: usize = 64 << 10;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, len) in [("spsc-64", 64), ("spsc-1500", 1500)] {
        cases.extend([
            case::<Spsc>(name, len),
            case::<SpscMirrored>(name, len),
            case::<RtrbQueue>(name, len),
            case::<RingbufQueue>(name, len),
        ]);
        if len == 64 {
            cases.push(case::<Slots>(name, len).floor());
        }
    }
    cases
}

fn case<Q: Queue>(name: &'static str, len: usize) -> Case {
    let prepare = move || -> crate::Prepared {
        let mut pair = Pair::new::<Q>(len);
        Box::new(move |n| pair.run(n))
    };
    Case::plain(POOL_RING, name, Q::NAME, Q::OURS, prepare).uncounted().at_least(1 << 13)
}

/// How many messages are to come, and where to tell that the thread is ready, by a sum of 0, then their sum; and when.
type Order = (u64, SyncSender<(u64, Instant)>);

/// The thread that calls sends; one that waits for orders receives.
struct Pair<S> {
    sender: S,
    message: Vec<u8>,
    sent: u64,
    /// Gone when the thread is to end.
    orders: Option<SyncSender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl Pair<()> {
    fn new<Q: Queue>(len: usize) -> Pair<Q::Sender> {
        let (sender, mut receiver) = Q::halves(BYTES);
        let (orders, ordered) = sync_channel::<Order>(1);
        let thread = thread::spawn(move || {
            let _pinned = Pinned::to(1);
            for (n, answer) in ordered {
                answer.send((0, Instant::now())).expect("somebody waits");
                let sum = receive(&mut receiver, n);
                answer.send((sum, Instant::now())).expect("somebody waits");
            }
        });
        let (orders, thread) = (Some(orders), Some(thread));
        Pair { sender, message: vec![1; len], sent: 0, orders, thread }
    }
}

impl<S: Sender> Pair<S> {
    fn run(&mut self, n: u64) -> Duration {
        let _pinned = Pinned::to(0);
        let (answer, answers) = sync_channel(1);
        let orders = self.orders.as_ref().expect("it is there until drop");
        orders.send((n, answer)).expect("the thread waits");
        answers.recv().expect("the thread answers");
        let start = Instant::now();
        let first = self.sent;
        self.send(n);
        let (sum, end) = answers.recv().expect("the thread answers");
        let rest = n * (words(&self.message).1 - first_word(&self.message));
        let numbers = (first..first + n).sum::<u64>();
        assert_eq!(sum, rest.wrapping_add(numbers), "these are not the messages");
        end - start
    }

    /// What is measured: messages that begin with their number.
    #[inline(never)]
    fn send(&mut self, n: u64) {
        for _ in 0..n {
            self.message[..8].copy_from_slice(&self.sent.to_le_bytes());
            self.sent += 1;
            wait(|| self.sender.send(&self.message));
        }
        // So that the sum of the rest does not depend on what was sent last.
        self.message[..8].fill(0);
    }
}

impl<S> Drop for Pair<S> {
    fn drop(&mut self) {
        self.orders = None;
        let end = self.thread.take().map(JoinHandle::join);
        assert!(end.is_none_or(|end| end.is_ok()) || thread::panicking(), "the thread failed");
    }
}

/// What is measured as well; returns the sum of all words.
#[inline(never)]
fn receive(receiver: &mut impl Receiver, n: u64) -> u64 {
    let mut sum = 0_u64;
    for _ in 0..n {
        wait(|| receiver.receive(|message| sum = sum.wrapping_add(words(message).1)));
    }
    sum
}

fn first_word(message: &[u8]) -> u64 {
    message.first_chunk().map_or(0, |word| u64::from_le_bytes(*word))
}

/// What is left behind the last whole word, and the sum of all words.
#[inline(always)]
fn words(message: &[u8]) -> (&[u8], u64) {
    let mut rest = message;
    let mut sum = 0_u64;
    while let Some((word, behind)) = rest.split_first_chunk() {
        sum = sum.wrapping_add(u64::from_le_bytes(*word));
        rest = behind;
    }
    (rest, sum)
}

/// Tries until it works.
#[inline(always)]
fn wait(mut attempt: impl FnMut() -> bool) {
    loop {
        for _ in 0..64 {
            if attempt() {
                return;
            }
            spin_loop();
        }
        thread::yield_now();
    }
}
