//! lifeguard: a vector that guards share.

use crate::engine::{Engine, Setup};
use crate::objects::{Object, Pools, Session, stocked};
use lifeguard::{Pool, Recycleable, Recycled};
use std::ops::{Deref, DerefMut};

/// `lifeguard::Pool` of boxes.
pub struct Lifeguard;

/// A session in a box, which moves cheaply.
pub struct Boxed(Box<Session>);

impl Recycleable for Boxed {
    fn new() -> Self {
        Self(Box::new(Session::create()))
    }

    #[inline(always)]
    fn reset(&mut self) {
        self.0.as_mut().reset();
    }
}

/// A guard of a box, as one of what is in it.
pub struct Lent<'a>(Recycled<'a, Boxed>);

impl Engine for Lifeguard {
    const NAME: &'static str = "lifeguard (Box)";
    type Store = Pool<Boxed>;

    fn build(setup: Setup) -> Self::Store {
        Pool::with_size(stocked(setup))
    }
}

impl Pools for Lifeguard {
    type View<'a> = &'a Self::Store;
    type Guard<'a> = Lent<'a>;

    fn view(store: &Self::Store) -> &Self::Store {
        store
    }

    #[inline(always)]
    fn get<'a>(view: &'a &'_ Self::Store) -> Lent<'a> {
        Lent(view.new())
    }
}

impl Deref for Lent<'_> {
    type Target = Session;

    #[inline(always)]
    fn deref(&self) -> &Session {
        &self.0.0
    }
}

impl DerefMut for Lent<'_> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Session {
        &mut self.0.0
    }
}
