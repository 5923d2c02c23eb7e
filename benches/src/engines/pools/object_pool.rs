//! object-pool: a vector under a lock.

use crate::engine::{Engine, Setup};
use crate::objects::{Object, Pools, Session, stocked};
use object_pool::Reusable;
use std::ops::{Deref, DerefMut};

/// `object_pool::Pool<Box<T>>`.
pub struct ObjectPool;

type Store = object_pool::Pool<Box<Session>>;

/// Its guard, which resets the object, as the pool does not.
pub struct Lent<'a>(Reusable<'a, Box<Session>>);

impl Engine for ObjectPool {
    const NAME: &'static str = "object-pool (Box)";
    type Store = Store;

    fn build(setup: Setup) -> Store {
        object_pool::Pool::new(stocked(setup), || Box::new(Session::create()))
    }
}

impl Pools for ObjectPool {
    type View<'a> = &'a Store;
    type Guard<'a> = Lent<'a>;

    fn view(store: &Store) -> &Store {
        store
    }

    #[inline(always)]
    fn get<'a>(view: &'a &'_ Store) -> Lent<'a> {
        Lent(view.pull(|| Box::new(Session::create())))
    }
}

impl Deref for Lent<'_> {
    type Target = Session;

    #[inline(always)]
    fn deref(&self) -> &Session {
        &self.0
    }
}

impl DerefMut for Lent<'_> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Session {
        &mut self.0
    }
}

impl Drop for Lent<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.reset();
    }
}
