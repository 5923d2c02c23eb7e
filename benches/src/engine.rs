//! What a workload asks of an engine.

use pool_core::{PageSource, Request, Run};
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;

/// What an engine is built for.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Bytes of a chunk, a power of two of at least 4 KiB.
    pub chunk: usize,
    /// Bytes that can be out at once, a multiple of `chunk`.
    pub capacity: usize,
}

/// In which order chunks come back that were put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The last one first.
    Lifo,
    /// The first one first.
    Fifo,
    /// The engine decides.
    Any,
}

/// One thing to measure: a name and a way to build it.
pub trait Engine: 'static {
    /// What the tables call it.
    const NAME: &'static str;
    /// Whether it is ours.
    const OURS: bool = false;
    /// Whether it is the least that the work can cost, written by hand: what it lacks does not matter.
    const FLOOR: bool = false;
    /// Whether instruction counts say anything.
    const COUNTED: bool = true;
    /// How chunks come back.
    const ORDER: Order = Order::Lifo;
    /// What it builds.
    type Store: 'static;
    /// Sets it up, with its chunks at hand if it has a fixed number of them.
    fn build(setup: Setup) -> Self::Store;
}

/// Hands out chunks and takes them back.
pub trait Store {
    /// What is handed out.
    type Chunk;
    /// A chunk of `len` bytes; panics if there is none.
    fn take(&mut self, len: usize) -> Self::Chunk;
    /// Takes a chunk of this store back.
    fn put(&mut self, chunk: Self::Chunk);
    /// Where the chunk's memory is.
    fn address(chunk: &Self::Chunk) -> *mut u8;
}

/// A store that several threads use at once, each through a view of its own.
pub trait Shared: Sync {
    /// One thread's view.
    type View<'a>: Store
    where
        Self: 'a;
    /// A view for the calling thread.
    fn view(&self) -> Self::View<'_>;
}

/// A page source as a store.
#[derive(Debug)]
pub struct Runs<S>(pub S);

impl<S: PageSource> Store for Runs<S> {
    type Chunk = Run;

    #[inline(always)]
    fn take(&mut self, len: usize) -> Run {
        self.0.acquire(Request::new(len)).expect("the source has a run")
    }

    #[inline(always)]
    fn put(&mut self, chunk: Run) {
        // SAFETY: stores get back only what they gave, once, and workloads keep no references.
        unsafe { self.0.release(chunk) };
    }

    #[inline(always)]
    fn address(chunk: &Run) -> *mut u8 {
        chunk.ptr().as_ptr()
    }
}

impl<S: PageSource + Sync> Shared for Runs<S> {
    type View<'a>
        = Runs<&'a S>
    where
        S: 'a;

    fn view(&self) -> Runs<&S> {
        Runs(&self.0)
    }
}

/// What peers without a type of their own keep in their queues.
pub trait Item: Send + 'static {
    /// The item for `len` bytes at `ptr`.
    fn new(ptr: NonNull<u8>, len: usize) -> Self;
    /// Where its memory is.
    fn address(&self) -> *mut u8;
}

/// A bare pointer: the least that a pool of equal chunks has to keep.
#[derive(Debug)]
pub struct Chunk(NonNull<u8>);

// SAFETY: an address; whoever writes to it has it alone.
unsafe impl Send for Chunk {}

impl Item for Chunk {
    fn new(ptr: NonNull<u8>, _: usize) -> Self {
        Self(ptr)
    }

    #[inline(always)]
    fn address(&self) -> *mut u8 {
        self.0.as_ptr()
    }
}

/// Pointer, length, kind: what any pool of runs of several lengths has to keep.
impl Item for Run {
    fn new(ptr: NonNull<u8>, len: usize) -> Self {
        Self::new(ptr, len)
    }

    #[inline(always)]
    fn address(&self) -> *mut u8 {
        self.ptr().as_ptr()
    }
}

/// Memory of the peers that bring none, aligned to 2 MiB, not touched.
#[derive(Debug)]
pub struct Block {
    ptr: NonNull<u8>,
    layout: Layout,
}

// SAFETY: it owns the memory and gives out pointers alone.
unsafe impl Send for Block {}
// SAFETY: `&Block` reads two fields.
unsafe impl Sync for Block {}

impl Block {
    /// `len` bytes, at least one.
    ///
    /// # Panics
    /// If `len` is 0 or absurd.
    #[must_use]
    pub fn new(len: usize) -> Self {
        assert!(len > 0);
        let layout = Layout::from_size_align(len, 2 << 20).expect("a sane length");
        // SAFETY: the length is not 0.
        let ptr = unsafe { alloc(layout) };
        let ptr = NonNull::new(ptr).unwrap_or_else(|| handle_alloc_error(layout));
        Self { ptr, layout }
    }

    /// Its first byte.
    #[must_use]
    pub fn ptr(&self) -> NonNull<u8> {
        self.ptr
    }

    /// The memory of a store, in chunks, as items.
    ///
    /// # Panics
    /// If the capacity is longer than the block.
    pub fn items<T: Item>(&self, setup: Setup) -> impl Iterator<Item = T> + '_ {
        assert!(setup.capacity <= self.layout.size());
        (0..setup.capacity / setup.chunk).map(move |index| {
            // SAFETY: `index * chunk` is below the capacity, which is within the block.
            T::new(unsafe { self.ptr.add(index * setup.chunk) }, setup.chunk)
        })
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: allocated by `new` with this layout; nobody uses a store's chunks after it.
        unsafe { dealloc(self.ptr.as_ptr(), self.layout) };
    }
}
