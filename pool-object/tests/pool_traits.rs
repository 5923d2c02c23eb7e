//! What of tables and pools is `Send` and `Sync`, and what is not (DESIGN, auto traits).

use pool_core::{Fixed, Heap};
use pool_object::{
    BoundedPool, BoundedPooled, ByDefault, Drain, Get, HandlePooled, Iter, IterMut, Key,
    OwnedBoundedPooled, OwnedPooled, Pool, PoolError, PoolHandle, PoolStats, Pooled, RcPooled,
    Recycle, SharedPool, SharedPooled, SlotTable, TableError, VacantEntry,
};
use static_assertions::{assert_impl_all, assert_not_impl_any};
use std::cell::Cell;
use std::marker::{PhantomData, PhantomPinned};
use std::rc::Rc;
use std::sync::{Arc, MutexGuard};

/// Hooks that are `Send` or `Sync` as `M` is, for any objects.
struct Hooks<M>(PhantomData<M>);
impl<M, T> Recycle<T> for Hooks<M> {
    fn create(&self) -> T {
        unreachable!("never called")
    }
}

type SendNotSync = Cell<u8>;
type SyncNotSend = MutexGuard<'static, u8>;
type Neither = Rc<u8>;

assert_impl_all!(Key: Send, Sync, Copy, Ord, std::hash::Hash);
assert_impl_all!(SlotTable<u8>: Send, Sync, Default);
assert_impl_all!(SlotTable<SendNotSync>: Send);
assert_not_impl_any!(SlotTable<SendNotSync>: Sync);
assert_impl_all!(SlotTable<SyncNotSend>: Sync);
assert_not_impl_any!(SlotTable<SyncNotSend>: Send);
assert_not_impl_any!(SlotTable<Neither>: Send, Sync);
assert_impl_all!(SlotTable<u8, Fixed<'static>>: Send);
assert_not_impl_any!(SlotTable<u8, Fixed<'static>>: Sync);
assert_not_impl_any!(SlotTable<u8, Rc<Heap>>: Send, Sync);
assert_impl_all!(Iter<'static, u8>: Send, Sync, Clone, ExactSizeIterator);
assert_not_impl_any!(Iter<'static, SendNotSync>: Send, Sync);
assert_impl_all!(IterMut<'static, SendNotSync>: Send);
assert_not_impl_any!(IterMut<'static, SyncNotSend>: Send, Clone);
assert_not_impl_any!(Drain<'static, Neither, Heap>: Send, Sync);
assert_not_impl_any!(VacantEntry<'static, Neither, Heap>: Send, Sync);

assert_impl_all!(Pool<SendNotSync, Hooks<SendNotSync>, Arc<Heap>>: Send);
assert_not_impl_any!(Pool<u8>: Sync, Clone);
assert_not_impl_any!(Pool<Neither, Hooks<u8>>: Send);
assert_not_impl_any!(Pool<u8, Hooks<Neither>>: Send);
assert_not_impl_any!(Pool<u8, Hooks<u8>, Rc<Heap>>: Send);
assert_not_impl_any!(Pooled<'static, u8>: Send, Sync, Clone);
assert_not_impl_any!(RcPooled<u8>: Send, Sync, Clone);

assert_impl_all!(SharedPool<SendNotSync>: Send, Sync, Clone);
assert_not_impl_any!(SharedPool<u8, Hooks<SendNotSync>>: Send, Sync);
assert_not_impl_any!(SharedPool<u8, Hooks<SyncNotSend>>: Send, Sync);
assert_not_impl_any!(SharedPool<u8, ByDefault, Fixed<'static>>: Send, Sync);
assert_impl_all!(SharedPooled<'static, u8>: Send, Sync);
assert_impl_all!(SharedPooled<'static, SendNotSync>: Send);
assert_not_impl_any!(SharedPooled<'static, SendNotSync>: Sync, Clone);
assert_impl_all!(OwnedPooled<SendNotSync>: Send);
assert_not_impl_any!(OwnedPooled<SendNotSync>: Sync);
assert_not_impl_any!(OwnedPooled<u8, Hooks<SendNotSync>>: Send, Sync);
assert_not_impl_any!(PoolHandle<u8>: Send, Sync, Clone);
assert_not_impl_any!(HandlePooled<'static, u8>: Send, Sync);

assert_impl_all!(BoundedPool<SendNotSync>: Send, Sync);
assert_impl_all!(BoundedPool<u8, Hooks<SendNotSync>>: Send);
assert_not_impl_any!(BoundedPool<u8, Hooks<SendNotSync>>: Sync);
assert_not_impl_any!(BoundedPool<u8, Hooks<SyncNotSend>>: Send);
assert_impl_all!(BoundedPooled<'static, SendNotSync>: Send);
assert_not_impl_any!(BoundedPooled<'static, SendNotSync>: Sync);
assert_impl_all!(OwnedBoundedPooled<u8>: Send, Sync);
assert_impl_all!(Get<'static, SendNotSync>: Send, Future);
assert_not_impl_any!(Get<'static, u8>: Unpin, Sync);
assert_not_impl_any!(Get<'static, u8, Hooks<SendNotSync>>: Send);
assert_not_impl_any!(PhantomPinned: Unpin);

assert_impl_all!(PoolError: Send, Sync, Copy, std::error::Error);
assert_impl_all!(TableError: Send, Sync, Copy, std::error::Error);
assert_impl_all!(PoolStats: Send, Sync, Copy, std::fmt::Display);

#[test]
fn a_guard_is_two_words() {
    assert_eq!(size_of::<Pooled<'static, [u8; 32]>>(), 2 * size_of::<usize>());
    assert_eq!(size_of::<SharedPooled<'static, [u8; 32]>>(), 2 * size_of::<usize>());
    assert_eq!(size_of::<OwnedPooled<[u8; 32]>>(), 2 * size_of::<usize>());
}

#[test]
fn futures_of_bounded_pools_move_between_threads() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let pool = BoundedPool::<Vec<u8>>::new(1);
    drop(is_send(pool.get_async()));
    drop(is_send(pool.get_async_with(|| Ok::<_, ()>(Vec::new()))));
    drop(is_send(pool.drain_async()));
    drop(is_send(Arc::new(pool).get_async_owned()));
}
