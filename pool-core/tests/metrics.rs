//! What a recorder of the `metrics` facade is handed.
#![cfg(feature = "metrics")]

use metrics::{Counter, CounterFn, Gauge, GaugeFn, Key, KeyName, Metadata, Recorder};
use metrics::{Histogram, SharedString, Unit};
use pool_core::{Heap, PageSource};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Value {
    Counter(u64),
    Gauge(f64),
}

type Values = Arc<Mutex<BTreeMap<String, Value>>>;

#[derive(Default)]
struct Recording(Values);

struct Cell {
    name: String,
    values: Values,
}

impl Cell {
    fn store(&self, value: Value) {
        self.values.lock().unwrap().insert(self.name.clone(), value);
    }
}

impl CounterFn for Cell {
    fn increment(&self, _: u64) {
        unreachable!("a snapshot is absolute")
    }
    fn absolute(&self, value: u64) {
        self.store(Value::Counter(value));
    }
}

impl GaugeFn for Cell {
    fn increment(&self, _: f64) {
        unreachable!("a snapshot is absolute")
    }
    fn decrement(&self, _: f64) {
        unreachable!("a snapshot is absolute")
    }
    fn set(&self, value: f64) {
        self.store(Value::Gauge(value));
    }
}

impl Recording {
    fn cell(&self, key: &Key) -> Arc<Cell> {
        let labels: Vec<_> = key.labels().map(|l| format!("{}={}", l.key(), l.value())).collect();
        let name = format!("{}[{}]", key.name(), labels.join(","));
        Arc::new(Cell { name, values: Arc::clone(&self.0) })
    }
}

impl Recorder for Recording {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.cell(key))
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.cell(key))
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        unreachable!("a snapshot has no histograms")
    }
}

#[test]
fn every_field_is_published_once_as_its_kind() {
    let source = Heap::new().limited(1 << 20).counted();
    let pages = (&source).pages(10_000).unwrap();
    drop((&source).pages(1).unwrap());
    (&source).pages(2 << 20).unwrap_err();
    let snapshot = source.snapshot();

    let recording = Recording::default();
    metrics::with_local_recorder(&recording, || {
        snapshot.publish("pages", &[("tenant", "a"), ("stack", "b")]);
    });
    let values = recording.0.lock().unwrap();
    let get = |field: &str| values[&format!("pages_{field}[tenant=a,stack=b]")];
    assert_eq!(values.len(), snapshot.fields().count());
    assert_eq!(get("acquired"), Value::Counter(2));
    assert_eq!(get("released"), Value::Counter(1));
    assert_eq!(get("refused"), Value::Counter(1));
    assert_eq!(get("live_bytes"), Value::Gauge(pages.len() as f64));
    assert_eq!(get("budget_limit_bytes"), Value::Gauge((1 << 20) as f64));
}
