//! `Recycle`: how a pool makes objects and gets them ready for their next user.
#![forbid(unsafe_code)]

/// When an object is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetOn {
    /// When it comes back: what it holds goes at once, and it lies clean in the pool.
    Put,
    /// When it goes out: its last state can be looked at until then, and what is never used again
    /// is never reset.
    Get,
}

/// How a pool makes its objects, and what happens to them between two users.
///
/// The constructor runs once an object, not once a use: what is costly to build (buffers, tables,
/// a parser) stays built, and `reset` brings it back to the state that users begin with. The idea is
/// that of `kmem_cache` (Bonwick, *The Slab Allocator*, 1994).
///
/// A closure `Fn() -> T` is the least of it; a tuple `(create, reset)` or `(create, reset, keep)`
/// of closures is all of it:
///
/// ```
/// use pool_object::Pool;
/// let pool = Pool::with((
///     || Vec::<u8>::with_capacity(4096),
///     |buffer: &mut Vec<u8>| buffer.clear(),
///     |buffer: &Vec<u8>| buffer.capacity() <= 64 << 10, // the one huge request is not kept
/// ));
/// pool.get().extend_from_slice(b"request");
/// assert!(pool.get().is_empty());
/// ```
///
/// Or with a name, for a type that can be written down:
///
/// ```
/// use pool_object::{Pool, Recycle};
/// struct Buffers { capacity: usize }
/// impl Recycle<Vec<u8>> for Buffers {
///     fn create(&self) -> Vec<u8> {
///         Vec::with_capacity(self.capacity)
///     }
///     fn reset(&self, buffer: &mut Vec<u8>) {
///         buffer.clear();
///     }
///     fn keep(&self, buffer: &Vec<u8>) -> bool {
///         buffer.capacity() <= 2 * self.capacity
///     }
/// }
/// let pool: Pool<Vec<u8>, Buffers> = Pool::with(Buffers { capacity: 4096 });
/// pool.get().reserve(100_000);
/// assert_eq!(pool.stats().dropped, 1);
/// ```
///
/// An object that can spoil while nobody uses it, such as a connection that the other side may close,
/// is looked at by [`check`](Self::check) before it goes out. One whose making can fail is got by the
/// pools' `get_with`, which take a closure that returns a `Result`.
///
/// Every method may panic, and may use the pool: the pool is in order whenever it calls one. An
/// object whose `keep`, `reset` or `check` panics is dropped.
pub trait Recycle<T> {
    /// When `reset` runs.
    const RESET: ResetOn = ResetOn::Put;

    /// A new object.
    fn create(&self) -> T;

    /// Gets an object ready for its next user. Does nothing by default: the next user sees what the
    /// last one left.
    #[inline]
    fn reset(&self, value: &mut T) {
        let _ = value;
    }

    /// Whether an idle object is still good; asked before it goes out, and before a `reset` then. `false`
    /// drops it, and the next one is looked at. By default all are.
    ///
    /// ```
    /// use pool_object::{Pool, Recycle};
    /// struct Connection { closed_by_peer: bool }
    /// struct Connect;
    /// impl Recycle<Connection> for Connect {
    ///     fn create(&self) -> Connection {
    ///         Connection { closed_by_peer: false }
    ///     }
    ///     fn check(&self, connection: &mut Connection) -> bool {
    ///         !connection.closed_by_peer
    ///     }
    /// }
    /// let pool = Pool::with(Connect);
    /// pool.get().closed_by_peer = true;
    /// assert!(!pool.get().closed_by_peer);
    /// assert_eq!((pool.stats().created, pool.stats().dropped, pool.stats().hits), (2, 1, 0));
    /// ```
    #[inline]
    fn check(&self, value: &mut T) -> bool {
        let _ = value;
        true
    }

    /// Whether an object that comes back may stay; asked before `reset`. `false` drops it: say,
    /// because it grew too fat. By default all stay.
    #[inline]
    fn keep(&self, value: &T) -> bool {
        let _ = value;
        true
    }
}

impl<T, F: Fn() -> T> Recycle<T> for F {
    #[inline]
    fn create(&self) -> T {
        self()
    }
}

impl<T, C: Fn() -> T, R: Fn(&mut T)> Recycle<T> for (C, R) {
    #[inline]
    fn create(&self) -> T {
        (self.0)()
    }
    #[inline]
    fn reset(&self, value: &mut T) {
        (self.1)(value);
    }
}

impl<T, C: Fn() -> T, R: Fn(&mut T), K: Fn(&T) -> bool> Recycle<T> for (C, R, K) {
    #[inline]
    fn create(&self) -> T {
        (self.0)()
    }
    #[inline]
    fn reset(&self, value: &mut T) {
        (self.1)(value);
    }
    #[inline]
    fn keep(&self, value: &T) -> bool {
        (self.2)(value)
    }
}

/// Makes objects by `T::default()` and never resets them.
///
/// ```
/// use pool_object::Pool;
/// let pool: Pool<u32> = Pool::new();
/// *pool.get() = 7;
/// assert_eq!(*pool.get(), 7); // as it was left
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct ByDefault;

impl<T: Default> Recycle<T> for ByDefault {
    #[inline]
    fn create(&self) -> T {
        T::default()
    }
}
