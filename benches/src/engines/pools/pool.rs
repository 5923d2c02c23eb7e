//! Ours: the pool for one thread.

use super::Sessions;
use crate::engine::{Engine, Setup};
use crate::objects::{Pools, Session, stocked};
use pool_object::Pooled;

/// `Pool`.
pub struct Pool;

impl Engine for Pool {
    const NAME: &'static str = "Pool";
    const OURS: bool = true;
    type Store = pool_object::Pool<Session, Sessions>;

    fn build(setup: Setup) -> Self::Store {
        let pool = pool_object::Pool::with(Sessions);
        pool.prefill(stocked(setup)).expect("there is memory");
        pool
    }
}

impl Pools for Pool {
    type View<'a> = &'a Self::Store;
    type Guard<'a> = Pooled<'a, Session, Sessions>;

    fn view(store: &Self::Store) -> &Self::Store {
        store
    }

    #[inline(always)]
    fn get<'a>(view: &'a &'_ Self::Store) -> Self::Guard<'a> {
        view.get()
    }
}
