//! Every source with every layer over it keeps the contract, and so does every pair of layers over
//! three of them.
//!
//! A new source is one line in `sources!`, a new layer one line in `layers!`.

use core::mem::MaybeUninit;
use pool_core::testing::Contract;
use pool_core::{Buddy, Cache, Failing, Fixed, Global, Heap, Limit, LocalCache, Locked, Mmap};
use pool_core::{PageError, PageSource, Pages, Request, Run, Snapshot, Stats};

/// Modest, as there are many stacks: the suite's own size is for a single source.
const CONTRACT: Contract = Contract::new().most_bytes(MOST).ops(if cfg!(miri) { 30 } else { 500 });
const MOST: usize = if cfg!(miri) { 2 << 20 } else { 16 << 20 };
const SMALL: Contract = CONTRACT.most_bytes(BLOCK).max_align(1 << 20).finite(true);
const BLOCK: usize = if cfg!(miri) { 1 << 20 } else { 8 << 20 };
/// A limit that no test reaches but the one that is finite by it.
const PLENTY: usize = 1 << 30;

/// A `Fixed` with the block that it sells.
struct Block {
    /// Its lifetime is really that of `_memory`, which is dropped after it.
    fixed: Fixed<'static>,
    _memory: Pages<Heap>,
}

impl Block {
    fn new() -> Self {
        let request = Request::new(BLOCK).align(BLOCK.min(4 << 20));
        let mut memory = Heap::new().pages(request).expect("memory for a test");
        let block: *mut [MaybeUninit<u8>] = memory.as_uninit_mut();
        // SAFETY: the pages live as long as `fixed`, by the order of the fields, and nobody else
        // uses them.
        let fixed = Fixed::new(unsafe { &mut *block });
        Self { fixed, _memory: memory }
    }
}

// SAFETY: every call goes to `fixed`, whose memory lives as long as this value does and does not
// move with it.
unsafe impl PageSource for Block {
    fn granule(&self) -> usize {
        self.fixed.granule()
    }
    fn acquire(&self, request: Request) -> Result<Run, PageError> {
        self.fixed.acquire(request)
    }
    unsafe fn release(&self, run: Run) {
        // SAFETY: the caller's promise.
        unsafe { self.fixed.release(run) }
    }
    fn observe(&self, snapshot: &mut Snapshot) {
        self.fixed.observe(snapshot);
    }
}

/// The sources: `name, deep for pairs of layers too, method of Contract, contract, contract of its
/// stacks, constructor`. `Fixed` bumps: what a cache holds back leaves holes.
macro_rules! sources {
    ($each:ident $args:tt) => {
        $each! { heap, deep, check_shared, CONTRACT.outstanding(!cfg!(miri)), CONTRACT.outstanding(!cfg!(miri)), Heap::new(), $args }
        $each! { heap_16k, shallow, check_shared, CONTRACT, CONTRACT, Heap::with_granule(16 << 10), $args }
        $each! { heap_64k, shallow, check_shared, CONTRACT, CONTRACT, Heap::with_granule(64 << 10), $args }
        $each! { fixed, shallow, check_send, SMALL.outstanding(true), SMALL.outstanding(true).may_fragment(true), Block::new(), $args }
        $each! { locked_fixed, shallow, check_shared, SMALL.outstanding(true), SMALL.outstanding(true).may_fragment(true), Locked::new(Block::new()), $args }
        $each! { mmap, deep, check_shared, CONTRACT.outstanding(true), CONTRACT.outstanding(true), Mmap::new(), $args }
        $each! { mmap_guarded, shallow, check_shared, CONTRACT, CONTRACT, Mmap::builder().guard_pages(!cfg!(miri)).build(), $args }
        $each! { mmap_long, shallow, check_shared, CONTRACT, CONTRACT, Mmap::builder().region_len(16 << 20).build(), $args }
        $each! { buddy, shallow, check_send, SMALL, SMALL, Buddy::new(Block::new(), BLOCK - (BLOCK >> 4)).unwrap(), $args }
        $each! { locked_buddy, shallow, check_shared, CONTRACT.finite(true), CONTRACT.finite(true), Locked::new(Buddy::new(Mmap::new(), 8 << 20).unwrap()), $args }
        $each! { local_cache, shallow, check_send, CONTRACT, CONTRACT, LocalCache::new(Mmap::new()), $args }
        $each! { local_cache_16k, shallow, check_send, CONTRACT, CONTRACT, LocalCache::new(Heap::with_granule(16 << 10)), $args }
        $each! { tight, deep, check_shared, CONTRACT.finite(true), CONTRACT.finite(true), Limit::new(Heap::new(), MOST), $args }
    };
}

/// The layers, set so that they pass every request: `name => wrapper`.
macro_rules! layers {
    ($each:ident $args:tt) => {
        $each! { $args,
            [
                limit => |inner| Limit::new(inner, PLENTY);
                stats => |inner| Stats::new(inner);
                cache => |inner| Cache::new(inner);
                local_cache => |inner| Locked::new(LocalCache::new(inner));
                never_failing => |inner| Failing::never(inner);
            ]
        }
    };
}

macro_rules! source {
    ($name:ident, $depth:ident, $check:ident, $contract:expr, $layered:expr, $make:expr, ()) => {
        mod $name {
            use super::*;
            #[test]
            fn alone() {
                $contract.$check(|| $make);
            }
            layers! { layered ($depth, $check, $layered, $make) }
        }
    };
}

macro_rules! layered {
    ($args:tt, [$($layer:ident => $wrap:expr;)*]) => {
        $(layer! { $args, $layer, $wrap })*
    };
}

macro_rules! layer {
    ((deep, $check:ident, $contract:expr, $make:expr), $layer:ident, $wrap:expr) => {
        mod $layer {
            use super::*;
            #[test]
            fn alone() {
                $contract.$check(|| wrap($make, $wrap));
            }
            layers! { twice ($check, $contract, $make, $wrap) }
        }
    };
    ((shallow, $check:ident, $contract:expr, $make:expr), $layer:ident, $wrap:expr) => {
        #[test]
        fn $layer() {
            $contract.$check(|| wrap($make, $wrap));
        }
    };
}

macro_rules! twice {
    ($args:tt, [$($layer:ident => $wrap:expr;)*]) => {
        mod below {
            use super::*;
            $(two! { $args, $layer, $wrap })*
        }
    };
}

macro_rules! two {
    (($check:ident, $contract:expr, $make:expr, $wrap:expr), $layer:ident, $outer:expr) => {
        #[test]
        #[cfg_attr(miri, ignore = "slow: under Miri one layer has to do")]
        fn $layer() {
            $contract.$check(|| wrap(wrap($make, $wrap), $outer));
        }
    };
}

/// Gives the closure's parameter its type.
fn wrap<S: PageSource, L: PageSource>(inner: S, layer: impl Fn(S) -> L) -> L {
    layer(inner)
}

sources! { source () }

/// All values of `Global` are one source, and the suite watches its budget: so one test, not several
/// side by side.
mod global {
    use super::*;

    macro_rules! in_turn {
        ((), [$($layer:ident => $wrap:expr;)*]) => {
            #[test]
            fn alone_and_layered() {
                CONTRACT.check_shared(|| Global);
                $(CONTRACT.check_shared(|| wrap(Global, $wrap));)*
            }
        };
    }
    layers! { in_turn () }
}

/// Mirrors need Linux; elsewhere they refuse everything.
#[cfg(all(target_os = "linux", not(miri)))]
mod mirrors {
    use super::*;
    source! { mirror, shallow, check_shared, CONTRACT, CONTRACT, pool_core::Mirror::new(), () }
}
