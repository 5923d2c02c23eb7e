//! slotmap: keys with generations.

use crate::slots::Value;
use slotmap::{DefaultKey, SlotMap as Map};

engine! {
    /// `slotmap::SlotMap`.
    SlotMap, "slotmap", false, Map<DefaultKey, Value>, DefaultKey, remove
}
