//! What a recorder of the `metrics` facade is handed.
#![cfg(feature = "metrics")]

use metrics::{Counter, CounterFn, Gauge, GaugeFn, Key, KeyName, Metadata, Recorder};
use metrics::{Histogram, SharedString, Unit};
use pool_core::Heap;
use pool_object::{Pool, SlotTable};
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
fn recorded(publish: impl FnOnce()) -> BTreeMap<String, Value> {
    let recording = Recording::default();
    metrics::with_local_recorder(&recording, publish);
    let values = recording.0.lock().unwrap();
    values.clone()
}

#[test]
fn every_figure_of_a_pool_is_published_once_as_its_kind() {
    let pool: Pool<u64, _, _> = Pool::with_in(|| 1, Heap::new()).max_idle(1);
    let (one, two, three) = (pool.get(), pool.get(), pool.get());
    drop((two, three));
    drop(pool.get());
    let stats = pool.stats();
    let values = recorded(|| stats.publish("buffers", &[("worker", "1"), ("kind", "a")]));
    let get = |field: &str| values[&format!("buffers_{field}[worker=1,kind=a]")];
    assert_eq!(values.len(), stats.fields().count());
    assert_eq!(get("live"), Value::Gauge(1.0));
    assert_eq!(get("idle"), Value::Gauge(1.0));
    assert_eq!(get("hits"), Value::Counter(1));
    assert_eq!(get("misses"), Value::Counter(3));
    assert_eq!(get("created"), Value::Counter(3));
    assert_eq!(get("dropped"), Value::Counter(1));
    assert_eq!(get("peak"), Value::Gauge(3.0));
    drop(one);
}

#[test]
fn every_figure_of_a_table_is_published_once_as_a_level() {
    let mut table = SlotTable::new_in(Heap::new());
    let keys = [1u64, 2, 3].map(|value| table.insert(value));
    table.remove(keys[0]);
    let stats = table.stats();
    let values = recorded(|| stats.publish("connections", &[("worker", "1")]));
    let get = |field: &str| values[&format!("connections_{field}[worker=1]")];
    assert_eq!(values.len(), stats.fields().count());
    assert_eq!((get("live"), get("peak")), (Value::Gauge(2.0), Value::Gauge(3.0)));
    assert_eq!((get("pages"), get("retired")), (Value::Gauge(1.0), Value::Gauge(0.0)));
    assert_eq!(get("capacity"), Value::Gauge(table.capacity() as f64));
    assert_eq!(get("bytes"), Value::Gauge(stats.bytes as f64));
}
