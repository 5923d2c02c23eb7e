//! What a recorder of the `metrics` facade is handed. For the tests of `pool-object`, too.

use metrics::{Counter, CounterFn, Gauge, GaugeFn, Key, KeyName, Metadata, Recorder};
use metrics::{Histogram, SharedString, Unit};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
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
        unreachable!("figures are absolute")
    }
    fn absolute(&self, value: u64) {
        self.store(Value::Counter(value));
    }
}

impl GaugeFn for Cell {
    fn increment(&self, _: f64) {
        unreachable!("figures are absolute")
    }
    fn decrement(&self, _: f64) {
        unreachable!("figures are absolute")
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
        unreachable!("figures have no histograms")
    }
}

/// All that is published within `publish`.
pub fn recorded(publish: impl FnOnce()) -> BTreeMap<String, Value> {
    let recording = Recording::default();
    metrics::with_local_recorder(&recording, publish);
    let values = recording.0.lock().unwrap();
    values.clone()
}
