//! What a recorder of the `metrics` facade is handed.
#![cfg(feature = "metrics")]

#[path = "../../pool-core/tests/common/recorded.rs"]
mod recorded;

use pool_core::Heap;
use pool_object::{Pool, SlotTable};
use recorded::{Value, recorded};

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
