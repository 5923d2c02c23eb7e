//! Ours: a ring between two threads.

use crate::queue::{Queue, Receiver, Sender};
use pool_core::{Global, PageSource};
use pool_ring::MirrorOr;
use pool_ring::spsc::{self, Consumer, Producer};
use std::sync::Arc;

/// In ordinary pages.
pub struct Spsc;

/// In pages that are mapped twice.
pub struct SpscMirrored;

impl Queue for Spsc {
    const NAME: &'static str = "spsc";
    const OURS: bool = true;
    type Sender = Producer;
    type Receiver = Consumer;

    fn halves(bytes: usize) -> (Producer, Consumer) {
        spsc::channel(bytes).expect("there is memory")
    }
}

impl Queue for SpscMirrored {
    const NAME: &'static str = "spsc, mirrored";
    const OURS: bool = true;
    type Sender = Producer<Arc<MirrorOr<Global>>>;
    type Receiver = Consumer<Arc<MirrorOr<Global>>>;

    fn halves(bytes: usize) -> (Self::Sender, Self::Receiver) {
        let source = Arc::new(MirrorOr::new(Global));
        spsc::channel_in(bytes, source).expect("there is memory")
    }
}

impl<S: PageSource + Send + Sync + 'static> Sender for Producer<S> {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> bool {
        self.send(message).is_ok()
    }
}

impl<S: PageSource + Send + Sync + 'static> Receiver for Consumer<S> {
    #[inline(always)]
    fn receive(&mut self, take: impl FnOnce(&[u8])) -> bool {
        self.recv().map(|message| take(&message)).is_some()
    }
}
