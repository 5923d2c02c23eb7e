//! The same figures for programs.
#![forbid(unsafe_code)]

use super::snapshot::{AGES, FILLS, Snapshot};
use serde_json::{Map, Value, json};

/// One object: `strategy`, `figures` by name, `classes`, `partials` by age in milliseconds.
pub(super) fn text(snapshot: &Snapshot, strategy: &str) -> String {
    let figures: Map<String, Value> =
        snapshot.figures().map(|(name, value)| (name.to_owned(), value.into())).collect();
    let ends = AGES.iter().map(|&end| (end < u32::MAX).then_some(end));
    let partials: Vec<Value> = ends
        .zip(snapshot.ages)
        .map(|(end, count)| json!({ "younger_than_ms": end, "count": count }))
        .collect();
    json!({
        "strategy": strategy,
        "version": env!("CARGO_PKG_VERSION"),
        "figures": figures,
        "fill_steps": FILLS,
        "classes": snapshot.classes(),
        "partials": partials,
    })
    .to_string()
}
