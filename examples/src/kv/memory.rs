//! The memory strategy: one type parameter decides what everything in the server is made of.
//!
//! | what | lives for | trait | `--alloc std` | `--alloc pool` |
//! |---|---|---|---|---|
//! | bytes that are no whole request yet | until the rest comes | [`Inbox`] | [`PageInbox`]: a run of pages a connection | the same |
//! | arguments, replies, texts in between | one batch of requests | [`Batch`] | [`VecBatch`]: vectors | [`ArenaBatch`]: an arena, reset a batch |
//! | keys, values, tables | until deleted | [`Data`], charged by [`Room`] | `Global`, the global allocator | `LocalHeap`: a heap of small objects |
//! | connections | until closed | [`Table`] | a `Slab` | the same |
//! | replies that a slow reader leaves | until it reads | none: [`Buffers`](super::buffer::Buffers) over [`Memory::Source`] | runs of pages | the same |
//!
//! [`Memory`] puts a strategy together from one of each. The handlers see `impl Sink`, `impl
//! Scratch` and `&[u8]`, never a strategy. Everything that can refuse returns [`OutOfMemory`], so a
//! budget anywhere beneath ends as a reply to one client.
#![forbid(unsafe_code)]

mod arena;
mod data;
mod page_inbox;
mod vectors;

pub use arena::{ArenaBatch, ArenaList, Rope};
pub use data::{Budget, Bytes, Data, Room};
pub use page_inbox::PageInbox;
pub use vectors::{SmallLists, VecBatch};

use super::reply::{OutOfMemory, Sink};
use allocator_api2::alloc::Global;
use pool_core::{Background, Cache, Limit, Mmap, PageSource, Stats};
use pool_object::LocalHeap;
use slab::Slab;
use std::io::{self, Read};
use std::rc::Rc;
use std::sync::Arc;

/// The stack that connection buffers and arenas come from: counted, within a budget, and with a
/// cache that gives back what a rush has left. `Rc` because the server is one thread and every
/// buffer keeps a handle.
pub type PageStack = Rc<Stats<Limit<Arc<Cache<Mmap>>>>>;

/// The cache that all stacks of a server draw from, and the thread that lets it decay while nobody
/// sends anything (without such a thread it decays by what connections do).
fn page_cache() -> (Arc<Cache<Mmap>>, Option<Background>) {
    let cache = Arc::new(Mmap::builder().name("kv").build().cached());
    let decay = cache.decay_in_background().ok();
    (cache, decay)
}

/// Limits in bytes that a strategy keeps.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most bytes of one request.
    pub max_frame: usize,
    /// Most bytes of stored keys and values.
    pub memory: usize,
    /// Most bytes of connections' buffers, and of arenas.
    pub buffers: usize,
}

/// What the server's memory is made of.
pub trait Memory: Sized + 'static {
    /// Its name for the banner and `INFO`.
    const NAME: &'static str;

    /// Where connection buffers come from.
    type Source: PageSource + Clone;
    /// The receiving side.
    type Inbox: Inbox;
    /// What lives for one batch of requests.
    type Batch: Batch + 'static;
    /// The allocator of keys, values and their tables.
    type Data: Data;
    /// Things with a token each: the connections.
    type Table<T>: Table<T>;

    /// A strategy with these limits.
    fn new(limits: Limits) -> Self;

    /// A handle on the page source.
    fn source(&self) -> Self::Source;

    /// The one inbox of a worker thread.
    fn inbox(&self) -> Self::Inbox;

    /// The one batch of a worker thread.
    fn batch(&self) -> Self::Batch;

    /// A handle on the memory of a worker thread's store.
    fn data(&self) -> Self::Data;
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

/// Memory of one batch of requests: what a client has sent before it waits for replies.
pub trait Batch {
    /// Where lists and texts come from while the batch is open.
    type Scratch<'b>: Scratch
    where
        Self: 'b;
    /// The replies of the batch.
    type Replies<'b>: Sink
    where
        Self: 'b;

    /// Begins a batch.
    fn open(&mut self) -> (Self::Scratch<'_>, Self::Replies<'_>);

    /// Ends it, when its replies are sent or queued: everything of it is gone, and what is more than
    /// a common batch needs is given back.
    fn close(&mut self);
}

/// The scratch memory of a strategy, while a batch is open.
pub type ScratchOf<'b, M> = <<M as Memory>::Batch as Batch>::Scratch<'b>;

/// A handle on the open batch's memory: makes lists that are gone with the batch.
pub trait Scratch: Copy {
    /// A growing list.
    type List<T: Copy + Default + 'static>: List<T>;

    /// An empty one. Room for `common` items is taken at once where that is cheap; 0 for a list that
    /// is often not needed.
    fn list<T: Copy + Default + 'static>(self, common: usize) -> Self::List<T>;

    /// Names and values for `INFO memory`.
    fn observe(self, visit: &mut dyn FnMut(&str, u64));
}

/// A vector whose growth can be refused.
pub trait List<T> {
    /// Appends an item.
    ///
    /// # Errors
    /// [`OutOfMemory`]; the list is as it was.
    fn push(&mut self, item: T) -> Result<(), OutOfMemory>;

    /// Appends all items or none.
    ///
    /// # Errors
    /// [`OutOfMemory`]; the list is as it was.
    fn extend(&mut self, items: &[T]) -> Result<(), OutOfMemory>;

    /// Forgets the items, and keeps the room.
    fn clear(&mut self);

    /// The items.
    fn as_slice(&self) -> &[T];

    /// The items, to be changed.
    fn as_mut_slice(&mut self) -> &mut [T];
}

/// Things under tokens that an event loop can hand to the system.
pub trait Table<T>: Default {
    /// The token that the next [`insert`](Self::insert) gives.
    fn next_token(&self) -> usize;

    /// Adds a thing; its token, below `usize::MAX / 2`.
    fn insert(&mut self, thing: T) -> usize;

    /// The thing under `token`, if there is one.
    fn get_mut(&mut self, token: usize) -> Option<&mut T>;

    /// Takes it out.
    fn remove(&mut self, token: usize) -> Option<T>;

    /// How many there are.
    fn count(&self) -> usize;
}

impl<T> Table<T> for Slab<T> {
    fn next_token(&self) -> usize {
        self.vacant_key()
    }

    fn insert(&mut self, thing: T) -> usize {
        Slab::insert(self, thing)
    }

    fn get_mut(&mut self, token: usize) -> Option<&mut T> {
        Slab::get_mut(self, token)
    }

    fn remove(&mut self, token: usize) -> Option<T> {
        self.try_remove(token)
    }

    fn count(&self) -> usize {
        self.len()
    }
}

/// Plain memory: boxes and vectors of the global allocator. The yardstick.
#[derive(Debug)]
pub struct Std {
    source: PageStack,
    _decay: Option<Background>,
    limits: Limits,
}

impl Memory for Std {
    const NAME: &'static str = "std";

    type Source = PageStack;
    type Inbox = PageInbox<PageStack>;
    type Batch = VecBatch;
    type Data = Global;
    type Table<T> = Slab<T>;

    fn new(limits: Limits) -> Self {
        let (cache, _decay) = page_cache();
        Self { source: Rc::new(cache.limited(limits.buffers).counted()), _decay, limits }
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

    fn data(&self) -> Global {
        Global
    }
}

/// The pool crates: an arena a batch, a heap of small objects for the data.
#[derive(Debug)]
pub struct Pool {
    source: PageStack,
    data: LocalHeap<PageStack>,
    _decay: Option<Background>,
    limits: Limits,
}

/// Bytes of pages that the heap may hold beyond the budget of what lies in it: spans that are not
/// full, tables that are being moved.
const SLACK: usize = 32 << 20;

impl Memory for Pool {
    const NAME: &'static str = "pool";

    type Source = PageStack;
    type Inbox = PageInbox<PageStack>;
    type Batch = ArenaBatch<PageStack>;
    type Data = LocalHeap<PageStack>;
    type Table<T> = Slab<T>;

    fn new(limits: Limits) -> Self {
        let (cache, _decay) = page_cache();
        let source = Rc::new(cache.clone().limited(limits.buffers).counted());
        let held = limits.memory.saturating_add(limits.memory / 2).saturating_add(SLACK);
        let data = LocalHeap::new_in(Rc::new(cache.limited(held).counted()));
        Self { source, data, _decay, limits }
    }

    fn source(&self) -> PageStack {
        self.source.clone()
    }

    fn inbox(&self) -> Self::Inbox {
        PageInbox::new(self.source(), self.limits.max_frame)
    }

    fn batch(&self) -> Self::Batch {
        ArenaBatch::new(self.source())
    }

    fn data(&self) -> Self::Data {
        self.data.clone()
    }
}
