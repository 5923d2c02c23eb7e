//! `Sealed`: an arena together with a value that borrows from it, to be handed over. A storage file.
//!
//! Doris hands filled pools from stage to stage by pointer (`MemPool::acquire_data`,
//! `exchange_data`) and trusts the programmer with what points into them. Here the borrow checker
//! sees that the value and the memory travel together.

use crate::arena::{Arena, DefaultSource};
use crate::cleanup::With;
use crate::error::AllocError;
use crate::root::{CovariantRoot, Root};
use core::error::Error;
use core::fmt;
use core::marker::PhantomData;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ptr::NonNull;
use pool_core::PageSource;

/// An arena bundled with a *root*, a value that borrows from it: one thing that can be kept,
/// returned, sent to another thread if the root can, and [adopted](Arena::adopt) by another arena
/// without copying.
///
/// `R` names the root's type for any lifetime; see [`Root`] and [`root!`](crate::root).
///
/// ```
/// use pool_arena::{Arena, Sealed, root};
///
/// struct Request<'a> { path: &'a str, words: &'a [&'a str] }
/// root!(Request);
///
/// fn parse(line: &str) -> Sealed<Request<'static>> {
///     let parsed = Sealed::new_in(Arena::new(), |arena| {
///         let path = &*arena.alloc_str(line);
///         let mut words = arena.tail_vec();
///         words.extend(path.split('/'));
///         Request { path, words: words.finish() }
///     });
///     parsed.expect("memory for the arena itself")
/// }
///
/// let sealed = std::thread::spawn(|| parse("a/b")).join().unwrap();
/// assert_eq!(sealed.get().words, ["a", "b"]);
///
/// let arena = Arena::new();
/// let request = arena.adopt(sealed); // now lives as long as `arena` is borrowed
/// assert_eq!(request.path, "a/b");
/// ```
///
/// Nothing leaves by the side:
///
/// ```compile_fail
/// use pool_arena::{Arena, Sealed};
/// let mut stolen: &str = "";
/// Sealed::<&'static str>::new_in(Arena::new(), |arena| {
///     stolen = arena.alloc_str("text");
///     ""
/// });
/// ```
///
/// An arena cannot pretend that its source lives shorter, and then adopt one whose source does:
///
/// ```compile_fail
/// use pool_arena::Arena;
/// use pool_core::Heap;
/// fn shorter<'short>(arena: &'short Arena<&'static Heap>) -> &'short Arena<&'short Heap> {
///     arena
/// }
/// ```
///
/// Roots that hold a `&Arena`, such as vectors that may still grow, work, but are not `Send`;
/// [`with_mut`](Self::with_mut) lends the arena to grow those that are.
pub struct Sealed<R: Root, S: PageSource = DefaultSource> {
    /// Lies in a chunk of its own, at the payload of a `With` that `adopt` links. This value owns
    /// it. A raw pointer, because a reference would claim, as an argument, that the memory outlives
    /// the call that frees it.
    arena: NonNull<Arena<S>>,
    /// Initialised until the drop, for the lifetime of the arena. `MaybeUninit` for the same reason.
    root: MaybeUninit<R::In<'static>>,
    owns: PhantomData<Arena<S>>,
}

// SAFETY: it owns the arena, which is `Send` with its source, and the root, which is `Send` whatever
// its lifetime. Whoever else refers to the arena is the root itself, and then it is not `Send`, unless
// it is wrapped in something that is, because it only lets its own thread in: such a wrapper has to
// bear that what it holds is used on other threads meanwhile, as in any future that moves while
// it borrows from itself.
unsafe impl<R, S> Send for Sealed<R, S>
where
    R: Root,
    S: PageSource + Send,
    for<'a> R::In<'a>: Send,
{
}

// SAFETY: `&Sealed` gives `&` to the root and nothing else; the arena is reached by `&mut` only.
unsafe impl<R, S> Sync for Sealed<R, S>
where
    R: Root,
    S: PageSource,
    for<'a> R::In<'a>: Sync,
{
}

/// An arena that lies in its own chunk, on the way into a [`Sealed`] or out of it: moves it out and
/// drops it, unless it is taken.
struct Housed<S: PageSource>(NonNull<Arena<S>>);

#[allow(clippy::result_large_err, reason = "the arena comes back")]
impl<S: PageSource> Housed<S> {
    /// Moves `arena` into a chunk of its own.
    fn new(arena: Arena<S>) -> Result<Self, (Arena<S>, AllocError)> {
        let place = match arena.try_place_for::<With<Arena<S>>>() {
            Ok(place) => With::payload_of(place),
            Err(error) => return Err((arena, error)),
        };
        // A reset may not go over it.
        arena.home.set(None);
        // SAFETY: fit for an arena, and nobody else's as long as the arena is not reset.
        unsafe { place.write(arena) };
        Ok(Self(place))
    }

    /// The arena, moved out of its chunk.
    fn take(self) -> Arena<S> {
        let this = ManuallyDrop::new(self);
        // SAFETY: initialised, owned, and moved out once. Nothing in an arena refers to where the
        // arena itself lies.
        unsafe { this.0.read() }
    }
}

impl<S: PageSource> Drop for Housed<S> {
    fn drop(&mut self) {
        // SAFETY: as in `take`. On the stack first: an arena must not lie in what it frees.
        drop(unsafe { self.0.read() });
    }
}

#[allow(clippy::result_large_err, reason = "the arena comes back")]
impl<R: Root, S: PageSource> Sealed<R, S> {
    /// Bundles `arena` with the root that `f` builds in it. (Where the root is a `&str` or the like,
    /// end with `&*arena.alloc_str(..)`: closures like `f` do not coerce what they return.)
    ///
    /// # Errors
    /// The arena, if it has no memory for itself: some 200 bytes.
    ///
    /// # Panics
    /// If `f` does; the arena is dropped then.
    pub fn new_in(
        arena: Arena<S>,
        f: impl for<'a> FnOnce(&'a Arena<S>) -> R::In<'a>,
    ) -> Result<Self, Arena<S>> {
        let housed = Housed::new(arena).map_err(|(arena, _)| arena)?;
        // SAFETY: initialised, and not moved or dropped before the root is, which `f` cannot let
        // out: it must work for every lifetime.
        let root = f(unsafe { housed.0.as_ref() });
        Ok(Self::bundle(&ManuallyDrop::new(housed), root))
    }

    /// Puts both together. `root` is whatever `f` of a constructor made.
    fn bundle<'a>(housed: &ManuallyDrop<Housed<S>>, root: R::In<'a>) -> Self {
        let mut place = MaybeUninit::<R::In<'static>>::uninit();
        // SAFETY: the same type but for lifetimes, so of the same layout.
        unsafe { place.as_mut_ptr().cast::<R::In<'a>>().write(root) };
        Self { arena: housed.0, root: place, owns: PhantomData }
    }

    /// As [`new_in`](Self::new_in), if `f` succeeds.
    ///
    /// # Errors
    /// What `f` returned, or that the arena has no memory for itself; with the arena, emptied.
    ///
    /// # Panics
    /// If `f` does; the arena is dropped then.
    ///
    /// ```
    /// use pool_arena::{Arena, SealCause, Sealed};
    /// let parse = |text: &'static str| {
    ///     Sealed::<&'static u32>::try_new_in(Arena::new(), |arena| {
    ///         text.parse::<u32>().map(|number| &*arena.alloc(number))
    ///     })
    /// };
    /// assert_eq!(**parse("12").unwrap().get(), 12);
    /// assert!(matches!(parse("x").unwrap_err().cause, SealCause::Init(_)));
    /// ```
    pub fn try_new_in<E>(
        arena: Arena<S>,
        f: impl for<'a> FnOnce(&'a Arena<S>) -> Result<R::In<'a>, E>,
    ) -> Result<Self, SealError<E, S>> {
        let housed = Housed::new(arena)
            .map_err(|(arena, error)| SealError { arena, cause: SealCause::Alloc(error) })?;
        // SAFETY: as in `new_in`.
        match f(unsafe { housed.0.as_ref() }) {
            Ok(root) => Ok(Self::bundle(&ManuallyDrop::new(housed), root)),
            Err(error) => {
                let mut arena = housed.take();
                arena.reset();
                Err(SealError { arena, cause: SealCause::Init(error) })
            }
        }
    }

    /// Lends the root to `f`.
    pub fn with<T>(&self, f: impl for<'a> FnOnce(&R::In<'a>) -> T) -> T {
        // SAFETY: initialised, for a lifetime that `f` can know nothing of but that it has not ended.
        f(unsafe { &*self.root.as_ptr().cast() })
    }

    /// Lends the root to `f`, to be changed, and the arena, to allocate what goes into it.
    ///
    /// ```
    /// # use pool_arena::{Arena, Sealed};
    /// let mut sealed = Sealed::<&'static str>::new_in(Arena::new(), |arena| {
    ///     &*arena.alloc_str("old")
    /// }).unwrap();
    /// sealed.with_mut(|root, arena| *root = arena.alloc_str("new"));
    /// assert_eq!(*sealed.get(), "new");
    /// ```
    pub fn with_mut<'s, T>(
        &'s mut self,
        f: impl for<'a> FnOnce(&mut R::In<'a>, &'a Arena<S>) -> T,
    ) -> T {
        // SAFETY: initialised, and not moved or dropped during `'s`.
        let arena: &'s Arena<S> = unsafe { self.arena.as_ref() };
        // SAFETY: as in `with`; exclusive.
        let root: &mut R::In<'s> = unsafe { &mut *self.root.as_mut_ptr().cast() };
        f(root, arena)
    }

    /// The root, where it is [covariant](CovariantRoot).
    #[must_use]
    pub fn get(&self) -> &R::In<'_>
    where
        R: CovariantRoot,
    {
        // SAFETY: initialised; `shorten`, which works for every lifetime, cuts the pretended one
        // down to that of the borrow before anybody else sees it.
        R::shorten(unsafe { &*self.root.as_ptr() })
    }

    /// Drops the root and empties the arena, which keeps its chunks as after a
    /// [`reset`](Arena::reset).
    ///
    /// # Panics
    /// If the root's destructor or a cleanup does.
    #[must_use]
    pub fn into_arena(self) -> Arena<S> {
        let mut this = ManuallyDrop::new(self);
        let housed = Housed(this.arena);
        // SAFETY: initialised, and dropped once, since `this` is not. The arena still lives.
        unsafe { this.root.assume_init_drop() };
        let mut arena = housed.take();
        arena.reset();
        arena
    }

    /// Bytes that the arena holds from its source.
    #[must_use]
    pub fn allocated_bytes_including_metadata(&mut self) -> usize {
        // SAFETY: initialised. Exclusive: through `&self` a root that holds the arena, and says that
        // it may be shared since it checks its thread itself, could allocate at the same time.
        unsafe { self.arena.as_ref() }.held.get()
    }
}

impl<R: Root, S: PageSource> Drop for Sealed<R, S> {
    fn drop(&mut self) {
        // Dropped last, even if the root's destructor panics.
        let _housed = Housed(self.arena);
        // SAFETY: initialised, and dropped once. The arena still lives.
        unsafe { self.root.assume_init_drop() };
    }
}

impl<S: PageSource> Arena<S> {
    /// Takes a sealed arena over without copying: its root lives as long as this arena is borrowed,
    /// and its memory goes when this arena is emptied. The source that it came from stays charged
    /// until then; this arena's own limit counts it from now on.
    ///
    /// The root comes by value. (By reference it could come to refer to what dies before it.)
    ///
    /// # Panics
    /// If it would pass this arena's limit; [`try_adopt`](Self::try_adopt) gives it back.
    ///
    /// See [`Sealed`] for an example.
    pub fn adopt<'x, R: Root>(&'x self, sealed: Sealed<R, S>) -> R::In<'x> {
        match self.try_adopt(sealed) {
            Ok(root) => root,
            Err(refusal) => crate::error::refuse(refusal.error),
        }
    }

    /// As [`adopt`](Self::adopt). It takes no memory: what it needs lies in the sealed arena already.
    ///
    /// # Errors
    /// If it would pass this arena's limit; with the sealed arena, intact.
    pub fn try_adopt<'x, R: Root>(
        &'x self,
        mut sealed: Sealed<R, S>,
    ) -> Result<R::In<'x>, AdoptError<R, S>> {
        let bytes = sealed.allocated_bytes_including_metadata();
        if let Err(error) = self.may_hold(bytes) {
            return Err(AdoptError { sealed, error });
        }
        let sealed = ManuallyDrop::new(sealed);
        self.charge(bytes);
        self.adopted.set(self.adopted.get() + bytes);
        self.home.set(None);
        // SAFETY: the arena is the payload of a `With` in its own chunk, which lives until the node
        // has run. `S: Send` if this arena moves to another thread, with all that lies in the other.
        unsafe { self.cleanups.link_owner(With::of_payload(sealed.arena)) };
        // SAFETY: initialised, and moved out once. What it borrows from lives until this arena's
        // cleanups run, for which the borrow of `'x` must have ended.
        Ok(unsafe { sealed.root.as_ptr().cast::<R::In<'x>>().read() })
    }

    /// Exchanges all contents, limits and sources of two arenas.
    ///
    /// ```
    /// # use pool_arena::Arena;
    /// let (mut a, mut b) = (Arena::new(), Arena::new());
    /// a.alloc(1);
    /// a.exchange(&mut b);
    /// assert_eq!(a.allocated_bytes(), 0);
    /// ```
    pub fn exchange(&mut self, other: &mut Self) {
        core::mem::swap(self, other);
    }
}

impl<R: Root, S: PageSource> fmt::Debug for Sealed<R, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed").finish_non_exhaustive()
    }
}

/// Why nothing was sealed, with the arena.
pub struct SealError<E, S: PageSource> {
    /// The arena, emptied.
    pub arena: Arena<S>,
    /// Why.
    pub cause: SealCause<E>,
}

impl<E: fmt::Debug, S: PageSource> fmt::Debug for SealError<E, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealError").field("cause", &self.cause).finish_non_exhaustive()
    }
}

/// Why nothing was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealCause<E> {
    /// The arena had no memory for itself.
    Alloc(AllocError),
    /// The closure failed.
    Init(E),
}

impl<E: fmt::Display, S: PageSource> fmt::Display for SealError<E, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            SealCause::Alloc(error) => error.fmt(f),
            SealCause::Init(error) => write!(f, "the closure that makes the root failed: {error}"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display, S: PageSource> Error for SealError<E, S> {}

/// An arena that would pass the limit of the one that was to adopt it.
pub struct AdoptError<R: Root, S: PageSource> {
    /// What was to be adopted, intact.
    pub sealed: Sealed<R, S>,
    /// Which limit.
    pub error: AllocError,
}

impl<R: Root, S: PageSource> fmt::Debug for AdoptError<R, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdoptError").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<R: Root, S: PageSource> fmt::Display for AdoptError<R, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<R: Root, S: PageSource> Error for AdoptError<R, S> {}
