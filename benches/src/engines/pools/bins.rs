//! What servers keep their idle objects in that have no pool: boxes in a vector or a queue, with a
//! guard that puts one back.

use crate::engine::{Engine, Setup};
use crate::objects::{Object, Pools, Session, stocked};
use crossbeam_queue::{ArrayQueue, SegQueue};
use std::cell::{RefCell, UnsafeCell};
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::sync::Mutex;

/// Idle objects.
pub trait Bin: 'static {
    /// Takes one out, if there is one.
    fn pop(&self) -> Option<Box<Session>>;
    /// Puts one in.
    fn push(&self, session: Box<Session>);
}

/// An object out of a bin.
pub struct Lent<'a, B: Bin> {
    bin: &'a B,
    /// There until drop.
    session: ManuallyDrop<Box<Session>>,
}

impl<'a, B: Bin> Lent<'a, B> {
    #[inline(always)]
    fn new(bin: &'a B) -> Self {
        let session = bin.pop().unwrap_or_else(|| Box::new(Session::create()));
        Self { bin, session: ManuallyDrop::new(session) }
    }
}

impl<B: Bin> Deref for Lent<'_, B> {
    type Target = Session;

    #[inline(always)]
    fn deref(&self) -> &Session {
        &self.session
    }
}

impl<B: Bin> DerefMut for Lent<'_, B> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Session {
        &mut self.session
    }
}

impl<B: Bin> Drop for Lent<'_, B> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: it was not taken before, and nobody uses it after.
        let mut session = unsafe { ManuallyDrop::take(&mut self.session) };
        session.reset();
        self.bin.push(session);
    }
}

/// `Mutex<Vec<Box<T>>>`.
pub struct MutexVecOfBoxes;

/// `thread_local! Vec<Box<T>>`.
pub struct LocalVecOfBoxes;

/// A stack that one owner has for himself: the floor of what a pool can cost.
pub struct Stack;

/// `ArrayQueue<Box<T>>`.
pub struct ArrayQueueOfBoxes;

/// `SegQueue<Box<T>>`.
pub struct SegQueueOfBoxes;

macro_rules! engine {
    ($engine:ident, $name:literal, $bin:ty, $setup:ident => $new:expr) => {
        impl Engine for $engine {
            const NAME: &'static str = $name;
            // Those in brackets are no peers.
            const FLOOR: bool = matches!($name.as_bytes(), [b'(', ..]);
            type Store = $bin;

            fn build($setup: Setup) -> $bin {
                let bin = $new;
                for _ in 0..stocked($setup) {
                    Bin::push(&bin, Box::new(Session::create()));
                }
                bin
            }
        }

        impl Pools for $engine {
            type View<'a> = &'a $bin;
            type Guard<'a> = Lent<'a, $bin>;

            fn view(store: &$bin) -> &$bin {
                store
            }

            #[inline(always)]
            fn get<'a>(view: &'a &'_ $bin) -> Lent<'a, $bin> {
                Lent::new(view)
            }
        }
    };
}

/// Idle objects, which users have by pointer.
#[allow(clippy::vec_box, reason = "moving a box is what costs little")]
type Boxes = Vec<Box<Session>>;
type Locked = Mutex<Boxes>;
type Array = ArrayQueue<Box<Session>>;
type Segments = SegQueue<Box<Session>>;

engine!(MutexVecOfBoxes, "Mutex<Vec<Box>>", Locked, _setup => Mutex::new(Vec::new()));
engine!(LocalVecOfBoxes, "thread-local Vec<Box>", ThreadLocal, _setup => ThreadLocal);
engine!(Stack, "(stack)", Own, _setup => Own(UnsafeCell::new(Vec::new())));
engine!(ArrayQueueOfBoxes, "ArrayQueue<Box>", Array, setup => ArrayQueue::new(stocked(setup)));
engine!(SegQueueOfBoxes, "SegQueue<Box>", Segments, _setup => SegQueue::new());

/// A vector of one thread, which nobody asks whether it is borrowed.
pub struct Own(UnsafeCell<Boxes>);

impl Own {
    #[inline(always)]
    fn with<T>(&self, work: impl FnOnce(&mut Boxes) -> T) -> T {
        // SAFETY: not `Sync`, and neither `push` nor `pop` of a vector comes back here.
        work(unsafe { &mut *self.0.get() })
    }
}

impl Bin for Own {
    #[inline(always)]
    fn pop(&self) -> Option<Box<Session>> {
        self.with(Vec::pop)
    }

    #[inline(always)]
    fn push(&self, session: Box<Session>) {
        self.with(|boxes| boxes.push(session));
    }
}

impl Bin for Locked {
    #[inline(always)]
    fn pop(&self) -> Option<Box<Session>> {
        self.lock().expect("nobody panicked").pop()
    }

    #[inline(always)]
    fn push(&self, session: Box<Session>) {
        self.lock().expect("nobody panicked").push(session);
    }
}

thread_local! {
    static IDLE: RefCell<Boxes> = const { RefCell::new(Vec::new()) };
}

/// The calling thread's vector.
pub struct ThreadLocal;

impl Bin for ThreadLocal {
    #[inline(always)]
    fn pop(&self) -> Option<Box<Session>> {
        IDLE.with_borrow_mut(Vec::pop)
    }

    #[inline(always)]
    fn push(&self, session: Box<Session>) {
        IDLE.with_borrow_mut(|idle| idle.push(session));
    }
}

impl Bin for Array {
    #[inline(always)]
    fn pop(&self) -> Option<Box<Session>> {
        self.pop()
    }

    #[inline(always)]
    fn push(&self, session: Box<Session>) {
        assert!(self.push(session).is_ok(), "there are no more objects than places");
    }
}

impl Bin for Segments {
    #[inline(always)]
    fn pop(&self) -> Option<Box<Session>> {
        self.pop()
    }

    #[inline(always)]
    fn push(&self, session: Box<Session>) {
        self.push(session);
    }
}
