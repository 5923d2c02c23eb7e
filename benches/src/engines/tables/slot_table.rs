//! Ours: keys with generations, values that stay where they are.

use crate::slots::Value;
use pool_object::{Key, SlotTable as Table};

engine! {
    /// `SlotTable`.
    SlotTable, "SlotTable", true, Table<Value>, Key, remove
}
