//! `PoolStats::publish`: figures for the `metrics` facade.
#![forbid(unsafe_code)]

use crate::pool::stats::PoolStats;
use metrics::{IntoLabels, counter, gauge};

/// The figures of [`PoolStats::fields`] that only rise; the others are levels.
const COUNTERS: [&str; 4] = ["hits", "misses", "created", "dropped"];

impl PoolStats {
    /// Hands every figure of [`fields`](Self::fields) to the installed `metrics` recorder, named
    /// `{prefix}_{field}`. What only rises is a counter, set to its absolute value; the others are
    /// gauges. Needs feature `metrics`.
    ///
    /// Call it now and then, say once a scrape: it allocates the names. Pools that are published side
    /// by side tell themselves apart by their labels.
    ///
    /// ```
    /// let pool: pool_object::Pool<Vec<u8>> = Default::default();
    /// pool.stats().publish("buffers", &[("worker", "1")]);
    /// // buffers_hits{worker="1"} 0, buffers_live{worker="1"} 0, ...
    /// ```
    #[allow(clippy::cast_precision_loss, reason = "gauges are f64: exact up to 2^53")]
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

    #[test]
    fn every_counter_is_a_field() {
        for counter in COUNTERS {
            assert!(PoolStats::default().fields().any(|(field, _)| field == counter), "{counter}");
        }
    }
}
