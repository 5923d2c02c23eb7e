//! General allocators: each object is allocated and freed by itself, as a server does that has no
//! arena. Their calls are made directly, without Rust's `GlobalAlloc` between.

use crate::engine::{Engine, Setup};
use crate::region::{Places, Region, Regions, Texts, Values};
use std::alloc::Layout;
use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr::NonNull;

/// The C library's `malloc` and `free`.
pub struct Glibc;

/// `mi_malloc` and `mi_free`.
pub struct Mimalloc;

/// A pair of `malloc` and `free`, whose objects are aligned to 16 bytes, or to their length if
/// that is less.
pub trait Pair: 'static {
    /// `len` bytes, or null.
    fn malloc(len: usize) -> *mut u8;
    /// Gives them back.
    ///
    /// # Safety
    /// `object` came from `malloc` and is not used any more.
    unsafe fn free(object: *mut u8);
}

impl Pair for Glibc {
    #[inline(always)]
    fn malloc(len: usize) -> *mut u8 {
        // SAFETY: any length may be asked for.
        unsafe { libc::malloc(len) }.cast()
    }

    #[inline(always)]
    unsafe fn free(object: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { libc::free(object.cast()) };
    }
}

impl Pair for Mimalloc {
    #[inline(always)]
    fn malloc(len: usize) -> *mut u8 {
        // SAFETY: any length may be asked for.
        unsafe { libmimalloc_sys::mi_malloc(len) }.cast()
    }

    #[inline(always)]
    unsafe fn free(object: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { libmimalloc_sys::mi_free(object.cast()) };
    }
}

impl Engine for Glibc {
    const NAME: &'static str = "glibc malloc";
    type Store = Slots;

    fn build(_: Setup) -> Slots {
        Slots::new()
    }
}

impl Regions for Glibc {
    type Region<'a> = Objects<'a, Self>;

    #[inline(always)]
    fn open(store: &Slots) -> Self::Region<'_> {
        Objects::new(store)
    }
}

impl Engine for Mimalloc {
    const NAME: &'static str = "mimalloc";
    type Store = Slots;

    fn build(_: Setup) -> Slots {
        Slots::new()
    }
}

impl Regions for Mimalloc {
    type Region<'a> = Objects<'a, Self>;

    #[inline(always)]
    fn open(store: &Slots) -> Self::Region<'_> {
        Objects::new(store)
    }
}

/// The most objects that any workload has at once.
const MOST: usize = 1 << 14;

/// Where the addresses of live objects are kept, in the order of their birth.
pub struct Slots(Box<[Cell<*mut u8>]>);

impl Slots {
    fn new() -> Self {
        Self((0..MOST).map(|_| Cell::new(std::ptr::null_mut())).collect())
    }
}

/// Objects that end together, one by one.
pub struct Objects<'a, P: Pair> {
    /// Below `count`: objects of `P` that are live.
    slots: &'a [Cell<*mut u8>],
    count: Cell<usize>,
    pair: PhantomData<P>,
}

impl<'a, P: Pair> Objects<'a, P> {
    #[inline(always)]
    fn new(slots: &'a Slots) -> Self {
        Self { slots: &slots.0, count: Cell::new(0), pair: PhantomData }
    }
}

impl<P: Pair> Region for Objects<'_, P> {
    #[inline(always)]
    fn reset(&mut self) {
        for slot in &self.slots[..self.count.replace(0)] {
            // SAFETY: it came from `malloc`, and is freed once, as it is no longer counted;
            // `&mut self` says that nobody uses it.
            unsafe { P::free(slot.get()) };
        }
    }
}

impl<P: Pair> Drop for Objects<'_, P> {
    #[inline(always)]
    fn drop(&mut self) {
        self.reset();
    }
}

impl<P: Pair> Places for Objects<'_, P> {
    #[inline(always)]
    fn place(&self, layout: Layout) -> NonNull<u8> {
        debug_assert!(layout.align() <= 8);
        let count = self.count.get();
        let slot = &self.slots[count];
        // Less than 8 bytes may be aligned to less.
        let len = if layout.align() > 1 { layout.size().max(8) } else { layout.size() };
        let place = NonNull::new(P::malloc(len)).expect("there is memory");
        slot.set(place.as_ptr());
        self.count.set(count + 1);
        place
    }
}

impl<P: Pair, T> Values<T> for Objects<'_, P> {
    #[inline(always)]
    fn value(&self, value: T) -> &mut T {
        let place = self.place(Layout::new::<T>()).cast::<T>();
        // SAFETY: aligned bytes, enough for a `T`, that nobody else has.
        unsafe { place.write(value) };
        // SAFETY: written just now; its own until the region is reset, which needs `&mut`.
        unsafe { &mut *place.as_ptr() }
    }
}

impl<P: Pair> Texts for Objects<'_, P> {
    #[inline(always)]
    fn text<'a>(&'a self, text: &'a str) -> &'a str {
        super::copied(self.place(Layout::for_value(text)), text)
    }
}
