//! Types of roots: one type constructor for all lifetimes.
#![forbid(unsafe_code)]

/// Names the type of a [`Sealed`](crate::Sealed) arena's root for every lifetime. Safe to implement;
/// [`root!`](crate::root) does it.
pub trait Root: 'static {
    /// The root, if the arena is borrowed for `'a`.
    type In<'a>;
}

/// A root whose lifetime may be shortened, which [`Sealed::get`](crate::Sealed::get) needs. Safe to
/// implement: the body `{ root }` compiles only where it is true.
pub trait CovariantRoot: Root {
    /// The same reference.
    fn shorten<'s, 'l: 's>(root: &'s Self::In<'l>) -> &'s Self::In<'s>;
}

impl<T: ?Sized + 'static> Root for &'static T {
    type In<'a> = &'a T;
}

impl<T: ?Sized + 'static> CovariantRoot for &'static T {
    fn shorten<'s, 'l: 's>(root: &'s &'l T) -> &'s &'s T {
        root
    }
}

impl<R: Root> Root for Option<R> {
    type In<'a> = Option<R::In<'a>>;
}

impl Root for () {
    type In<'a> = ();
}

impl CovariantRoot for () {
    fn shorten<'s, 'l: 's>(root: &'s ()) -> &'s () {
        root
    }
}

/// Makes types roots of [`Sealed`](crate::Sealed) arenas.
///
/// ```
/// use pool_arena::{Arena, Sealed, root};
/// use std::cell::Cell;
///
/// struct Request<'a>(&'a str);
/// root!(Request);                          // Sealed<Request<'static>>
///
/// struct Slot<'a>(Cell<&'a str>);
/// root!(invariant Slot);                   // not covariant: without `get`
///
/// root!(pub Words = 'a => Vec<&'a str>);   // any type: Sealed<Words>
///
/// let words = Sealed::<Words, _>::new_in(Arena::new(), |arena| {
///     vec![&*arena.alloc_str("a"), &*arena.alloc_str("b")]
/// });
/// assert_eq!(words.unwrap().get().len(), 2);
/// ```
///
/// What is not covariant must say so:
///
/// ```compile_fail
/// struct Slot<'a>(std::cell::Cell<&'a str>);
/// pool_arena::root!(Slot);
/// ```
#[macro_export]
macro_rules! root {
    (invariant $name:ident) => {
        impl $crate::Root for $name<'static> {
            type In<'a> = $name<'a>;
        }
    };
    ($name:ident) => {
        $crate::root!(invariant $name);
        impl $crate::CovariantRoot for $name<'static> {
            fn shorten<'s, 'l: 's>(root: &'s $name<'l>) -> &'s $name<'s> {
                root
            }
        }
    };
    ($visible:vis $name:ident = $lifetime:lifetime => $type:ty) => {
        #[doc = "Names a root of sealed arenas."]
        $visible struct $name;
        impl $crate::Root for $name {
            type In<$lifetime> = $type;
        }
        impl $crate::CovariantRoot for $name {
            fn shorten<'s, 'l: 's>(
                root: &'s <Self as $crate::Root>::In<'l>,
            ) -> &'s <Self as $crate::Root>::In<'s> {
                root
            }
        }
    };
}
