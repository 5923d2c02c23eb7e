//! Ours: the pool with a cap.

use super::Sessions;
use crate::engine::{Engine, Setup};
use crate::objects::{Pools, Session, stocked};
use pool_object::BoundedPooled;

/// `BoundedPool`.
pub struct BoundedPool;

impl Engine for BoundedPool {
    const NAME: &'static str = "BoundedPool";
    const OURS: bool = true;
    type Store = pool_object::BoundedPool<Session, Sessions>;

    fn build(setup: Setup) -> Self::Store {
        let pool = pool_object::BoundedPool::with(stocked(setup), Sessions);
        pool.prefill(stocked(setup)).expect("there is memory");
        pool
    }
}

impl Pools for BoundedPool {
    type View<'a> = &'a Self::Store;
    type Guard<'a> = BoundedPooled<'a, Session, Sessions>;

    fn view(store: &Self::Store) -> &Self::Store {
        store
    }

    #[inline(always)]
    fn get<'a>(view: &'a &'_ Self::Store) -> Self::Guard<'a> {
        view.get().expect("nobody closes it")
    }
}
