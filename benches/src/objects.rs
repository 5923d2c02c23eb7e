//! What a workload asks of a pool: sessions, which are dear to make and cheap to use again.

use crate::engine::{Engine, Setup};
use allocator_api2::alloc::{Allocator, Global};
use allocator_api2::vec::Vec;
use std::ops::DerefMut;

/// Bytes of a session's buffer.
const BUFFER: usize = 4096;

/// 256 bytes, and a buffer of 4 KiB.
pub struct Session<A: Allocator = Global> {
    buffer: Vec<u8, A>,
    fields: [u64; 29],
}

const _: () = assert!(size_of::<Session>() == 256);

/// What is in pools.
pub trait Object {
    /// A new one, ready for use.
    fn create() -> Self;
    /// Uses one: a byte more is in its buffer then. Returns how many are there.
    fn used(&mut self, number: u64) -> u64;
    /// Makes it ready for the next use.
    fn reset(&mut self);
}

impl<A: Allocator + Default> Object for Session<A> {
    fn create() -> Self {
        Self { buffer: Vec::with_capacity_in(BUFFER, A::default()), fields: [0; 29] }
    }

    #[inline(always)]
    fn used(&mut self, number: u64) -> u64 {
        self.buffer.push(number as u8);
        self.fields[0] = number;
        self.fields[1] += 1;
        self.buffer.len() as u64
    }

    #[inline(always)]
    fn reset(&mut self) {
        self.buffer.clear();
    }
}

/// An engine of pools.
pub trait Pools: Engine {
    /// One thread's way to the pool.
    type View<'a>;
    /// An object that returns to the pool when it is dropped.
    type Guard<'a>: DerefMut<Target: Object>;
    /// The calling thread's.
    fn view(store: &Self::Store) -> Self::View<'_>;
    /// An object, ready for use.
    fn get<'a>(view: &'a Self::View<'_>) -> Self::Guard<'a>;
}

/// What a pool of so many objects is built for, all of which are there from the beginning.
#[must_use]
pub fn stock(objects: usize) -> Setup {
    let chunk = size_of::<Session>();
    Setup { chunk, capacity: chunk * objects }
}

/// How many objects are to be there.
#[must_use]
pub fn stocked(setup: Setup) -> usize {
    setup.capacity / setup.chunk
}
