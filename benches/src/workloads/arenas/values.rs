//! `values`: a `u64` at a time into a warm arena; after 10,000 of them it is reset.
//!
//! *Answers*: the sum of the values, read back; before, that no two of a whole round share a place.

use super::{OBJECTS, SAMPLE};
use crate::case::Case;
use crate::engines::Null;
use crate::engines::arenas::{Cursor, TypedArena, of_arenas};
use crate::opaque::{escape, hide};
use crate::region::{Region, Regions, Values, kept, sized};
use crate::workloads::{POOL_ARENA, rounds};
use std::ptr;
use std::time::Instant;

pub(super) fn cases() -> Vec<Case> {
    of_arenas!(case, Null, TypedArena, Cursor)
}

fn case<E>() -> Case
where
    E: for<'a> Regions<Region<'a>: Values<u64>>,
{
    Case::new::<E>(POOL_ARENA, "values", || {
        let mut region = kept::<E>(sized(OBJECTS * size_of::<u64>()));
        warm::<E>(&mut region);
        let first = hide(0_u64);
        Box::new(move |n| {
            let mut sum = 0_u64;
            let start = Instant::now();
            rounds(n, OBJECTS, |count| sum = sum.wrapping_add(round(&mut region, first, count)));
            let elapsed = start.elapsed();
            let of = |count: u64| count * count.saturating_sub(1) / 2;
            let (whole, rest) = (n / OBJECTS as u64, n % OBJECTS as u64);
            assert_eq!(sum, whole * of(OBJECTS as u64) + of(rest), "these are not the values");
            elapsed
        })
    })
    .sample(SAMPLE)
}

/// Two rounds; the objects of the second are looked at when all are there.
fn warm<E>(region: &mut E::Region<'static>)
where
    E: Regions<Region<'static>: Values<u64>>,
{
    round(region, 0, OBJECTS);
    let values: Vec<_> = (0..OBJECTS).map(|value| region.value(value as u64)).collect();
    let alone = E::NAME == "(loop)";
    let places: std::collections::HashSet<_> =
        values.iter().map(|value| ptr::from_ref(*value)).collect();
    assert!(alone || places.len() == OBJECTS, "a place has two values");
    assert!(alone || values.iter().enumerate().all(|(at, value)| **value == at as u64));
    region.reset();
}

/// What is measured.
#[inline(never)]
fn round<R: Values<u64>>(region: &mut R, first: u64, count: usize) -> u64 {
    let mut sum = 0_u64;
    for next in first..first + count as u64 {
        let value = region.value(next);
        escape(ptr::from_mut(value).cast());
        sum = sum.wrapping_add(*value);
    }
    region.reset();
    sum
}
