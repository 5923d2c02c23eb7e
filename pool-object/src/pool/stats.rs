//! `PoolStats`: what a pool knows of itself.
#![forbid(unsafe_code)]

use core::fmt;

/// Figures of a pool, all in objects. Those of pools that several threads use are exact when
/// nobody is using them, and close otherwise.
///
/// An object is *live* while a guard has it, and forgotten guards have theirs for ever: a pool
/// whose live objects only grow is leaking guards.
///
/// ```
/// use pool_object::Pool;
/// let pool: Pool<String> = Pool::new();
/// drop(pool.get());
/// std::mem::forget(pool.get());
/// let stats = pool.stats();
/// assert_eq!((stats.live, stats.idle, stats.hits, stats.misses), (1, 0, 1, 1));
/// println!("{stats}");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Out with users now.
    pub live: u64,
    /// In the pool now, constructed.
    pub idle: u64,
    /// Times that an idle object was given out.
    pub hits: u64,
    /// Times that one had to be made.
    pub misses: u64,
    /// Made or attached so far.
    pub created: u64,
    /// Dropped or detached so far.
    pub dropped: u64,
    /// The most there were at once, live and idle.
    pub peak: u64,
    /// Callers that are waiting for one now.
    pub waiters: u64,
    /// Callers that may have an object and have not taken it yet: waiters whose turn it is, and whose
    /// object is being made. If it stays above 0, futures were forgotten when it was their turn.
    pub granted: u64,
}

impl PoolStats {
    /// The figures as `(name, value)`, in the order of [`Display`](fmt::Display); for exporters.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            ("live", self.live),
            ("idle", self.idle),
            ("hits", self.hits),
            ("misses", self.misses),
            ("created", self.created),
            ("dropped", self.dropped),
            ("peak", self.peak),
            ("waiters", self.waiters),
            ("granted", self.granted),
        ]
        .into_iter()
    }
}

impl fmt::Display for PoolStats {
    /// A small table: one figure a line, names to the left, numbers to the right.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (name, value)) in self.fields().enumerate() {
            let end = if number == 0 { "" } else { "\n" };
            write!(f, "{end}{name:<20}{value:>20}")?;
        }
        Ok(())
    }
}
