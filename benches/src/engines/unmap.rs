//! The system itself: a mapping for each chunk, never touched.

use crate::engine::{Engine, Order, Setup, Shared, Store};
use memmap2::MmapMut;

/// `mmap` and `munmap`.
pub struct Unmap;

/// It keeps nothing.
#[derive(Clone, Copy)]
pub struct UnmapStore;

impl Engine for Unmap {
    const NAME: &'static str = "mmap+munmap";
    const COUNTED: bool = false;
    const ORDER: Order = Order::Any;
    type Store = UnmapStore;

    fn build(_: Setup) -> UnmapStore {
        UnmapStore
    }
}

impl Store for UnmapStore {
    type Chunk = MmapMut;

    #[inline(always)]
    fn take(&mut self, len: usize) -> MmapMut {
        MmapMut::map_anon(len).expect("the system has memory")
    }

    #[inline(always)]
    fn put(&mut self, chunk: MmapMut) {
        drop(chunk);
    }

    #[inline(always)]
    fn address(chunk: &MmapMut) -> *mut u8 {
        chunk.as_ptr().cast_mut()
    }
}

impl Shared for UnmapStore {
    type View<'a> = Self;

    fn view(&self) -> Self {
        *self
    }
}
