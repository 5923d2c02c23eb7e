//! `Budget` and `Charge`: a limit on bytes, shared between threads, with a parent.
#![forbid(unsafe_code)]

use crate::error::OverBudget;
use crate::level::Level;
use crate::snapshot::BudgetUse;
use crate::sync::Arc;
use core::fmt;
use core::ops::Deref;

/// A limit on bytes, possibly below another one: connection, tenant, process.
///
/// A `Budget` is a handle: clones are the same budget, and cost one reference count. What is
/// charged to a budget is charged to its parent too, up to the root, and a charge goes through at
/// all levels or at none. The limits of the children may add up to more than the parent has.
///
/// ```
/// use pool_core::Budget;
/// let process = Budget::named("process", 1 << 30);
/// let tenant = process.child("tenant", 64 << 20);
/// let connection = tenant.child("connection", 1 << 20);
///
/// connection.try_charge(600 << 10)?;
/// assert_eq!((connection.used(), process.used()), (600 << 10, 600 << 10));
///
/// let refusal = connection.try_charge(600 << 10).unwrap_err();
/// assert_eq!((refusal.level, refusal.limit), ("connection", 1 << 20));
///
/// connection.refund(600 << 10);
/// assert_eq!(process.used(), 0);
/// # Ok::<(), pool_core::OverBudget>(())
/// ```
///
/// [`Limit`](crate::Limit) charges runs of pages; [`Charge`] is for bytes that are not runs.
///
/// # Threads
/// Charges are exact under contention: the bytes in use never pass a limit, not even for a moment
/// (but for a limit lowered below what is in use), and a charge on one level that fits is never
/// refused because of another that does not. With a parent there is one exception. A charge takes
/// its bytes from below to above, and if a level above refuses, those already taken are given back
/// a moment later; a charge that meets the same lower level in that moment may be refused although
/// it would fit before and after. So it can only be refused along with another that was refused,
/// and only where both share the lower level.
///
/// # Complexity
/// A charge or refund is one atomic operation a level (a retry where another thread got between).
/// The walk recurses, so keep hierarchies to tens of levels.
#[derive(Clone)]
pub struct Budget {
    node: Handle,
}

/// A level with its name, and the way up.
pub(crate) struct Node {
    level: Level,
    name: &'static str,
    parent: Option<Budget>,
}

impl Node {
    /// A level without a parent, for a `static`: such a budget needs no allocator.
    #[cfg(all(feature = "std", not(loom)))]
    pub(crate) const fn new(name: &'static str, limit: usize) -> Self {
        Self { level: Level::new(limit), name, parent: None }
    }
}

#[derive(Clone)]
enum Handle {
    Shared(Arc<Node>),
    #[cfg(all(feature = "std", not(loom)))]
    Static(&'static Node),
}

impl Deref for Handle {
    type Target = Node;

    #[inline]
    fn deref(&self) -> &Node {
        match self {
            Self::Shared(node) => node,
            #[cfg(all(feature = "std", not(loom)))]
            Self::Static(node) => node,
        }
    }
}

impl Budget {
    /// A budget of `limit` bytes with no parent, named `"budget"`. `usize::MAX` only counts; 0
    /// refuses every byte.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self::named("budget", limit)
    }

    /// A budget of `limit` bytes with no parent. The name is what refusals say.
    #[must_use]
    pub fn named(name: &'static str, limit: usize) -> Self {
        Self::with_parent(name, limit, None)
    }

    /// A budget of `limit` bytes below this one. It keeps its parent alive.
    #[must_use]
    pub fn child(&self, name: &'static str, limit: usize) -> Self {
        Self::with_parent(name, limit, Some(self.clone()))
    }

    fn with_parent(name: &'static str, limit: usize, parent: Option<Self>) -> Self {
        Self { node: Handle::Shared(Arc::new(Node { level: Level::new(limit), name, parent })) }
    }

    /// A handle on a budget in a `static`.
    #[cfg(all(feature = "std", not(loom)))]
    pub(crate) const fn of_static(node: &'static Node) -> Self {
        Self { node: Handle::Static(node) }
    }

    /// Charges `bytes` to this budget and all above it. They stay charged until
    /// [`refund`](Self::refund); [`charge`](Self::charge) does that by itself. 0 bytes are always
    /// granted.
    ///
    /// # Errors
    /// [`OverBudget`], which names the first level, from here upwards, that has too little left.
    /// Nothing is charged then.
    #[inline]
    pub fn try_charge(&self, bytes: usize) -> Result<(), OverBudget> {
        self.charge_from(bytes, 0)
    }

    fn charge_from(&self, bytes: usize, depth: u32) -> Result<(), OverBudget> {
        let Node { level, name, parent } = &*self.node;
        level.try_charge(bytes, name, depth, || match parent {
            Some(parent) => parent.charge_from(bytes, depth + 1),
            None => Ok(()),
        })
    }

    /// Gives back `bytes` that were charged before, here and at all levels above.
    ///
    /// Giving back more than was charged is an error of the caller's: debug builds panic, release
    /// builds count the level as empty.
    #[inline]
    pub fn refund(&self, bytes: usize) {
        let exact = self.give_back(bytes);
        debug_assert!(exact, "{bytes} bytes refunded to {self:?}, or one above, which had fewer");
    }

    /// As [`refund`](Self::refund), without the assertion: `false` if a level had fewer bytes. For
    /// sources, which may not panic whatever others did to their budget.
    #[inline]
    pub(crate) fn give_back(&self, bytes: usize) -> bool {
        let mut exact = true;
        let mut budget = Some(self);
        while let Some(Self { node }) = budget {
            exact &= node.level.refund(bytes);
            budget = node.parent.as_ref();
        }
        exact
    }

    /// Charges `bytes` for as long as the returned [`Charge`] lives.
    ///
    /// # Errors
    /// As [`try_charge`](Self::try_charge).
    pub fn charge(&self, bytes: usize) -> Result<Charge, OverBudget> {
        self.try_charge(bytes)?;
        Ok(Charge { budget: self.clone(), bytes })
    }

    /// Changes this level's limit, in bytes. Nothing is evicted: below what is in use, charges are
    /// refused until enough came back. Charges on their way see the old limit or the new one.
    pub fn set_limit(&self, limit: usize) {
        self.node.level.set_limit(limit);
    }

    /// Bytes charged at this level now, its children's included.
    #[must_use]
    pub fn used(&self) -> usize {
        self.usage().used
    }

    /// The most bytes charged at this level at once. Charges that were refused do not count, but
    /// while several threads charge it may include one that a level above refused just then.
    #[must_use]
    pub fn peak(&self) -> usize {
        self.usage().peak
    }

    /// This level's limit in bytes.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.usage().limit
    }

    /// Used, peak and limit of this level: what a [`Snapshot`](crate::Snapshot) shows.
    #[must_use]
    pub fn usage(&self) -> BudgetUse {
        self.node.level.usage()
    }

    /// The most bytes that one charge could get now: the least that this level or any above it
    /// has left. 0 where a limit was lowered below what is in use.
    #[must_use]
    pub fn available(&self) -> usize {
        let BudgetUse { used, limit, .. } = self.usage();
        let above = self.parent().map_or(usize::MAX, Self::available);
        limit.saturating_sub(used).min(above)
    }

    /// Charges that this level refused; those that a level above refused are counted there.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.node.level.refused()
    }

    /// The name that refusals say.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.node.name
    }

    /// The level above.
    #[must_use]
    pub fn parent(&self) -> Option<&Self> {
        self.node.parent.as_ref()
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BudgetUse { used, peak, limit } = self.usage();
        f.debug_struct("Budget")
            .field("name", &self.name())
            .field("used", &used)
            .field("peak", &peak)
            .field("limit", &limit)
            .field("refused", &self.refused())
            .field("parent", &self.parent().map(Self::name))
            .finish()
    }
}

/// Bytes charged to a [`Budget`], refunded when dropped: for memory that is not a run of pages.
///
/// ```
/// use pool_core::Budget;
/// let tenant = Budget::named("tenant", 100);
/// let mut charge = tenant.charge(30)?;
/// charge.try_grow(50)?;
/// assert!(charge.try_grow(50).is_err());
/// charge.shrink(10);
/// assert_eq!((charge.bytes(), tenant.used()), (70, 70));
/// drop(charge);
/// assert_eq!(tenant.used(), 0);
/// # Ok::<(), pool_core::OverBudget>(())
/// ```
///
/// A charge that is forgotten (`mem::forget`) stays charged, and nothing else goes wrong.
#[derive(Debug)]
#[must_use = "a charge that is dropped is refunded at once"]
pub struct Charge {
    budget: Budget,
    /// Charged to `budget` and not yet refunded.
    bytes: usize,
}

impl Charge {
    /// Bytes charged.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where they are charged.
    #[must_use]
    pub const fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Charges `more` bytes.
    ///
    /// # Errors
    /// As [`Budget::try_charge`]; the charge is as it was then.
    pub fn try_grow(&mut self, more: usize) -> Result<(), OverBudget> {
        self.budget.try_charge(more)?;
        // Beyond `usize::MAX` only if others refunded what is charged here; they have it back then.
        self.bytes = self.bytes.saturating_add(more);
        Ok(())
    }

    /// Refunds `less` bytes, or all of them if there are fewer.
    pub fn shrink(&mut self, less: usize) {
        let less = less.min(self.bytes);
        self.bytes -= less;
        self.budget.give_back(less);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}
