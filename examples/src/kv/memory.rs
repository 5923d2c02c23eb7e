//! The memory strategy: one type parameter decides what everything in the server is made of.
//!
//! | what | lives for | here | with the pool crates |
//! |---|---|---|---|
//! | bytes of a connection that are no whole request yet | until the rest comes | [`Inbox`]: a run of pages a connection | `PacketRing` |
//! | replies | one batch of requests | [`Batch`]: a vector | an `Arena`, reset a batch |
//! | replies that a slow reader leaves | until it reads | a [`Buffer`] of runs | the same |
//! | keys and values | until deleted | [`Memory::Bytes`]: boxes | `SmallAlloc` |
//!
//! The handlers (`command.rs`) see `impl Reply` and `&[u8]`, never a strategy. Everything that can
//! refuse returns [`OutOfMemory`], so a budget anywhere beneath ends as a reply to one client.
#![forbid(unsafe_code)]

use super::buffer::{Buffer, Buffers};
use super::reply::{OutOfMemory, Reply};
use pool_core::{Background, Cache, Limit, Mmap, PageSource, Stats};
use std::borrow::Borrow;
use std::cell::Cell;
use std::hash::Hash;
use std::io::{self, Read};
use std::rc::Rc;
use std::sync::Arc;

/// The stack that connection buffers come from: counted, within a budget, and with a cache that
/// gives back what a rush has left. `Rc` because the server is one thread and every buffer keeps a
/// handle.
pub type PageStack = Rc<Stats<Limit<Arc<Cache<Mmap>>>>>;

/// Makes the stack, and starts the thread that lets its cache decay while nobody sends anything.
#[must_use]
pub fn page_stack(limit: usize) -> (PageStack, Option<Background>) {
    let cache = Arc::new(Mmap::builder().name("kv buffers").build().cached());
    // Without such a thread the cache decays by what connections do.
    let decay = cache.decay_in_background().ok();
    (Rc::new(cache.limited(limit).counted()), decay)
}

/// Limits in bytes that a strategy keeps.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most bytes of one request.
    pub max_frame: usize,
    /// Most bytes of stored keys and values.
    pub memory: usize,
    /// Most bytes of connections' buffers.
    pub buffers: usize,
}

/// What the server's memory is made of.
pub trait Memory: Sized + 'static {
    /// Its name for the banner and `INFO`.
    const NAME: &'static str;

    /// Where connection buffers come from.
    type Source: PageSource + Clone;
    /// A stored key or value.
    type Bytes: Borrow<[u8]> + Eq + Hash;
    /// The receiving side.
    type Inbox: Inbox;
    /// The replies of a batch of requests.
    type Batch: Batch;

    /// A strategy with these limits.
    fn new(limits: Limits) -> Self;

    /// A handle on the page source.
    fn source(&self) -> Self::Source;

    /// The one inbox of a worker thread.
    fn inbox(&self) -> Self::Inbox;

    /// The one batch of a worker thread.
    fn batch(&self) -> Self::Batch;

    /// Stores a copy of `bytes`, charged with `overhead` more to the budget.
    ///
    /// # Errors
    /// [`OutOfMemory`] over budget; nothing has changed then.
    fn store(&self, bytes: &[u8], overhead: usize) -> Result<Self::Bytes, OutOfMemory>;

    /// Ends what [`store`](Self::store) began, with the same `overhead`. (Explicit, so that a stored
    /// value need not carry a handle on its allocator: 8 bytes a value.)
    fn discard(&self, bytes: Self::Bytes, overhead: usize);

    /// Bytes charged now, the most there ever were, and the limit.
    fn budget(&self) -> Budget;
}

/// Bytes of stored data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// Charged now.
    pub used: usize,
    /// The most ever charged at once.
    pub peak: usize,
    /// Allowed.
    pub limit: usize,
}

/// The receiving side of a worker: bytes in, and what is not a request yet is kept.
///
/// The order for each connection is: [`read`](Self::read) once, then [`pending`](Self::pending) and
/// [`consume`](Self::consume) frame by frame, then [`settle`](Self::settle). `pending` also works
/// without a read before it, for a connection that was paused.
pub trait Inbox {
    /// What a connection keeps between two turns; the default keeps nothing.
    type Partial: Default;

    /// Reads once from `from`, behind what is pending. `Ok(0)` is the end of the stream.
    ///
    /// # Errors
    /// Of kind `OutOfMemory` when there is no room to read into (the connection is then to be
    /// closed: its bytes cannot be kept), or the stream's own.
    fn read(&mut self, partial: &mut Self::Partial, from: &mut impl Read) -> io::Result<ReadSome>;

    /// All bytes that are not consumed.
    fn pending<'a>(&'a self, partial: &'a Self::Partial) -> &'a [u8];

    /// The first `len` of them are done with.
    fn consume(&mut self, partial: &mut Self::Partial, len: usize);

    /// Ends the connection's turn: keeps what is pending as small as it can, nothing if nothing is.
    fn settle(&mut self, partial: &mut Self::Partial);

    /// Ends the connection: its pending bytes are dropped.
    fn discard(&mut self, partial: &mut Self::Partial);

    /// Names and values for `INFO memory`.
    fn observe(&self, visit: &mut dyn FnMut(&str, u64));
}

/// What one read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadSome {
    /// Bytes read; 0 is the end of the stream.
    pub len: usize,
    /// Whether there was room for more: then the stream had no more at that moment.
    pub short: bool,
}

/// Memory of one batch of requests.
pub trait Batch {
    /// The replies of the batch.
    type Reply<'b>: Reply
    where
        Self: 'b;

    /// Begins a batch: everything of the last one is gone.
    fn open(&mut self) -> Self::Reply<'_>;
}

/// An [`Inbox`] of one run of pages a connection, held only while bytes are pending.
#[derive(Debug)]
pub struct PageInbox<S: PageSource> {
    buffers: Buffers<S>,
    max_frame: usize,
}

impl<S: PageSource + Clone> PageInbox<S> {
    /// Runs from `source`, at most `max_frame` bytes (and their rounding) a connection.
    pub const fn new(source: S, max_frame: usize) -> Self {
        Self { buffers: Buffers::new(source), max_frame }
    }
}

impl<S: PageSource + Clone> Inbox for PageInbox<S> {
    type Partial = Option<Buffer<S>>;

    fn read(&mut self, partial: &mut Self::Partial, from: &mut impl Read) -> io::Result<ReadSome> {
        let none = |_| io::Error::from(io::ErrorKind::OutOfMemory);
        let buffer = match partial {
            Some(buffer) => buffer,
            None => partial.insert(self.buffers.get().map_err(none)?),
        };
        self.buffers.make_room(buffer, self.max_frame).map_err(none)?;
        let room = buffer.spare_mut();
        let len = from.read(room)?;
        let short = len < room.len();
        buffer.commit(len);
        Ok(ReadSome { len, short })
    }

    #[inline]
    fn pending<'a>(&'a self, partial: &'a Self::Partial) -> &'a [u8] {
        partial.as_ref().map_or(&[], Buffer::filled)
    }

    #[inline]
    fn consume(&mut self, partial: &mut Self::Partial, len: usize) {
        if let Some(buffer) = partial {
            buffer.consume(len);
        }
    }

    fn settle(&mut self, partial: &mut Self::Partial) {
        match partial {
            Some(buffer) if buffer.filled().is_empty() => self.discard(partial),
            Some(buffer) => self.buffers.shrink(buffer),
            None => {}
        }
    }

    fn discard(&mut self, partial: &mut Self::Partial) {
        if let Some(buffer) = partial.take() {
            self.buffers.put(buffer);
        }
    }

    fn observe(&self, visit: &mut dyn FnMut(&str, u64)) {
        let (live, bytes) = self.buffers.live();
        visit("inbox_buffers", live as u64);
        visit("inbox_bytes", bytes as u64);
        for (name, value) in self.buffers.source().snapshot().fields() {
            visit(name, value);
        }
    }
}

/// Plain memory: boxes and vectors of the global allocator. The yardstick.
#[derive(Debug)]
pub struct Std {
    source: PageStack,
    _decay: Option<Background>,
    limits: Limits,
    used: Cell<usize>,
    peak: Cell<usize>,
}

impl Std {
    /// Charges `len` bytes or refuses.
    fn charge(&self, len: usize) -> Result<(), OutOfMemory> {
        let used = self.used.get().checked_add(len).filter(|&used| used <= self.limits.memory);
        self.used.set(used.ok_or(OutOfMemory)?);
        self.peak.set(self.peak.get().max(self.used.get()));
        Ok(())
    }
}

impl Memory for Std {
    const NAME: &'static str = "std";

    type Source = PageStack;
    type Bytes = Box<[u8]>;
    type Inbox = PageInbox<PageStack>;
    type Batch = VecBatch;

    fn new(limits: Limits) -> Self {
        let (source, _decay) = page_stack(limits.buffers);
        Self { source, _decay, limits, used: Cell::new(0), peak: Cell::new(0) }
    }

    fn source(&self) -> PageStack {
        self.source.clone()
    }

    fn inbox(&self) -> Self::Inbox {
        PageInbox::new(self.source(), self.limits.max_frame)
    }

    fn batch(&self) -> VecBatch {
        VecBatch::default()
    }

    fn store(&self, bytes: &[u8], overhead: usize) -> Result<Box<[u8]>, OutOfMemory> {
        let charge = bytes.len().checked_add(overhead).ok_or(OutOfMemory)?;
        self.charge(charge)?;
        let mut copy = Vec::new();
        if copy.try_reserve_exact(bytes.len()).is_err() {
            self.used.set(self.used.get() - charge);
            return Err(OutOfMemory);
        }
        copy.extend_from_slice(bytes);
        Ok(copy.into_boxed_slice())
    }

    fn discard(&self, bytes: Box<[u8]>, overhead: usize) {
        self.used.set(self.used.get() - bytes.len() - overhead);
    }

    fn budget(&self) -> Budget {
        Budget { used: self.used.get(), peak: self.peak.get(), limit: self.limits.memory }
    }
}

/// A vector that is used again, unless one batch made it very long.
#[derive(Debug, Default)]
pub struct VecBatch {
    bytes: Vec<u8>,
}

/// Bytes of capacity that a [`VecBatch`] keeps from one batch to the next.
const KEPT: usize = 1 << 20;

impl Batch for VecBatch {
    type Reply<'b> = &'b mut Vec<u8>;

    #[inline]
    fn open(&mut self) -> &mut Vec<u8> {
        self.bytes.clear();
        if self.bytes.capacity() > KEPT {
            self.bytes = Vec::new();
        }
        &mut self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(memory: usize) -> Limits {
        Limits { max_frame: 1 << 20, memory, buffers: 1 << 30 }
    }

    #[test]
    fn the_budget_is_exact() {
        let memory = Std::new(limits(100));
        let a = memory.store(&[1; 40], 10).unwrap();
        assert_eq!(memory.store(&[1; 50], 1), Err(OutOfMemory));
        let b = memory.store(&[2; 50], 0).unwrap();
        assert_eq!(memory.budget(), Budget { used: 100, peak: 100, limit: 100 });
        memory.discard(a, 10);
        memory.discard(b, 0);
        assert_eq!(memory.budget(), Budget { used: 0, peak: 100, limit: 100 });
        assert_eq!(memory.store(&[1], usize::MAX), Err(OutOfMemory));
    }

    #[test]
    fn an_inbox_holds_a_run_only_while_bytes_are_pending() {
        let mut inbox = Std::new(limits(0)).inbox();
        let mut partial = None;
        let read = inbox.read(&mut partial, &mut &b"abc"[..]).unwrap();
        assert_eq!(read, ReadSome { len: 3, short: true });
        inbox.consume(&mut partial, 2);
        inbox.settle(&mut partial);
        assert_eq!(inbox.pending(&partial), b"c");
        inbox.consume(&mut partial, 1);
        inbox.settle(&mut partial);
        assert!(partial.is_none());
    }
}
