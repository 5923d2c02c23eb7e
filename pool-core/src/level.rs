//! `Level`: the counters of one budget, without names, parents or owners.
#![forbid(unsafe_code)]

use crate::error::OverBudget;
use crate::snapshot::BudgetUse;
use crate::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use crate::sync::{Counter, const_unless_loom};

/// Bytes in use against a limit. Const-constructible, so that it may stand in a `static`.
///
/// Every access is relaxed: the counters guard nothing but themselves, and each is exact because
/// it only changes by read-modify-write. A refund never comes before its charge in the order of
/// `used`, since whoever refunds has been handed the charge.
#[derive(Debug)]
pub(crate) struct Level {
    /// Every store is by `add`, with a sum within the limit that it read, or by `refund`: `used`
    /// passes the limit only where the limit was lowered.
    used: AtomicUsize,
    /// The largest `used` that any charge that went through has made.
    peak: AtomicUsize,
    limit: AtomicUsize,
    /// Charges that *this* level refused.
    refused: Counter,
}

impl Level {
    const_unless_loom! {
        /// Nothing in use of `limit` bytes.
        pub(crate) fn new(limit: usize) -> Self {
            Self {
                used: AtomicUsize::new(0),
                peak: AtomicUsize::new(0),
                limit: AtomicUsize::new(limit),
                refused: Counter::new(),
            }
        }
    }

    /// Charges `bytes` here, then calls `above` for the level above; if that refuses, refunds and
    /// passes the refusal on. `name` and `depth` go into this level's own refusal.
    ///
    /// From below to above, because a charge that is rolled back is then only ever seen by those
    /// who share the lower level: the other order would let one full connection make all others
    /// be refused for a moment.
    #[inline]
    pub(crate) fn try_charge(
        &self,
        bytes: usize,
        name: &'static str,
        depth: u32,
        above: impl FnOnce() -> Result<(), OverBudget>,
    ) -> Result<(), OverBudget> {
        let sum = self.add(bytes).map_err(|BudgetUse { used, limit, .. }| OverBudget {
            level: name,
            depth,
            asked: bytes,
            used,
            limit,
        })?;
        if let Err(refusal) = above() {
            self.refund(bytes);
            return Err(refusal);
        }
        // Only now, so that a charge which the level above refused leaves no trace in the peak.
        if sum > self.peak.load(Relaxed) {
            self.peak.fetch_max(sum, Relaxed);
        }
        Ok(())
    }

    /// Adds `bytes` if the sum is within the limit and returns it. A compare-exchange, not an add
    /// that is taken back: a charge too large would be visible meanwhile, and refuse others.
    #[inline]
    fn add(&self, bytes: usize) -> Result<usize, BudgetUse> {
        let mut used = self.used.load(Relaxed);
        loop {
            let limit = self.limit.load(Relaxed);
            let Some(sum) = used.checked_add(bytes).filter(|&sum| sum <= limit || bytes == 0)
            else {
                self.refused.add(1);
                return Err(BudgetUse { used, limit, ..BudgetUse::default() });
            };
            match self.used.compare_exchange_weak(used, sum, Relaxed, Relaxed) {
                Ok(_) => return Ok(sum),
                Err(now) => used = now,
            }
        }
    }

    /// Takes `bytes` off; `false` if less was in use, which then counts as all (wrapping would
    /// refuse everybody for ever). It does not panic: sources refund, and safe code outside can
    /// make any refund one too many.
    #[inline]
    pub(crate) fn refund(&self, bytes: usize) -> bool {
        let mut used = self.used.load(Relaxed);
        loop {
            let rest = used.saturating_sub(bytes);
            match self.used.compare_exchange_weak(used, rest, Relaxed, Relaxed) {
                Ok(_) => return bytes <= used,
                Err(now) => used = now,
            }
        }
    }

    /// Changes the limit. Charges under way see the old one or the new one.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Relaxed);
    }

    /// Used, peak and limit.
    pub(crate) fn usage(&self) -> BudgetUse {
        BudgetUse {
            used: self.used.load(Relaxed),
            peak: self.peak.load(Relaxed),
            limit: self.limit.load(Relaxed),
        }
    }

    /// Charges that this level refused.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.get()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    static LEVEL: Level = Level::new(100);

    #[test]
    fn a_static_level_counts() {
        let charge = |bytes| LEVEL.try_charge(bytes, "static", 0, || Ok(()));
        charge(60).unwrap();
        assert_eq!(
            charge(41).unwrap_err(),
            OverBudget { level: "static", depth: 0, asked: 41, used: 60, limit: 100 }
        );
        charge(40).unwrap();
        assert!(LEVEL.refund(100));
        assert_eq!(LEVEL.usage(), BudgetUse { used: 0, peak: 100, limit: 100 });
        assert_eq!(LEVEL.refused(), 1);
    }

    #[test]
    fn sums_are_exact_on_a_small_range() {
        for limit in 0..12 {
            for first in 0..14 {
                for second in 0..14 {
                    let level = Level::new(limit);
                    let charge = |bytes| level.try_charge(bytes, "", 0, || Ok(())).is_ok();
                    let mut used = 0;
                    for bytes in [first, second] {
                        let fits = used + bytes <= limit;
                        assert_eq!(charge(bytes), fits);
                        used += if fits { bytes } else { 0 };
                    }
                    assert_eq!(level.usage(), BudgetUse { used, peak: used, limit });
                }
            }
        }
    }

    #[test]
    fn sums_that_overflow_are_refused() {
        let level = Level::new(usize::MAX);
        let charge = |bytes| level.try_charge(bytes, "", 0, || Ok(()));
        charge(usize::MAX - 1).unwrap();
        assert!(charge(2).is_err());
        assert!(charge(usize::MAX).is_err());
        charge(1).unwrap();
        assert_eq!(level.usage().used, usize::MAX);
    }

    #[test]
    fn nothing_may_always_be_charged() {
        let level = Level::new(10);
        level.try_charge(10, "", 0, || Ok(())).unwrap();
        level.set_limit(5);
        assert!(level.try_charge(0, "", 0, || Ok(())).is_ok());
        assert!(level.try_charge(1, "", 0, || Ok(())).is_err());
    }

    #[test]
    fn a_refund_of_too_much_counts_as_all() {
        let level = Level::new(10);
        level.try_charge(1, "", 0, || Ok(())).unwrap();
        assert!(!level.refund(2));
        assert!(level.refund(0));
        assert_eq!(level.usage().used, 0);
    }
}
