//! `Guard`: an object that goes back to its pool when it is dropped. A storage file.

use core::fmt;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

/// What only this crate's pools are.
pub(crate) mod sealed {
    pub trait Home {}
}

/// Where objects of a guard go back to: a reference to a pool, or a share of it. No type outside of this
/// crate can be one:
///
/// ```compile_fail,E0277
/// struct Mine;
/// // SAFETY: never.
/// unsafe impl pool_object::Home<u8> for Mine {
///     unsafe fn put(&self, _: core::ptr::NonNull<u8>) {}
///     unsafe fn vacate(&self, _: core::ptr::NonNull<u8>) {}
/// }
/// ```
///
/// # Safety
/// While the home exists, the memory of its objects does, and nobody but the guard uses an object that
/// is out. Homes that are `Send` take objects back on any thread.
pub unsafe trait Home<T>: sealed::Home {
    /// Takes an object back.
    ///
    /// # Safety
    /// The object is out, initialised, and the caller gives it up.
    unsafe fn put(&self, object: NonNull<T>);

    /// Takes the memory back of an object that is none any more.
    ///
    /// # Safety
    /// The object was out, was moved out of its place, and the caller gives the place up.
    unsafe fn vacate(&self, place: NonNull<T>);
}

/// An object of a pool, for as long as the guard lives; then it goes back. Pools have names for
/// the guards that they give out: [`Pooled`](crate::Pooled), [`RcPooled`](crate::RcPooled),
/// [`SharedPooled`](crate::SharedPooled) and others.
///
/// The object stays where it is. A forgotten guard's object is never seen again: it counts as live
/// in the pool's statistics, and its memory goes back with the pool.
///
/// ```
/// use pool_object::{Pool, Pooled};
/// let pool: Pool<Vec<u8>> = Pool::new();
/// let mut buffer = pool.get();
/// buffer.push(1);
/// let own: Vec<u8> = Pooled::detach(buffer); // out of the pool for good
/// assert_eq!((own, pool.stats().live), (vec![1], 0));
/// ```
///
/// It cannot outlive the pool it borrows from:
///
/// ```compile_fail,E0597
/// # use pool_object::Pool;
/// let kept;
/// {
///     let pool: Pool<u32> = Pool::new();
///     kept = pool.get();
/// }
/// drop(kept);
/// ```
pub struct Guard<T, H: Home<T>> {
    /// Out of `home`: initialised, and nobody else's.
    object: NonNull<T>,
    home: H,
}

// SAFETY: the guard owns its object, which may go where `T` may, and goes back to its home from
// wherever the home may be.
unsafe impl<T: Send, H: Home<T> + Send> Send for Guard<T, H> {}
// SAFETY: a shared guard lends `&T`, and `&H` to nobody.
unsafe impl<T: Sync, H: Home<T> + Sync> Sync for Guard<T, H> {}

impl<T, H: Home<T>> Guard<T, H> {
    /// # Safety
    /// The object is out of this home, initialised, and from now on the guard's alone.
    #[inline(always)]
    pub(crate) unsafe fn new(object: NonNull<T>, home: H) -> Self {
        Self { object, home }
    }

    #[inline(always)]
    #[cfg(feature = "std")]
    pub(crate) fn home(this: &Self) -> &H {
        &this.home
    }

    /// The object and its home; nothing goes back.
    #[inline(always)]
    pub(crate) fn into_parts(this: Self) -> (NonNull<T>, H) {
        let this = ManuallyDrop::new(this);
        // SAFETY: `this` is never dropped nor used again, so the home is taken once.
        let home = unsafe { (&raw const this.home).read() };
        (this.object, home)
    }

    /// Takes the object out of the pool for good; the pool counts it as dropped. (A function, not a
    /// method, lest it hide one of `T`'s.)
    ///
    /// # Panics
    /// A guard that was the last to keep its pool alive drops the pool, with what is idle there. If a
    /// destructor of those panics, this does.
    #[must_use = "the object is dropped otherwise, not put back"]
    pub fn detach(this: Self) -> T {
        let (object, home) = Self::into_parts(this);
        // SAFETY: initialised, and moved out of once: the guard is gone.
        let value = unsafe { object.read() };
        // SAFETY: just moved out, and the guard is gone.
        unsafe { home.vacate(object) };
        value
    }
}

impl<T, H: Home<T>> Deref for Guard<T, H> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: initialised, nobody else's, and in place while the guard has its home.
        unsafe { self.object.as_ref() }
    }
}

impl<T, H: Home<T>> DerefMut for Guard<T, H> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and exclusively borrowed.
        unsafe { self.object.as_mut() }
    }
}

impl<T, H: Home<T>> Drop for Guard<T, H> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: out, initialised, and the guard ends here.
        unsafe { self.home.put(self.object) };
    }
}

impl<T: fmt::Debug, H: Home<T>> fmt::Debug for Guard<T, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: fmt::Display, H: Home<T>> fmt::Display for Guard<T, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T, H: Home<T>> AsRef<T> for Guard<T, H> {
    fn as_ref(&self) -> &T {
        self
    }
}

impl<T, H: Home<T>> AsMut<T> for Guard<T, H> {
    fn as_mut(&mut self) -> &mut T {
        self
    }
}
