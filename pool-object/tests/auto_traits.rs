//! What is `Send` and `Sync`, and what is not (DESIGN, auto traits).

use pool_core::{Fixed, Heap};
use pool_object::{
    AllocError, GlobalHeap, HeapStats, LocalHeap, PoolBox, ProcessStats, SharedAlloc, SharedHeap,
    SmallAlloc,
};
use static_assertions::{assert_impl_all, assert_not_impl_any};
use std::marker::PhantomPinned;
use std::pin::Pin;
use std::rc::Rc;

assert_impl_all!(SmallAlloc: Send, Default);
assert_not_impl_any!(SmallAlloc: Sync, Clone);
assert_impl_all!(SmallAlloc<Fixed<'static>>: Send);
assert_not_impl_any!(SmallAlloc<Rc<Heap>>: Send, Sync);
assert_not_impl_any!(SmallAlloc<&'static Fixed<'static>>: Send);

assert_impl_all!(LocalHeap: Clone, Default);
assert_not_impl_any!(LocalHeap: Send, Sync, std::ops::DerefMut);

assert_not_impl_any!(PoolBox<u8, &'static SmallAlloc>: Send, Sync);
assert_not_impl_any!(PoolBox<u8, LocalHeap>: Send, Sync);

assert_impl_all!(Pin<PoolBox<PhantomPinned, LocalHeap>>: Unpin);

assert_impl_all!(PoolBox<[u8], SharedHeap>: Send, Sync);
assert_impl_all!(PoolBox<str, &'static SharedAlloc>: Send, Sync);
assert_not_impl_any!(PoolBox<[Rc<u8>], SharedHeap>: Send, Sync);
assert_not_impl_any!(PoolBox<[std::cell::Cell<u8>], SharedHeap>: Sync);
assert_impl_all!(PoolBox<[std::cell::Cell<u8>], SharedHeap>: Send);
assert_not_impl_any!(PoolBox<str, LocalHeap>: Send, Sync);
assert_not_impl_any!(PoolBox<[u8], &'static SmallAlloc>: Send, Sync);

assert_impl_all!(SharedAlloc: Send, Sync, Default);
assert_not_impl_any!(SharedAlloc: Clone);
assert_impl_all!(SharedAlloc<Fixed<'static>>: Send);
assert_not_impl_any!(SharedAlloc<Fixed<'static>>: Sync);
assert_not_impl_any!(SharedAlloc<Rc<Heap>>: Send, Sync);

assert_impl_all!(SharedHeap: Clone, Default, Send, Sync);
assert_not_impl_any!(SharedHeap: std::ops::DerefMut);
assert_not_impl_any!(SharedHeap<Fixed<'static>>: Send, Sync);
assert_impl_all!(GlobalHeap: Copy, Default, Send, Sync);

assert_impl_all!(PoolBox<u8, &'static SharedAlloc>: Send, Sync);
assert_impl_all!(PoolBox<u8, SharedHeap>: Send, Sync);
assert_not_impl_any!(PoolBox<Rc<u8>, SharedHeap>: Send, Sync);
assert_not_impl_any!(PoolBox<std::cell::Cell<u8>, SharedHeap>: Sync);
assert_not_impl_any!(PoolBox<u8, &'static SharedAlloc<Fixed<'static>>>: Send);

assert_impl_all!(AllocError: Send, Sync, Copy, std::error::Error);
assert_impl_all!(HeapStats: Send, Sync, Copy);
assert_impl_all!(ProcessStats: Send, Sync, Copy);
