//! sharded-slab: objects stay in their pages, and are cleared by key.

use crate::engine::{Engine, Setup};
use crate::objects::{Object, Pools, Session, stocked};
use sharded_slab::pool::RefMut;
use sharded_slab::{Clear, Pool};
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};

/// `sharded_slab::Pool`.
pub struct ShardedPool;

/// A session as the pool wants it.
pub struct Cleared(Session);

impl Default for Cleared {
    fn default() -> Self {
        Self(Session::create())
    }
}

impl Clear for Cleared {
    #[inline(always)]
    fn clear(&mut self) {
        self.0.reset();
    }
}

/// An object that is cleared when it is dropped.
pub struct Lent<'a> {
    pool: &'a Pool<Cleared>,
    /// There until drop.
    guard: ManuallyDrop<RefMut<'a, Cleared>>,
}

impl Engine for ShardedPool {
    const NAME: &'static str = "sharded-slab";
    type Store = Pool<Cleared>;

    fn build(setup: Setup) -> Self::Store {
        let pool = Pool::new();
        let all: Vec<_> = (0..stocked(setup)).map(|_| Lent::new(&pool)).collect();
        drop(all);
        pool
    }
}

impl Pools for ShardedPool {
    type View<'a> = &'a Self::Store;
    type Guard<'a> = Lent<'a>;

    fn view(store: &Self::Store) -> &Self::Store {
        store
    }

    #[inline(always)]
    fn get<'a>(view: &'a &'_ Self::Store) -> Lent<'a> {
        Lent::new(view)
    }
}

impl<'a> Lent<'a> {
    #[inline(always)]
    fn new(pool: &'a Pool<Cleared>) -> Self {
        Self { pool, guard: ManuallyDrop::new(pool.create().expect("there is room")) }
    }
}

impl Deref for Lent<'_> {
    type Target = Session;

    #[inline(always)]
    fn deref(&self) -> &Session {
        &self.guard.0
    }
}

impl DerefMut for Lent<'_> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Session {
        &mut self.guard.0
    }
}

impl Drop for Lent<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        let key = self.guard.key();
        // SAFETY: it was not dropped before, and nobody uses it after.
        unsafe { ManuallyDrop::drop(&mut self.guard) };
        self.pool.clear(key);
    }
}
