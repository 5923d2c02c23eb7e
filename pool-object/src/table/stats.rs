//! `TableStats`: what a table knows of itself.
#![forbid(unsafe_code)]

use core::fmt;

/// Figures of a [`SlotTable`](crate::SlotTable), at one moment.
///
/// ```
/// let mut table = pool_object::SlotTable::new();
/// let keys: Vec<_> = (0..100u64).map(|value| table.insert(value)).collect();
/// keys[10..].iter().for_each(|&key| drop(table.remove(key)));
/// let stats = table.stats();
/// assert_eq!((stats.live, stats.peak, stats.pages), (10, 100, 1));
/// assert_eq!(stats.capacity, table.capacity() as u64);
/// println!("{stats}");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableStats {
    /// Values in the table.
    pub live: u64,
    /// The most values there were, or had a vacant entry, at once.
    pub peak: u64,
    /// Slots in the pages that the table has.
    pub capacity: u64,
    /// Slots of these that are not used any more, since their count of tenants is used up.
    pub retired: u64,
    /// Pages.
    pub pages: u64,
    /// Bytes of these, and of the directory.
    pub bytes: u64,
}

impl TableStats {
    /// The figures as `(name, value)`, in the order of [`Display`](fmt::Display); for exporters.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            ("live", self.live),
            ("peak", self.peak),
            ("capacity", self.capacity),
            ("retired", self.retired),
            ("pages", self.pages),
            ("bytes", self.bytes),
        ]
        .into_iter()
    }

    /// Hands every figure of [`fields`](Self::fields) to the installed `metrics` recorder, as a gauge
    /// named `{prefix}_{field}`. Needs feature `metrics`.
    ///
    /// Call it now and then, say once a scrape: it allocates the names. Tables that are published side
    /// by side tell themselves apart by their labels.
    ///
    /// ```
    /// let table = pool_object::SlotTable::<u64>::new();
    /// table.stats().publish("connections", &[("worker", "1")]);
    /// // connections_live{worker="1"} 0, connections_peak{worker="1"} 0, ...
    /// ```
    #[cfg(feature = "metrics")]
    #[allow(clippy::cast_precision_loss, reason = "gauges are f64: exact up to 2^53")]
    pub fn publish(&self, prefix: &str, labels: impl metrics::IntoLabels) {
        let labels = labels.into_labels();
        for (field, value) in self.fields() {
            metrics::gauge!(std::format!("{prefix}_{field}"), labels.clone()).set(value as f64);
        }
    }
}

impl fmt::Display for TableStats {
    /// A small table: one figure a line, names to the left, numbers to the right.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (name, value)) in self.fields().enumerate() {
            let end = if number == 0 { "" } else { "\n" };
            write!(f, "{end}{name:<20}{value:>20}")?;
        }
        Ok(())
    }
}
