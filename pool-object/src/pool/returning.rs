//! What happens to an object that comes back, the same in every pool. A storage file.

use crate::pool::error::{GetError, PoolError};
use crate::pool::recycle::{Recycle, ResetOn};
use core::convert::Infallible;
use core::mem::{forget, needs_drop};
use core::ptr::NonNull;

/// What a pool does with places, for the steps below. What a call does with its own object is done
/// before or after all foreign code that it runs (destructors of others, wakers): a panic leaves
/// nothing half done.
pub(crate) trait Shelf<T> {
    type Recycle: Recycle<T>;

    fn recycle(&self) -> &Self::Recycle;

    /// Makes the object idle; `false` if there may be no more, and then it is still out. Runs no
    /// foreign code once it is idle: if this panics, the object is still out, too.
    ///
    /// # Safety
    /// The object is out, initialised, and the caller gives it up if this returns `true`.
    unsafe fn shelve(&self, object: NonNull<T>) -> bool;

    /// The last object that was counted as a hit did not go out.
    fn uncount(&self);

    /// Follows `shelve` when the object is nobody's any more; may run foreign code.
    #[inline(always)]
    fn shelved(&self) {}

    /// Takes the place of an object back that was dropped. If this panics, it has it.
    ///
    /// # Safety
    /// The object was out, is dropped, and the caller gives the place up.
    unsafe fn vacate_dropped(&self, place: NonNull<T>);
}

/// Drops the object, then gives its place back, whatever panics.
struct Discard<'a, T, P: Shelf<T>> {
    pool: &'a P,
    /// Out, initialised, and this value's alone.
    object: NonNull<T>,
}

/// Drops an object that was idle and counted as a hit, and does not go out.
struct Withdraw<'a, T, P: Shelf<T>>(Discard<'a, T, P>);

/// Gives a place back, though the destructor that runs meanwhile may panic.
struct Vacate<'a, T, P: Shelf<T>> {
    pool: &'a P,
    /// Out, being dropped, and this value's alone.
    place: NonNull<T>,
}

impl<T, P: Shelf<T>> Drop for Discard<'_, T, P> {
    #[cold]
    #[inline(never)]
    fn drop(&mut self) {
        let _vacate = Vacate { pool: self.pool, place: self.object };
        if needs_drop::<T>() {
            // SAFETY: initialised, and nobody uses it after this.
            unsafe { self.object.drop_in_place() };
        }
    }
}

impl<T, P: Shelf<T>> Drop for Withdraw<'_, T, P> {
    #[cold]
    #[inline(never)]
    fn drop(&mut self) {
        self.0.pool.uncount();
    }
}

impl<T, P: Shelf<T>> Drop for Vacate<'_, T, P> {
    fn drop(&mut self) {
        // SAFETY: the object was dropped, or its destructor has panicked, after which nobody may
        // use it either.
        unsafe { self.pool.vacate_dropped(self.place) };
    }
}

/// Drops an object and gives its place back.
///
/// # Safety
/// The object is out of this pool, initialised, and the caller gives it up.
pub(crate) unsafe fn discard<T, P: Shelf<T>>(pool: &P, object: NonNull<T>) {
    drop(Discard { pool, object });
}

/// Takes an object back: asks whether to keep it, resets it, and makes it idle, or drops it.
///
/// # Safety
/// As `discard`.
#[inline(always)]
pub(crate) unsafe fn take_back<T, P: Shelf<T>>(pool: &P, mut object: NonNull<T>) {
    let discard = Discard { pool, object };
    // SAFETY: initialised, and nobody else's until it is idle.
    let value = unsafe { object.as_mut() };
    if !pool.recycle().keep(value) {
        return drop(discard);
    }
    if let ResetOn::Put = P::Recycle::RESET {
        pool.recycle().reset(value);
    }
    // SAFETY: as above; `discard`, who has it, is forgotten if it is idle now.
    if unsafe { pool.shelve(object) } {
        forget(discard);
        // Last: it may panic, and the object is no longer ours to discard.
        pool.shelved();
    }
}

/// Gets an object that was idle, and counted as a hit, ready to go out; `false` if it is no longer good,
/// and was dropped.
///
/// # Safety
/// As `discard`; if this returns `true` the caller has it again, and if this panics it is dropped.
#[inline(always)]
pub(crate) unsafe fn send_out<T, P: Shelf<T>>(pool: &P, mut object: NonNull<T>) -> bool {
    let withdraw = Withdraw(Discard { pool, object });
    // SAFETY: initialised, and nobody else's.
    let value = unsafe { object.as_mut() };
    if !pool.recycle().check(value) {
        drop(withdraw);
        return false;
    }
    if let ResetOn::Get = P::Recycle::RESET {
        pool.recycle().reset(value);
    }
    forget(withdraw);
    true
}

/// Where a pool's objects come from.
pub(crate) trait Stock<T>: Shelf<T> {
    /// An object that was idle until now and is the caller's alone, counted as a hit.
    fn idle(&self) -> Option<NonNull<T>>;

    /// A new object by `make`, counted as a miss: initialised, and the caller's alone.
    fn make<E>(&self, make: impl FnOnce() -> Result<T, E>) -> Result<NonNull<T>, GetError<E>>;
}

/// An object that is out from now on, initialised, and the caller's alone: an idle one, or one that
/// the pool makes.
#[inline(always)]
pub(crate) fn take_out<T, P: Stock<T>>(pool: &P) -> Result<NonNull<T>, PoolError> {
    if let Some(object) = pool.idle() {
        // SAFETY: idle until now, so initialised and ours alone.
        if unsafe { send_out(pool, object) } {
            return Ok(object);
        }
    }
    take_slowly(pool)
}

#[cold]
#[inline(never)]
fn take_slowly<T, P: Stock<T>>(pool: &P) -> Result<NonNull<T>, PoolError> {
    Ok(take_out_or(pool, || Ok::<T, Infallible>(pool.recycle().create()))?)
}

/// As `take_out`, but `make` makes it if none is idle.
pub(crate) fn take_out_or<T, P: Stock<T>, E>(
    pool: &P,
    make: impl FnOnce() -> Result<T, E>,
) -> Result<NonNull<T>, GetError<E>> {
    while let Some(object) = pool.idle() {
        // SAFETY: idle until now, so initialised and ours alone.
        if unsafe { send_out(pool, object) } {
            return Ok(object);
        }
    }
    pool.make(make)
}

/// Calls `step`, which drops objects, until it returns `false`, and at most so often. If one of them
/// panics the rest are dropped all the same, while the panic goes on.
pub(crate) fn persist(most: usize, step: impl FnMut() -> bool) {
    struct Rest<F: FnMut() -> bool>(usize, F);
    impl<F: FnMut() -> bool> Rest<F> {
        fn go_on(&mut self) {
            while let Some(left) = self.0.checked_sub(1) {
                self.0 = left;
                if !self.1() {
                    self.0 = 0;
                }
            }
        }
    }
    impl<F: FnMut() -> bool> Drop for Rest<F> {
        fn drop(&mut self) {
            self.go_on();
        }
    }
    Rest(most, step).go_on();
}
