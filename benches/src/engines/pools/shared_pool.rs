//! Ours: the pool for all threads, by the calling thread's magazine or by a handle.

use super::Sessions;
use crate::engine::{Engine, Setup};
use crate::objects::{Pools, Session, stocked};
use pool_object::{HandlePooled, PoolHandle, SharedPooled};

/// `SharedPool`.
pub struct SharedPool;

/// `PoolHandle`.
pub struct SharedPoolHandle;

type Store = pool_object::SharedPool<Session, Sessions>;

fn build(setup: Setup) -> Store {
    let pool = pool_object::SharedPool::with(Sessions);
    pool.prefill(stocked(setup)).expect("there is memory");
    pool
}

impl Engine for SharedPool {
    const NAME: &'static str = "SharedPool";
    const OURS: bool = true;
    type Store = Store;

    fn build(setup: Setup) -> Store {
        build(setup)
    }
}

impl Pools for SharedPool {
    type View<'a> = &'a Store;
    type Guard<'a> = SharedPooled<'a, Session, Sessions>;

    fn view(store: &Store) -> &Store {
        store
    }

    #[inline(always)]
    fn get<'a>(view: &'a &'_ Store) -> Self::Guard<'a> {
        view.get()
    }
}

impl Engine for SharedPoolHandle {
    const NAME: &'static str = "SharedPool, handle";
    const OURS: bool = true;
    type Store = Store;

    fn build(setup: Setup) -> Store {
        build(setup)
    }
}

impl Pools for SharedPoolHandle {
    type View<'a> = PoolHandle<Session, Sessions>;
    type Guard<'a> = HandlePooled<'a, Session, Sessions>;

    fn view(store: &Store) -> Self::View<'_> {
        store.handle()
    }

    #[inline(always)]
    fn get<'a>(view: &'a Self::View<'_>) -> Self::Guard<'a> {
        view.get()
    }
}
