//! What the random programs of both heaps are drawn from.

use proptest::prelude::*;

/// Blocks at once, and bytes of middle and of large ones.
pub const MANY: u16 = if cfg!(miri) { 12 } else { 2500 };
const MIDDLE: u32 = if cfg!(miri) { 600 } else { 5000 };
const LARGE: u32 = if cfg!(miri) { 601 } else { 300_000 };

pub fn size() -> impl Strategy<Value = u32> {
    prop_oneof![8 => 0u32..200, 4 => 200u32..MIDDLE, 1 => MIDDLE..LARGE]
}

/// As a power of two.
pub fn align() -> impl Strategy<Value = u8> {
    prop_oneof![8 => 0u8..5, 1 => 5u8..15]
}

pub fn program<O: std::fmt::Debug>(op: impl Strategy<Value = O>) -> impl Strategy<Value = Vec<O>> {
    prop::collection::vec(op, 0..if cfg!(miri) { 8 } else { 40 })
}

/// The calls of a program that are refused in turn, of as many as it makes.
pub fn refusals(calls: u64) -> std::ops::Range<u64> {
    0..calls.min(if cfg!(miri) { 2 } else { 40 })
}
