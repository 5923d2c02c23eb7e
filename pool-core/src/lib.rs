//! Pages for memory pools, wholesale: one trait, [`PageSource`], that sells runs of pages, and layers
//! for it that stack (a budget, caches that decay, counters, injected failures) over memory from
//! the system, from the heap or from the caller.
//!
//! | you need | take |
//! |---|---|
//! | buffers of 4 KiB to some MiB, acquired and released all the time | [`Global`], or a stack of your own |
//! | a bound on what a tenant or connection may hold, with an error that says which bound | [`Limit`], [`Budget`] |
//! | memory that goes back to the system after a rush | [`Cache`], its decay and [`PageSource::trim`] |
//! | huge pages, locked pages, guard pages, memory left out of dumps and forks | [`Mmap::builder`] |
//! | power-of-two pieces of a block of your own: static, of a device, without a system | [`Buddy`], [`Fixed`] |
//! | the same pages twice in a row, for ring buffers | `Mirror` (feature `mirror`) |
//! | to test what your code does when memory runs out | [`Failing`], `testing` |
//! | figures for a dashboard | [`Stats`], [`Snapshot`], [`process`] |
//! | **not this crate**: objects smaller than a page, or one allocation for the life of a program | the standard library, a general allocator |
//! | **not this crate**: a faster `#[global_allocator]` | mimalloc, jemalloc |
//!
//! # Examples
//!
//! A run of pages that goes back when it is dropped:
//!
//! ```
//! use pool_core::{Global, PageSource};
//!
//! let mut buffer = Global.pages(64 << 10)?.into_bytes(); // zeroed, derefs to [u8]
//! buffer[..5].copy_from_slice(b"hello");
//! assert!(buffer.len() >= 64 << 10);
//! # Ok::<(), pool_core::PageError>(())
//! ```
//!
//! A source of one's own, and what is asked of it: a length in bytes, an alignment, zeros.
//!
//! ```
//! use pool_core::{Mmap, PageSource, Request};
//!
//! let source = Mmap::new();
//! let page = (&source).pages(1)?; // borrowed: the source can sell more
//! let huge = (&source).pages(Request::new(2 << 20).align(2 << 20).zeroed())?;
//! assert_eq!(huge.as_ptr().addr().get() % (2 << 20), 0);
//! assert_eq!(page.len(), source.granule()); // lengths are rounded up, and reported
//! # Ok::<(), pool_core::PageError>(())
//! ```
//!
//! A stack in one expression, from the bottom up, and what it knows of itself:
//!
//! ```
//! use core::time::Duration;
//! use pool_core::{Mmap, PageSource};
//!
//! let source = Mmap::new()
//!     .limited(256 << 20) // held from the system: live and idle
//!     .cached()
//!     .with_decay(Duration::from_secs(5))
//!     .counted();
//! drop((&source).pages(100_000)?);
//! let snapshot = source.snapshot();
//! assert_eq!(snapshot.traffic.unwrap().acquired, 1);
//! assert_eq!(snapshot.cache.unwrap().idle_bytes, 128 << 10);
//! println!("{snapshot}");
//! # Ok::<(), pool_core::PageError>(())
//! ```
//!
//! A budget for each tenant under one for the process. Many [`Limit`]s may stand on one source:
//!
//! ```
//! use pool_core::{Budget, Cache, Limit, Mmap, PageError, PageSource};
//! use std::sync::Arc;
//!
//! let pages = Arc::new(Cache::new(Mmap::new()));
//! let process = Budget::named("process", 1 << 30);
//! let tenant = |name, bytes| Limit::with_budget(pages.clone(), process.child(name, bytes));
//! let (small, large) = (tenant("small", 1 << 20), tenant("large", 512 << 20));
//!
//! let _kept = (&large).pages(8 << 20)?;
//! let refusal = (&small).pages(2 << 20).unwrap_err();
//! assert!(matches!(refusal, PageError::OverBudget(over) if over.level == "small"));
//! assert_eq!(process.used(), 8 << 20);
//! # Ok::<(), PageError>(())
//! ```
//!
//! Memory that runs out at every step in turn, to see that nothing is lost:
//!
//! ```
//! use pool_core::{Failing, Heap, PageError, PageSource, Pages};
//!
//! fn two_buffers<S: PageSource + Copy>(source: S) -> Result<(Pages<S>, Pages<S>), PageError> {
//!     Ok((source.pages(4096)?, source.pages(65536)?))
//! }
//!
//! for call in 0..2 {
//!     let source = Failing::nth(Heap::new().counted(), call);
//!     assert!(two_buffers(&source).is_err());
//!     assert_eq!(source.inner().traffic().live_bytes, 0);
//! }
//! ```
#![cfg_attr(
    feature = "testing",
    doc = r#"
A source of one's own, held to the contract by the suite of feature `testing`:

```
use pool_core::testing;
use pool_core::{Heap, PageError, PageSource, Request, Run};

/// Refuses runs longer than 1 MiB.
struct Modest(Heap);

// SAFETY: runs pass unchanged between the caller and `Heap`, which keeps the contract; refusing
// changes nothing.
unsafe impl PageSource for Modest {
    fn granule(&self) -> usize {
        self.0.granule()
    }
    fn acquire(&self, request: Request) -> Result<Run, PageError> {
        let Request { len, align, .. } = request.round_to(self.granule())?;
        if len > 1 << 20 {
            return Err(PageError::TooLarge { asked: len, align, limit: 1 << 20 });
        }
        self.0.acquire(request)
    }
    unsafe fn release(&self, run: Run) {
        // SAFETY: the caller's promise; all our runs are `Heap`'s.
        unsafe { self.0.release(run) }
    }
}

// Its longest run is a quarter of what the suite may take.
let suite = testing::Contract::new().most_bytes(4 << 20).max_align(1 << 20);
suite.check_shared(|| Modest(Heap::new()));
```
"#
)]
//! # The stack
//!
//! ```text
//!   Pages, PageBytes     owners: release on drop
//!        │  Request { len, align, zeroed }      ▲  Run { ptr, len, zeroed, kind }
//!        ▼                                      │
//!   LocalCache           one thread, no atomics        ┐
//!   Cache                all threads, decays           │ layers, in any order,
//!   Stats · Failing      counters, injected refusals   │ each one optional
//!   Limit ► Budget       tenant ► process              ┘
//!        ▼
//!   Mmap                 regions of 2 MiB, a buddy each: ┌────┬────┬────────┬───────────────┐
//!        │               which page is free or dirty is  │run │free│ run    │ free          │
//!        ▼               noted outside of the region     └────┴────┴────────┴───────────────┘
//!   the operating system
//!
//!   instead of Mmap:     Heap · Fixed · Buddy over any of them · Mirror
//!   Global               thread cache ► Cache ► Limit ► Mmap, one for the process
//! ```
//!
//! # Cost
//!
//! | operation | cost |
//! |---|---|
//! | hit in [`LocalCache`], or in the thread's cache of [`Global`] | no atomics; <!-- record: ir pair-16k LocalCache -->22.0<!-- record: end --> instructions a pair in a loop, of which the loop has <!-- record: ir pair-16k (loop) -->2.0<!-- record: end --> |
//! | hit in [`Cache`] | one atomic read-modify-write; nobody waits |
//! | [`Limit`] | one atomic read-modify-write a budget level, each way |
//! | [`Stats`] | two relaxed additions, each way |
//! | [`Buddy`], and a run from a region of [`Mmap`] | O(log n) at worst, mostly a few words; [`Mmap`] takes an uncontended lock |
//! | a new region, a run longer than a region | system calls |
//! | [`PageSource::trim`] | O(idle runs + regions), system calls |
//!
//! On the steady path there is no system call, no page fault and no allocation. No source allocates
//! from Rust's global allocator on its way but [`Heap`] and `Mirror`, so all others may stand beneath a
//! `#[global_allocator]`.
//!
//! # Safety and threads
//!
//! Using runs needs no `unsafe`: [`Pages`] owns one and lends it as `MaybeUninit<u8>`, [`PageBytes`] as
//! plain bytes. Implementing a source does; [`PageSource`] has the contract, in eleven clauses.
//! A source that is `Sync` takes runs back on any thread: [`Mmap`], [`Heap`], [`Global`], [`Cache`], and
//! [`Limit`], [`Stats`], [`Failing`] over such. [`LocalCache`], [`Buddy`] and [`Fixed`] are for one thread
//! at a time; [`Locked`] puts a mutex around one. Forgetting an owner leaks its run, and nothing
//! else.
//!
//! # Limits
//!
//! Every cache is bounded in bytes, every budget in bytes; [`Global`] has no budget until
//! [`Global::set_limit`]. Runs are at least a page, and most sources round them up to a power of
//! two: up to half of a run may be more than was asked for. A run that is longer than a region is
//! mapped and unmapped each time unless a cache keeps it (up to 8 MiB). Guard pages and mirrors
//! cost entries of the kernel's table of mappings (`vm.max_map_count`); the error names it when it
//! is full. Pages of 16 KiB and 64 KiB are asked for at run time, never assumed.
//!
//! # Platforms
//!
//! | | Linux, Android | other Unix | Windows | others with `std`; Miri | without `std` |
//! |---|---|---|---|---|---|
//! | [`Mmap`] | mmap | mmap | mapped | the heap | – |
//! | its huge pages, dumps, forks, name, populate | yes | refused | refused | refused | – |
//! | its lock and guard pages | yes | yes | refused | refused | – |
//! | decommit, pages that go back on `trim` | yes | whole mappings | whole mappings | whole mappings | – |
//! | [`Global`]: flush at a thread's end | yes | yes | yes | yes | – |
//! | [`Global`]: goes on in a forked child | yes | yes | – | – | – |
//! | [`process`] | all | faults | refused | refused | – |
//! | `Mirror` | yes | refused | refused | refused | – |
//! | [`Heap`], [`Limit`], [`Budget`] | yes | yes | yes | yes | with `alloc` |
//! | [`Fixed`], [`Buddy`], [`LocalCache`], [`Stats`], [`Failing`] | yes | yes | yes | yes | yes |
//!
//! *Refused* is an error that names the call, or for a wish (huge pages, populate, name) an
//! [`Outcome`] that does. Tested on Linux x86-64; the others are type-checked, and a 32-bit and a
//! big-endian target run under Miri.
//!
//! # Features
//!
//! | feature | default | what it brings |
//! |---|---|---|
//! | `std` | yes | all that needs the system: [`Mmap`], [`Cache`], [`Locked`], [`Global`], [`process`] |
//! | `alloc` | with `std` | [`Heap`], [`Budget`], [`Limit`] |
//! | `mirror` | | `Mirror`: the same pages mapped twice (Linux) |
//! | `testing` | | the contract suite, and the model for property tests and fuzzing |
//! | `metrics` | | `Snapshot::publish`, through the `metrics` facade |
//! | `poison` | | the pools tell AddressSanitizer and valgrind what is free: [`poison`] |
#![cfg_attr(not(feature = "std"), no_std)]

#[cfg(feature = "alloc")]
extern crate alloc;

mod buddy;
#[cfg(feature = "alloc")]
mod budget;
mod bytes;
#[cfg(feature = "std")]
mod clock;
mod error;
#[cfg(all(feature = "std", not(loom)))]
mod global;
#[cfg(all(feature = "std", not(loom)))]
pub mod hooks;
mod layer;
#[cfg(feature = "alloc")]
mod level;
mod mix;
mod pages;
pub mod poison;
#[cfg(feature = "std")]
pub mod process;
#[cfg(feature = "metrics")]
mod publish;
mod run;
mod snapshot;
mod source;
mod sync;
mod sys;
#[cfg(feature = "testing")]
pub mod testing;

#[cfg(feature = "alloc")]
pub use budget::{Budget, Charge};
#[cfg(feature = "std")]
pub use clock::{Clock, Monotonic};
pub use error::{Cause, OsError, OverBudget, PageError};
#[cfg(all(feature = "std", not(loom)))]
pub use global::{AlreadyInUse, Global, GlobalBuilder};
#[cfg(all(feature = "std", not(loom)))]
pub use layer::background::Background;
#[cfg(feature = "std")]
pub use layer::cache::Cache;
pub use layer::failing::Failing;
#[cfg(feature = "alloc")]
pub use layer::limit::Limit;
pub use layer::local_cache::LocalCache;
#[cfg(feature = "std")]
pub use layer::locked::Locked;
pub use layer::stats::Stats;
pub use pages::{PageBytes, Pages};
pub use run::{PageKind, Request, Run};
pub use snapshot::{BudgetUse, CacheUse, HeldUse, Snapshot, Traffic};
pub use source::PageSource;
pub use source::buddy::Buddy;
pub use source::fixed::Fixed;
#[cfg(feature = "alloc")]
pub use source::heap::Heap;
#[cfg(feature = "mirror")]
pub use source::mirror::Mirror;
#[cfg(feature = "std")]
pub use source::mmap::Mmap;
#[cfg(feature = "std")]
pub use source::mmap::options::{HugePages, MmapBuilder, Outcome, Report};

/// The examples of the crate's first page.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
