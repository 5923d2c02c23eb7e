//! lockfree-object-pool: pages of objects, found by a search.

use crate::engine::{Engine, Setup};
use crate::objects::{Object, Pools, Session};
use lockfree_object_pool::{LinearObjectPool, LinearReusable};

/// `LinearObjectPool`.
pub struct Lockfree;

impl Engine for Lockfree {
    const NAME: &'static str = "lockfree-object-pool";
    type Store = LinearObjectPool<Session>;

    fn build(_: Setup) -> Self::Store {
        LinearObjectPool::new(Session::create, Session::reset)
    }
}

impl Pools for Lockfree {
    type View<'a> = &'a Self::Store;
    type Guard<'a> = LinearReusable<'a, Session>;

    fn view(store: &Self::Store) -> &Self::Store {
        store
    }

    #[inline(always)]
    fn get<'a>(view: &'a &'_ Self::Store) -> Self::Guard<'a> {
        view.pull()
    }
}
