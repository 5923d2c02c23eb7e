//! Memory that is new each time: in base pages, in huge ones, and as the system gives it.

use crate::engine::{Engine, Order, Runs, Setup, Store};
use crate::engines::unmap::UnmapStore;
use pool_core::{HugePages as Pages, Mmap, PageSource, Run};

/// `Mmap` that asks for base pages.
pub struct BasePages;

/// `Mmap` that asks for transparent huge pages.
pub struct HugePages;

/// `mmap` without advice.
pub struct PlainMapping;

/// A source that keeps nothing.
pub struct Trimmed(Runs<Mmap>);

fn build(pages: Pages) -> Trimmed {
    Trimmed(Runs(Mmap::builder().huge_pages(pages).build()))
}

impl Engine for BasePages {
    const NAME: &'static str = "Mmap, base pages";
    const OURS: bool = true;
    const COUNTED: bool = false;
    const ORDER: Order = Order::Any;
    type Store = Trimmed;
    fn build(_: Setup) -> Trimmed {
        build(Pages::Never)
    }
}

impl Engine for HugePages {
    const NAME: &'static str = "Mmap, huge pages";
    const OURS: bool = true;
    const COUNTED: bool = false;
    const ORDER: Order = Order::Any;
    type Store = Trimmed;
    fn build(_: Setup) -> Trimmed {
        build(Pages::Transparent)
    }
}

impl Engine for PlainMapping {
    const NAME: &'static str = "mmap, no advice";
    const COUNTED: bool = false;
    const ORDER: Order = Order::Any;
    type Store = UnmapStore;
    fn build(_: Setup) -> UnmapStore {
        UnmapStore
    }
}

impl Store for Trimmed {
    type Chunk = Run;

    fn take(&mut self, len: usize) -> Run {
        self.0.take(len)
    }

    fn put(&mut self, chunk: Run) {
        self.0.put(chunk);
        self.0.0.trim();
    }

    fn address(chunk: &Run) -> *mut u8 {
        Runs::<Mmap>::address(chunk)
    }
}
