//! Nothing at all: always the same object.

use crate::engine::{Engine, Setup};
use crate::objects::{Object, Pools, Session};
use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};

/// The loop.
pub struct One;

/// The object, of which a guard lends references one after the other. Workloads keep none while they
/// use another guard.
pub struct Cell(UnsafeCell<Session>);

/// Whoever has it may use the object now.
pub struct Turn<'a>(&'a Cell);

impl Engine for One {
    const NAME: &'static str = "(loop)";
    type Store = Cell;

    fn build(_: Setup) -> Cell {
        Cell(UnsafeCell::new(Session::create()))
    }
}

impl Pools for One {
    type View<'a> = &'a Cell;
    type Guard<'a> = Turn<'a>;

    fn view(store: &Cell) -> &Cell {
        store
    }

    #[inline(always)]
    fn get<'a>(view: &'a &'_ Cell) -> Turn<'a> {
        Turn(view)
    }
}

impl Deref for Turn<'_> {
    type Target = Session;

    #[inline(always)]
    fn deref(&self) -> &Session {
        // SAFETY: one thread, and no other reference at the moment: see `Cell`.
        unsafe { &*self.0.0.get() }
    }
}

impl DerefMut for Turn<'_> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Session {
        // SAFETY: one thread, and no other reference at the moment: see `Cell`.
        unsafe { &mut *self.0.0.get() }
    }
}

impl Drop for Turn<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.reset();
    }
}
