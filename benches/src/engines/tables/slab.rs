//! slab: keys are indices, so that a stale one finds another value.

use crate::slots::Value;
use slab::Slab as Table;

engine! {
    /// `slab::Slab`.
    Slab, "slab", false, Table<Value>, usize, try_remove
}
