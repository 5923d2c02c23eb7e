//! opool: a queue of boxes, for one thread or for all; it resets an object when it goes out.

use crate::engine::{Engine, Setup};
use crate::objects::{Object, Pools, Session, stocked};
use opool::{LocalPool, Pool, PoolAllocator, RefGuard, RefLocalGuard};
use std::ops::{Deref, DerefMut};

/// `opool::LocalPool` of boxes.
pub struct OpoolLocal;

/// `opool::Pool` of boxes.
pub struct Opool;

/// How it makes objects.
pub struct Boxes;

impl PoolAllocator<Box<Session>> for Boxes {
    #[inline(always)]
    fn reset(&self, session: &mut Box<Session>) {
        session.as_mut().reset();
    }

    fn allocate(&self) -> Box<Session> {
        Box::new(Session::create())
    }
}

/// A guard of a box, as one of what is in it.
pub struct Inner<G>(G);

impl<G: Deref<Target = Box<Session>>> Deref for Inner<G> {
    type Target = Session;

    #[inline(always)]
    fn deref(&self) -> &Session {
        &self.0
    }
}

impl<G: DerefMut<Target = Box<Session>>> DerefMut for Inner<G> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Session {
        &mut self.0
    }
}

impl Engine for OpoolLocal {
    const NAME: &'static str = "opool LocalPool (Box)";
    type Store = LocalPool<Boxes, Box<Session>>;

    fn build(setup: Setup) -> Self::Store {
        LocalPool::new_prefilled(stocked(setup), Boxes)
    }
}

impl Pools for OpoolLocal {
    type View<'a> = &'a Self::Store;
    type Guard<'a> = Inner<RefLocalGuard<'a, Boxes, Box<Session>>>;

    fn view(store: &Self::Store) -> &Self::Store {
        store
    }

    #[inline(always)]
    fn get<'a>(view: &'a &'_ Self::Store) -> Self::Guard<'a> {
        Inner(view.get())
    }
}

impl Engine for Opool {
    const NAME: &'static str = "opool (Box)";
    type Store = Pool<Boxes, Box<Session>>;

    fn build(setup: Setup) -> Self::Store {
        Pool::new_prefilled(stocked(setup), Boxes)
    }
}

impl Pools for Opool {
    type View<'a> = &'a Self::Store;
    type Guard<'a> = Inner<RefGuard<'a, Boxes, Box<Session>>>;

    fn view(store: &Self::Store) -> &Self::Store {
        store
    }

    #[inline(always)]
    fn get<'a>(view: &'a &'_ Self::Store) -> Self::Guard<'a> {
        Inner(view.get())
    }
}
