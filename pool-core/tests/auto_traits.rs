//! What is `Send`, `Sync` and `Clone`, and what is not: part of the interface (DESIGN, auto traits).

use core::cell::Cell;
use pool_core::{
    Background, Buddy, Budget, Cache, Charge, Failing, Fixed, Global, GlobalBuilder, Heap,
};
use pool_core::{Limit, LocalCache, Locked, Mirror, Mmap, OverBudget, PageBytes, PageError};
use pool_core::{PageSource, Pages, Request, Run, Snapshot, Stats};
use static_assertions::{assert_eq_size, assert_impl_all, assert_not_impl_any, assert_obj_safe};
use std::rc::Rc;
use std::sync::Arc;

assert_obj_safe!(PageSource);

assert_impl_all!(Run: Send, Sync);
assert_not_impl_any!(Run: Copy, Clone);
assert_impl_all!(Request: Send, Sync, Copy);
assert_impl_all!(Snapshot: Send, Sync, Copy);
assert_impl_all!(PageError: Send, Sync, Copy, std::error::Error);
assert_impl_all!(OverBudget: Send, Sync, Copy, std::error::Error);

assert_impl_all!(Heap: Send, Sync, Copy);
assert_impl_all!(Fixed<'static>: Send);
assert_not_impl_any!(Fixed<'static>: Sync, Clone);

assert_impl_all!(Pages<Heap>: Send, Sync);
assert_impl_all!(PageBytes<Heap>: Send, Sync);
assert_impl_all!(Pages<Fixed<'static>>: Send);
assert_not_impl_any!(Pages<Fixed<'static>>: Sync);
// A shared handle on a source that is not `Sync` stays on its thread, with its runs.
assert_not_impl_any!(Pages<&'static Fixed<'static>>: Send, Sync);
assert_not_impl_any!(Pages<Rc<Heap>>: Send, Sync);
assert_impl_all!(Pages<Arc<Heap>>: Send, Sync);
assert_not_impl_any!(Pages<Heap>: Clone);

assert_impl_all!(Budget: Send, Sync, Clone);
assert_impl_all!(Charge: Send, Sync);
assert_not_impl_any!(Charge: Clone);

/// A wrapper is what its inner source is.
macro_rules! as_inner {
    ($($layer:ident),*) => {$(
        assert_impl_all!($layer<Heap>: Send, Sync, core::fmt::Debug, PageSource);
        assert_impl_all!($layer<Fixed<'static>>: Send);
        assert_not_impl_any!($layer<Fixed<'static>>: Sync, Clone);
        assert_not_impl_any!($layer<Rc<Heap>>: Send, Sync);
    )*};
}
as_inner!(Limit, Stats, Failing);
assert_impl_all!(Limit<Heap>: Clone);
// Counters are one source's: a clone that starts at 0 would count releases of the other's runs.
assert_not_impl_any!(Stats<Heap>: Clone);
assert_not_impl_any!(Failing<Heap>: Clone);

assert_impl_all!(Locked<Fixed<'static>>: Send, Sync, PageSource);
assert_not_impl_any!(Locked<Rc<Heap>>: Send, Sync);
assert_not_impl_any!(Locked<&'static Cell<u8>>: Send, Sync);
// `Mutex` lends `&mut S` to all: another source could be swapped in under live runs.
assert_not_impl_any!(std::sync::Mutex<Heap>: PageSource);

assert_impl_all!(Mmap: Send, Sync, PageSource, core::fmt::Debug, Default);
assert_not_impl_any!(Mmap: Clone);
assert_impl_all!(Global: Send, Sync, Copy, Default, PageSource);
assert_eq_size!(Global, ());
assert_impl_all!(Pages<Global>: Send, Sync);
assert_impl_all!(Cache<Heap>: Send, Sync, PageSource);
assert_impl_all!(Cache<Fixed<'static>>: Send);
assert_not_impl_any!(Cache<Fixed<'static>>: Sync, Clone);
assert_not_impl_any!(Cache<Rc<Heap>>: Send, Sync);
// The cache's clock crosses threads with it.
assert_not_impl_any!(Cache<Heap, Box<dyn Fn() -> core::time::Duration>>: Send, Sync);
assert_impl_all!(LocalCache<Heap>: Send, PageSource);
assert_not_impl_any!(LocalCache<Heap>: Sync, Clone);
assert_not_impl_any!(LocalCache<Rc<Heap>>: Send, Sync);
assert_impl_all!(Buddy<Heap>: Send, PageSource);
assert_not_impl_any!(Buddy<Heap>: Sync, Clone);
assert_not_impl_any!(Buddy<Rc<Heap>>: Send, Sync);
assert_impl_all!(Mirror: Send, Sync, PageSource);
assert_impl_all!(Background: Send);
assert_impl_all!(GlobalBuilder: Send);
