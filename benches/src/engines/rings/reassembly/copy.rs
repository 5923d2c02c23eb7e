//! The least: each segment is copied once to its place in a window. Where the gaps are is told by somebody
//! who knows.

use crate::opaque::escape;
use crate::segments::{Segment, Sink, Stream, WINDOW};

/// A window, twice as long as segments may be ahead, and where the reader is.
pub struct OneCopy {
    window: Vec<u8>,
    front: u64,
}

const LEN: u64 = 2 * WINDOW as u64;

impl Stream for OneCopy {
    const NAME: &'static str = "(memcpy)";
    const FLOOR: bool = true;

    fn new() -> Self {
        Self { window: vec![0; LEN as usize], front: 0 }
    }

    #[inline(always)]
    fn insert(&mut self, base: u64, segment: &Segment, sink: &mut impl Sink) {
        let at = ((base + segment.offset) % LEN) as usize;
        let bytes = &segment.bytes[..];
        let now = bytes.len().min(self.window.len() - at);
        self.window[at..at + now].copy_from_slice(&bytes[..now]);
        if now < bytes.len() {
            self.window[..bytes.len() - now].copy_from_slice(&bytes[now..]);
        }
        escape(self.window.as_mut_ptr());
        let front = base + segment.front;
        while self.front < front {
            let at = (self.front % LEN) as usize;
            let len = (front - self.front).min(LEN - at as u64) as usize;
            sink.take(&self.window[at..at + len]);
            self.front += len as u64;
        }
    }
}
