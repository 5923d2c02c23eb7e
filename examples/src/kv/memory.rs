//! The memory strategy: one type parameter decides what everything in the server is made of.
//!
//! | what | lives for | trait | `--alloc std` | `--alloc pool` |
//! |---|---|---|---|---|
//! | bytes that are no whole request yet | until the rest comes | [`Inbox`] | [`PageInbox`]: a run of pages a connection | [`PacketInbox`]: a packet ring |
//! | arguments, replies, texts in between | one batch of requests | [`Batch`] | [`VecBatch`]: vectors | [`ArenaBatch`]: an arena, reset a batch |
//! | keys, values, tables | until deleted | [`Data`], charged by [`Room`] | `Global`, the global allocator | `LocalHeap`: a heap of small objects |
//! | connections | until closed | [`Table`] | a `Slab` | a `SlotTable` |
//! | replies that a slow reader leaves | until it reads | none: [`Outboxes`](super::outbox::Outboxes) over [`Memory::Source`] | runs of pages | the same |
//!
//! [`Plain`] is `std` with another allocator beneath all of it: mimalloc or jemalloc, features of these names.
//!
//! [`Memory`] puts a strategy together from one of each. The handlers see `impl Sink`, `impl
//! Scratch` and `&[u8]`, never a strategy. Everything that can refuse returns [`OutOfMemory`], so a
//! budget anywhere beneath ends as a reply to one client.

mod arena;
mod blocks;
mod data;
mod foreign;
mod inbox;
mod packet_inbox;
mod page_inbox;
mod plain;
mod stacks;
mod table;
mod vectors;

pub use arena::{ArenaBatch, ArenaList, Ground, Rope};
pub use blocks::append;
pub use data::{Budget, Bytes, Data, Room};
pub use foreign::BlockPages;
#[cfg(feature = "jemalloc")]
pub use foreign::Jemalloc;
#[cfg(feature = "mimalloc")]
pub use foreign::Mimalloc;
pub use inbox::{Figures, Inbox, Received};
pub use packet_inbox::{PacketInbox, PacketReceived};
pub use page_inbox::{PageInbox, PageReceived};
pub use plain::{BlockBatch, BlockStack, Filled, Lists, Named, Places, Plain};
pub use stacks::{CountedPages, PageStack, Stacks};
pub use table::Table;
pub use vectors::{SmallLists, VecBatch};

use super::reply::{OutOfMemory, Sink};
use allocator_api2::alloc::{Allocator, Global};
use pool_core::{PageError, PageSource};
use pool_object::{LocalHeap, SharedHeap, SlotTable};
use slab::Slab;
use std::ops::DerefMut;

/// Limits that a strategy keeps; sizes are bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most bytes of one request.
    pub max_frame: usize,
    /// Most bytes of stored keys and values.
    pub memory: usize,
    /// Most bytes of requests that have not all arrived.
    pub partials: usize,
    /// Most bytes of unread replies, connections and arenas.
    pub buffers: usize,
    /// Whether no memory may be in huge pages.
    pub no_huge_pages: bool,
}

impl Limits {
    /// What one of so many threads may have. (A frame is a frame.)
    #[must_use]
    pub const fn share(self, of: usize) -> Self {
        let Self { memory, partials, buffers, .. } = self;
        Self { memory: memory / of, partials: partials / of, buffers: buffers / of, ..self }
    }
}

/// What the server's memory is made of.
pub trait Memory: Sized + 'static {
    /// Its name for the banner and `INFO`.
    const NAME: &'static str;

    /// Where unread replies wait.
    type Source: PageSource + Clone;
    /// The receiving side.
    type Inbox: Inbox;
    /// What lives for one batch of requests.
    type Batch: Batch + 'static;
    /// The allocator of keys, values and their tables.
    type Data: Data;
    /// Things with a token each: the connections.
    type Table<T>: Table<T>;
    /// The allocator of letters between threads: they are written on one and freed on another.
    type Mail: Allocator + Clone + Send + 'static;

    /// A strategy with these limits.
    ///
    /// # Errors
    /// The system's, if it has no memory to begin with.
    fn new(limits: Limits) -> Result<Self, PageError>;

    /// A handle on the pages of unread replies.
    fn source(&self) -> Self::Source;

    /// What those pages are charged to.
    fn unread(&self) -> pool_core::Budget;

    /// The one inbox of a worker thread.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    fn inbox(&self) -> Result<Self::Inbox, PageError>;

    /// The one batch of a worker thread.
    fn batch(&self) -> Self::Batch;

    /// A handle on the memory of a worker thread's store.
    fn data(&self) -> Self::Data;

    /// An empty table.
    fn table<T>(&self) -> Self::Table<T>;

    /// The memory of letters, one for all threads.
    fn mail() -> Self::Mail;
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
pub trait List<T>: DerefMut<Target = [T]> {
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
    #[inline]
    fn as_slice(&self) -> &[T] {
        self
    }

    /// The items, to be changed.
    #[inline]
    fn as_mut_slice(&mut self) -> &mut [T] {
        self
    }
}

/// Plain memory: boxes and vectors of the global allocator. The yardstick.
#[derive(Debug)]
pub struct Std(Stacks);

impl Memory for Std {
    const NAME: &'static str = "std";

    type Source = PageStack;
    type Inbox = PageInbox<PageStack>;
    type Batch = VecBatch;
    type Data = Global;
    type Table<T> = Slab<T>;
    type Mail = Global;

    fn new(limits: Limits) -> Result<Self, PageError> {
        Ok(Self(Stacks::new(limits)))
    }

    fn source(&self) -> PageStack {
        self.0.backlog.clone()
    }

    fn unread(&self) -> pool_core::Budget {
        self.0.backlog.budget().clone()
    }

    fn inbox(&self) -> Result<Self::Inbox, PageError> {
        Ok(PageInbox::new(self.0.partials.clone(), self.0.limits.max_frame))
    }

    fn batch(&self) -> VecBatch {
        VecBatch::default()
    }

    fn data(&self) -> Global {
        Global
    }

    fn table<T>(&self) -> Slab<T> {
        Slab::new()
    }

    fn mail() -> Global {
        Global
    }
}

/// The pool crates: one packet ring, one arena and one heap of small objects a worker, connections in a
/// slot table.
#[derive(Debug)]
pub struct Pool {
    stacks: Stacks,
    data: LocalHeap<PageStack>,
}

impl Memory for Pool {
    const NAME: &'static str = "pool";

    type Source = PageStack;
    type Inbox = PacketInbox<CountedPages>;
    type Batch = ArenaBatch<PageStack>;
    type Data = LocalHeap<PageStack>;
    type Table<T> = SlotTable<T, PageStack>;
    type Mail = SharedHeap;

    fn new(limits: Limits) -> Result<Self, PageError> {
        let stacks = Stacks::new(limits);
        let data = LocalHeap::new_in(stacks.data.clone());
        Ok(Self { stacks, data })
    }

    fn source(&self) -> PageStack {
        self.stacks.backlog.clone()
    }

    fn unread(&self) -> pool_core::Budget {
        self.stacks.backlog.budget().clone()
    }

    /// The ring keeps its own budget, and acquires the addresses of all of it: so it is not charged
    /// to another.
    fn inbox(&self) -> Result<Self::Inbox, PageError> {
        PacketInbox::new(self.stacks.ring.clone(), self.stacks.limits.partials)
    }

    fn batch(&self) -> Self::Batch {
        ArenaBatch::new(self.stacks.buffers.clone())
    }

    fn data(&self) -> Self::Data {
        self.data.clone()
    }

    fn table<T>(&self) -> Self::Table<T> {
        SlotTable::new_in(self.stacks.buffers.clone())
    }

    fn mail() -> SharedHeap {
        SharedHeap::new()
    }
}
