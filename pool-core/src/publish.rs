//! `Snapshot::publish`: figures for the `metrics` facade.
#![forbid(unsafe_code)]

use crate::snapshot::Snapshot;
use metrics::{IntoLabels, counter, gauge};

/// The figures of [`Snapshot::fields`] that only rise; the others are levels.
const COUNTERS: [&str; 7] = [
    "acquired",
    "released",
    "refused",
    "decommitted_bytes",
    "cache_hits",
    "cache_misses",
    "cache_decayed_bytes",
];

impl Snapshot {
    /// Hands every figure of [`fields`](Self::fields) to the installed `metrics` recorder, named
    /// `{prefix}_{field}`. What only rises is a counter, set to its absolute value; bytes in use,
    /// limits and peaks are gauges. Needs feature `metrics`.
    ///
    /// Call it now and then, say once per scrape: it allocates the names. Stacks that are published
    /// side by side tell themselves apart by their labels.
    ///
    /// ```
    /// use pool_core::{Heap, PageSource};
    /// let source = Heap::new().counted();
    /// source.snapshot().publish("pages", &[("tenant", "a")]);
    /// // pages_acquired{tenant="a"} 0, pages_live_bytes{tenant="a"} 0, ...
    /// ```
    #[allow(clippy::cast_precision_loss, reason = "gauges are f64: exact up to 2^53 bytes")]
    pub fn publish(&self, prefix: &str, labels: impl IntoLabels) {
        let labels = labels.into_labels();
        for (field, value) in self.fields() {
            let name = std::format!("{prefix}_{field}");
            if COUNTERS.contains(&field) {
                counter!(name, labels.clone()).absolute(value);
            } else {
                gauge!(name, labels.clone()).set(value as f64);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{BudgetUse, CacheUse, Traffic};

    #[test]
    fn every_counter_is_a_field() {
        let snapshot = Snapshot {
            traffic: Some(Traffic::default()),
            budget: Some(BudgetUse::default()),
            cache: Some(CacheUse::default()),
            ..Snapshot::default()
        };
        for counter in COUNTERS {
            assert!(snapshot.fields().any(|(field, _)| field == counter), "{counter}");
        }
    }
}
