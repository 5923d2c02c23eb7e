//! A ring between two threads: one writes, one reads, nobody waits for a lock.
//!
//! ```
//! use pool_ring::spsc;
//! let (mut producer, mut consumer) = spsc::channel(4096)?;
//! std::thread::spawn(move || {
//!     producer.send(b"hello").unwrap();
//!     producer.send(b"world").unwrap();
//! });
//! let mut all = Vec::new();
//! loop {
//!     if let Some(message) = consumer.recv() {
//!         all.extend_from_slice(&message);
//!     } else if consumer.is_closed() {
//!         break;
//!     }
//! }
//! assert_eq!(all, b"helloworld");
//! # Ok::<(), pool_core::PageError>(())
//! ```
//!
//! What is granted for writing and what can be read is always one slice. Where the pages show twice
//! (`MirrorOr`) that comes for nothing; in ordinary pages a grant that does not fit before the end skips the
//! rest of the lap, and the consumer skips it, too.
//!
//! # Memory ordering
//!
//! Each half owns its position and looks at the other's only when its copy of that does not suffice. Bytes are written before
//! `tail` is stored with `Release`; the consumer loads it with `Acquire` and reads. They are read before `head` is
//! stored with `Release`; the producer loads it with `Acquire` and writes over them. `skip` is written before the `tail` that passes
//! it, and so is seen with that; it is not written again before the consumer has published a `head` behind it.

use crate::block::Block;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Arc, Track};
use core::fmt;
use core::mem::MaybeUninit;
use core::ops::Deref;
use core::ptr::NonNull;
use pool_core::{PageError, PageSource};
use thiserror::Error;

/// Bytes of a message's length.
const HEADER: usize = 4;

/// On a cache line of its own, and of its neighbour, which is fetched along with it.
#[repr(align(128))]
struct Padded<T>(T);

/// What both halves share.
struct Shared<S: PageSource> {
    /// The bytes. `[head, tail)` belongs to the consumer, everything else to the producer; only
    /// they make slices of it, each of its own part.
    _block: Block<S>,
    track: Track,
    /// Bytes written so far, skipped ones included; stored by the producer alone.
    tail: Padded<AtomicUsize>,
    /// Bytes read so far, skipped ones included; stored by the consumer alone.
    head: Padded<AtomicUsize>,
    /// The `tail` from which the rest of a lap was skipped the last time.
    skip: AtomicUsize,
    producer_gone: AtomicBool,
    consumer_gone: AtomicBool,
}

/// A ring of at least `bytes` over the process-wide source.
///
/// # Errors
/// What the source says.
#[cfg(feature = "std")]
pub fn channel(bytes: usize) -> Result<(Producer, Consumer), PageError> {
    channel_in(bytes, pool_core::Global)
}

/// A ring of at least `bytes` over `source`.
///
/// # Errors
/// What the source says.
pub fn channel_in<S: PageSource>(
    bytes: usize,
    source: S,
) -> Result<(Producer<S>, Consumer<S>), PageError> {
    Ok(halves(Block::new(source, bytes)?, 0, 0))
}

/// The halves of a ring whose bytes `[start, start + len)` are filled: within the block, in both
/// views of one that shows twice, and initialised.
pub(crate) fn halves<S: PageSource>(
    mut block: Block<S>,
    start: usize,
    len: usize,
) -> (Producer<S>, Consumer<S>) {
    block.fence();
    let (base, n, span) = (block.base(), block.len(), block.span());
    // Nothing that is not initialised is lent, whatever a caller says.
    let len = len.min(block.readable().saturating_sub(start));
    let shared = Arc::new(Shared {
        track: Track::new(n),
        _block: block,
        tail: Padded(AtomicUsize::new(len)),
        head: Padded(AtomicUsize::new(0)),
        skip: AtomicUsize::new(usize::MAX),
        producer_gone: AtomicBool::new(false),
        consumer_gone: AtomicBool::new(false),
    });
    let tail = start + len;
    let at = if tail >= n { tail - n } else { tail };
    let ring = Ring { shared: shared.clone(), base, n, span };
    let producer = Producer { ring, tail: len, at, head: 0 };
    let ring = Ring { shared, base, n, span };
    (producer, Consumer { ring, head: 0, at: start, tail: len })
}

/// One half's handle on the ring.
struct Ring<S: PageSource> {
    shared: Arc<Shared<S>>,
    /// The block's first byte.
    base: NonNull<u8>,
    /// Its bytes, each counted once.
    n: usize,
    /// Bytes from `base` on that can be used: `n`, or twice that.
    span: usize,
}

/// The writing half; see the [module](self).
pub struct Producer<S: PageSource = crate::DefaultSource> {
    ring: Ring<S>,
    /// What `Shared::tail` is.
    tail: usize,
    /// Where in the block that is; below `n`.
    at: usize,
    /// What `Shared::head` was when it was last looked at.
    head: usize,
}

/// The reading half; see the [module](self).
pub struct Consumer<S: PageSource = crate::DefaultSource> {
    ring: Ring<S>,
    /// What `Shared::head` is.
    head: usize,
    /// Where in the block that is; below `n`.
    at: usize,
    /// What `Shared::tail` was when it was last looked at.
    tail: usize,
}

// SAFETY: the halves touch disjoint bytes, handed over by `tail` and `head` (Release, Acquire), and
// are neither `Clone` nor usable through `&`. The last one to go drops the block, on any
// thread, while the other thread may have used it: `S: Send + Sync` allows both.
unsafe impl<S: PageSource + Send + Sync> Send for Ring<S> {}
// SAFETY: everything that touches bytes or positions takes `&mut` of a half.
unsafe impl<S: PageSource + Send + Sync> Sync for Ring<S> {}

/// Why a message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// There is no room for it now.
    #[error("{asked} bytes do not fit now")]
    Full {
        /// Bytes that it takes, its length included.
        asked: usize,
    },
    /// There may never be room for it: of a ring whose pages do not show twice, half can be skipped.
    #[error("a message of {len} bytes; room for {max} is certain")]
    TooLarge {
        /// Its bytes.
        len: usize,
        /// The most for which there is room once everything is read.
        max: usize,
    },
    /// The consumer is gone.
    #[error("the consumer is gone")]
    Closed,
}

impl<S: PageSource> Producer<S> {
    /// Bytes of the ring.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.ring.n
    }

    /// Whether the consumer is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.ring.shared.consumer_gone.load(Ordering::Acquire)
    }

    /// Where `n` bytes in one piece can be written, and how many are skipped before them.
    #[inline(always)]
    fn find(&mut self, n: usize) -> Option<(usize, usize)> {
        let rest = self.ring.span - self.at;
        let (at, skipped) = if n <= rest { (self.at, 0) } else { (0, rest) };
        let asked = skipped.checked_add(n)?;
        if asked > self.ring.n - self.tail.wrapping_sub(self.head) {
            self.head = self.ring.shared.head.0.load(Ordering::Acquire);
            if asked > self.ring.n - self.tail.wrapping_sub(self.head) {
                return None;
            }
        }
        Some((at, skipped))
    }

    /// `n` bytes to be written, in one piece, if there is room for them.
    ///
    /// ```
    /// # use pool_ring::spsc;
    /// let (mut producer, mut consumer) = spsc::channel(4096)?;
    /// let mut grant = producer.grant(100).unwrap();
    /// assert_eq!(grant.write(b"some"), 4);
    /// grant.publish(); // what was written, not all 100
    /// assert_eq!(consumer.read(), b"some");
    /// # Ok::<(), pool_core::PageError>(())
    /// ```
    #[inline]
    pub fn grant(&mut self, n: usize) -> Option<Grant<'_, S>> {
        let (at, skipped) = self.find(n)?;
        Some(Grant { producer: self, at, skipped, len: n, written: 0 })
    }

    /// Copies as many of `bytes` in as there is room for, and returns how many.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        let mut done = 0;
        while done < bytes.len() {
            let rest = (self.ring.span - self.at).min(bytes.len() - done);
            self.head = self.ring.shared.head.0.load(Ordering::Acquire);
            let n = rest.min(self.ring.n - self.tail.wrapping_sub(self.head));
            match self.grant(n) {
                Some(mut grant) if n > 0 => done += grant.write(&bytes[done..done + n]),
                _ => break,
            }
        }
        done
    }

    /// Sends a message: it arrives whole. Use either messages or bytes on a ring.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent.
    #[inline]
    pub fn send(&mut self, message: &[u8]) -> Result<(), SendError> {
        if let Ok(len) = u32::try_from(message.len()) {
            if let Some(mut grant) = self.grant(message.len().saturating_add(HEADER)) {
                grant.write(&len.to_le_bytes());
                grant.write(message);
                return Ok(());
            }
        }
        Err(self.refuse(message.len()))
    }

    #[cold]
    fn refuse(&self, len: usize) -> SendError {
        // With half a ring there is room behind a skip, or before it, once all is read.
        let most = if self.ring.span == self.ring.n { self.ring.n / 2 } else { self.ring.n };
        let max = most.saturating_sub(HEADER).min(u32::MAX as usize);
        if self.is_closed() {
            SendError::Closed
        } else if len > max {
            SendError::TooLarge { len, max }
        } else {
            SendError::Full { asked: len + HEADER }
        }
    }

    /// Publishes `len` bytes at `at`, and that `skipped` bytes before them are none.
    ///
    /// # Safety
    /// `find` has found the place, and the bytes are initialised.
    #[inline(always)]
    unsafe fn publish(&mut self, at: usize, skipped: usize, len: usize) {
        if len == 0 {
            return;
        }
        let Ring { shared, base, n, .. } = &mut self.ring;
        crate::block::fence(*base);
        let end = at + len;
        // Also where nothing was skipped at the end of a lap: so that `skip` is never old enough
        // for positions to have come round to it.
        if skipped > 0 || end >= *n {
            let from = if skipped > 0 { self.tail } else { self.tail.wrapping_add(*n - at) };
            if skipped > 0 || end == *n {
                shared.skip.store(from, Ordering::Relaxed);
            }
        }
        self.at = if end >= *n { end - *n } else { end };
        self.tail = self.tail.wrapping_add(skipped + len);
        shared.tail.0.store(self.tail, Ordering::Release);
    }
}

/// A place to write, lent by [`Producer::grant`]. Dropping it publishes what [`write`](Self::write) has written.
pub struct Grant<'p, S: PageSource> {
    producer: &'p mut Producer<S>,
    at: usize,
    skipped: usize,
    len: usize,
    /// So many bytes from the front are initialised.
    written: usize,
}

impl<S: PageSource> Grant<'_, S> {
    /// The whole place, initialised or not. What [`write`](Self::write) has written before counts no longer, for it may be
    /// overwritten by anything; [`commit`](Self::commit) says how much there is from the front on.
    #[inline]
    #[must_use]
    pub fn as_uninit_mut(&mut self) -> &mut [MaybeUninit<u8>] {
        self.written = 0;
        self.place()
    }

    /// The place. What `written` counts must stay initialised.
    #[inline(always)]
    fn place(&mut self) -> &mut [MaybeUninit<u8>] {
        let ring = &mut self.producer.ring;
        ring.shared.track.write(self.at, self.len);
        crate::block::fence(ring.base);
        // SAFETY: `find` has seen that the place lies within `span`.
        let start = unsafe { ring.base.add(self.at) };
        let mut slice = NonNull::slice_from_raw_parts(start.cast(), self.len);
        // SAFETY: the bytes are the producer's until they are published (`find` has compared
        // with a `head` loaded with Acquire), the producer is borrowed exclusively, and no byte is among them twice
        // because they are at most `n`.
        unsafe { slice.as_mut() }
    }

    /// Copies as many of `bytes` as there is room for behind what was written, and returns how many.
    #[inline]
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        let written = self.written;
        let n = bytes.len().min(self.len - written);
        let place = self.place()[written..written + n].as_mut_ptr();
        // SAFETY: `place` is as long as what is copied, and borrowed exclusively.
        unsafe { place.cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), n) };
        self.written += n;
        n
    }

    /// Publishes what was written, as dropping does.
    #[inline]
    pub fn publish(self) {}

    /// Publishes the first `n` bytes of the place, however they were written, and nothing else.
    ///
    /// # Panics
    /// If the grant is shorter.
    ///
    /// # Safety
    /// They are initialised.
    #[inline]
    pub unsafe fn commit(mut self, n: usize) {
        assert!(n <= self.len, "{n} bytes committed of {}", self.len);
        self.written = n;
    }
}

impl<S: PageSource> Drop for Grant<'_, S> {
    #[inline]
    fn drop(&mut self) {
        let (at, skipped, written) = (self.at, self.skipped, self.written);
        // SAFETY: `grant` had the place from `find`, and `written` bytes are initialised.
        unsafe { self.producer.publish(at, skipped, written) };
    }
}

impl<S: PageSource> Consumer<S> {
    /// Bytes of the ring.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.ring.n
    }

    /// Whether the producer is gone **and** everything was read.
    #[must_use]
    pub fn is_closed(&mut self) -> bool {
        // First the flag: what was sent before it was set is seen by `window` then.
        self.ring.shared.producer_gone.load(Ordering::Acquire) && self.window(1) == 0
    }

    /// Bytes that can be read in one piece; looks for more if less than `least` are known of.
    #[inline(always)]
    fn window(&mut self, least: usize) -> usize {
        let mut ready = self.tail.wrapping_sub(self.head);
        if ready < least {
            self.tail = self.ring.shared.tail.0.load(Ordering::Acquire);
            ready = self.tail.wrapping_sub(self.head);
        }
        if self.at + ready <= self.ring.span {
            // All within one lap, or in two views; but a lap may have been cut short.
            if self.ring.span != self.ring.n || self.at + ready < self.ring.n {
                return ready;
            }
        }
        self.window_to_skip(ready)
    }

    /// The same where the bytes reach the end of a lap.
    fn window_to_skip(&mut self, ready: usize) -> usize {
        let skip = self.ring.shared.skip.load(Ordering::Relaxed);
        let before = skip.wrapping_sub(self.head);
        // At the beginning of a lap nothing is skipped; `skip` may be the end of the last one.
        if before >= ready || self.at == 0 {
            return ready.min(self.ring.span - self.at);
        }
        if before > 0 {
            return before;
        }
        self.head = self.head.wrapping_add(self.ring.n - self.at);
        self.at = 0;
        self.tail.wrapping_sub(self.head)
    }

    /// What can be read, in one piece; empty if there is nothing. There may be more behind it once this
    /// is consumed.
    #[inline]
    #[must_use]
    pub fn read(&mut self) -> &[u8] {
        let len = self.window(usize::MAX);
        // SAFETY: `window` has seen that they are published, in one piece.
        unsafe { self.slice(0, len) }
    }

    /// Bytes `[from, from + len)` of what can be read.
    ///
    /// # Safety
    /// They can be, in one piece.
    #[inline(always)]
    unsafe fn slice(&mut self, from: usize, len: usize) -> &[u8] {
        let ring = &mut self.ring;
        ring.shared.track.read(self.at + from, len);
        crate::block::fence(ring.base);
        // SAFETY: within `span` by the caller's promise.
        let start = unsafe { ring.base.add(self.at + from) };
        let slice = NonNull::slice_from_raw_parts(start, len);
        // SAFETY: the bytes were published (loaded with Acquire), are initialised, and stay the
        // consumer's until `consume`, which needs `&mut self`.
        unsafe { slice.as_ref() }
    }

    /// Takes `n` bytes out.
    ///
    /// # Panics
    /// If [`read`](Self::read) has not that many.
    #[inline]
    #[track_caller]
    pub fn consume(&mut self, n: usize) {
        let ready = self.window(n);
        assert!(n <= ready, "{n} bytes consumed of {ready}");
        self.release(n);
    }

    #[inline(always)]
    fn release(&mut self, n: usize) {
        crate::block::fence(self.ring.base);
        self.at += n;
        if self.at >= self.ring.n {
            self.at -= self.ring.n;
        }
        self.head = self.head.wrapping_add(n);
        self.ring.shared.head.0.store(self.head, Ordering::Release);
    }

    /// The next message, if one is there; dropping it makes its room free. Forgotten, it is lent again.
    #[inline]
    pub fn recv(&mut self) -> Option<Message<'_, S>> {
        let ready = self.window(HEADER + 1);
        if ready < HEADER {
            return None;
        }
        // SAFETY: at least so many can be read.
        let header = unsafe { self.slice(0, HEADER) };
        let len = header.first_chunk().map_or(0, |&len| u32::from_le_bytes(len)) as usize;
        if len > ready - HEADER {
            // Bytes that are no messages; those are published whole.
            return None;
        }
        Some(Message { consumer: self, len })
    }
}

/// A message, lent by [`Consumer::recv`]; derefs to its bytes.
pub struct Message<'c, S: PageSource> {
    consumer: &'c mut Consumer<S>,
    len: usize,
}

impl<S: PageSource> Deref for Message<'_, S> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        let Consumer { ring, at, .. } = &*self.consumer;
        ring.shared.track.read(at + HEADER, self.len);
        // SAFETY: `recv` has seen that header and message can be read in one piece.
        let start = unsafe { ring.base.add(at + HEADER) };
        let slice = NonNull::slice_from_raw_parts(start, self.len);
        // SAFETY: as in `Consumer::slice`; they are released when this is dropped.
        unsafe { slice.as_ref() }
    }
}

impl<S: PageSource> Drop for Message<'_, S> {
    #[inline]
    fn drop(&mut self) {
        self.consumer.release(HEADER + self.len);
    }
}

impl<S: PageSource> Drop for Producer<S> {
    fn drop(&mut self) {
        self.ring.shared.producer_gone.store(true, Ordering::Release);
    }
}

impl<S: PageSource> Drop for Consumer<S> {
    fn drop(&mut self) {
        self.ring.shared.consumer_gone.store(true, Ordering::Release);
    }
}

macro_rules! debug {
    ($($half:ident $(<$life:lifetime>)?),*) => {$(
        impl<$($life,)? S: PageSource> fmt::Debug for $half<$($life,)? S> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($half)).finish_non_exhaustive()
            }
        }
    )*};
}
debug!(Producer, Consumer, Grant<'p>, Message<'c>);
