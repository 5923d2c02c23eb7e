//! What a recorder of the `metrics` facade is handed.
#![cfg(feature = "metrics")]

#[path = "common/recorded.rs"]
mod recorded;

use pool_core::{Heap, PageSource};
use recorded::{Value, recorded};

#[test]
fn every_field_is_published_once_as_its_kind() {
    let source = Heap::new().limited(1 << 20).counted();
    let pages = (&source).pages(10_000).unwrap();
    drop((&source).pages(1).unwrap());
    (&source).pages(2 << 20).unwrap_err();
    let snapshot = source.snapshot();

    let values = recorded(|| snapshot.publish("pages", &[("tenant", "a"), ("stack", "b")]));
    let get = |field: &str| values[&format!("pages_{field}[tenant=a,stack=b]")];
    assert_eq!(values.len(), snapshot.fields().count());
    assert_eq!(get("acquired"), Value::Counter(2));
    assert_eq!(get("released"), Value::Counter(1));
    assert_eq!(get("refused"), Value::Counter(1));
    assert_eq!(get("live_bytes"), Value::Gauge(pages.len() as f64));
    assert_eq!(get("budget_limit_bytes"), Value::Gauge((1 << 20) as f64));
}
